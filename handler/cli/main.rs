// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! `tcmu-glfs`: the command for LUNs of the plugin. Each subcommand is a module; configurations and
//! volumes are handled by the plugin's own code.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command prints")]

mod bench;
mod cfgstring_arg;
mod check;
mod completions;
mod configfs;
mod copy;
mod create;
mod doctor;
mod exit;
mod export;
mod files;
mod finding;
mod gfapi_session;
mod image_info;
mod info;
mod interrupt;
mod json;
mod list;
mod man;
mod remove;
mod report;
mod resize;
mod schemas;
mod scrape;
mod size;
mod status;
mod terminal;
mod top;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

/// Manages SCSI LUNs on GlusterFS volumes, as tcmu-runner's handler glfs serves them.
///
/// A LUN is an image file on a volume. How it is reached and served is set by a configuration
/// string, which targetcli is given as cfgstring=. Its grammar and keys are in tcmu-glfs(5).
#[derive(Debug, Parser)]
#[allow(clippy::doc_markdown, reason = "printed as help, without a markup")]
#[command(name = "tcmu-glfs", version, after_long_help = exit::HELP)]
struct Cli {
    /// Log what the handler's own code does to standard error: -v info, -vv debug. RUST_LOG is an
    /// alternative
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Check(check::Args),
    Doctor(doctor::Args),
    Create(create::Args),
    Resize(resize::Args),
    Info(info::Args),
    List(list::Args),
    Remove(remove::RemoveArgs),
    Unfence(remove::UnfenceArgs),
    Export(export::Args),
    Status(status::Args),
    Top(top::Args),
    Bench(bench::Args),
    #[command(hide = true)]
    Man(man::Args),
    #[command(hide = true)]
    Completions(completions::Args),
    #[command(hide = true)]
    Schemas(schemas::Args),
}

/// Starts the log: nothing, unless `-v` or `RUST_LOG` asks for it.
fn start_log(verbose: u8) {
    let level = match verbose {
        0 => "off",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or(level)).init();
}

fn main() -> ExitCode {
    let Cli { verbose, command } = Cli::parse();
    start_log(verbose);
    let (json, outcome) = match command {
        Command::Check(args) => (args.json, check::run(&args)),
        Command::Doctor(args) => (args.json, doctor::run(&args)),
        Command::Create(args) => (false, create::run(&args)),
        Command::Resize(args) => (false, resize::run(&args)),
        Command::Info(args) => (args.json, info::run(&args)),
        Command::List(args) => (args.json, list::run(&args)),
        Command::Remove(args) => (false, remove::remove(&args)),
        Command::Unfence(args) => (false, remove::unfence(&args)),
        Command::Export(args) => (false, export::run(&args)),
        Command::Status(args) => (args.json, status::run(&args)),
        Command::Top(args) => (false, top::run(&args)),
        Command::Bench(args) => (args.json, bench::run(&args)),
        Command::Man(args) => (false, man::run(&args, Cli::command())),
        Command::Completions(args) => {
            completions::run(&args, Cli::command());
            (false, Ok(true))
        }
        Command::Schemas(args) => (false, schemas::run(&args)),
    };
    exit::conclude(json, outcome)
}
