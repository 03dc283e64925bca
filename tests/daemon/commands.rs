// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Commands beside READ and WRITE, through the core's own emulation (1.5.4).

use std::sync::Arc;
use std::thread;

use crate::host::Host;
use crate::kernel::Backstore;
use crate::kernel::device::{CHECK_CONDITION, Device, Sense};
use crate::kernel::ring::Data;
use crate::life::{MIB, lun, lun_of};
use crate::scsi::{BLOCK, assert_good, cdb16, inquiry, read, write};
use support::pattern;
use support::volume::LocalVolume;

const BLOCKS: u64 = 4 * MIB / BLOCK as u64;

const LBA_OUT_OF_RANGE: Sense = (0x5, 0x21, 0x00);
const INVALID_FIELD: Sense = (0x5, 0x24, 0x00);
const INVALID_PARAMETERS: Sense = (0x5, 0x26, 0x00);
const TARGET_NOT_REACHABLE: Sense = (0xa, 0x0d, 0x02);

#[track_caller]
fn assert_sense(device: &Device, cdb: &[u8], data: Data, sense: Sense) {
    let reply = device.run(cdb, data);
    assert_eq!((reply.status, reply.sense), (CHECK_CONDITION, sense), "{cdb:02x?}");
}

/// UNMAP of ranges of blocks.
fn unmap(ranges: &[(u64, u32)]) -> ([u8; 10], Data) {
    let descriptors = ranges.iter().flat_map(|(lba, blocks)| {
        [&lba.to_be_bytes()[..], &blocks.to_be_bytes(), &[0; 4]].concat()
    });
    let length = u16::try_from(16 * ranges.len()).unwrap();
    let mut list = (length + 6).to_be_bytes().to_vec();
    list.extend(length.to_be_bytes());
    list.extend([0; 4]);
    list.extend(descriptors);
    let mut cdb = [0; 10];
    cdb[0] = 0x42;
    cdb[7..9].copy_from_slice(&(length + 8).to_be_bytes());
    (cdb, Data::Out(list))
}

pub(crate) fn unmapped_and_repeated() {
    let volume = LocalVolume::new();
    let host = Host::start();
    let device = lun(&host, &volume, "d0", 4 * MIB);
    let mut model = pattern(3, 4 << 20);
    for (index, part) in model.chunks(64 << 10).enumerate() {
        write(&device, index as u64 * 128, part);
    }
    let agrees = |model: &[u8], what: &str| {
        assert!(read(&device, 0, 4 << 20) == model, "differs after {what}");
    };
    agrees(&model, "writes");

    let ranges = [(1, 7), (100, 1), (1000, 3000), (BLOCKS - 1, 1)];
    let (cdb, list) = unmap(&ranges);
    assert_good(device.run(&cdb, list));
    for (lba, blocks) in ranges {
        let start = usize::try_from(lba).unwrap() * BLOCK;
        model[start..start + blocks as usize * BLOCK].fill(0);
    }
    agrees(&model, "UNMAP");

    for (flags, lba, blocks, block) in [
        (0, 5, 100, pattern(4, BLOCK)),
        (8, 2000, 999, vec![0; BLOCK]),
        (8, 50, 60, pattern(5, BLOCK)),
    ] {
        assert_good(device.run(&cdb16(0x93, flags, lba, blocks), Data::Out(block.clone())));
        let start = usize::try_from(lba).unwrap() * BLOCK;
        model[start..start + blocks as usize * BLOCK]
            .copy_from_slice(&block.repeat(blocks as usize));
        agrees(&model, "WRITE SAME");
    }

    let block = || Data::Out(vec![1; BLOCK]);
    let (cdb, list) = unmap(&[(BLOCKS, 1)]);
    assert_sense(&device, &cdb, list, LBA_OUT_OF_RANGE);
    assert_sense(&device, &cdb16(0x93, 0, BLOCKS - 1, 2), block(), LBA_OUT_OF_RANGE);
    assert_sense(
        &device,
        &cdb16(0x8a, 0, BLOCKS - 1, 2),
        Data::Out(vec![1; 1024]),
        LBA_OUT_OF_RANGE,
    );
    // More descriptors than VPD page B0h announces.
    let announced =
        u32::from_be_bytes(inquiry(&device, Some(0xb0), 64)[24..28].try_into().unwrap());
    let (cdb, list) = unmap(&vec![(0, 1); announced as usize + 1]);
    assert_sense(&device, &cdb, list, INVALID_PARAMETERS);
    agrees(&model, "refusals");
}

/// COMPARE AND WRITE of one block.
fn compare_and_write(lba: u64, expected: &[u8], new: &[u8]) -> ([u8; 16], Data) {
    let mut cdb = cdb16(0x89, 0, lba, 0);
    cdb[13] = 1;
    (cdb, Data::Out([expected, new].concat()))
}

fn number(block: &[u8]) -> u64 {
    u64::from_le_bytes(block[..8].try_into().unwrap())
}

fn block_of(number: u64) -> Vec<u8> {
    number.to_le_bytes().repeat(BLOCK / 8)
}

