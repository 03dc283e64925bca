// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Commands that the handler serves in place of the core, on an image of a brick.

use libc::{EIO, ENOSPC, ENOTCONN, ENXIO, EOPNOTSUPP};

use support::faults::{self, Fault};
use support::pattern;
use support::runner::{BUSY, Lun, OK, PASSTHROUGH_ERR, RANGE, RD_ERR, WR_ERR};
use support::threads;
use support::volume::LocalVolume;

const MIB: u64 = 1 << 20;
const SIZE: u64 = 16 * MIB;

fn opened(volume: &LocalVolume) -> Lun {
    volume.image("disk.img", SIZE);
    Lun::opened(&volume.cfgstring("disk.img", ""), SIZE)
}

/// LBA and blocks in a 16-byte CDB.
fn cdb16(opcode: u8, flags: u8, lba: u64, blocks: u32) -> Vec<u8> {
    let mut cdb = vec![opcode, flags];
    cdb.extend(lba.to_be_bytes());
    cdb.extend(blocks.to_be_bytes());
    cdb.resize(16, 0);
    cdb
}

/// An EXTENDED COPY within the LUN: segments of source, destination and number of blocks.
fn copy(segments: &[(u64, u64, u16)]) -> (Vec<u8>, Vec<u8>) {
    // NAA 6h, the company, and the digits of the serial number of every device here.
    let designator = [
        0x60, 0x01, 0x40, 0x50, 0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0, 0x12, 0x34, 0x56,
        0x78,
    ];
    let mut target = vec![0xe4, 0, 0, 0, 1, 3, 0, 16];
    target.extend(designator);
    target.extend([0, 0, 0, 0, 0, 0, 2, 0]);
    let mut list = vec![1, 0, 0, 32, 0, 0, 0, 0];
    list.extend(u32::try_from(28 * segments.len()).unwrap().to_be_bytes());
    list.extend([0; 4]);
    list.extend(target);
    for (from, to, blocks) in segments {
        list.extend([2, 0, 0, 0x18, 0, 0, 0, 0, 0, 0]);
        list.extend(blocks.to_be_bytes());
        list.extend(from.to_be_bytes());
        list.extend(to.to_be_bytes());
    }
    let mut cdb = vec![0x83, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    cdb.extend(u32::try_from(list.len()).unwrap().to_be_bytes());
    cdb.extend([0, 0]);
    (cdb, list)
}

#[test]
fn a_copy_moves_the_blocks_and_keeps_holes() {
    let volume = LocalVolume::new();
    let lun = opened(&volume);
    let data = pattern(4, 3 << 20);
    assert_eq!(lun.write(0, &data), OK);
    // 3 MiB of data, 1 MiB of nothing; then a move by one block within itself.
    let (cdb, list) = copy(&[(0, 16384, 8192), (16384, 16385, 4096)]);
    assert_eq!(lun.submit_cdb(&cdb, list).wait().0, OK);
    let (status, copied) = lun.read(8 << 20, 4 << 20);
    assert_eq!(status, OK);
    assert!(copied[512..(2 << 20) + 512] == data[..2 << 20], "the move");
    assert!(copied[(2 << 20) + 512..3 << 20] == data[(2 << 20) + 512..], "the copy");
    assert!(copied[3 << 20..].iter().all(|&byte| byte == 0), "the hole");
    let mut status = vec![0x84, 0, 1];
    status.resize(13, 0);
    status.extend([64, 0, 0]);
    let (code, command) = lun.submit_cdb(&status, vec![0xee; 64]).wait();
    assert_eq!((code, &command.data[..7]), (OK, &[0, 0, 0, 8, 1, 0, 2][..]));
}

/// Zeros become a hole, where the volume can have one.
#[test]
fn a_copy_of_zeros_is_written_where_no_holes_can_be_punched_and_fails_where_that_fails() {
    let volume = LocalVolume::apart();
    let lun = opened(&volume);
    let path = volume.path("disk.img");
    let (cdb, list) = copy(&[(0, 64, 8)]);
    for (errno, right, left) in [(ENXIO, WR_ERR, 1), (EOPNOTSUPP, OK, 0)] {
        assert_eq!(lun.write(64 * 512, &[1; 4096]), OK);
        faults::set(&path, Some(Fault::NoDiscard(errno)));
        assert_eq!(lun.submit_cdb(&cdb, list.clone()).wait().0, right, "{errno}");
        faults::set(&path, None);
        assert_eq!(lun.read(64 * 512, 4096), (OK, vec![left; 4096]), "{errno}");
    }
}

#[test]
fn a_copy_that_fails_says_why() {
    let volume = LocalVolume::new();
    let lun = opened(&volume);
    let path = volume.path("disk.img");
    assert_eq!(lun.write(0, &[1; 4096]), OK);
    for (errno, status) in [(ENOTCONN, BUSY), (ENXIO, RD_ERR), (ENOSPC, PASSTHROUGH_ERR)] {
        faults::set(&path, Some(Fault::Late(errno)));
        let (cdb, list) = copy(&[(0, 64, 8)]);
        assert_eq!(lun.submit_cdb(&cdb, list).wait().0, status, "{errno}");
        faults::set(&path, None);
    }
    let (cdb, list) = copy(&[(32760, 0, 16)]);
    let (status, command) = lun.submit_cdb(&cdb, list).wait();
    assert_eq!((status, command.sense()), (PASSTHROUGH_ERR, (0x0a, 0, 0)), "beyond the end");
}

/// An error of the first call, however it arrives, and no answer before the call is given up: each
/// command has one answer (`submit` would notice two), and the one of its errno.
#[test]
fn every_command_of_the_handlers_own_has_one_answer_to_an_error() {
    const NO_SPACE: (u8, u8, u8) = (7, 0x27, 0x07);
    let volume = LocalVolume::apart();
    let lun = opened(&volume);
    let path = volume.path("disk.img");
    let (copy_cdb, copy_list) = copy(&[(0, 64, 8)]);
    let mut unmap = vec![0, 22, 0, 16, 0, 0, 0, 0];
    unmap.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0]);
    let commands = [
        ("VERIFY", cdb16(0x8f, 2, 0, 8), vec![0; 4096]),
        ("WRITE AND VERIFY", cdb16(0x8e, 2, 0, 8), vec![1; 4096]),
        ("ORWRITE", cdb16(0x8b, 0, 0, 8), vec![1; 4096]),
        ("EXTENDED COPY", copy_cdb, copy_list),
        ("WRITE SAME", cdb16(0x93, 0, 0, 8), vec![1; 512]),
        ("WRITE SAME of zeros", cdb16(0x93, 0, 0, 8), vec![0; 512]),
        ("WRITE SAME with UNMAP", cdb16(0x93, 8, 0, 8), vec![0; 512]),
        ("UNMAP", vec![0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0], unmap),
    ];
    for (name, cdb, data) in commands {
        let serves = || lun.submit_cdb(&cdb, data.clone());
        for errno in [ENOSPC, EIO, ENOTCONN] {
            for fault in [Fault::AtSubmit(errno), Fault::Inline(errno), Fault::Late(errno)] {
                // Else the 3 s of BUSY would be over in the end.
                assert_eq!(lun.write(0, &[1; 4096]), OK);
                faults::set(&path, Some(fault));
                let (status, command) = serves().wait();
                faults::set(&path, None);
                let wanted = match errno {
                    ENOSPC => PASSTHROUGH_ERR,
                    // It is a durable write: nobody knows what is on the disk.
                    EIO if name == "WRITE AND VERIFY" => WR_ERR,
                    _ => BUSY,
                };
                assert_eq!(status, wanted, "{name}, {fault:?}");
                assert!(errno != ENOSPC || command.sense() == NO_SPACE, "{name}, {fault:?}");
            }
        }
        assert_eq!(lun.write(0, &[1; 4096]), OK);
        faults::set(&path, Some(Fault::Never));
        let pending = serves();
        std::thread::sleep(std::time::Duration::from_millis(100));
        assert_eq!(pending.answered(), None, "{name}");
        faults::set(&path, None);
        assert_eq!(pending.wait().0, BUSY, "{name}: as of a connection that is lost");
        assert_eq!(lun.write(0, &[0; 4096]), OK);
        assert_eq!(serves().wait().0, OK, "{name} works again");
    }
}

