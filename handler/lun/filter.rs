// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Commands that must not reach the core's own emulation.
//!
//! The core asks before it looks at a command itself. The answers here are for what it gets wrong
//! (1.5.4 to 1.6.2); everything else it handles, with the callbacks of the LUN.

use super::MAX_UNMAP;
use super::unmap::MAX_WRITE_SAME;
use crate::runner::{Geometry, Verdict};
use crate::scsi::{Cdb, Status};

const INQUIRY: u8 = 0x12;
const WRITE_AND_VERIFY_10: u8 = 0x2e;
const WRITE_SAME_10: u8 = 0x41;
const EXTENDED_COPY: u8 = 0x83;
const RECEIVE_COPY_RESULTS: u8 = 0x84;
const WRITE_AND_VERIFY_16: u8 = 0x8e;
const WRITE_SAME_16: u8 = 0x93;

/// What becomes of a command on `device` before the core looks at it.
#[must_use]
pub fn filter(cdb: &Cdb, device: &Geometry) -> Verdict {
    let status = match cdb.opcode() {
        INQUIRY if cdb.vpd_page() == Some(BLOCK_LIMITS) => {
            return Verdict::Page(block_limits(device));
        }
        // The core touches a copy command after having freed it (xcopy_read_cbk, xcopy_write_cbk).
        EXTENDED_COPY | RECEIVE_COPY_RESULTS => Some(Status::InvalidCommand),
        // READ, WRITE, WRITE AND VERIFY of 10, 12 and 16 bytes.
        0x28 | 0x2a | WRITE_AND_VERIFY_10 | 0x88 | 0x8a | WRITE_AND_VERIFY_16 | 0xa8 | 0xaa => {
            unprotected(cdb).or_else(|| zero_length(cdb, device.blocks))
        }
        WRITE_SAME_10 | WRITE_SAME_16 => {
            unprotected(cdb).or_else(|| unanchored(cdb)).or_else(|| too_long(cdb, device))
        }
        _ => None,
    };
    match status {
        Some(status) => Verdict::End(status),
        None if cdb.is_unmapping() => Verdict::HideUnmap,
        None => Verdict::Pass,
    }
}

/// The LUN has no protection information, so a command that asks for some is wrong (SBC-3,
/// RDPROTECT and WRPROTECT). The core does not look.
fn unprotected(cdb: &Cdb) -> Option<Status> {
    const PROTECT: u8 = 0b1110_0000;
    (cdb.flags() & PROTECT != 0).then_some(Status::InvalidCdb)
}

/// The LUN cannot anchor blocks (SBC-3, ANCHOR: `ANC_SUP` is 0), so a command that asks for it is
/// wrong. The core looks only in UNMAP.
fn unanchored(cdb: &Cdb) -> Option<Status> {
    const ANCHOR: u8 = 0b0001_0000;
    (cdb.flags() & ANCHOR != 0).then_some(Status::InvalidCdb)
}

/// Whether the core answers this command into the initiator's buffer and may leave the rest of it
/// as the ring had it: with data of other commands.
#[must_use]
pub fn has_short_response(cdb: &Cdb) -> bool {
    // INQUIRY; MODE SENSE(6), (10); READ CAPACITY(10), (16); REPORT TARGET PORT GROUPS and its kin.
    matches!(cdb.opcode(), 0x12 | 0x1a | 0x5a | 0x25 | 0x9e | 0xa3)
}

/// A transfer of no blocks is no error (SBC-3, TRANSFER LENGTH), unless it begins beyond the end.
/// The core answers HARDWARE ERROR.
fn zero_length(cdb: &Cdb, blocks: u64) -> Option<Status> {
    match cdb.extent() {
        Some((lba, 0)) if lba > blocks => Some(Status::OutOfRange),
        Some((_, 0)) => Some(Status::Ok),
        _ => None,
    }
}

/// A WRITE SAME of more blocks than are announced could not end before its deadline.
fn too_long(cdb: &Cdb, device: &Geometry) -> Option<Status> {
    let (_, blocks) = cdb.extent()?;
    (blocks > blocks_in(MAX_WRITE_SAME, device)).then_some(Status::InvalidCdb)
}

fn blocks_in(bytes: u32, device: &Geometry) -> u32 {
    bytes.checked_div(device.block_size).unwrap_or(0)
}

/// Block Limits (SBC-3, 6.5.3).
const BLOCK_LIMITS: u8 = 0xb0;

