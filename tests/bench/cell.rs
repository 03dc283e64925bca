// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! What is measured: a load, and what came of it.

use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, bail};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// The way through the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Pattern {
    Random,
    Sequential,
}

/// When a write is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Durability {
    /// When the bricks have it.
    None,
    /// When it is durable, by the FUA bit. Only a handler has it.
    Fua,
    /// When a flush that follows it is done.
    Flush,
}

/// A load on one LUN, or on each of several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cell {
    pub(crate) pattern: Pattern,
    /// Reads in a hundred commands; the others are writes.
    pub(crate) reads: u32,
    /// Bytes of a command.
    pub(crate) block: usize,
    /// Commands in flight, per LUN.
    pub(crate) depth: usize,
    pub(crate) durability: Durability,
}

impl FromStr for Cell {
    type Err = anyhow::Error;

    /// `rr16`: random read of 4 KiB, 16 in flight. `rw`: write; `mix`: 70 reads to 30 writes;
    /// `fsync`: write and flush; `fua`: forced unit access. `sr1m`, `sw64k`: sequential, of so
    /// much, 4 in flight.
    fn from_str(name: &str) -> anyhow::Result<Self> {
        let durability = Durability::None;
        let cell = |pattern, reads, block, depth| Self { pattern, reads, block, depth, durability };
        let digits = name
            .find(|c: char| c.is_ascii_digit())
            .with_context(|| format!("{name}: no number"))?;
        let (kind, number) = name.split_at(digits);
        Ok(match (kind, number) {
            ("rr", depth) => cell(Pattern::Random, 100, 4 << 10, depth.parse()?),
            ("rw", depth) => cell(Pattern::Random, 0, 4 << 10, depth.parse()?),
            ("mix", depth) => cell(Pattern::Random, 70, 4 << 10, depth.parse()?),
            ("fsync", depth) => Self {
                durability: Durability::Flush,
                ..cell(Pattern::Random, 0, 4 << 10, depth.parse()?)
            },
            ("fua", depth) => Self {
                durability: Durability::Fua,
                ..cell(Pattern::Random, 0, 4 << 10, depth.parse()?)
            },
            ("sr", "64k") => cell(Pattern::Sequential, 100, 64 << 10, 4),
            ("sr", "1m") => cell(Pattern::Sequential, 100, 1 << 20, 4),
            ("sw", "64k") => cell(Pattern::Sequential, 0, 64 << 10, 4),
            ("sw", "1m") => cell(Pattern::Sequential, 0, 1 << 20, 4),
            _ => bail!(
                "{name}: not a cell; there are rrN rwN mixN fsyncN fuaN sr64k sr1m sw64k sw1m"
            ),
        })
    }
}

/// What a client is asked for.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) cell: Cell,
    pub(crate) time: Duration,
    /// LUNs to use, of those that the client has open.
    pub(crate) luns: usize,
}

/// What it measured.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Figures {
    pub(crate) iops: f64,
    /// 10^6 bytes per second.
    pub(crate) mbps: f64,
    /// Latency, in microseconds.
    pub(crate) mean: f64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    /// CPU time of the client, and of the FUSE process that it uses, per command, in microseconds.
    pub(crate) cpu: f64,
    pub(crate) errors: u64,
    /// Resident memory of the client, in KiB.
    pub(crate) rss: u64,
}

/// Counts commands.
#[derive(Debug)]
pub(crate) struct Tally {
    latencies: Histogram<u64>,
    errors: u64,
}

impl Tally {
    pub(crate) fn new() -> Self {
        let latencies = Histogram::new_with_bounds(100, 120_000_000_000, 3).expect("valid bounds");
        Self { latencies, errors: 0 }
    }

    pub(crate) fn count(&mut self, latency: Duration, good: bool) {
        self.latencies.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
        self.errors += u64::from(!good);
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.latencies.add(&other.latencies).expect("equal bounds");
        self.errors += other.errors;
    }

    pub(crate) fn figures(&self, cell: &Cell, elapsed: Duration, cpu: Duration) -> Figures {
        let commands = self.latencies.len() as f64;
        let quantile = |q| self.latencies.value_at_quantile(q) as f64 / 1e3;
        let iops = commands / elapsed.as_secs_f64();
        Figures {
            iops,
            mbps: iops * cell.block as f64 / 1e6,
            mean: self.latencies.mean() / 1e3,
            p50: quantile(0.5),
            p99: quantile(0.99),
            p999: quantile(0.999),
            cpu: cpu.as_secs_f64() * 1e6 / commands.max(1.0),
            errors: self.errors,
            rss: 0,
        }
    }
}
