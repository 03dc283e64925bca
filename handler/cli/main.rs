//! `tcmu-glfs`: looks after the LUNs of the plugin. Each command has a module of its own; what is known about configurations and
//! volumes is the plugin's own code.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command talks")]

mod check;
mod interrupt;
mod scrape;
mod show;
mod status;
mod top;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Looks after SCSI LUNs on GlusterFS volumes, as tcmu-runner's handler glfs serves them.
#[derive(Debug, Parser)]
#[command(name = "tcmu-glfs", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Check(check::Args),
    Status(status::Args),
    Top(top::Args),
}

/// 0: all is well; 1: something was found wrong; 2: the command line is wrong.
fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Check(args) => check::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Top(args) => top::run(&args),
    }
}