/// Initiators count up in one block, with COMPARE AND WRITE, as clusters do: no count is lost.
pub(crate) fn counted_together() {
    const INITIATORS: u64 = 8;
    const COUNTS: u64 = 50;
    let volume = LocalVolume::new();
    let host = Host::start();
    let device = lun(&host, &volume, "d0", 4 * MIB);
    let threads: Vec<_> = (0..INITIATORS)
        .map(|_| {
            let device = Arc::clone(&device);
            thread::spawn(move || {
                let mut misses = 0_u64;
                for _ in 0..COUNTS {
                    loop {
                        let before = read(&device, 7, BLOCK);
                        let new = block_of(number(&before) + 1);
                        let (cdb, data) = compare_and_write(7, &before, &new);
                        let reply = device.run(&cdb, data);
                        if reply.status == 0 {
                            break;
                        }
                        assert_eq!((reply.status, reply.sense), (2, (0xe, 0x1d, 0x00)));
                        misses += 1;
                    }
                }
                misses
            })
        })
        .collect();
    let misses: u64 = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    println!("{misses} of them missed");
    assert_eq!(read(&device, 7, BLOCK), block_of(INITIATORS * COUNTS));
    // More than one block is not announced.
    let mut cdb = cdb16(0x89, 0, 7, 0);
    cdb[13] = 2;
    let reply = device.run(&cdb, Data::Out(vec![0; 4 * BLOCK]));
    assert_eq!((reply.status, reply.sense), (CHECK_CONDITION, INVALID_FIELD));
}

/// WRITE with FUA, WRITE AND VERIFY, SYNCHRONIZE CACHE, and commands of no blocks.
pub(crate) fn forced_and_empty() {
    let volume = LocalVolume::new();
    let host = Host::start();
    let device = lun(&host, &volume, "d0", 4 * MIB);
    for (seed, opcode, flags) in [(1, 0x8a, 0x08), (2, 0x8e, 0), (3, 0x8a, 0)] {
        let data = pattern(seed, 8 * BLOCK);
        assert_good(device.run(&cdb16(opcode, flags, 16, 8), Data::Out(data.clone())));
        assert_eq!(read(&device, 16, 8 * BLOCK), data);
        assert_good(device.run(&cdb16(0x91, 0, 0, 0), Data::None));
        assert_eq!(volume.bytes_on_brick("d0", 16 * BLOCK as u64, 8 * BLOCK), data);
    }
    for opcode in [0x88, 0x8a, 0x28, 0x2a] {
        let mut cdb = [0; 16];
        cdb[0] = opcode;
        let length = if opcode & 0x80 == 0 { 10 } else { 16 };
        assert_good(device.run(&cdb[..length], Data::None));
    }
}

/// The designator NAA 6h of a device, as the core tells initiators (VPD 83h).
fn designator(device: &Device) -> Vec<u8> {
    let page = inquiry(device, Some(0x83), 255);
    let mut rest = &page[4..4 + usize::from(u16::from_be_bytes([page[2], page[3]]))];
    while let [_, kind, _, length, tail @ ..] = rest {
        let (id, next) = tail.split_at(usize::from(*length));
        if kind & 0x0f == 3 {
            return id.to_vec();
        }
        rest = next;
    }
    panic!("no NAA: {page:02x?}");
}

/// EXTENDED COPY of blocks of one device to the same place of another one.
fn copy(from: &Device, to: &Device, lba: u64, blocks: u16) -> ([u8; 16], Data) {
    let mut list = vec![0, 0, 0, 64, 0, 0, 0, 0, 0, 0, 0, 28, 0, 0, 0, 0];
    for device in [from, to] {
        list.extend([0xe4, 0, 0, 0, 1, 3, 0, 16]);
        list.extend(designator(device));
        list.extend([0, 0, 0, 0, 0, 0, 2, 0]);
    }
    list.extend([2, 0, 0, 0x18, 0, 0, 0, 1, 0, 0]);
    list.extend(blocks.to_be_bytes());
    list.extend(lba.to_be_bytes());
    list.extend(lba.to_be_bytes());
    let mut cdb = [0; 16];
    cdb[0] = 0x83;
    cdb[10..14].copy_from_slice(&u32::try_from(list.len()).unwrap().to_be_bytes());
    (cdb, Data::Out(list))
}

/// As far as every initiator of the receiving LUN has the other one, too.
pub(crate) fn copied_between_luns() {
    let volume = LocalVolume::new();
    let host = Host::start();
    let [one, other, apart] =
        [("d0", ";copy=daemon"), ("d1", ";copy=daemon"), ("d2", "")].map(|(name, options)| {
            volume.image(name, 4 * MIB);
            lun_of(&host, Backstore::new(name, &volume.cfgstring(name, options), 4 * MIB))
        });
    let data = pattern(8, 2 << 20);
    for (index, part) in data.chunks(64 << 10).enumerate() {
        write(&one, index as u64 * 128, part);
    }
    let (cdb, list) = copy(&one, &other, 0, 4096);
    assert_sense(&one, &cdb, list, TARGET_NOT_REACHABLE);
    host.kernel.export(&["d0", "d1", "d2"]);
    host.kernel.admit("iqn.a", &[0, 1, 2]);
    // By way of either LUN: initiators send it to the source or to the destination.
    for receiving in [&one, &other] {
        let (cdb, list) = copy(&one, &other, 0, 4096);
        assert_good(receiving.run(&cdb, list));
        assert!(read(&other, 0, 2 << 20) == data);
        write(&other, 0, &vec![0; 64 << 10]);
    }
    let (cdb, list) = copy(&one, &apart, 0, 8);
    assert_sense(&one, &cdb, list, TARGET_NOT_REACHABLE);
    host.kernel.admit("iqn.b", &[0]);
    let (cdb, list) = copy(&one, &other, 0, 8);
    assert_sense(&one, &cdb, list, TARGET_NOT_REACHABLE);
    assert_eq!(read(&other, 0, 4096), [0; 4096]);
    let (cdb, list) = copy(&one, &other, 0, 8);
    assert_good(other.run(&cdb, list));
}
