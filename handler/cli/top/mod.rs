// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! `tcmu-glfs top`: load of the LUNs, live.

mod frame;
mod history;
mod rates;
#[cfg(test)]
mod tests;
mod tui;

use std::io::{self, IsTerminal as _, Write};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::exit::{CommandError, Outcome};
use crate::scrape::{Snapshot, Source};
use frame::Sort;
use history::History;

/// Shows the load of the LUNs, again and again: commands, megabytes and latencies of the last
/// interval.
///
/// LUNs that are not ready come first, then the busiest. p50 and p99 are the times in milliseconds
/// in which half, and 99 of 100, of the interval's commands were answered; from 100 ms a time is
/// yellow, from a second red. OTHER/s are flushes, unmaps, WRITE SAMEs and COMPARE AND WRITEs. QD
/// is the number of commands in flight. A LUN without commands is dim. A narrow terminal shows
/// fewer columns.
///
/// Keys: i, b, l and e sort by IOPS, bandwidth, latency and errors; the arrows move the list; p
/// pauses; h shows a help; q quits.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Seconds between two scrapes
    #[arg(long, short, default_value = "1", value_parser = seconds)]
    interval: Duration,
    /// Prints so many snapshots as plain text instead
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    batch: Option<u64>,
    /// What the LUNs are sorted by at first
    #[arg(long, value_enum, default_value = "iops")]
    sort: Sort,
    #[command(flatten)]
    source: Source,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let right = text.parse().ok().filter(|seconds| (0.1..=3600.0).contains(seconds));
    right
        .map(Duration::from_secs_f64)
        .ok_or_else(|| "an interval has 0.1 to 3600 seconds".to_owned())
}

pub(crate) fn run(args: &Args) -> Outcome {
    match args.batch {
        Some(times) => batch(times, args.sort, &mut io::stdout(), clocked(args))?,
        None if !io::stdout().is_terminal() => {
            let why = "top draws on a terminal, and this is none: for plain text, add --batch N.";
            return Err(CommandError::Failed(why.to_owned()));
        }
        None => live(args)?,
    }
    Ok(true)
}

/// Scrapes at once, and then an interval after the last time.
fn clocked(args: &Args) -> impl FnMut() -> (Duration, Result<Snapshot, String>) {
    let began = Instant::now();
    let mut due = began;
    move || {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        due = Instant::now() + args.interval;
        let scraped = args.source.scrape();
        (began.elapsed(), scraped)
    }
}

/// Snapshots as text. What goes wrong at first is an error; later it is part of the story.
fn batch(
    times: u64,
    sort: Sort,
    out: &mut impl Write,
    mut next: impl FnMut() -> (Duration, Result<Snapshot, String>),
) -> Result<(), String> {
    let (at, first) = next();
    let mut history = History::new(at, first?);
    for time in 0..times {
        let (at, scraped) = next();
        history.take(at, scraped);
        let frame = frame::frame(&history, sort, None);
        let lines: Vec<&str> = frame.head.iter().chain(&frame.luns).map(String::as_str).collect();
        let text = anstream::adapter::strip_str(&lines.join("\n")).to_string();
        if writeln!(out, "{}{text}", if time == 0 { "" } else { "\n" })
            .and_then(|()| out.flush())
            .is_err()
        {
            // Nobody reads on.
            return Ok(());
        }
    }
    Ok(())
}

fn live(args: &Args) -> Result<(), String> {
    let began = Instant::now();
    let history = History::new(Duration::ZERO, args.source.scrape()?);
    let (sender, news) = mpsc::channel();
    let (source, interval) = (args.source.clone(), args.interval);
    // A daemon that is stuck must not keep the keys from working. The thread ends with the process.
    let scraper = move || {
        loop {
            thread::sleep(interval);
            let scraped = source.scrape();
            if sender.send((Instant::now(), scraped)).is_err() {
                return;
            }
        }
    };
    let failed = |error: io::Error| format!("top cannot go on: {error}");
    drop(thread::Builder::new().name("scrape".to_owned()).spawn(scraper).map_err(failed)?);
    tui::run(&news, history, began, args.sort).map_err(failed)
}
