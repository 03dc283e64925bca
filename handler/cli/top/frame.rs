// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! What is to be seen at one moment, as lines.

use super::history::History;
use super::rates::{Load, Rates};
use crate::scrape::{Lun, Snapshot, State};
use crate::terminal::table::{Align, Cell, Column, render};
use crate::terminal::{self, BAD, BOLD, DIM, PLAIN, WARN, styled, units};

/// The order of LUNs: what the busiest one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Sort {
    Iops,
    Bandwidth,
    Latency,
    Errors,
}

/// The lines, in styles.
#[derive(Debug, Default)]
pub(super) struct Frame {
    /// What must stay on the screen: totals, warnings, heads of columns.
    pub(super) head: Vec<String>,
    /// One a LUN, by load.
    pub(super) luns: Vec<String>,
}

/// Times in seconds from which a p99 is doubtful, and bad.
const LONG: f64 = 0.1;
const TOO_LONG: f64 = 1.0;

/// So many LUNs are named in a warning.
const NAMED: usize = 4;

const fn column(
    group: &'static str,
    head: &'static str,
    align: Align,
    least: usize,
    rank: u8,
) -> Column {
    Column { group, head, align, least, rank }
}

/// What is left of a terminal of 40 columns: which LUN, in which state, how many commands, errors.
const COLUMNS: [Column; 15] = [
    column("", "LUN", Align::Shrink(8), 6, 0),
    column("", "STATE", Align::Left, 6, 0),
    column("", "FENCE", Align::Left, 7, 4),
    column("READ", "IOPS", Align::Right, 5, 0),
    column("READ", "MB/s", Align::Right, 5, 3),
    column("READ", "p50ms", Align::Right, 5, 5),
    column("READ", "p99ms", Align::Right, 5, 1),
    column("WRITE", "IOPS", Align::Right, 5, 0),
    column("WRITE", "MB/s", Align::Right, 5, 3),
    column("WRITE", "p50ms", Align::Right, 5, 5),
    column("WRITE", "p99ms", Align::Right, 5, 1),
    column("", "OTHER/s", Align::Right, 0, 6),
    column("", "QD", Align::Right, 4, 2),
    column("", "ERR/s", Align::Right, 0, 0),
    column("", "IMAGE", Align::Shrink(16), 0, 7),
];

/// `width` is that of the terminal, if it is one.
pub(super) fn frame(history: &History, sort: Sort, width: Option<usize>) -> Frame {
    let mut frame = Frame::default();
    if let Some((seconds, why)) = history.failure() {
        let sentence = format!("No answer for {}: {why}", units::ago(seconds));
        let lines = terminal::wrapped(&sentence, width.unwrap_or(usize::MAX));
        frame.head.extend(lines.iter().map(|line| styled(line, BAD)));
    }
    let Some(snapshot) = history.snapshot() else { return frame };
    let mut rates = history.rates();
    rates.sort_by(|a, b| {
        b.lun.state().cmp(&a.lun.state()).then(measure(b, sort).total_cmp(&measure(a, sort)))
    });
    let interval = format!("last {:.1} s", history.interval());
    frame.head.push(format!(
        "{}   {}",
        terminal::summary(snapshot),
        styled(&format!("{}, {interval}", terminal::versions(snapshot)), DIM)
    ));
    frame.head.push(totals(&rates));
    frame.head.extend(warnings(history, snapshot));
    frame.head.push(String::new());
    if !rates.is_empty() {
        let rows: Vec<Vec<Cell>> = rates.iter().map(|rates| row(history, rates)).collect();
        let mut lines = render(&COLUMNS, &rows, width);
        frame.luns = lines.split_off(lines.len() - rows.len());
        frame.head.extend(lines);
    }
    if let Some(width) = width {
        let lines = frame.head.iter_mut().chain(&mut frame.luns);
        lines.for_each(|line| *line = terminal::cut(line, width));
    }
    frame
}

/// What the LUNs are sorted by, the greatest first.
fn measure(rates: &Rates<'_>, sort: Sort) -> f64 {
    let Some(load) = &rates.load else { return 0.0 };
    match sort {
        Sort::Iops => load.read.iops + load.write.iops + load.other,
        Sort::Bandwidth => load.read.bytes + load.write.bytes,
        Sort::Latency => load.read.p99.unwrap_or(0.0).max(load.write.p99.unwrap_or(0.0)),
        Sort::Errors => load.errors,
    }
}

