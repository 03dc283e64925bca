// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Command descriptor blocks (SPC-4, 4.2).

use super::opcode::{Operation, SupportedCommand};
use super::table;

/// Bytes of the longest CDB of a command that is served.
const LONGEST: usize = 16;

/// A CDB, parsed once, when its command comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cdb {
    bytes: [u8; LONGEST],
    command: Option<&'static SupportedCommand>,
}

impl Cdb {
    /// Bytes of a CDB with this operation code (SPC-4, 4.2.5.1). Of a variable-length or
    /// vendor-specific one, 1: the operation code says enough.
    #[must_use]
    pub const fn length(opcode: u8) -> usize {
        match opcode >> 5 {
            0 => 6,
            1 | 2 => 10,
            4 => 16,
            5 => 12,
            _ => 1,
        }
    }

    /// From its first bytes; those that are missing are zeros.
    #[must_use]
    pub fn new(first: &[u8]) -> Self {
        let mut bytes = [0; LONGEST];
        bytes.iter_mut().zip(first).for_each(|(to, from)| *to = *from);
        let [opcode, flags, ..] = bytes;
        Self { bytes, command: table::find(opcode, flags & 0x1f) }
    }

    /// Its row in the table of commands. `None`: there is no such command.
    #[must_use]
    pub fn command(&self) -> Option<&'static SupportedCommand> {
        self.command
    }

    /// What is asked for. `None`: there is no such command.
    #[must_use]
    pub fn operation(&self) -> Option<Operation> {
        self.command.map(|command| command.operation)
    }

    /// OPERATION CODE.
    #[must_use]
    pub fn opcode(&self) -> u8 {
        self.byte(0)
    }

    /// The byte of flags after the operation code.
    #[must_use]
    pub fn flags(&self) -> u8 {
        self.byte(1)
    }

    /// A byte; zero beyond the end.
    #[must_use]
    pub fn byte(&self, index: usize) -> u8 {
        self.bytes.get(index).copied().unwrap_or(0)
    }

    /// `N` bytes from `index` on.
    #[must_use]
    pub fn field<const N: usize>(&self, index: usize) -> [u8; N] {
        std::array::from_fn(|offset| self.byte(index.saturating_add(offset)))
    }

    /// The page that an INQUIRY asks for. `None`: standard data.
    #[must_use]
    pub fn vpd_page(&self) -> Option<u8> {
        const EVPD: u8 = 1;
        (self.flags() & EVPD != 0).then_some(self.byte(2))
    }

    /// ALLOCATION LENGTH, or PARAMETER LIST LENGTH: at the same place as a transfer length.
    #[must_use]
    pub fn parameter_length(&self) -> usize {
        let short = |bytes| usize::from(u16::from_be_bytes(bytes));
        let long = |bytes| usize::try_from(u32::from_be_bytes(bytes)).unwrap_or(usize::MAX);
        match (self.operation(), Self::length(self.opcode())) {
            (Some(Operation::Inquiry), _) => short(self.field(3)),
            (_, 6) => self.byte(4).into(),
            (_, 10) => short(self.field(7)),
            (_, 12) => long(self.field(6)),
            (_, 16) => long(self.field(10)),
            _ => 0,
        }
    }

    /// The first byte of TRANSFER LENGTH, for a field pointer.
    #[must_use]
    pub fn length_field(&self) -> u16 {
        match Self::length(self.opcode()) {
            6 => 4,
            10 => 7,
            12 => 6,
            _ => 10,
        }
    }

    /// LOGICAL BLOCK ADDRESS and TRANSFER LENGTH of a 10, 12 or 16-byte command that has both. None
    /// for other sizes.
    #[must_use]
    pub fn extent(&self) -> Option<(u64, u32)> {
        let short = u64::from(u32::from_be_bytes(self.field(2)));
        match Self::length(self.opcode()) {
            10 => Some((short, u16::from_be_bytes(self.field(7)).into())),
            12 => Some((short, u32::from_be_bytes(self.field(6)))),
            16 => Some((u64::from_be_bytes(self.field(2)), u32::from_be_bytes(self.field(10)))),
            _ => None,
        }
    }

    /// Whether the data must be on stable storage when the command is answered. READ needs nothing
    /// for it: nothing that it could find in a cache is older than the bricks.
    #[must_use]
    pub fn is_durable(&self) -> bool {
        const FUA: u8 = 0b0000_1000;
        match self.operation() {
            Some(Operation::Write) if self.opcode() == 0x0a => false,
            Some(Operation::Write | Operation::CompareAndWrite | Operation::OrWrite) => {
                self.flags() & FUA != 0
            }
            // What is verified is the medium (SBC-3, 4.15), so there is no FUA bit.
            Some(Operation::WriteAndVerify) => true,
            _ => false,
        }
    }

    /// BYTCHK of VERIFY and WRITE AND VERIFY.
    #[must_use]
    pub fn byte_check(&self) -> u8 {
        (self.flags() >> 1) & 0b11
    }

    /// Whether the blocks of a WRITE SAME become zeros, without data that says so (NDOB).
    #[must_use]
    pub fn has_no_data(&self) -> bool {
        const NDOB: u8 = 1;
        self.opcode() == 0x93 && self.flags() & NDOB != 0
    }

    /// Whether the range of a WRITE SAME may be freed.
    #[must_use]
    pub fn is_unmapping(&self) -> bool {
        const UNMAP: u8 = 0b0000_1000;
        self.operation() == Some(Operation::WriteSame) && self.flags() & UNMAP != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extents_of_every_size_of_command() {
        let read10 = Cdb::new(&[0x28, 0, 1, 2, 3, 4, 0, 5, 6, 0]);
        assert_eq!(read10.extent(), Some((0x0102_0304, 0x0506)));
        let read12 = Cdb::new(&[0xa8, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0]);
        assert_eq!(read12.extent(), Some((0x0102_0304, 0x0506_0708)));
        let read16 = Cdb::new(&[0x88, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0, 0]);
        assert_eq!(read16.extent(), Some((0x0102_0304_0506_0708, 0x090a_0b0c)));
        assert_eq!(Cdb::new(&[0x08, 0, 0, 0, 0, 0]).extent(), None);
    }

    #[test]
    fn a_service_action_is_a_command_of_its_own() {
        assert_eq!(Cdb::new(&[0x9e, 0x10]).operation(), Some(Operation::ReadCapacity16));
        assert_eq!(Cdb::new(&[0x9e, 0x1f]).operation(), None);
        assert_eq!(Cdb::new(&[0xa3, 0x2a]).operation(), Some(Operation::ReportTargetPortGroups));
        assert_eq!(Cdb::new(&[0xc0]).operation(), None);
    }

    #[test]
    fn fua_is_a_bit_of_some_commands_only() {
        let durable = |opcode| Cdb::new(&[opcode, 0x08]).is_durable();
        for opcode in [0x2a, 0xaa, 0x8a, 0x89] {
            assert!(durable(opcode) && !Cdb::new(&[opcode]).is_durable(), "{opcode:02x}");
        }
        assert!([0x2e, 0x8e, 0xae].iter().all(|&opcode| Cdb::new(&[opcode]).is_durable()));
        assert!([0x0a, 0x28, 0x41, 0x93].iter().all(|&opcode| !durable(opcode)));
    }
}
