// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! FUA, which the core does not look at, and flushes. Of the bricks of a volfile nothing is known,
//! so a durable write is flushed here; tests/gluster has those that honour `O_DSYNC`.

use libc::EIO;

use support::faults::{self, Fault};
use support::runner::{Lun, OK, WR_ERR};
use support::volume::LocalVolume;

const MIB: u64 = 1 << 20;

#[test]
fn a_write_with_fua_is_followed_by_a_flush_and_fails_with_it() {
    let volume = LocalVolume::new();
    volume.image("disk.img", MIB);
    let path = volume.path("disk.img");
    let lun = Lun::opened(&volume.cfgstring("disk.img", ""), MIB);
    assert_eq!(lun.write(0, &[1; 512]), OK);
    assert_eq!(faults::calls(&path, "sync"), 0, "without FUA");
    assert_eq!(lun.submit_forced_write(0, &[2; 512]).wait().0, OK);
    assert_eq!(faults::calls(&path, "sync"), 1);
    faults::set(&path, Some(Fault::NoSync(EIO)));
    assert_eq!(lun.write(0, &[3; 512]), OK);
    assert_eq!(lun.submit_forced_write(0, &[4; 512]).wait().0, WR_ERR);
    assert_eq!(lun.flush(), WR_ERR);
    faults::set(&path, None);
    assert_eq!(
        (lun.submit_forced_write(0, &[5; 512]).wait().0, lun.flush()),
        (OK, OK),
        "poisons nothing"
    );
}

/// What a short write leaves is part of the command, too.
#[test]
fn every_piece_of_a_write_with_fua_is_flushed() {
    let volume = LocalVolume::new();
    volume.image("disk.img", MIB);
    let path = volume.path("disk.img");
    let lun = Lun::opened(&volume.cfgstring("disk.img", ""), MIB);
    faults::set(&path, Some(Fault::Short(1000)));
    assert_eq!(lun.submit_forced_write(0, &[7; 4096]).wait().0, OK);
    faults::set(&path, None);
    assert_eq!((faults::calls(&path, "write"), faults::calls(&path, "sync")), (5, 5));
    assert_eq!(volume.bytes_on_brick("disk.img", 0, 4096), [7; 4096]);
}

/// A WRITE AND VERIFY is to be verified on the medium, so it has no FUA bit and needs none (SBC-3,
/// 5.42 to 5.44).
#[test]
fn a_write_and_verify_and_a_compare_and_write_with_fua_are_flushed_before_they_are_good() {
    let volume = LocalVolume::new();
    volume.image("disk.img", MIB);
    let path = volume.path("disk.img");
    let lun = Lun::opened(&volume.cfgstring("disk.img", ""), MIB);
    for (flushes, opcode) in [0x2e, 0x8e, 0xae].into_iter().enumerate() {
        assert_eq!(lun.submit_cdb(&of_one_block(opcode), vec![1; 512]).wait().0, OK);
        assert_eq!(faults::calls(&path, "sync"), flushes + 1, "{opcode:02x}");
    }
    assert_eq!(lun.submit_compare_and_write(0, &[1; 512], &[2; 512]).wait().0, OK);
    assert_eq!(faults::calls(&path, "sync"), 3, "without FUA");
    assert_eq!(lun.submit_forced_compare_and_write(0, &[2; 512], &[3; 512]).wait().0, OK);
    assert_eq!(faults::calls(&path, "sync"), 4);
    assert_ne!(lun.submit_forced_compare_and_write(0, &[2; 512], &[4; 512]).wait().0, OK);
    assert_eq!(faults::calls(&path, "sync"), 4, "nothing was written");
    faults::set(&path, Some(Fault::NoSync(EIO)));
    assert_eq!(lun.submit_cdb(&of_one_block(0x8e), vec![1; 512]).wait().0, WR_ERR);
    assert_eq!(lun.submit_forced_compare_and_write(0, &[1; 512], &[2; 512]).wait().0, WR_ERR);
    faults::set(&path, None);
}

/// The CDB of a WRITE AND VERIFY of the first block.
fn of_one_block(opcode: u8) -> Vec<u8> {
    let (length, at) = match opcode {
        0x2e => (10, 8),
        0x8e => (16, 13),
        _ => (12, 9),
    };
    let mut cdb = vec![0; length];
    (cdb[0], cdb[at]) = (opcode, 1);
    cdb
}
