// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! UNMAP and WRITE SAME: what the range holds afterwards, whatever the volume can and cannot do.

use libc::{ENXIO, EOPNOTSUPP};

use support::faults::{self, Fault};
use support::pattern;
use support::runner::{Lun, OK, PASSTHROUGH_ERR, RANGE, WR_ERR};
use support::volume::LocalVolume;

const MIB: u64 = 1 << 20;
const SIZE: u64 = 8 * MIB;

/// A LUN full of ones, and the path of its image.
fn full(volume: &LocalVolume) -> (Lun, String) {
    volume.image("disk.img", SIZE);
    let lun = Lun::opened(&volume.cfgstring("disk.img", ""), SIZE);
    assert_eq!(lun.write(0, &vec![1; 8 << 20]), OK);
    (lun, volume.path("disk.img"))
}

/// The bytes of `range` are `block` repeated, and those around it are ones.
fn holds(lun: &Lun, offset: usize, len: usize, block: &[u8]) {
    let (status, bytes) = lun.read(0, 8 << 20);
    assert_eq!(status, OK);
    assert!(
        bytes[..offset].iter().chain(&bytes[offset + len..]).all(|&byte| byte == 1),
        "the neighbours changed"
    );
    assert!(
        bytes[offset..offset + len] == block.repeat(len / block.len()),
        "the range is not filled"
    );
}

#[test]
fn unmap_frees_the_space_and_reads_as_zeros() {
    let volume = LocalVolume::new();
    let (lun, path) = full(&volume);
    let blocks = || {
        std::os::unix::fs::MetadataExt::blocks(
            &std::fs::metadata(volume.brick_path("disk.img")).unwrap(),
        )
    };
    assert_eq!(lun.flush(), OK);
    let before = blocks();
    assert_eq!(lun.submit_unmap(MIB, 4 * MIB).wait().0, OK);
    holds(&lun, 1 << 20, 4 << 20, &[0]);
    assert!(blocks() <= before - 8000, "{before} -> {}", blocks());
    assert_eq!((faults::calls(&path, "discard"), faults::calls(&path, "zerofill")), (1, 0));
}

#[test]
fn an_unmap_of_nothing_is_good_and_reaches_nobody() {
    let volume = LocalVolume::new();
    let (lun, path) = full(&volume);
    assert_eq!(lun.submit_unmap(MIB, 0).wait().0, OK);
    assert_eq!(lun.submit_unmap(SIZE, 0).wait().0, OK);
    assert_eq!(faults::calls(&path, "discard"), 0);
}

#[test]
fn ranges_beyond_the_end_are_refused() {
    let volume = LocalVolume::new();
    let (lun, _) = full(&volume);
    for (offset, len) in [(SIZE, 512), (SIZE - 512, 1024), (0, SIZE + 512), (u64::MAX, 512)] {
        assert_eq!(lun.submit_unmap(offset, len).wait().0, RANGE);
        assert_eq!(lun.submit_write_same(offset, len, &[0; 512]).wait().0, RANGE);
    }
}

#[test]
fn zeros_come_by_other_means_where_the_volume_cannot_punch_and_that_is_remembered() {
    for fault in [
        Fault::NoDiscard(EOPNOTSUPP),
        Fault::NoZerofill(EOPNOTSUPP),
        Fault::NoZerofill(libc::EINVAL),
    ] {
        let volume = LocalVolume::apart();
        let (lun, path) = full(&volume);
        faults::set(&path, Some(fault));
        for round in 0..3 {
            assert_eq!(lun.submit_unmap(MIB, 3 * MIB).wait().0, OK);
            holds(&lun, 1 << 20, 3 << 20, &[0]);
            assert_eq!(faults::calls(&path, "discard"), 1, "{fault:?}, round {round}");
            assert_eq!(lun.write(1 << 20, &vec![1; 3 << 20]), OK);
        }
        assert_eq!(lun.submit_write_same(MIB, 3 * MIB, &[0; 512]).wait().0, OK);
        holds(&lun, 1 << 20, 3 << 20, &[0]);
        faults::set(&path, None);
    }
}

#[test]
fn write_same_writes_any_block_anywhere() {
    let volume = LocalVolume::new();
    let (lun, path) = full(&volume);
    let block = pattern(9, 512);
    for (offset, len) in
        [(0, 512), (512, 1 << 20), ((2 << 20) - 512, (3 << 20) + 1024), ((8 << 20) - 512, 512)]
    {
        let (at, long) = (u64::try_from(offset).unwrap(), u64::try_from(len).unwrap());
        assert_eq!(lun.submit_write_same(at, long, &block).wait().0, OK);
        holds(&lun, offset, len, &block);
        assert_eq!(lun.submit_write_same(at, long, &[0; 512]).wait().0, OK);
        holds(&lun, offset, len, &[0]);
        assert_eq!(lun.submit_write_same(at, long, &[1; 512]).wait().0, OK);
    }
    assert_eq!(faults::calls(&path, "zerofill"), 4);
}

