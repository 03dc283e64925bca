//! Commands that must not reach the core's own emulation.
//!
//! The core asks before it looks at a command itself. The answers here are for what it gets wrong (1.5.4 to 1.6.2); everything
//! else it handles, with the callbacks of the LUN.

use crate::runner::{Cdb, Status};

const WRITE_SAME_10: u8 = 0x41;
const EXTENDED_COPY: u8 = 0x83;
const RECEIVE_COPY_RESULTS: u8 = 0x84;
const WRITE_SAME_16: u8 = 0x93;

/// The final status of a command on a LUN of `blocks`, if it ends here.
#[must_use]
pub fn screen(cdb: &Cdb, blocks: u64) -> Option<Status> {
    match cdb.opcode() {
        // The core touches a copy command after having freed it (xcopy_read_cbk, xcopy_write_cbk).
        EXTENDED_COPY | RECEIVE_COPY_RESULTS => Some(Status::InvalidCommand),
        // READ, WRITE, WRITE AND VERIFY of 10, 12 and 16 bytes.
        0x28 | 0x2a | 0x2e | 0x88 | 0x8a | 0x8e | 0xa8 | 0xaa => unprotected(cdb).or_else(|| nothing(cdb, blocks)),
        WRITE_SAME_10 | WRITE_SAME_16 => unprotected(cdb).or_else(|| unanchored(cdb)),
        _ => None,
    }
}

/// The LUN has no protection information, so a command that asks for some is wrong (SBC-3, RDPROTECT and WRPROTECT). The core
/// does not look.
fn unprotected(cdb: &Cdb) -> Option<Status> {
    const PROTECT: u8 = 0b1110_0000;
    (cdb.flags() & PROTECT != 0).then_some(Status::InvalidCdb)
}

/// The LUN cannot anchor blocks (SBC-3, ANCHOR: `ANC_SUP` is 0), so a command that asks for it is wrong. The core looks only in UNMAP.
fn unanchored(cdb: &Cdb) -> Option<Status> {
    const ANCHOR: u8 = 0b0001_0000;
    (cdb.flags() & ANCHOR != 0).then_some(Status::InvalidCdb)
}

/// Whether the core answers this command into the initiator's buffer and may leave the rest of it as the ring had it: with data
/// of other commands.
#[must_use]
pub fn is_answered_in_part(cdb: &Cdb) -> bool {
    // INQUIRY; MODE SENSE(6), (10); READ CAPACITY(10), (16); REPORT TARGET PORT GROUPS and its kin.
    matches!(cdb.opcode(), 0x12 | 0x1a | 0x5a | 0x25 | 0x9e | 0xa3)
}

/// A transfer of no blocks is no error (SBC-3, TRANSFER LENGTH), unless it begins beyond the end. The core answers HARDWARE ERROR.
fn nothing(cdb: &Cdb, blocks: u64) -> Option<Status> {
    match cdb.extent() {
        Some((lba, 0)) if lba > blocks => Some(Status::OutOfRange),
        Some((_, 0)) => Some(Status::Ok),
        _ => None,
    }
}

/// Whether the data must be on stable storage when the command is answered (FUA). READ needs nothing for it: nothing that it could
/// find in a cache is older than the bricks.
pub(super) fn is_forced(cdb: &Cdb) -> bool {
    const FUA: u8 = 0b0000_1000;
    match cdb.opcode() {
        // WRITE of 10, 12 and 16 bytes, COMPARE AND WRITE.
        0x2a | 0x8a | 0xaa | 0x89 => cdb.flags() & FUA != 0,
        // WRITE AND VERIFY: what is verified is the medium (SBC-3, 4.15), so there is no FUA bit.
        0x2e | 0x8e | 0xae => true,
        _ => false,
    }
}

/// Whether an UNMAP of the core's comes from a WRITE SAME with the UNMAP bit, which has a block of data.
pub(super) fn is_write_same(cdb: &Cdb) -> bool {
    matches!(cdb.opcode(), WRITE_SAME_10 | WRITE_SAME_16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn screened(cdb: &[u8]) -> Option<Status> {
        screen(&Cdb::of(cdb), 1000)
    }

    #[test]
    fn copies_are_refused_and_ordinary_commands_pass() {
        assert_eq!(screened(&[0x83]), Some(Status::InvalidCommand));
        assert_eq!(screened(&[0x84]), Some(Status::InvalidCommand));
        for opcode in [0x00, 0x08, 0x0a, 0x12, 0x25, 0x35, 0x42, 0x9e, 0x89] {
            assert_eq!(screened(&[opcode]), None, "{opcode:02x}");
        }
        assert_eq!(screened(&[0x2a, 0x08, 0, 0, 0, 0, 0, 0, 1, 0]), None);
    }

    #[test]
    fn protection_is_refused_where_there_is_none() {
        for opcode in [0x28, 0x2a, 0x2e, 0x41, 0x88, 0x8a, 0x8e, 0x93, 0xa8, 0xaa] {
            for protect in 1..8 {
                assert_eq!(screened(&[opcode, protect << 5]), Some(Status::InvalidCdb), "{opcode:02x}");
            }
        }
    }

    #[test]
    fn anchors_are_refused_in_write_same_alone() {
        assert_eq!(screened(&[0x41, 0x18]), Some(Status::InvalidCdb));
        assert_eq!(screened(&[0x93, 0x10]), Some(Status::InvalidCdb));
        assert_eq!(screened(&[0x93, 0x08]), None, "UNMAP");
        assert_eq!(screened(&[0x2a, 0x10, 0, 0, 0, 0, 0, 0, 1]), None, "DPO");
    }

    #[test]
    fn a_transfer_of_nothing_is_good_within_the_lun() {
        assert_eq!(screened(&[0x28, 0, 0, 0, 3, 0xe8, 0, 0, 0, 0]), Some(Status::Ok), "at the end");
        assert_eq!(screened(&[0x28, 0, 0, 0, 3, 0xe9, 0, 0, 0, 0]), Some(Status::OutOfRange), "beyond");
        assert_eq!(screened(&[0x8a]), Some(Status::Ok));
        assert_eq!(screened(&[0x08, 0, 0, 0, 0, 0]), None, "0 means 256 in READ(6)");
    }
}
