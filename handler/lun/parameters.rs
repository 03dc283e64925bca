// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! What commands say in blocks and in parameter lists, for all that have them.

use std::ops;

use super::Lun;
use super::admit::Range;
use super::backend::Backend;
use crate::runner::Command;
use crate::scsi::{Op, Sense, Status};

/// Bytes of so many blocks of a LUN.
pub(super) fn bytes<B: Backend>(lun: &Lun<B>, blocks: u64) -> u64 {
    blocks.saturating_mul(u64::try_from(lun.block_size.bytes()).unwrap_or(u64::MAX))
}

/// The parameter list of a command, as far as it is looked at.
pub(super) fn parameter_list(command: &Command, longest: usize) -> Result<Vec<u8>, Status> {
    let length = command.cdb().parameter_length();
    if command.data().len() < length {
        return Err(Status::Sense(Sense::PARAMETER_LIST_LENGTH_ERROR));
    }
    let mut list = vec![0; length.min(longest)];
    command.data().copy_to(&mut list);
    Ok(list)
}

/// From the first to the last byte of some ranges.
pub(super) fn hull(op: Op, ranges: &[ops::Range<u64>]) -> Range {
    let offset = ranges.iter().map(|range| range.start).min().unwrap_or(0);
    let end = ranges.iter().map(|range| range.end).max().unwrap_or(0);
    Range { op, offset, len: end.saturating_sub(offset) }
}
