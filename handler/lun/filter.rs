// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Every command before it is served: the fields of its CDB, and those answers that need no
//! storage.
//!
//! What passes here is served by whoever the table of commands names; a command that is not in the
//! table ends here. A field that is wrong is pointed at (SPC-4, 4.5.2.4.2).

use super::answers::{self, Attributes, cut, wrong};
use super::inquiry;
use super::mode_pages;
use super::supported_opcodes;
use super::unmap::MAX_WRITE_SAME;
use crate::runner::{Arrival, Verdict};
use crate::scsi::{self, Cdb, Operation, Status};

/// Bytes of the largest VERIFY that reads without data to compare: as many as a slow volume reads
/// before the default deadline.
const MAX_VERIFY: u64 = 256 << 20;

/// What becomes of a command before the core looks at it.
#[must_use]
pub fn filter(cdb: &Cdb, arrival: &Arrival, lun: Attributes) -> Verdict {
    let Some(operation) = cdb.operation() else { return Verdict::End(unknown(cdb)) };
    let answer = match operation {
        Operation::Inquiry => return inquiry::answer(cdb, arrival),
        Operation::ModeSense => mode_pages::sense(cdb, lun),
        Operation::ReportSupportedOpcodes => supported_opcodes::report(cdb),
        Operation::ReadCapacity16 => Ok(answers::capacity(arrival)),
        Operation::ReadDefectData => Ok(answers::defects(cdb)),
        _ => {
            return match check(operation, cdb, arrival) {
                Ok(Work::Some) => Verdict::Pass,
                Ok(Work::None) => Verdict::End(Status::Ok),
                Err(status) => Verdict::End(status),
            };
        }
    };
    answer.map_or_else(Verdict::End, |data| cut(cdb, data))
}

/// An operation code that there is not, or a service action of one that there is.
fn unknown(cdb: &Cdb) -> Status {
    if scsi::has_opcode(cdb.opcode()) { wrong(1, 4) } else { Status::InvalidCommand }
}

/// Bytes of both halves of a COMPARE AND WRITE's data.
fn halves(blocks: u8, arrival: &Arrival) -> usize {
    let block = usize::try_from(arrival.block_size).unwrap_or(usize::MAX);
    block.saturating_mul(2).saturating_mul(blocks.into())
}

/// Whether there is something to do for a command.
enum Work {
    Some,
    None,
}

/// Checks the CDB of a command that works on blocks.
fn check(operation: Operation, cdb: &Cdb, arrival: &Arrival) -> Result<Work, Status> {
    match operation {
        Operation::Read | Operation::Write if cdb.extent().is_some() => {
            no_protection(cdb)?;
            // The core answers a transfer of no blocks with HARDWARE ERROR.
            extent(cdb, arrival).map(|blocks| if blocks == 0 { Work::None } else { Work::Some })
        }
        Operation::WriteAndVerify | Operation::Verify | Operation::OrWrite => {
            compared(operation, cdb, arrival)
        }
        Operation::WriteSame => same(cdb, arrival),
        Operation::CompareAndWrite => {
            no_protection(cdb)?;
            match (cdb.byte(13), arrival.data_len) {
                (0, 0) => Ok(Work::None),
                (0, _) => Err(wrong(13, None)),
                // The core answers HARDWARE ERROR.
                (blocks, len) if len != halves(blocks, arrival) => Err(wrong(13, None)),
                _ => Ok(Work::Some),
            }
        }
        Operation::PreFetch | Operation::GetLbaStatus => {
            let (lba, blocks) = cdb.extent().unwrap_or_default();
            let blocks = if operation == Operation::PreFetch { blocks } else { 1 };
            in_range(lba, blocks, arrival)?;
            Ok(Work::Some)
        }
        Operation::Unmap => match (cdb.flags() & 1, cdb.parameter_length()) {
            (0, 0) => Ok(Work::None),
            (0, _) => Ok(Work::Some),
            // ANCHOR: ANC_SUP is 0.
            _ => Err(wrong(1, 0)),
        },
        Operation::ExtendedCopy if cdb.parameter_length() == 0 => Ok(Work::None),
        Operation::LogSense => log_page(cdb),
        _ => Ok(Work::Some),
    }
}

