// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! What an image may hold after a history of writes and reads.
//!
//! A write may be what is seen if it began before the look ended, and if no other write was
//! acknowledged before the look and had begun after this one ended. So an acknowledged write cannot
//! be lost, an older one cannot come back, and neither can one that was answered with a failure, or
//! was under way when its gateway was fenced. A write that was never answered may come at any time.

use std::collections::HashMap;
use std::ops::Range;
use std::time::Duration;

use crate::stamp::{Content, Stamp};

#[derive(Debug, Clone, Copy)]
pub(crate) struct Write {
    pub(crate) block: u64,
    pub(crate) begin: u64,
    /// None: never answered.
    pub(crate) end: Option<u64>,
    pub(crate) acknowledged: bool,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Read {
    pub(crate) block: u64,
    pub(crate) begin: u64,
    pub(crate) end: u64,
    pub(crate) seen: Content,
}

/// All that was done to an image that was full of zeros.
#[derive(Debug, Default)]
pub(crate) struct History {
    writes: HashMap<Stamp, Write>,
    by_block: HashMap<u64, Vec<Stamp>>,
    pub(crate) reads: Vec<Read>,
    /// Gateways that lost the right to write, and when: nothing that they began later may be seen,
    /// and what was under way then had its end then.
    fenced: HashMap<u64, u64>,
    /// How many of the writes are from before.
    known: usize,
}

impl History {
    /// Of an image in which this is known to be.
    pub(crate) fn after(known: &[Content]) -> Self {
        let mut history = Self::default();
        for (block, content) in (0..).zip(known) {
            if let Content::Write(stamp) = *content {
                history.begins(stamp, Write { block, begin: 1, end: Some(2), acknowledged: true });
            }
        }
        history.known = history.writes.len();
        history
    }

    pub(crate) fn begins(&mut self, stamp: Stamp, write: Write) {
        self.by_block.entry(write.block).or_default().push(stamp);
        assert!(self.writes.insert(stamp, write).is_none(), "{stamp:?} was used twice");
    }

    pub(crate) fn ends(&mut self, stamp: Stamp, end: u64, acknowledged: bool) {
        let write = self.writes.get_mut(&stamp).expect("a write ends that never began");
        (write.end, write.acknowledged) = (Some(end), acknowledged);
    }

    /// A gateway lost the right to write.
    #[allow(dead_code, reason = "for the tests of fencing")]
    pub(crate) fn fence(&mut self, gateway: u64, when: u64) {
        self.fenced.insert(gateway, when);
    }

    pub(crate) fn acknowledged(&self) -> usize {
        self.writes.values().filter(|write| write.acknowledged).count() - self.known
    }

    /// When something was served, read or written, in order.
    fn served(&self) -> Vec<u64> {
        let writes =
            self.writes.values().filter(|write| write.acknowledged).filter_map(|write| write.end);
        let mut ends: Vec<u64> = writes.chain(self.reads.iter().map(|read| read.end)).collect();
        ends.sort_unstable();
        ends
    }

    /// The longest time in which nothing was served.
    pub(crate) fn longest_gap(&self, during: Range<u64>) -> Duration {
        let mut ends = vec![during.start];
        ends.extend(self.served().into_iter().filter(|end| during.contains(end)));
        ends.push(during.end);
        Duration::from_nanos(ends.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap())
    }

    /// How long after `when` something was served again.
    pub(crate) fn first_served_after(&self, when: u64) -> Option<Duration> {
        self.served()
            .into_iter()
            .find(|&end| end >= when)
            .map(|end| Duration::from_nanos(end - when))
    }

    /// What is wrong with the reads, if anything.
    pub(crate) fn wrong_reads(&self) -> Vec<String> {
        let wrong = |read: &Read| self.objection(read.block, read.seen, read.begin, read.end);
        self.reads.iter().filter_map(wrong).map(|text| format!("a read: {text}")).collect()
    }

    /// What is wrong with the image as it is when all is over.
    pub(crate) fn wrong_blocks(&self, image: &[Content]) -> Vec<String> {
        (0..)
            .zip(image)
            .filter_map(|(block, &seen)| self.objection(block, seen, u64::MAX, u64::MAX))
            .collect()
    }

    /// Why `block` must not have been seen like this by a look from `begin` to `end`.
    fn objection(&self, block: u64, seen: Content, begin: u64, end: u64) -> Option<String> {
        let writes = || {
            self.by_block
                .get(&block)
                .into_iter()
                .flatten()
                .map(|stamp| (*stamp, self.writes[stamp]))
        };
        // The write that must have been seen rather than one that ended at `since`.
        let newer = |since: u64| {
            let is_newer = |w: &Write| {
                w.acknowledged && w.begin > since && w.end.is_some_and(|end| end < begin)
            };
            writes().find(|(_, write)| is_newer(write)).map(|(stamp, _)| stamp)
        };
        match seen {
            Content::Zeros => newer(0).map(|lost| {
                format!("block {block} is zeros, and {lost:?} was acknowledged: it is lost")
            }),
            // A look at a block that is being written may see some of both.
            Content::Torn => {
                let overlaps = |w: Write| w.begin < end && w.end.is_none_or(|end| end > begin);
                let written = begin != u64::MAX && writes().any(|(_, write)| overlaps(write));
                (!written).then(|| format!("block {block} is torn"))
            }
            Content::Write(stamp) => {
                let Some(write) = self.writes.get(&stamp).filter(|write| write.block == block)
                else {
                    return Some(format!(
                        "block {block} holds {stamp:?}, which nobody wrote there"
                    ));
                };
                let fenced = self.fenced.get(&stamp.gateway).copied();
                if fenced.is_some_and(|fenced| write.begin > fenced) {
                    return Some(format!(
                        "block {block} holds {stamp:?}, which began after its gateway was fenced"
                    ));
                }
                if write.begin > end {
                    return Some(format!("block {block} holds {stamp:?} before it began"));
                }
                // When it was over at the latest.
                let since = write.end.unwrap_or(u64::MAX).min(fenced.unwrap_or(u64::MAX));
                newer(since).map(|lost| {
                    let later = self.writes[&lost];
                    let zero = begin.min(later.begin);
                    let ms = |time: u64| (i128::from(time) - i128::from(zero)) / 1_000_000;
                    format!(
                        "block {block} holds {stamp:?}, and the later {lost:?} was acknowledged; \
                         in ms: {stamp:?} ended at {}, {lost:?} took from {} to {}, \
                         the look from {} to {}",
                        ms(since),
                        ms(later.begin),
                        ms(later.end.unwrap_or(u64::MAX)),
                        ms(begin),
                        ms(end),
                    )
                })
            }
        }
    }
}
