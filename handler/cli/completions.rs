// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! `tcmu-glfs completions`: what a shell completes.

use std::io;

use clap::Command;
use clap_complete::Shell;

/// Prints a script that makes a shell complete the arguments of tcmu-glfs.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The shell.
    shell: Shell,
}

pub(crate) fn run(args: &Args, mut command: Command) {
    clap_complete::generate(args.shell, &mut command, "tcmu-glfs", &mut io::stdout());
}
