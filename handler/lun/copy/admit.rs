// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The gates of the LUNs that take part in a copy.

use std::sync::Arc;

use super::parameter_list::{Designator, Known, Plan};
use super::results::CONCURRENT;
use crate::lun::Lun;
use crate::lun::admission::Admission;
use crate::lun::admit::Range;
use crate::lun::backend::Backend;
use crate::lun::gate::Loan;
use crate::lun::parameters::{bytes, hull};
use crate::runner::{Command, Rejected};
use crate::scsi::{Op, Sense, Status};

/// What a copy has until it has ended: its LUNs do not shrink meanwhile, nor are they moved, nor
/// locked anew.
pub(super) type Held<B> = Vec<(Option<Admission>, Loan<B>)>;

/// What a list may say of a LUN.
pub(super) fn known<B: Backend>(lun: &Arc<Lun<B>>, designator: Designator) -> Known {
    let block = bytes(lun, 1);
    Known {
        designator,
        block_size: u32::try_from(block).unwrap_or(u32::MAX),
        blocks: lun.size.bytes().checked_div(block).unwrap_or(0),
    }
}

/// Lets a copy begin that passes the gates of all LUNs that take part. The first is the receiving
/// one: it alone can have the command wait, or answer it with a sense that was pending.
///
/// # Errors
/// The command, with the status of the LUN that cannot take part.
pub(super) fn admit<B: Backend>(
    luns: Vec<Arc<Lun<B>>>,
    mut command: Command,
    plan: Plan,
) -> Result<(), Rejected> {
    let Some(receiving) = luns.first().cloned() else {
        return Err(Rejected(command, Status::HardwareError));
    };
    let mut held = Held::new();
    for (index, other) in luns.iter().enumerate().skip(1) {
        let Some(range) = range(other, &plan, index) else { continue };
        if is_busy(other) {
            return Err(Rejected(command, Status::NoResource));
        }
        let loan = other.gate.lend(range.op);
        match (other.size.admit(range.op, range.offset, range.len), loan) {
            (Ok(admission), Some(loan)) => held.push((admission, loan)),
            // The initiator can copy by itself.
            _ => return Err(Rejected(command, Status::Sense(Sense::TARGET_NOT_REACHABLE))),
        }
    }
    let nothing = Range { op: Op::Read, offset: 0, len: 0 };
    let range = range(&receiving, &plan, 0).unwrap_or(nothing);
    let blocks = plan.segments.iter().map(|segment| segment.blocks).sum();
    command.measure_range(range.offset, bytes(&receiving, blocks));
    receiving.admit(command, range, move |receiving, image, command| {
        if is_busy(&receiving) {
            return command.complete(Status::NoResource);
        }
        held.push((None, receiving.gate.loan(Arc::clone(image))));
        super::start(luns, held, command, plan);
    })
}

/// Whether a LUN takes part in as many copies as its initiators are told it can: each has some MiB
/// of memory.
fn is_busy<B: Backend>(lun: &Lun<B>) -> bool {
    lun.gate.loans() >= usize::from(CONCURRENT)
}

/// What a copy does to the LUN with this number: from the first to the last byte. None: nothing.
fn range<B: Backend>(lun: &Arc<Lun<B>>, plan: &Plan, index: usize) -> Option<Range> {
    let segments = || plan.segments.iter().filter(|segment| segment.blocks > 0);
    let reads = segments().filter(|segment| segment.source == index);
    let writes = segments().filter(|segment| segment.destination == index);
    let op = if writes.clone().next().is_some() { Op::Copy } else { Op::Read };
    let ranges: Vec<_> = reads
        .map(|segment| (segment.from, segment.blocks))
        .chain(writes.map(|segment| (segment.to, segment.blocks)))
        .map(|(lba, blocks)| bytes(lun, lba)..bytes(lun, lba.saturating_add(blocks)))
        .collect();
    (!ranges.is_empty()).then(|| hull(op, &ranges))
}
