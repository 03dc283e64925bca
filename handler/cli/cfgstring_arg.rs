// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! `VOLUME@HOST/PATH[;KEY=VALUE]...` on the command line, and the site file that it is read with.

use handler_glfs::config::{Config, Site};

use crate::exit::CommandError;

/// The grammar, for messages.
pub(crate) const FORM: &str = "VOLUME@HOST/PATH[;KEY=VALUE]...";

/// Parses a configuration string with the site file of this host. A mistake in that file is a
/// warning on standard error: like the daemon, the command goes on with its last valid version.
pub(crate) fn parse(text: &str) -> Result<Config, CommandError> {
    let (site, mistake) = site();
    if let Some(mistake) = mistake {
        anstream::eprintln!("warning: {mistake}");
    }
    parse_with(text, &site)
}

/// Parses a configuration string, with or without the `glfs/` that the kernel has before it.
pub(crate) fn parse_with(text: &str, site: &Site) -> Result<Config, CommandError> {
    let whole = if text.starts_with("glfs/") { text.to_owned() } else { format!("glfs/{text}") };
    Config::read(&whole, site)
        .map_err(|why| CommandError::Usage(format!("{why}; the form is {FORM}")))
}

/// The site in use: the file's, or if that has a mistake its last valid version, and the mistake.
pub(crate) fn site() -> (std::sync::Arc<Site>, Option<String>) {
    let site = Site::current();
    let mistake = site.mistake().map(|mistake| {
        format!("the site file has a mistake, and its last valid version is in use: {mistake}")
    });
    (site, mistake)
}
