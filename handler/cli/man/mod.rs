// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! `tcmu-glfs man`: the manual pages, from what the command line and the configuration really take.

mod command;
mod configuration;
mod page;

use std::fs;
use std::path::PathBuf;

use clap::Command;

use crate::exit::Outcome;

/// Writes the manual pages tcmu-glfs.8 and tcmu-glfs.5.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to.
    directory: PathBuf,
}

/// `command` is the whole of tcmu-glfs.
pub(crate) fn run(args: &Args, command: Command) -> Outcome {
    let pages = [("tcmu-glfs.8", command::page(command)), ("tcmu-glfs.5", configuration::page())];
    for (name, text) in pages {
        let path = args.directory.join(name);
        fs::write(&path, text).map_err(|why| format!("{}: {why}", path.display()))?;
    }
    Ok(true)
}
