// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The benchmark: the plugin against its peers and against what libgfapi can do, on real bricks.
//! `make bench`.
//!
//! Every contestant is a process of its own ([`client`]) that stays open while all take turns
//! ([`plan`]): what a noisy machine does to one it does to all, and what counts is the ratio of
//! neighbours, not the figure. README.md has the method and the results.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::exit,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::format_push_string,
    reason = "a program of a developer, whose figures are approximate, not a guest in a daemon"
)]

mod cell;
mod client;
mod cpu;
mod daemon;
mod hostile;
mod load;
mod plan;
mod plot;
mod results;
mod rig;
mod target;

use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::{Parser, Subcommand};
use testbed::cluster;

use self::cell::Job;
use self::client::{Client, Spec};
use self::plan::{Series, Settings};
use self::results::{Results, Run};
use self::rig::Rig;

#[derive(Debug, Parser)]
#[command(about = "Measures the plugin against its peers, on real bricks")]
struct Arguments {
    /// A few minutes instead of half an hour.
    #[arg(long)]
    quick: bool,
    /// Another handler's .so (the C one), to be measured beside ours.
    #[arg(long)]
    peer: Option<PathBuf>,
    /// The plugin; the one beside this program by default.
    #[arg(long)]
    so: Option<PathBuf>,
    /// Only series whose names contain one of these; "lun" is the level of the virtual machine.
    #[arg(long)]
    only: Vec<String>,
    /// Only these cells.
    #[arg(long)]
    cells: Vec<String>,
    /// A graph option, PATTERN,KEY,VALUE, whose effect on libgfapi with our graph shall be
    /// measured.
    #[arg(long)]
    lever: Vec<String>,
    /// Turns of each contestant.
    #[arg(long)]
    rounds: Option<u32>,
    /// Length of a turn.
    #[arg(long)]
    milliseconds: Option<u64>,
    /// Where tables, CSV and plot go.
    #[arg(long, default_value = "target/bench")]
    out: PathBuf,
    #[command(subcommand)]
    role: Option<Role>,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// One contestant; started by the benchmark.
    #[command(hide = true)]
    Client(Spec),
    /// What commands that ask for too much do to the memory of the daemon, and to its other LUNs.
    Hostile {
        /// Of the load, and of what it is compared with.
        #[arg(long, default_value_t = 20)]
        seconds: u64,
    },
    /// The daemon that gets them.
    #[command(hide = true)]
    HostileDaemon(hostile::Spec),
    /// Draws the plot, and writes the tables, of a CSV file.
    Plot {
        /// `bench.csv` of a run.
        csv: PathBuf,
    },
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    match &arguments.role {
        Some(Role::Client(spec)) => client::serve(spec),
        Some(Role::Hostile { seconds }) => hostile::bench(&arguments.so()?, *seconds),
        Some(Role::HostileDaemon(spec)) => hostile::serve(spec),
        Some(Role::Plot { csv }) => {
            let text = std::fs::read_to_string(csv).with_context(|| csv.display().to_string())?;
            let runs = text.lines().skip(1).map(Run::parse).collect::<anyhow::Result<_>>()?;
            Results(runs).write(&arguments.out)
        }
        None => bench(&arguments),
    }
}

impl Arguments {
    /// Our plugin.
    fn so(&self) -> anyhow::Result<PathBuf> {
        let so = match &self.so {
            Some(so) => so.clone(),
            None => std::env::current_exe()?.with_file_name("libhandler_glfs.so"),
        };
        ensure!(so.exists(), "{} is missing: cargo build --release", so.display());
        Ok(so)
    }
}

