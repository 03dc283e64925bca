//! What an initiator is told about a command.

use std::ffi::c_int;

use super::abi::{SENSE_LEN, sts};

/// The outcome of a command, in words. What each becomes on the wire is the core's doing
/// (`libtcmu.c`, `tcmulib_command_complete` and `tcmu_set_sense...`), given here per variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// GOOD.
    Ok,
    /// TASK SET FULL: the initiator lowers its queue depth and repeats.
    NoResource,
    /// BUSY: the initiator repeats.
    Busy,
    /// MEDIUM ERROR 0C/00.
    WriteError,
    /// MEDIUM ERROR 11/00.
    ReadError,
    /// ILLEGAL REQUEST 24/00.
    InvalidCdb,
    /// HARDWARE ERROR 44/00.
    HardwareError,
    /// ILLEGAL REQUEST 21/00: beyond the end of the LUN.
    OutOfRange,
    /// CHECK CONDITION with the sense given.
    Sense(Sense),
}

/// Sense key, additional sense code and qualifier (SPC-4, 4.5), for what the core has no status of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sense {
    key: u8,
    asc: u8,
    ascq: u8,
}

impl Sense {
    /// DATA PROTECT, space allocation failed: thin provisioning has run out. Linux says ENOSPC, VMware pauses the VM.
    pub const SPACE_ALLOCATION_FAILED: Self = Self { key: 0x07, asc: 0x27, ascq: 0x07 };
    /// DATA PROTECT, write protected.
    pub const WRITE_PROTECTED: Self = Self { key: 0x07, asc: 0x27, ascq: 0x00 };

    /// Fixed-format sense data, current error (SPC-4, 4.5.3).
    pub(super) fn to_bytes(self) -> [u8; SENSE_LEN] {
        const CURRENT_FIXED: u8 = 0x70;
        const ADDITIONAL_LENGTH: u8 = 0x0a;
        let mut bytes = [0; SENSE_LEN];
        let head = [CURRENT_FIXED, 0, self.key, 0, 0, 0, 0, ADDITIONAL_LENGTH, 0, 0, 0, 0, self.asc, self.ascq];
        for (byte, value) in bytes.iter_mut().zip(head) {
            *byte = value;
        }
        bytes
    }
}

impl Status {
    /// The core's number. [`Status::Sense`] also needs its bytes in the command's sense buffer.
    pub(super) fn number(self) -> c_int {
        match self {
            Self::Ok => sts::OK,
            Self::NoResource => sts::NO_RESOURCE,
            Self::Busy => sts::BUSY,
            Self::WriteError => sts::WR_ERR,
            Self::ReadError => sts::RD_ERR,
            Self::InvalidCdb => sts::INVALID_CDB,
            Self::HardwareError => sts::HW_ERR,
            Self::OutOfRange => sts::RANGE,
            Self::Sense(_) => sts::PASSTHROUGH_ERR,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sense_is_fixed_format_with_key_and_code_in_place() {
        let bytes = Sense::SPACE_ALLOCATION_FAILED.to_bytes();
        assert_eq!((bytes[0], bytes[2], bytes[7], bytes[12], bytes[13]), (0x70, 0x07, 0x0a, 0x27, 0x07));
        assert!(bytes[14..].iter().all(|&b| b == 0));
    }
}
