// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! VOLUME@HOST/PATH[;KEY=VALUE]... on the command line.

use handler_glfs::config::{Config, Site};

/// How the grammar is shown.
pub(crate) const FORM: &str = "VOLUME@HOST/PATH[;KEY=VALUE]...";

/// Reads a configuration, as a command's argument.
pub(crate) fn parse(text: &str) -> Result<Config, String> {
    let site = handler_glfs::config::Site::read_file().map_err(|why| why.to_string())?;
    read(text, &site)
}

/// Reads a configuration, with or without the `glfs/` that the kernel has before it.
pub(crate) fn read(text: &str, site: &Site) -> Result<Config, String> {
    let whole = if text.starts_with("glfs/") { text.to_owned() } else { format!("glfs/{text}") };
    Config::read(&whole, site).map_err(|why| why.to_string())
}
