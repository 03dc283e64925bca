// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! UNMAP and WRITE SAME: a range of the image is filled with zeros, or with one block, repeated.
//!
//! Zeros have three methods, the cheapest that the volume supports first: punching a hole, having
//! the bricks write zeros, and writing them from here. Any other block is written. A fill is cut
//! into pieces, several of which are in flight; all fills of a LUN share
//! [`MAX_IN_FLIGHT`](fill::MAX_IN_FLIGHT), in the order in which they came, so that neither memory
//! nor the bricks' queues grow with what initiators ask for at once.
//!
//! Nothing is submitted for a fill after its deadline. What an initiator then writes to the range,
//! believing that the fill has failed, stays.

mod fill;
mod parameter_list;
mod pattern;

use std::ops::Range;
use std::sync::Arc;

pub(super) use self::fill::Fills;
use self::fill::{Fill, submit};
#[cfg(test)]
pub(super) use self::parameter_list::tests::list;
pub(super) use self::parameter_list::{LONGEST, MAX_DESCRIPTORS, parse};
use self::pattern::Pattern;
use super::Lun;
use super::backend::{Backend, ZeroMethod};
use crate::runner::Command;
use crate::scsi::Op;

/// Bytes of the largest WRITE SAME: a volume that supports nothing better than writing ends it
/// before the default deadline of 25 s even if each of its writes takes three seconds.
pub(super) const MAX_WRITE_SAME: u32 = 64 << 20;

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
    lun.fills.add(fill);
    submit(lun);
}

#[cfg(test)]
mod tests;
