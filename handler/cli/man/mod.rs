// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! `tcmu-glfs man`: the manual pages, from what the command line and the configuration really take.

mod command;
mod configuration;
mod page;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Command;

use crate::exit::{self, CommandError};

/// Writes the manual pages tcmu-glfs.8 and tcmu-glfs.5.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to.
    directory: PathBuf,
}

/// `command` is the whole of tcmu-glfs.
pub(crate) fn run(args: &Args, command: Command) -> ExitCode {
    let write = |name: &str, text: String| {
        let path = args.directory.join(Path::new(name));
        fs::write(&path, text).map_err(|e| format!("{}: {e}", path.display()))
    };
    let pages = [("tcmu-glfs.8", command::page(command)), ("tcmu-glfs.5", configuration::page())];
    let written = pages.into_iter().try_for_each(|(name, text)| write(name, text));
    exit::conclude(false, written.map(|()| true).map_err(CommandError::Failed))
}
