// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The commands that the table of commands leaves to the LUN, and that may take their time: their
//! parameter lists are read, and they pass the gate.
//!
//! Their CDBs have been checked (`filter.rs`), against the size that the core tells initiators;
//! here the LUN's own counts.

use std::sync::Arc;

use super::admit::Range;
use super::answers::{self, SUPPORTED_LOG_PAGES};
use super::backend::Backend;
use super::parameters::{bytes, hull, parameter_list};
use super::{Lun, MAX_UNMAP, copy, lba_status, or_write, space, unmap, verify};
use crate::metrics::IoDescriptor;
use crate::runner::{Command, Rejected};
use crate::scsi::{Cdb, Op, Operation, Status};

/// Serves a command.
///
/// # Errors
/// The command, if it cannot be served at all.
pub(super) fn serve<B: Backend>(lun: Arc<Lun<B>>, command: Command) -> Result<(), Rejected> {
    let IoDescriptor { op, offset, bytes: len } = work(&lun, command.cdb());
    let range = Range { op, offset, len };
    match command.cdb().operation() {
        Some(Operation::Verify | Operation::WriteAndVerify) => {
            lun.admit(command, range, move |lun, _, command| {
                verify::start(lun, command, offset, len);
            })
        }
        Some(Operation::OrWrite) => lun.admit(command, range, move |lun, _, command| {
            or_write::start(lun, command, offset, usize::try_from(len).unwrap_or(usize::MAX));
        }),
        Some(Operation::WriteSame) => lun.admit(command, range, move |lun, _, command| {
            unmap::write_same(&lun, command, offset..offset.saturating_add(len));
        }),
        Some(Operation::GetLbaStatus) => lun.admit(command, range, move |lun, image, command| {
            lba_status::start(lun, &**image, command, offset);
        }),
        Some(Operation::Unmap) => unmap_list(lun, command),
        Some(Operation::ExtendedCopy) => copy::serve(lun, command, copy::TARGET),
        Some(Operation::LogSense) => {
            if command.cdb().byte(2) & 0x3f == SUPPORTED_LOG_PAGES {
                let page = answers::log_page(command.cdb(), None);
                space::answer(command, page);
                return Ok(());
            }
            lun.admit(command, range, |lun, image, command| space::start(&lun, image, command))
        }
        _ => Err(Rejected(command, Status::InvalidCommand)),
    }
}

/// What a command does, as far as its CDB tells: also how it is measured.
pub(super) fn work<B: Backend>(lun: &Lun<B>, cdb: &Cdb) -> IoDescriptor {
    let op = match cdb.operation() {
        Some(Operation::Verify) => Op::Verify,
        Some(Operation::WriteAndVerify) => Op::Write,
        Some(Operation::OrWrite) => Op::OrWrite,
        Some(Operation::WriteSame) => Op::WriteSame,
        Some(Operation::Unmap) => Op::Unmap,
        Some(Operation::ExtendedCopy) => Op::Copy,
        Some(Operation::GetLbaStatus | Operation::LogSense) => Op::LbaStatus,
        _ => Op::Flush,
    };
    let (lba, blocks) = match cdb.operation() {
        Some(Operation::Unmap | Operation::ExtendedCopy | Operation::LogSense) => (0, 0),
        Some(Operation::GetLbaStatus) => (cdb.extent().unwrap_or_default().0, 1),
        _ => cdb.extent().unwrap_or_default(),
    };
    IoDescriptor { op, offset: bytes(lun, lba), bytes: bytes(lun, blocks.into()) }
}

fn unmap_list<B: Backend>(lun: Arc<Lun<B>>, mut command: Command) -> Result<(), Rejected> {
    let block = bytes(&lun, 1);
    let size = lun.size.bytes().checked_div(block).unwrap_or(0);
    let most = u64::from(MAX_UNMAP).checked_div(block).unwrap_or(0);
    let parsed =
        parameter_list(&command, unmap::LONGEST).and_then(|list| unmap::parse(&list, size, most));
    let ranges: Vec<_> = match parsed {
        Err(status) => return Err(Rejected(command, status)),
        Ok(ranges) => ranges
            .into_iter()
            .map(|range| bytes(&lun, range.start)..bytes(&lun, range.end))
            .collect(),
    };
    let range = hull(Op::Unmap, &ranges);
    command.measure_range(range.offset, ranges.iter().map(|range| range.end - range.start).sum());
    lun.admit(command, range, move |lun, _, command| unmap::unmap(&lun, command, ranges))
}

#[cfg(test)]
mod tests;
