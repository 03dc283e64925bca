// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Statistics of the measured rounds.
#![allow(clippy::cast_precision_loss, reason = "counts of commands, far below 2^52")]

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::load::{Load, Outcome};

/// How one variant did in one cell: medians of its rounds.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Figures {
    pub(super) iops: f64,
    /// 10^6 bytes per second.
    pub(super) megabytes: f64,
    /// Latency, in milliseconds, of all rounds together.
    pub(super) p50: f64,
    pub(super) p99: f64,
    /// From the slowest round to the fastest, in parts of the median.
    pub(super) spread: f64,
}

/// A load, by both variants.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Cell {
    pub(super) load: String,
    pub(super) handler: Figures,
    pub(super) default: Figures,
    /// IOPS of the handler against those of the default graph, within a round: the median.
    pub(super) ratio: f64,
}

impl Cell {
    /// Of pairs of rounds, each pair one after the other.
    pub(super) fn new(load: Load, handler: &[Outcome], default: &[Outcome]) -> Self {
        let ratios = handler.iter().zip(default).map(|(ours, theirs)| rate(ours) / rate(theirs));
        Self {
            load: load.to_string(),
            handler: Figures::new(load, handler),
            default: Figures::new(load, default),
            ratio: median(ratios.collect()),
        }
    }
}

impl Figures {
    fn new(load: Load, rounds: &[Outcome]) -> Self {
        let rates: Vec<f64> = rounds.iter().map(rate).collect();
        let iops = median(rates.clone());
        let least = rates.iter().copied().fold(f64::INFINITY, f64::min);
        let most = rates.iter().copied().fold(0.0, f64::max);
        let mut latencies: Vec<Duration> =
            rounds.iter().flat_map(|round| round.latencies.iter().copied()).collect();
        latencies.sort_unstable();
        let quantile = |percent: usize| {
            let rank = (latencies.len() * percent / 100).min(latencies.len().saturating_sub(1));
            latencies.get(rank).map_or(0.0, |latency| latency.as_secs_f64() * 1e3)
        };
        Self {
            iops,
            megabytes: iops * load.block as f64 / 1e6,
            p50: quantile(50),
            p99: quantile(99),
            spread: if iops > 0.0 { (most - least) / iops } else { 0.0 },
        }
    }
}

fn rate(round: &Outcome) -> f64 {
    round.latencies.len() as f64 / round.elapsed.as_secs_f64().max(1e-9)
}

/// The middle one; 0 of none.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::load::{Order, Work};
    use super::*;

    fn round(commands: usize, seconds: u64) -> Outcome {
        let latencies = (1..=commands).map(|n| Duration::from_millis(n as u64)).collect();
        Outcome { elapsed: Duration::from_secs(seconds), latencies }
    }

    #[test]
    fn medians_quantiles_spread_and_the_ratio_within_rounds() {
        let load = Load { work: Work::Read, order: Order::Random, block: 1_000_000, depth: 1 };
        let handler = [round(100, 1), round(200, 1), round(400, 1)];
        let default = [round(100, 1), round(100, 1), round(100, 1)];
        let cell = Cell::new(load, &handler, &default);
        let exactly = |figure: f64, wanted: f64| {
            assert!((figure - wanted).abs() < 1e-9, "{figure} instead of {wanted}");
        };
        exactly(cell.ratio, 2.0);
        exactly(cell.handler.iops, 200.0);
        exactly(cell.handler.megabytes, 200.0);
        exactly(cell.handler.spread, 1.5);
        exactly(cell.default.p50, 51.0);
        exactly(cell.default.p99, 100.0);
    }
}
