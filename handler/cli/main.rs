// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! `tcmu-glfs`: looks after the LUNs of the plugin. Each command has a module of its own; what is
//! known about configurations and volumes is the plugin's own code.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command talks")]

mod bench;
mod check;
mod completions;
mod copy;
mod create;
mod doctor;
mod findings;
mod info;
mod interrupt;
mod man;
mod place;
mod portrait;
mod resize;
mod scrape;
mod session;
mod show;
mod size;
mod status;
mod top;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Looks after SCSI LUNs on GlusterFS volumes, as tcmu-runner's handler glfs serves them.
///
/// A LUN is an image file on a volume. How it is reached, and what the handler does with it, stands
/// in a configuration string, which targetcli is given as cfgstring=. Its grammar and keys are in
/// tcmu-glfs(5).
#[derive(Debug, Parser)]
#[command(name = "tcmu-glfs", version, after_long_help = EXIT_STATUS)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXIT_STATUS: &str =
    "Exit status: 0 all is well, 1 something is wrong and was said, 2 the command line is wrong.";

#[derive(Debug, Subcommand)]
enum Command {
    Check(check::Args),
    Create(create::Args),
    Resize(resize::Args),
    Info(info::Args),
    Doctor(doctor::Args),
    Bench(bench::Args),
    #[command(hide = true)]
    Man(man::Args),
    #[command(hide = true)]
    Completions(completions::Args),
    Status(status::Args),
    Top(top::Args),
}

/// 0: all is well; 1: something was found wrong; 2: the command line is wrong.
fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Check(args) => check::run(&args),
        Command::Create(args) => create::run(&args),
        Command::Resize(args) => resize::run(&args),
        Command::Info(args) => info::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Man(args) => man::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Top(args) => top::run(&args),
    }
}
