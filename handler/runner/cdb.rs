// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The CDB of a command: what the core does not pass on in words.

/// Longest CDB that is looked at. Longer ones (7Fh) keep their first bytes.
const LONGEST: usize = 16;

/// Command descriptor block (SPC-4, 4.2; the commands: SBC-3, 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cdb([u8; LONGEST]);

impl Cdb {
    /// # Safety
    /// `bytes` points at the CDB of a live command, which has as many bytes as its group says.
    pub(super) unsafe fn read(bytes: *const u8) -> Self {
        let mut cdb = [0; LONGEST];
        // SAFETY: every CDB has at least six bytes (caller).
        let opcode = unsafe { bytes.read() };
        let len = match opcode >> 5 {
            0 => 6,
            1 | 2 => 10,
            4 => 16,
            5 => 12,
            // Variable or vendor-specific: the core completes or drops what it does not know; one
            // byte says enough.
            _ => 1,
        };
        // SAFETY: that many bytes are there (caller), and in `cdb`.
        unsafe { std::ptr::copy_nonoverlapping(bytes, cdb.as_mut_ptr(), len) };
        Self(cdb)
    }

    /// From bytes, zeros following.
    #[cfg(test)]
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let mut cdb = [0; LONGEST];
        cdb[..bytes.len()].copy_from_slice(bytes);
        Self(cdb)
    }

    /// The operation code.
    #[must_use]
    pub fn opcode(&self) -> u8 {
        let [opcode, ..] = self.0;
        opcode
    }

    /// The byte of flags after the operation code.
    #[must_use]
    pub fn flags(&self) -> u8 {
        let [_, flags, ..] = self.0;
        flags
    }

    /// The page that an INQUIRY asks for. `None`: standard data.
    #[must_use]
    pub fn vpd_page(&self) -> Option<u8> {
        const EVPD: u8 = 1;
        let [_, flags, page, ..] = self.0;
        (flags & EVPD != 0).then_some(page)
    }

    /// LOGICAL BLOCK ADDRESS and TRANSFER LENGTH of a 10, 12 or 16-byte command that has both. None
    /// for other sizes.
    #[must_use]
    pub fn extent(&self) -> Option<(u64, u32)> {
        let [opcode, _, b2, b3, b4, b5, b6, b7, b8, b9, b10, b11, b12, b13, ..] = self.0;
        let short = u64::from(u32::from_be_bytes([b2, b3, b4, b5]));
        match opcode >> 5 {
            1 | 2 => Some((short, u32::from(u16::from_be_bytes([b7, b8])))),
            5 => Some((short, u32::from_be_bytes([b6, b7, b8, b9]))),
            4 => {
                let long = u64::from_be_bytes([b2, b3, b4, b5, b6, b7, b8, b9]);
                Some((long, u32::from_be_bytes([b10, b11, b12, b13])))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extents_of_every_size_of_command() {
        let read10 = Cdb::of(&[0x28, 0, 1, 2, 3, 4, 0, 5, 6, 0]);
        assert_eq!(read10.extent(), Some((0x0102_0304, 0x0506)));
        let read12 = Cdb::of(&[0xa8, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0]);
        assert_eq!(read12.extent(), Some((0x0102_0304, 0x0506_0708)));
        let read16 = Cdb::of(&[0x88, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0, 0]);
        assert_eq!(read16.extent(), Some((0x0102_0304_0506_0708, 0x090a_0b0c)));
        assert_eq!(Cdb::of(&[0x08, 0, 0, 0, 0, 0]).extent(), None);
    }

    #[test]
    fn no_more_is_read_than_the_command_has() {
        for (opcode, len) in
            [(0x12, 6), (0x28, 10), (0x41, 10), (0x88, 16), (0xa8, 12), (0x7f, 1), (0xc0, 1)]
        {
            let mut bytes = vec![0xff; len];
            bytes[0] = opcode;
            let exact = bytes.into_boxed_slice();
            // SAFETY: as many bytes as the group says; a tool that watches memory sees one too
            // many.
            let cdb = unsafe { Cdb::read(exact.as_ptr()) };
            assert!(cdb.0[len..].iter().all(|&byte| byte == 0) && cdb.0[len - 1] != 0);
        }
    }
}