fn totals(rates: &[Rates<'_>]) -> String {
    let sum = |part: fn(&Load) -> f64| {
        rates.iter().filter_map(|rates| rates.load.as_ref()).map(part).sum::<f64>()
    };
    let flow = |name, iops, bytes| {
        format!(
            "{name} {} IOPS {} MB/s",
            styled(&units::rate(iops), BOLD),
            styled(&units::megabytes(bytes), BOLD)
        )
    };
    let errors = sum(|load| load.errors);
    format!(
        "{}  {}  QD {}  errors {}",
        flow("read", sum(|load| load.read.iops), sum(|load| load.read.bytes)),
        flow("write", sum(|load| load.write.iops), sum(|load| load.write.bytes)),
        styled(&units::count(rates.iter().map(|rates| rates.lun.in_flight).sum()), BOLD),
        styled(&format!("{}/s", units::rate(errors)), if errors > 0.0 { BAD } else { BOLD }),
    )
}

/// Lines that are there only when something is wrong.
fn warnings(history: &History, snapshot: &Snapshot) -> Vec<String> {
    let restart = history.restart().map(|(seconds, luns)| {
        let mut names = luns.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
        if luns.len() > NAMED {
            names = format!("{names} and {} more", luns.len() - NAMED);
        }
        let text = format!("restarted {} ago: {names}; counters began anew", units::ago(seconds));
        styled(&text, WARN)
    });
    let bricks =
        snapshot.volumes.iter().filter(|volume| volume.connected < volume.bricks).map(|volume| {
            let text = format!(
                "volume {} by {}: {:.0} of {:.0} bricks connected",
                volume.name, volume.server, volume.connected, volume.bricks
            );
            styled(&text, terminal::bricks(volume))
        });
    restart.into_iter().chain(bricks).collect()
}

fn row(history: &History, rates: &Rates<'_>) -> Vec<Cell> {
    let lun = rates.lun;
    let idle = rates.load.as_ref().is_none_or(Load::is_idle) && lun.in_flight <= 0.0;
    let style = if idle { DIM } else { PLAIN };
    let load = rates.load.as_ref();
    let number = |value: Option<String>| Cell::number(value.as_deref().unwrap_or("-"), style);
    let time = |seconds: Option<f64>| {
        let long = seconds.map_or(style, |seconds| match seconds {
            s if s >= TOO_LONG => BAD,
            s if s >= LONG => WARN,
            _ => style,
        });
        Cell::number(&units::milliseconds(seconds), long)
    };
    let errors = load.map(|load| load.errors);
    let (read, write) = (load.map(|load| &load.read), load.map(|load| &load.write));
    vec![
        Cell::new(&lun.name, style),
        state(history, lun, idle),
        Cell::new(&lun.fence, if lun.fence == "off" { DIM } else { style }),
        number(read.map(|flow| units::rate(flow.iops))),
        number(read.map(|flow| units::megabytes(flow.bytes))),
        time(read.and_then(|flow| flow.p50)),
        time(read.and_then(|flow| flow.p99)),
        number(write.map(|flow| units::rate(flow.iops))),
        number(write.map(|flow| units::megabytes(flow.bytes))),
        time(write.and_then(|flow| flow.p50)),
        time(write.and_then(|flow| flow.p99)),
        number(load.map(|load| units::rate(load.other))),
        number(Some(units::count(lun.in_flight))),
        match errors {
            Some(errors) if errors > 0.0 => Cell::new(&units::rate(errors), BAD),
            errors => number(errors.map(units::rate)),
        },
        Cell::new(&terminal::image(lun), DIM),
    ]
}

fn state(history: &History, lun: &Lun, idle: bool) -> Cell {
    let (name, style) = terminal::state(lun.state());
    match history.outage(&lun.name) {
        Some(seconds) => Cell::new(&format!("{name} {}", units::ago(seconds)), style),
        None if idle && lun.state() == State::Ready => Cell::new(name, DIM),
        None => Cell::new(name, style),
    }
}