#[test]
fn write_same_continues_short_writes_in_phase() {
    let volume = LocalVolume::new();
    let (lun, path) = full(&volume);
    let block = pattern(5, 512);
    faults::set(&path, Some(Fault::Short(70_001)));
    assert_eq!(lun.submit_write_same(MIB, 2 * MIB, &block).wait().0, OK);
    faults::set(&path, None);
    holds(&lun, 1 << 20, 2 << 20, &block);
}

#[test]
fn write_same_with_the_unmap_bit_frees_zeros_and_writes_anything_else() {
    let volume = LocalVolume::new();
    let (lun, path) = full(&volume);
    let block = pattern(3, 512);
    assert_eq!(lun.submit_unmapping_write_same(MIB, MIB, &block).wait().0, OK);
    holds(&lun, 1 << 20, 1 << 20, &block);
    assert_eq!(faults::calls(&path, "discard"), 0);
    assert_eq!(lun.submit_unmapping_write_same(MIB, MIB, &[0; 512]).wait().0, OK);
    holds(&lun, 1 << 20, 1 << 20, &[0]);
    assert_eq!(faults::calls(&path, "discard"), 1);
}

/// An error that is not a lack says nothing of the range: a discard may have bailed out long ago,
/// and zeros that come after it would fall on what was written meanwhile.
#[test]
fn an_unmap_that_fails_writes_no_zeros() {
    let volume = LocalVolume::new();
    let (lun, path) = full(&volume);
    let writes = faults::calls(&path, "write");
    for errno in [ENXIO, libc::EIO, libc::ENOTCONN] {
        faults::set(&path, Some(Fault::NoDiscard(errno)));
        assert_ne!(lun.submit_unmap(MIB, 2 * MIB).wait().0, OK);
        faults::set(&path, None);
        holds(&lun, 0, 8 << 20, &[1]);
    }
    assert_eq!((faults::calls(&path, "write"), faults::calls(&path, "zerofill")), (writes, 0));
    // An accident, not a lack: the next one tries again.
    support::eventually("the outage is over", || lun.submit_unmap(MIB, 2 * MIB).wait().0 == OK);
    holds(&lun, 1 << 20, 2 << 20, &[0]);
}

#[test]
fn what_a_volume_cannot_do_is_known_for_all_its_images() {
    let volume = LocalVolume::apart();
    let (one, first) = full(&volume);
    faults::set(&first, Some(Fault::NoZerofill(EOPNOTSUPP)));
    assert_eq!(one.submit_unmap(MIB, MIB).wait().0, OK);
    volume.image("other.img", SIZE);
    let path = volume.path("other.img");
    let other = Lun::opened(&volume.cfgstring("other.img", ""), SIZE);
    assert_eq!(other.submit_unmap(MIB, MIB).wait().0, OK);
    assert_eq!((faults::calls(&path, "discard"), faults::calls(&path, "zerofill")), (0, 0));
    assert!(faults::calls(&path, "write") > 0);
}

#[test]
fn an_unmap_or_write_same_that_cannot_be_done_says_so_and_the_next_command_does_not() {
    let volume = LocalVolume::new();
    let (lun, path) = full(&volume);
    faults::set(&path, Some(Fault::NoSpace));
    let (status, command) = lun.submit_unmap(MIB, MIB).wait();
    assert_eq!((status, command.sense()), (PASSTHROUGH_ERR, (7, 0x27, 7)));
    faults::set(&path, None);
    assert_eq!(lun.read(0, 512).0, OK);
    faults::set(&path, Some(Fault::Late(ENXIO)));
    assert_eq!(lun.submit_write_same(MIB, MIB, &[2; 512]).wait().0, WR_ERR);
    faults::set(&path, None);
    assert_eq!(lun.read(0, 512).0, OK);
}

#[test]
fn an_unmap_of_many_ranges_frees_them_all() {
    let volume = LocalVolume::new();
    let (lun, _) = full(&volume);
    let mut list = vec![0; 8];
    for block in 0..200_u64 {
        list.extend((block * 2).to_be_bytes());
        list.extend(1_u32.to_be_bytes());
        list.extend([0; 4]);
    }
    let length = u16::try_from(list.len()).unwrap();
    list[..2].copy_from_slice(&(length - 2).to_be_bytes());
    list[2..4].copy_from_slice(&(length - 8).to_be_bytes());
    let mut cdb = [0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    cdb[7..9].copy_from_slice(&length.to_be_bytes());
    assert_eq!(lun.submit_cdb(&cdb, list).wait().0, OK);
    let (status, bytes) = lun.read(0, 512 * 401);
    assert_eq!(status, OK);
    for (number, block) in bytes.chunks(512).enumerate() {
        let freed = number < 400 && number % 2 == 0;
        assert!(block.iter().all(|&byte| byte == u8::from(!freed)), "{number}");
    }
}
