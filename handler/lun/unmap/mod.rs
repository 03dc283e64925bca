// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! UNMAP and WRITE SAME: a range of the image is filled with zeros, or with one block, repeated.
//!
//! Zeros have three methods, the cheapest that the volume supports first: punching a hole, having
//! the bricks write zeros, and writing them from here. Any other block is written. A fill is cut
//! into pieces, several of which are in flight; all fills of a LUN share [`MAX_IN_FLIGHT`], in the
//! order in which they came, so that neither memory nor the bricks' queues grow with what
//! initiators ask for at once.
//!
//! Nothing is submitted for a fill after its deadline. What an initiator then writes to the range,
//! believing that the fill has failed, stays.

mod fill;
mod parameter_list;

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;

use self::fill::{Fill, Pattern, Piece, Step};
pub(super) use self::parameter_list::{LONGEST, MAX_DESCRIPTORS, parse};
use super::Lun;
use super::backend::{Backend, Request, ZeroMethod};
use super::error::Op;
use crate::runner::Command;

/// Bytes of the largest WRITE SAME: a volume that supports nothing better than writing ends it
/// before the default deadline of 25 s even if each of its writes takes three seconds.
pub(super) const MAX_WRITE_SAME: u32 = 64 << 20;

/// Pieces of one LUN in flight. libgfapi keeps a copy of each that is written, so they are also the
/// memory that fills take: 8 MiB, and the repeated block of each fill that has pieces among them.
const MAX_IN_FLIGHT: usize = 8;

/// UNMAP of `ranges`, in bytes.
pub(super) fn unmap<B: Backend>(lun: &Arc<Lun<B>>, command: Command, ranges: Vec<Range<u64>>) {
    let ranges = merged(ranges);
    start(lun, command, (Op::Unmap, ZeroMethod::Discard), Pattern::Zeros, ranges);
}

/// Ranges that touch or overlap, as one: each is a call, and bricks free nothing of one that is
/// shorter than a block of their file system.
fn merged(mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    ranges.sort_unstable_by_key(|range| range.start);
    ranges.dedup_by(|next, last| {
        let touches = next.start <= last.end;
        if touches {
            last.end = last.end.max(next.end);
        }
        touches
    });
    ranges
}

/// WRITE SAME. Without the UNMAP bit its blocks stay allocated.
pub(super) fn write_same<B: Backend>(lun: &Arc<Lun<B>>, command: Command, range: Range<u64>) {
    let pattern = if command.cdb().has_no_data() {
        Pattern::Zeros
    } else {
        Pattern::of(command.data().to_vec())
    };
    let cheapest = match pattern {
        Pattern::Zeros if command.cdb().is_unmapping() => ZeroMethod::Discard,
        Pattern::Zeros => ZeroMethod::Zerofill,
        Pattern::Block(_) => ZeroMethod::Write,
    };
    start(lun, command, (Op::WriteSame, cheapest), pattern, vec![range]);
}

fn start<B: Backend>(
    lun: &Arc<Lun<B>>,
    command: Command,
    (op, method): (Op, ZeroMethod),
    pattern: Pattern,
    ranges: Vec<Range<u64>>,
) {
    let fill = Fill::new(Arc::clone(lun), command, (op, method), pattern, ranges);
    lun.fills.queue().fills.push_back(Arc::new(fill));
    submit(lun);
}

/// The fills of a LUN that have not ended, in the order in which they came.
pub(super) struct Fills<B: Backend>(Mutex<Queue<B>>);

struct Queue<B: Backend> {
    in_flight: usize,
    fills: VecDeque<Arc<Fill<B>>>,
}

/// What to do next about the fills of a LUN.
enum Next<B: Backend> {
    Submit(Piece<B>),
    /// This one has ended, and is to be answered.
    End(Arc<Fill<B>>),
}

/// Submits as many pieces as may be in flight, and answers what has ended.
fn submit<B: Backend>(lun: &Arc<Lun<B>>) {
    while let Some(next) = lun.fills.next() {
        match (next, lun.gate.image()) {
            (Next::Submit(piece), Some(image)) => piece.submit(&*image),
            (Next::Submit(piece), None) => piece.done(Err(Errno::ENOTCONN)),
            (Next::End(fill), _) => fill.answer(),
        }
    }
}

impl<B: Backend> Fills<B> {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Queue { in_flight: 0, fills: VecDeque::new() }))
    }

    /// A piece is not in flight any more.
    fn release(&self) {
        let mut queue = self.queue();
        queue.in_flight = queue.in_flight.saturating_sub(1);
    }

    fn queue(&self) -> MutexGuard<'_, Queue<B>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first fill that can go on.
    fn next(&self) -> Option<Next<B>> {
        let mut queue = self.queue();
        if queue.in_flight >= MAX_IN_FLIGHT {
            return None;
        }
        let mut steps = queue.fills.iter().enumerate().map(|(index, fill)| (index, fill.step()));
        match steps.find(|(_, step)| !matches!(step, Step::Wait))? {
            (_, Step::Submit(piece)) => {
                queue.in_flight += 1;
                Some(Next::Submit(piece))
            }
            (index, Step::End) => queue.fills.remove(index).map(Next::End),
            (_, Step::Wait) => None,
        }
    }
}

impl<B: Backend> fmt::Debug for Fills<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fills").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
