// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! What an initiator is told about a command.

use super::op::ErrorClass;

/// Bytes of a sense buffer of the kernel's target (`TCMU_SENSE_BUFFERSIZE`).
pub const SENSE_LEN: usize = 96;

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
    /// ILLEGAL REQUEST 20/00.
    InvalidCommand,
    /// ILLEGAL REQUEST 24/00.
    InvalidCdb,
    /// HARDWARE ERROR 44/00.
    HardwareError,
    /// ILLEGAL REQUEST 21/00: beyond the end of the LUN.
    OutOfRange,
    /// CHECK CONDITION with the sense given.
    Sense(Sense),
}

/// Sense data (SPC-4, 4.5) for what the core has no status of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sense {
    key: u8,
    asc: u8,
    ascq: u8,
    /// The INFORMATION field.
    information: Option<u32>,
    field: Option<FieldPointer>,
}

/// The field that is wrong (SPC-4, 4.5.2.4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FieldPointer {
    /// It is one of the CDB, not of the parameter list.
    pub in_cdb: bool,
    /// Its first byte.
    pub byte: u16,
    /// Its most significant bit, where that is not 7 or the field is shorter than a byte.
    pub bit: Option<u8>,
}

impl FieldPointer {
    /// SENSE-KEY SPECIFIC: SKSV, C/D, BPV and BIT POINTER, FIELD POINTER.
    fn to_bytes(self) -> [u8; 3] {
        const SKSV: u8 = 0x80;
        const IN_CDB: u8 = 0x40;
        const BPV: u8 = 0x08;
        let place = if self.in_cdb { IN_CDB } else { 0 };
        let bit = self.bit.map_or(0, |bit| BPV | (bit & 7));
        let [high, low] = self.byte.to_be_bytes();
        [SKSV | place | bit, high, low]
    }
}

impl Sense {
    /// DATA PROTECT, space allocation failed: thin provisioning has run out. Linux says ENOSPC,
    /// VMware pauses the VM.
    pub const SPACE_ALLOCATION_FAILED: Self = Self::new(0x07, 0x27, 0x07);
    /// DATA PROTECT, write protected.
    pub const WRITE_PROTECTED: Self = Self::new(0x07, 0x27, 0x00);
    /// NOT READY, cause not reportable: the storage has been away for longer than an outage that
    /// passes.
    pub const NOT_READY: Self = Self::new(0x02, 0x04, 0x00);
    /// NOT READY, becoming ready: the storage has not been reached yet. Linux repeats, VMware and
    /// Windows wait.
    pub const BECOMING_READY: Self = Self::new(0x02, 0x04, 0x01);
    /// NOT READY, target port in standby state: another gateway serves the LUN. Multipath takes
    /// another path at once.
    pub const STANDBY: Self = Self::new(0x02, 0x04, 0x0b);
    /// UNIT ATTENTION, not ready to ready change.
    pub const BECAME_READY: Self = Self::new(0x06, 0x28, 0x00);
    /// UNIT ATTENTION, thin provisioning soft threshold reached.
    pub const SPACE_THRESHOLD_REACHED: Self = Self::new(0x06, 0x38, 0x07);

    /// ILLEGAL REQUEST, parameter list length error.
    pub const PARAMETER_LIST_LENGTH_ERROR: Self = Self::new(0x05, 0x1a, 0x00);
    /// ILLEGAL REQUEST, saving parameters not supported.
    pub const SAVING_NOT_SUPPORTED: Self = Self::new(0x05, 0x39, 0x00);
    /// ILLEGAL REQUEST, too many target descriptors: of an EXTENDED COPY.
    pub const TOO_MANY_TARGETS: Self = Self::new(0x05, 0x26, 0x06);
    /// ILLEGAL REQUEST, unsupported target descriptor type code.
    pub const UNSUPPORTED_TARGET: Self = Self::new(0x05, 0x26, 0x07);
    /// ILLEGAL REQUEST, too many segment descriptors.
    pub const TOO_MANY_SEGMENTS: Self = Self::new(0x05, 0x26, 0x08);
    /// ILLEGAL REQUEST, unsupported segment descriptor type code.
    pub const UNSUPPORTED_SEGMENT: Self = Self::new(0x05, 0x26, 0x09);
    /// COPY ABORTED, no additional sense: a segment lies beyond the end of the LUN.
    pub const COPY_ABORTED: Self = Self::new(0x0a, 0x00, 0x00);
    /// COPY ABORTED, unreachable copy target: a segment names a descriptor that there is not.
    pub const UNREACHABLE_TARGET: Self = Self::new(0x0a, 0x08, 0x04);
    /// COPY ABORTED, third party device failure: of a LUN that takes part, or half-way where the
    /// rest cannot be copied by repeating the command.
    pub const COPY_FAILED: Self = Self::new(0x0a, 0x0d, 0x01);
    /// COPY ABORTED, copy target device not reachable: it is not this LUN.
    pub const TARGET_NOT_REACHABLE: Self = Self::new(0x0a, 0x0d, 0x02);
    /// NO SENSE.
    pub const NONE: Self = Self::new(0x00, 0x00, 0x00);

    const fn new(key: u8, asc: u8, ascq: u8) -> Self {
        Self { key, asc, ascq, information: None, field: None }
    }