fn bench(arguments: &Arguments) -> anyhow::Result<()> {
    let settings = Settings {
        quick: arguments.quick,
        so: arguments.so()?,
        peer: arguments.peer.clone(),
        rounds: arguments.rounds,
        time: arguments.milliseconds.map(Duration::from_millis),
        levers: arguments.lever.clone(),
    };
    let wanted = |name: &str| {
        arguments.only.is_empty() || arguments.only.iter().any(|part| name.contains(part))
    };
    let mut results = Results::default();
    if wanted("lun") {
        lun_level(&settings, &mut results)?;
    }
    let folder = tempfile::Builder::new().prefix("bench-").tempdir_in("/var/tmp")?;
    rig::enter(folder.path())?;
    for mut series in settings.plan().into_iter().filter(|series| wanted(&series.name)) {
        if !arguments.cells.is_empty() {
            series.cells.retain(|cell| arguments.cells.iter().any(|name| name == cell));
        }
        println!("# {}", series.name);
        measure(&series, &mut results)?;
        print!("{}", results.table(&series.name));
        results.write(&arguments.out)?;
    }
    cluster::stop();
    rig::leave(folder.path())?;
    results.write(&arguments.out)?;
    println!(
        "\n{0}/tables.md, {0}/bench.csv and {0}/bench.svg have all of it.",
        arguments.out.display()
    );
    let errors: u64 = results.0.iter().map(|run| run.figures.errors).sum();
    ensure!(errors == 0, "{errors} commands failed");
    Ok(())
}

/// Lets the contestants of a series take turns, each round in another order.
fn measure(series: &Series, results: &mut Results) -> anyhow::Result<()> {
    let rig = Rig::new(series.layout, series.strict, series.luns, series.contestants.len())?;
    let mut clients = Vec::new();
    for (number, contestant) in series.contestants.iter().enumerate() {
        let images = number * series.luns..(number + 1) * series.luns;
        clients.push(Client::start(&contestant.spec(&rig, images))?);
    }
    let (client_cores, brick_cores): (&[usize], &[usize]) =
        if series.pinned { (&[0], &[1]) } else { (&[0, 1], &[0, 1]) };
    for client in &clients {
        cpu::pin(client.pid(), client_cores)?;
    }
    cpu::pin(rig.fuse(), client_cores)?;
    for brick in cluster::pids(Path::new("/run")) {
        cpu::pin(brick.as_raw(), brick_cores)?;
    }
    for round in 0..=series.rounds {
        for name in &series.cells {
            // Whoever follows a contestant that leaves work behind must not always be the same.
            let mut turns: Vec<usize> = (0..clients.len()).collect();
            turns.rotate_left(round as usize % clients.len());
            if round % 2 == 0 {
                turns.reverse();
            }
            for turn in turns {
                let job = Job {
                    cell: series.contestants[turn].cell(name)?,
                    time: series.time,
                    luns: series.luns,
                };
                let figures = clients[turn].run(&job).with_context(|| name.to_string())?;
                // The first round warms up.
                if round > 0 {
                    let contestant = series.contestants[turn].name.clone();
                    results.0.push(Run {
                        series: series.name.clone(),
                        contestant,
                        cell: (*name).to_owned(),
                        round,
                        figures,
                    });
                }
            }
        }
    }
    Ok(())
}

/// What an initiator sees, in a virtual machine: a program of its own, which prints its runs.
fn lun_level(settings: &Settings, results: &mut Results) -> anyhow::Result<()> {
    let mut command = Command::new("tests/bench/lun/run");
    command.env("HANDLER_SO", &settings.so).stdout(Stdio::piped());
    if settings.quick {
        command.arg("--quick");
    }
    if let Some(peer) = &settings.peer {
        command.arg("--peer").arg(peer);
    }
    let mut program = command.spawn().context("tests/bench/lun/run, from the project's folder")?;
    let output = program.stdout.take().context("its output")?;
    for line in std::io::BufReader::new(output).lines() {
        let line = line?;
        match line.strip_prefix("csv,") {
            Some(run) => results.0.push(Run::parse(run)?),
            None => println!("{line}"),
        }
    }
    let status = program.wait()?;
    for series in results.names(|run| Some(&run.series)) {
        print!("{}", results.table(series));
    }
    ensure!(status.success(), "the LUN level ended with {status}");
    Ok(())
}
