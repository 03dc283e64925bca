// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Latency histogram with a bucket for each power of two of microseconds.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The first bucket ends at 2^4 = 16 microseconds: no command that crosses a network is faster.
const FIRST: u32 = 4;
/// The last one that ends does so at 2^26 microseconds, about 67 seconds: no command takes longer
/// (`frame-timeout`).
const LAST: u32 = 26;
/// The finite buckets, and one for the rest.
const BUCKETS: usize = 24;
const _: () = assert!(BUCKETS == (LAST - FIRST) as usize + 2);

/// An update is two relaxed additions, to a count and to the sum; a reader may see one without the
/// other.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    counts: [AtomicU64; BUCKETS],
    nanoseconds: AtomicU64,
}

/// Contents of a [`Histogram`] at one moment.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Latencies {
    /// The end of each bucket in seconds (the last has none), and how many were in it.
    pub(super) buckets: Vec<(f64, u64)>,
    pub(super) count: u64,
    /// In seconds.
    pub(super) sum: f64,
}

impl Histogram {
    pub(super) fn add(&self, nanoseconds: u64) {
        // Always in range; indexing would add a panic to the data path.
        if let Some(count) = self.counts.get(bucket(nanoseconds)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    pub(super) fn count(&self) -> u64 {
        self.counts.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    pub(super) fn read(&self) -> Latencies {
        let sum = Duration::from_nanos(self.nanoseconds.load(Ordering::Relaxed)).as_secs_f64();
        let ends = (FIRST..=LAST)
            .map(|power| Duration::from_micros(1 << power).as_secs_f64())
            .chain([f64::INFINITY]);
        let buckets: Vec<_> =
            ends.zip(self.counts.iter().map(|count| count.load(Ordering::Relaxed))).collect();
        // Summed over this reading of the buckets, so that both agree.
        let count = buckets.iter().map(|(_, count)| count).sum();
        Latencies { buckets, count, sum }
    }
}

/// The first bucket whose end is not exceeded.
fn bucket(nanoseconds: u64) -> usize {
    let microseconds = nanoseconds.div_ceil(1000);
    // The power of two that is not exceeded, rounded up.
    let power = microseconds.saturating_sub(1).checked_ilog2().map_or(0, |below| below + 1);
    // At most LAST - FIRST + 1.
    power.clamp(FIRST, LAST + 1).saturating_sub(FIRST) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_latency_is_in_the_first_bucket_that_it_does_not_exceed() {
        let ends = Histogram::default().read().buckets;
        assert_eq!((ends.len(), ends[0].0, ends[1].0), (BUCKETS, 0.000_016, 0.000_032));
        assert_eq!((ends[22].0, ends[23].0), (67.108_864, f64::INFINITY));
        let edges = (0..64).map(|power| 1_u64 << power).chain((0..30).map(|power| 1000 << power));
        let beside = |edge: u64| [-1, 0, 1].map(|by| edge.saturating_add_signed(by));
        for nanoseconds in edges.flat_map(beside) {
            let seconds = Duration::from_nanos(nanoseconds).as_secs_f64();
            let first = ends.iter().position(|(end, _)| seconds <= *end).unwrap();
            assert_eq!(bucket(nanoseconds), first, "{nanoseconds} ns");
        }
    }

    #[test]
    fn what_is_added_is_counted_once_and_summed() {
        let histogram = Histogram::default();
        for nanoseconds in [0, 16_000, 16_001, 1_000_000_000, u64::MAX / 2] {
            histogram.add(nanoseconds);
        }
        let read = histogram.read();
        let filled: Vec<_> = read.buckets.iter().filter(|(_, count)| *count > 0).copied().collect();
        assert_eq!(filled, [(0.000_016, 2), (0.000_032, 1), (1.048_576, 1), (f64::INFINITY, 1)]);
        assert_eq!((read.count, histogram.count()), (5, 5));
        assert!(read.sum > 9e9);
    }
}