#[test]
fn an_unmap_of_neighbours_is_one_call() {
    let volume = LocalVolume::new();
    let lun = opened(&volume);
    assert_eq!(lun.write(0, &vec![1; 1 << 20]), OK);
    let unmap = |step: u64| {
        let mut list = [&4102_u16.to_be_bytes()[..], &4096_u16.to_be_bytes(), &[0; 4]].concat();
        for number in 0..256 {
            list.extend((number * step).to_be_bytes());
            list.extend([0, 0, 0, 1, 0, 0, 0, 0]);
        }
        let before = faults::calls(&volume.path("disk.img"), "discard");
        let begin = std::time::Instant::now();
        let cdb = [0x42, 0, 0, 0, 0, 0, 0, 0x10, 0x08, 0];
        assert_eq!(lun.submit_cdb(&cdb, list).wait().0, OK);
        let calls = faults::calls(&volume.path("disk.img"), "discard") - before;
        eprintln!("UNMAP of 256 blocks, {step} apart: {calls} calls, {:?}", begin.elapsed());
        calls
    };
    assert_eq!((unmap(2), unmap(1)), (256, 1));
    assert_eq!(lun.read(0, 131_072), (OK, vec![0; 131_072]));
    assert_eq!(lun.read(256 * 512, 1024).1[512..], [1; 512], "between two");
}

