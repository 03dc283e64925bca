// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Commands that ask for as much as a CDB can, and how the core hands them on.

use std::sync::atomic::Ordering;

use libc::c_int;
use testbed::c_abi::{FakeCommand, FakeDevice, Part};

use crate::load::DEEPEST;
use crate::target::handler::{completed, table};

pub(super) const BLOCK: u64 = 512;
/// Of the core's, where a handler sets none (`VPD_MAX_UNMAP_LBA_COUNT`).
const MAX_UNMAP_BLOCKS: u32 = 32 << 20;
/// More descriptors the core refuses (`VPD_MAX_UNMAP_BLOCK_DESC_COUNT`).
const MAX_DESCRIPTORS: usize = 4;
const NOT_HANDLED: c_int = -1;
pub(super) const OK: c_int = 0;
const INVALID_PARAM_LIST: c_int = 9;

/// A kind of command, as large as its CDB can make it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    WriteSame,
    WriteSameOfZeros,
    WriteSameAndUnmap,
    Unmap,
    UnmapOf256,
    CompareAndWrite,
}

pub(super) const KINDS: [Kind; 6] = [
    Kind::WriteSame,
    Kind::WriteSameOfZeros,
    Kind::WriteSameAndUnmap,
    Kind::Unmap,
    Kind::UnmapOf256,
    Kind::CompareAndWrite,
];

const SYNCHRONIZE_CACHE: u8 = 0x35;

impl Kind {
    /// Of the command in this slot: half of them are from the 64 initiators with a COMPARE AND
    /// WRITE.
    pub(super) fn of(slot: usize) -> usize {
        if slot < DEEPEST / 2 { KINDS.len() - 1 } else { slot % (KINDS.len() - 1) }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::WriteSame => "WRITE SAME, 2^32-1 blocks",
            Self::WriteSameOfZeros => "WRITE SAME of zeros, 2^32-1 blocks",
            Self::WriteSameAndUnmap => "WRITE SAME with UNMAP, 2^32-1 blocks",
            Self::Unmap => "UNMAP, 4 descriptors of the longest",
            Self::UnmapOf256 => "UNMAP, 256 descriptors",
            Self::CompareAndWrite => "COMPARE AND WRITE, 64 initiators, one block",
        }
    }

    pub(super) fn command(self) -> FakeCommand {
        let write_same = |flags: u8, byte: u8| {
            let mut cdb = [0; 16];
            (cdb[0], cdb[1]) = (0x93, flags);
            cdb[10..14].copy_from_slice(&u32::MAX.to_be_bytes());
            FakeCommand::with_cdb(vec![byte; 512], &cdb)
        };
        match self {
            Self::WriteSame => write_same(0, 0x5a),
            Self::WriteSameOfZeros => write_same(0, 0),
            Self::WriteSameAndUnmap => write_same(8, 0),
            Self::Unmap => unmap(MAX_DESCRIPTORS),
            Self::UnmapOf256 => unmap(256),
            Self::CompareAndWrite => {
                let mut cdb = [0; 16];
                (cdb[0], cdb[13]) = (0x89, 1);
                FakeCommand::with_cdb(vec![0; 1024], &cdb)
            }
        }
    }

    /// Hands it on as the core does; how many answers there will be.
    pub(super) fn submit(
        self,
        device: &FakeDevice,
        command: &FakeCommand,
        parts: &mut Vec<Part>,
    ) -> usize {
        let (device, cmd, (iov, count)) =
            (std::ptr::from_ref(device), command.as_ptr(), command.iovecs());
        let answer = |status: c_int| {
            if status != OK {
                completed(std::ptr::null_mut(), cmd, status);
            }
            1
        };
        // SAFETY: as the daemon does, with a command that is alive until it is answered.
        let handled = unsafe { (table().handle_cmd)(device, cmd) };
        if handled != NOT_HANDLED {
            // Answered by the handler at once, or later.
            return answer(handled);
        }
        if command.cdb().first() == Some(&SYNCHRONIZE_CACHE) {
            // A command of the handler's own, in disguise.
            // SAFETY: as above.
            return answer(unsafe { (table().flush)(device, cmd) });
        }
        let bytes = u64::from(u32::MAX) * BLOCK;
        match self {
            Self::WriteSame | Self::WriteSameOfZeros => {
                let writesame = table().writesame.expect("a callback for WRITE SAME");
                // SAFETY: as above.
                answer(unsafe { writesame(device, cmd, 0, bytes, iov, count) })
            }
            Self::CompareAndWrite => {
                // SAFETY: as above.
                answer(unsafe { (table().caw)(device, cmd, 0, BLOCK, iov, count) })
            }
            Self::UnmapOf256 => answer(INVALID_PARAM_LIST),
            Self::WriteSameAndUnmap => split(device, command, bytes, 1, parts),
            Self::Unmap => split(device, command, longest_unmap(device), MAX_DESCRIPTORS, parts),
        }
    }
}

fn unmap(descriptors: usize) -> FakeCommand {
    let len = u16::try_from(descriptors * 16).expect("a length");
    let mut cdb = [0; 10];
    cdb[0] = 0x42;
    cdb[7..9].copy_from_slice(&(len + 8).to_be_bytes());
    let mut list = [(len + 6).to_be_bytes(), len.to_be_bytes(), [0; 2], [0; 2]].concat();
    for descriptor in 0..u64::try_from(descriptors).expect("a number") {
        list.extend((descriptor * u64::from(MAX_UNMAP_BLOCKS)).to_be_bytes());
        list.extend(MAX_UNMAP_BLOCKS.to_be_bytes());
        list.extend([0; 4]);
    }
    FakeCommand::with_cdb(list, &cdb)
}

/// Bytes of the longest part that the core does not split.
fn longest_unmap(device: *const FakeDevice) -> u64 {
    // SAFETY: the device of an open LUN.
    let blocks = unsafe { &*device }.max_unmap_len.load(Ordering::SeqCst);
    u64::from(if blocks == 0 { MAX_UNMAP_BLOCKS } else { blocks }) * BLOCK
}

/// Submits `times` descriptors of so many bytes, in parts; how many parts.
fn split(
    device: *const FakeDevice,
    command: &FakeCommand,
    bytes: u64,
    times: usize,
    parts: &mut Vec<Part>,
) -> usize {
    let longest = longest_unmap(device);
    let mut submitted = 0;
    for _ in 0..times {
        let mut offset = 0;
        while offset < bytes {
            let part = command.part();
            let cmd = part.as_ptr();
            parts.push(part);
            let unmap = table().unmap.expect("a callback for UNMAP");
            // SAFETY: as the daemon does, with a part that is alive until it is answered.
            let status = unsafe { unmap(device, cmd, offset, longest.min(bytes - offset)) };
            submitted += 1;
            if status != OK {
                completed(std::ptr::null_mut(), cmd, status);
            }
            offset += longest;
        }
    }
    submitted
}