    /// MISCOMPARE, with the offset of the first byte that differs.
    #[must_use]
    pub fn miscompare(byte: usize) -> Self {
        Self {
            information: Some(u32::try_from(byte).unwrap_or(u32::MAX)),
            ..Self::new(0x0e, 0x1d, 0x00)
        }
    }

    /// ILLEGAL REQUEST, invalid field in CDB: the field that begins with this byte, at this bit.
    #[must_use]
    pub fn invalid_field_in_cdb(byte: u16, bit: impl Into<Option<u8>>) -> Self {
        let field = FieldPointer { in_cdb: true, byte, bit: bit.into() };
        Self { field: Some(field), ..Self::new(0x05, 0x24, 0x00) }
    }

    /// ILLEGAL REQUEST, invalid field in parameter list: the field that begins with this byte.
    #[must_use]
    pub fn invalid_field_in_parameter_list(byte: usize) -> Self {
        Self::new(0x05, 0x26, 0x00).at(byte)
    }

    /// Points at the descriptor that is wrong: its first byte in the parameter list.
    #[must_use]
    pub fn at(self, byte: usize) -> Self {
        let byte = u16::try_from(byte).unwrap_or(u16::MAX);
        Self { field: Some(FieldPointer { in_cdb: false, byte, bit: None }), ..self }
    }

    /// Descriptor format (SPC-4, 4.5.2), without descriptors.
    #[must_use]
    pub fn to_descriptor_format(self) -> [u8; 8] {
        const CURRENT: u8 = 0x72;
        [CURRENT, self.key, self.asc, self.ascq, 0, 0, 0, 0]
    }

    /// Fixed format (SPC-4, 4.5.3).
    #[must_use]
    pub fn to_bytes(self) -> [u8; SENSE_LEN] {
        const CURRENT: u8 = 0x70;
        const VALID: u8 = 0x80;
        const ADDITIONAL_LENGTH: u8 = 0x0a;
        let valid = if self.information.is_some() { VALID } else { 0 };
        let head = [CURRENT | valid, 0, self.key]
            .into_iter()
            .chain(self.information.unwrap_or(0).to_be_bytes())
            .chain([ADDITIONAL_LENGTH, 0, 0, 0, 0, self.asc, self.ascq, 0])
            .chain(self.field.map_or([0; 3], FieldPointer::to_bytes));
        let mut bytes = [0; SENSE_LEN];
        bytes.iter_mut().zip(head).for_each(|(byte, value)| *byte = value);
        bytes
    }
}

impl Status {
    /// The kind of error that it is. None: it is none.
    pub(crate) fn error_class(self) -> Option<ErrorClass> {
        Some(match self {
            Self::Ok => return None,
            Self::NoResource | Self::Busy => ErrorClass::Busy,
            Self::WriteError | Self::ReadError => ErrorClass::Medium,
            Self::InvalidCommand | Self::InvalidCdb => ErrorClass::Other,
            Self::HardwareError => ErrorClass::Hardware,
            Self::OutOfRange => ErrorClass::Range,
            Self::Sense(sense) => match (sense.key, sense.asc, sense.ascq) {
                (0x02, 0x04, 0x0b) => ErrorClass::Standby,
                (0x02, ..) => ErrorClass::NotReady,
                (0x03, ..) => ErrorClass::Medium,
                (0x07, 0x27, 0x07) => ErrorClass::Space,
                (0x07, ..) => ErrorClass::Protected,
                (0x0e, ..) => ErrorClass::Miscompare,
                _ => ErrorClass::Other,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sense_is_fixed_format_with_key_and_code_in_place() {
        let bytes = Sense::SPACE_ALLOCATION_FAILED.to_bytes();
        assert_eq!(
            (bytes[0], bytes[2], bytes[7], bytes[12], bytes[13]),
            (0x70, 0x07, 0x0a, 0x27, 0x07)
        );
        assert!(bytes[14..].iter().all(|&b| b == 0));
        assert_eq!(
            Sense::invalid_field_in_cdb(0x0102, 3).to_bytes()[12..18],
            [0x24, 0, 0, 0xcb, 1, 2]
        );
        assert_eq!(
            Sense::invalid_field_in_parameter_list(9).to_bytes()[12..18],
            [0x26, 0, 0, 0x80, 0, 9]
        );
        assert_eq!(Sense::miscompare(0x0102).to_bytes()[..7], [0xf0, 0, 0x0e, 0, 0, 1, 2]);
    }

    #[test]
    fn an_error_is_of_the_class_that_its_sense_key_says() {
        for (sense, class) in [
            (Sense::SPACE_ALLOCATION_FAILED, ErrorClass::Space),
            (Sense::WRITE_PROTECTED, ErrorClass::Protected),
            (Sense::NOT_READY, ErrorClass::NotReady),
            (Sense::BECOMING_READY, ErrorClass::NotReady),
            (Sense::STANDBY, ErrorClass::Standby),
            (Sense::BECAME_READY, ErrorClass::Other),
            (Sense::miscompare(1), ErrorClass::Miscompare),
        ] {
            assert_eq!(Status::Sense(sense).error_class(), Some(class), "{sense:?}");
        }
        assert_eq!(
            (Status::Ok.error_class(), Status::OutOfRange.error_class()),
            (None, Some(ErrorClass::Range))
        );
    }
}