#[test]
fn verify_and_write_and_verify_compare_with_what_is_on_the_brick() {
    let volume = LocalVolume::new();
    let lun = opened(&volume);
    let data = pattern(7, 3 << 20);
    assert_eq!(lun.submit_cdb(&cdb16(0x8e, 2, 8, 6144), data.clone()).wait().0, OK);
    assert_eq!(lun.read(4096, 3 << 20), (OK, data.clone()));
    assert_eq!(lun.submit_cdb(&cdb16(0x8f, 2, 8, 6144), data.clone()).wait().0, OK);
    let mut other = data;
    other[2_500_000] ^= 1;
    let (status, command) = lun.submit_cdb(&cdb16(0x8f, 2, 8, 6144), other).wait();
    assert_eq!((status, command.sense()), (PASSTHROUGH_ERR, (0x0e, 0x1d, 0)));
    assert_eq!(lun.submit_cdb(&cdb16(0x8f, 0, 0, 32768), Vec::new()).wait().0, OK, "all of it");
    assert_eq!(lun.submit_cdb(&cdb16(0x8f, 0, 0, 32769), Vec::new()).wait().0, RANGE);
}

#[test]
fn orwrite_sets_bits_on_the_brick() {
    let volume = LocalVolume::new();
    let lun = opened(&volume);
    assert_eq!(lun.write(512, &[0x0f; 4096]), OK);
    assert_eq!(lun.submit_cdb(&cdb16(0x8b, 8, 1, 8), vec![0xf1; 4096]).wait().0, OK);
    assert_eq!(lun.read(512, 4096), (OK, vec![0xff; 4096]));
}

#[test]
fn lba_status_tells_data_from_holes() {
    let volume = LocalVolume::new();
    let lun = opened(&volume);
    assert_eq!(lun.write(i64::try_from(MIB).unwrap(), &vec![1; 1 << 20]), OK);
    assert_eq!(lun.flush(), OK);
    let mut cdb = cdb16(0x9e, 0x12, 0, 0);
    cdb[10..14].copy_from_slice(&64_u32.to_be_bytes());
    let (status, command) = lun.submit_cdb(&cdb, vec![0xee; 64]).wait();
    assert_eq!(status, OK);
    let descriptor = |number: usize| {
        let bytes = &command.data[8 + 16 * number..][..16];
        let lba = u64::from_be_bytes(bytes[..8].try_into().unwrap());
        (lba, u32::from_be_bytes(bytes[8..12].try_into().unwrap()), bytes[12])
    };
    assert_eq!(command.data[..4], [0, 0, 0, 52]);
    assert_eq!((descriptor(0), descriptor(1)), ((0, 2048, 1), (2048, 2048, 0)));
    assert_eq!(descriptor(2), (4096, 32768 - 4096, 1));
}

#[test]
fn lba_status_without_a_thread_is_answered() {
    let volume = LocalVolume::new();
    let lun = opened(&volume);
    let mut cdb = cdb16(0x9e, 0x12, 0, 0);
    cdb[10..14].copy_from_slice(&64_u32.to_be_bytes());
    let pending = threads::without(|| lun.submit_cdb(&cdb, vec![0xee; 64]));
    assert_eq!(pending.wait().0, BUSY);
    assert_eq!(lun.submit_cdb(&cdb, vec![0xee; 64]).wait().0, OK);
}

#[test]
fn what_a_lun_says_of_itself_is_answered_without_the_core() {
    let volume = LocalVolume::new();
    let lun = opened(&volume);
    let (status, opcodes) = lun.screen(&[0xa3, 0x0c, 3, 0x8f, 0, 0, 0, 0, 2, 88, 0, 0]);
    assert_eq!((status, &opcodes[..5]), (OK, &[0, 3, 0, 16, 0x8f][..]));
    let (status, mode) = lun.screen(&[0x1a, 0, 0x3f, 0, 255, 0]);
    assert_eq!((status, mode[2]), (OK, 0x10), "DPOFUA");
    let (status, capacity) = lun.screen(&cdb16(0x9e, 0x10, 0, 32));
    assert_eq!((status, capacity[13], capacity[14]), (OK, 3, 0xc0), "4 KiB, thin");
    let (status, page) = lun.screen(&[0x12, 1, 0xb2, 0, 255, 0]);
    assert_eq!((status, &page[..8]), (OK, &[0, 0xb2, 0, 4, 11, 0xe4, 2, 0][..]));
    let (status, log) = lun.screen(&[0x37, 0, 0x18, 0, 0, 0, 0, 0, 4, 0]);
    assert_eq!((status, &log[..4]), (OK, &[0, 0x18, 0, 0][..]));
    let (status, sense) = lun.screen(&[0x03, 0, 0, 0, 18, 0]);
    assert_eq!((status, sense[0], sense[2]), (OK, 0x70, 0));
}