/// VERIFY, WRITE AND VERIFY, ORWRITE: all or none of their data must be there.
fn compared(operation: Operation, cdb: &Cdb, arrival: &Arrival) -> Result<Work, Status> {
    no_protection(cdb)?;
    let blocks = u64::from(extent(cdb, arrival)?);
    let block = u64::from(arrival.block_size);
    let data = match (operation, cdb.byte_check()) {
        (Operation::OrWrite, _) | (_, 1) | (Operation::WriteAndVerify, 0) => blocks,
        (Operation::Verify, 0) => 0,
        (Operation::Verify, 3) => blocks.min(1),
        _ => return Err(wrong(1, 2)),
    };
    let limit = match operation {
        Operation::OrWrite => arrival.max_transfer.into(),
        _ => MAX_VERIFY.checked_div(block).unwrap_or(0),
    };
    let there = u64::try_from(arrival.data_len).unwrap_or(u64::MAX);
    if blocks > limit || there < data.saturating_mul(block) {
        return Err(wrong(cdb.length_field(), None));
    }
    Ok(if blocks == 0 { Work::None } else { Work::Some })
}

/// WRITE SAME: one block of data, or none with NDOB.
fn same(cdb: &Cdb, arrival: &Arrival) -> Result<Work, Status> {
    const ANCHOR: u8 = 0b0001_0000;
    no_protection(cdb)?;
    if cdb.flags() & ANCHOR != 0 {
        return Err(wrong(1, 4));
    }
    if cdb.opcode() == 0x41 && cdb.flags() & 0b111 != 0 {
        // PBDATA, LBDATA, and a reserved bit.
        return Err(wrong(1, 2));
    }
    let (_, blocks) = cdb.extent().unwrap_or_default();
    let bytes = u64::from(blocks).saturating_mul(arrival.block_size.into());
    let block = usize::try_from(arrival.block_size).unwrap_or(usize::MAX);
    // WSNZ; and a WRITE SAME of more blocks than are announced could not end before its deadline.
    if blocks == 0 || bytes > MAX_WRITE_SAME.into() {
        return Err(wrong(cdb.length_field(), None));
    }
    if !cdb.has_no_data() && arrival.data_len != block {
        return Err(wrong(cdb.length_field(), None));
    }
    extent(cdb, arrival)?;
    Ok(Work::Some)
}

/// LOG SENSE: the pages that there are, and no parameters that are saved.
fn log_page(cdb: &Cdb) -> Result<Work, Status> {
    const SP: u8 = 1;
    if cdb.flags() & SP != 0 {
        return Err(wrong(1, 0));
    }
    match (cdb.byte(2) & 0x3f, cdb.byte(3)) {
        (answers::SUPPORTED_LOG_PAGES | answers::PROVISIONING_LOG_PAGE, 0) => Ok(Work::Some),
        (answers::SUPPORTED_LOG_PAGES | answers::PROVISIONING_LOG_PAGE, _) => Err(wrong(3, None)),
        _ => Err(wrong(2, 5)),
    }
}

/// The LUN has no protection information, so a command that asks for some is wrong (SBC-3,
/// RDPROTECT, WRPROTECT, VRPROTECT, ORPROTECT). The core does not look.
fn no_protection(cdb: &Cdb) -> Result<(), Status> {
    const PROTECT: u8 = 0b1110_0000;
    if cdb.flags() & PROTECT == 0 { Ok(()) } else { Err(wrong(1, 7)) }
}

/// The blocks of a command that has LOGICAL BLOCK ADDRESS and TRANSFER LENGTH. Beyond the end is an
/// error, also where there are none (SBC-3, TRANSFER LENGTH).
fn extent(cdb: &Cdb, arrival: &Arrival) -> Result<u32, Status> {
    let (lba, blocks) = cdb.extent().unwrap_or_default();
    in_range(lba, blocks, arrival)?;
    Ok(blocks)
}

fn in_range(lba: u64, blocks: u32, arrival: &Arrival) -> Result<(), Status> {
    let fits = lba.checked_add(blocks.into()).is_some_and(|end| end <= arrival.blocks);
    if fits { Ok(()) } else { Err(Status::OutOfRange) }
}

#[cfg(test)]
mod tests;
