// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Commands as an initiator sends them (SBC-4, SPC-5), and checks of their replies.

use crate::kernel::device::{Device, GOOD, Pending, Reply};
use crate::kernel::ring::Data;

pub(crate) const BLOCK: usize = 512;

/// READ(16) or WRITE(16), or what else has their form.
pub(crate) fn cdb16(opcode: u8, flags: u8, lba: u64, blocks: u32) -> [u8; 16] {
    let mut cdb = [0; 16];
    cdb[..2].copy_from_slice(&[opcode, flags]);
    cdb[2..10].copy_from_slice(&lba.to_be_bytes());
    cdb[10..14].copy_from_slice(&blocks.to_be_bytes());
    cdb
}

fn blocks(bytes: usize) -> u32 {
    u32::try_from(bytes / BLOCK).unwrap()
}

pub(crate) fn send_read(device: &Device, lba: u64, bytes: usize) -> Pending {
    device.send(&cdb16(0x88, 0, lba, blocks(bytes)), Data::In(bytes))
}

pub(crate) fn send_write(device: &Device, lba: u64, bytes: &[u8]) -> Pending {
    device.send(&cdb16(0x8a, 0, lba, blocks(bytes.len())), Data::Out(bytes.to_vec()))
}

#[track_caller]
pub(crate) fn assert_good(reply: Reply) -> Vec<u8> {
    assert_eq!((reply.status, reply.sense, reply.by_kernel), (GOOD, (0, 0, 0), false));
    reply.data
}

#[track_caller]
pub(crate) fn read(device: &Device, lba: u64, bytes: usize) -> Vec<u8> {
    assert_good(send_read(device, lba, bytes).wait())
}

#[track_caller]
pub(crate) fn write(device: &Device, lba: u64, bytes: &[u8]) {
    assert_good(send_write(device, lba, bytes).wait());
}

/// INQUIRY of so many bytes; `page` is one of vital product data.
pub(crate) fn inquiry(device: &Device, page: Option<u8>, bytes: u8) -> Vec<u8> {
    let cdb = [0x12, u8::from(page.is_some()), page.unwrap_or(0), 0, bytes, 0];
    assert_good(device.run(&cdb, Data::In(usize::from(bytes))))
}