/// As the core fills it (`scsi.c`, `tcmu_emulate_evpd_inquiry`), but for MAXIMUM WRITE SAME LENGTH,
/// which is `0xffff_ffff` there whatever the handler can do.
fn block_limits(device: &Geometry) -> [u8; 64] {
    const PAGE_LENGTH: u8 = 60;
    const WRITE_SAME_NON_ZERO: u8 = 1;
    const MAX_COMPARE_AND_WRITE: u8 = 1;
    /// What the core takes (`scsi.h`, `VPD_MAX_UNMAP_BLOCK_DESC_COUNT`).
    const MAX_UNMAP_DESCRIPTORS: u32 = 4;
    const ALIGNMENT_IS_VALID: u32 = 1 << 31;
    let head = [0, BLOCK_LIMITS, 0, PAGE_LENGTH, WRITE_SAME_NON_ZERO, MAX_COMPARE_AND_WRITE, 0, 0];
    let fields = [
        // Maximum and optimal transfer length, maximum prefetch length.
        device.max_transfer,
        device.max_transfer,
        0,
        blocks_in(MAX_UNMAP, device),
        MAX_UNMAP_DESCRIPTORS,
        // Optimal granularity, and alignment.
        1,
        ALIGNMENT_IS_VALID | 1,
        // Maximum WRITE SAME length: the upper half, and the lower.
        0,
        blocks_in(MAX_WRITE_SAME, device),
    ];
    let bytes = head.into_iter().chain(fields.into_iter().flat_map(u32::to_be_bytes));
    let mut page = [0; 64];
    page.iter_mut().zip(bytes).for_each(|(to, byte)| *to = byte);
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filtered(cdb: &[u8]) -> Option<Status> {
        match filter(
            &Cdb::new(cdb),
            &Geometry { block_size: 512, blocks: 1000, max_transfer: 2048 },
        ) {
            Verdict::End(status) => Some(status),
            Verdict::Pass | Verdict::HideUnmap => None,
            Verdict::Page(page) => panic!("{page:?}"),
        }
    }

    #[test]
    fn copies_are_refused_and_ordinary_commands_pass() {
        assert_eq!(filtered(&[0x83]), Some(Status::InvalidCommand));
        assert_eq!(filtered(&[0x84]), Some(Status::InvalidCommand));
        for opcode in [0x00, 0x08, 0x0a, 0x12, 0x25, 0x35, 0x42, 0x9e, 0x89] {
            assert_eq!(filtered(&[opcode]), None, "{opcode:02x}");
        }
        assert_eq!(filtered(&[0x2a, 0x08, 0, 0, 0, 0, 0, 0, 1, 0]), None);
    }

    #[test]
    fn protection_is_refused_where_there_is_none() {
        for opcode in [0x28, 0x2a, 0x2e, 0x41, 0x88, 0x8a, 0x8e, 0x93, 0xa8, 0xaa] {
            for protect in 1..8 {
                assert_eq!(
                    filtered(&[opcode, protect << 5]),
                    Some(Status::InvalidCdb),
                    "{opcode:02x}"
                );
            }
        }
    }

    #[test]
    fn anchors_are_refused_in_write_same_alone() {
        assert_eq!(filtered(&[0x41, 0x18]), Some(Status::InvalidCdb));
        assert_eq!(filtered(&[0x93, 0x10]), Some(Status::InvalidCdb));
        assert_eq!(filtered(&[0x93, 0x08]), None, "UNMAP");
        assert_eq!(filtered(&[0x2a, 0x10, 0, 0, 0, 0, 0, 0, 1]), None, "DPO");
    }

    #[test]
    fn the_unmap_bit_is_hidden_from_the_core_and_no_other() {
        let device = Geometry { block_size: 512, blocks: 1000, max_transfer: 2048 };
        for opcode in [0x41, 0x93] {
            assert_eq!(filter(&Cdb::new(&[opcode, 0x08]), &device), Verdict::HideUnmap);
            assert_eq!(filter(&Cdb::new(&[opcode]), &device), Verdict::Pass);
        }
        assert_eq!(filter(&Cdb::new(&[0x89, 0x08]), &device), Verdict::Pass, "FUA");
    }

    #[test]
    fn a_transfer_of_nothing_is_good_within_the_lun() {
        assert_eq!(filtered(&[0x28, 0, 0, 0, 3, 0xe8, 0, 0, 0, 0]), Some(Status::Ok), "at the end");
        assert_eq!(
            filtered(&[0x28, 0, 0, 0, 3, 0xe9, 0, 0, 0, 0]),
            Some(Status::OutOfRange),
            "beyond"
        );
        assert_eq!(filtered(&[0x8a]), Some(Status::Ok));
        assert_eq!(filtered(&[0x08, 0, 0, 0, 0, 0]), None, "0 means 256 in READ(6)");
    }
}
