// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! COMPARE AND WRITE: what differs is told, and nobody gets in between.

use support::faults::{self, Fault};
use support::pattern;
use support::runner::{BUSY, INVALID_CDB, Lun, OK, PASSTHROUGH_ERR, RANGE, WR_ERR, table};
use support::volume::LocalVolume;

const MIB: u64 = 1 << 20;

#[test]
fn blocks_are_replaced_only_if_they_are_what_was_expected() {
    let volume = LocalVolume::new();
    volume.image("disk.img", MIB);
    let lun = Lun::opened(&volume.cfgstring("disk.img", ""), MIB);
    for blocks in [1, 3, 8] {
        let (old, new) = (pattern(1, 512 * blocks), pattern(2, 512 * blocks));
        assert_eq!(lun.write(4096, &old), OK);
        assert_eq!(lun.submit_compare_and_write(4096, &old, &new).wait().0, OK);
        assert_eq!(lun.read(4096, 512 * blocks), (OK, new.clone()));
        let mut wrong = new.clone();
        wrong[512 * blocks - 7] ^= 1;
        let (status, command) = lun.submit_compare_and_write(4096, &wrong, &old).wait();
        assert_eq!((status, command.sense()), (PASSTHROUGH_ERR, (0x0e, 0x1d, 0)));
        assert_eq!(usize::try_from(command.information()).unwrap(), 512 * blocks - 7);
        assert_eq!(lun.read(4096, 512 * blocks), (OK, new), "unchanged");
    }
}

#[test]
fn odd_data_and_ranges_beyond_the_end_are_refused() {
    let volume = LocalVolume::new();
    volume.image("disk.img", MIB);
    let lun = Lun::opened(&volume.cfgstring("disk.img", ""), MIB);
    assert_eq!(lun.submit_compare_and_write(MIB, &[0; 512], &[1; 512]).returned, RANGE);
    let command = support::runner::FakeCommand::with_cdb(vec![0; 1024], &[0x89]);
    let pending = lun.submit(command, |device, cmd, iov, count, _| {
        // SAFETY: a live command; the plugin does not trust the length.
        unsafe { (table().caw)(device, cmd, 0, 1024, iov, count) }
    });
    assert_eq!(pending.returned, INVALID_CDB);
}

/// Increments the number in the first block, as ATS does: read, compare and write, again if
/// somebody was faster.
fn increment(lun: &Lun, times: u64) {
    for _ in 0..times {
        loop {
            let (status, old) = lun.read(0, 512);
            assert_eq!(status, OK);
            let number = u64::from_le_bytes(old[..8].try_into().unwrap());
            let mut new = old.clone();
            new[..8].copy_from_slice(&(number + 1).to_le_bytes());
            match lun.submit_compare_and_write(0, &old, &new).wait().0 {
                OK => break,
                PASSTHROUGH_ERR => {}
                other => panic!("status {other}"),
            }
        }
    }
}

/// Two LUNs over one connection, and two over connections of their own, as on two gateways.
#[test]
fn increments_through_several_luns_at_once_add_up() {
    let volume = LocalVolume::new();
    volume.image("disk.img", MIB);
    let luns: Vec<Lun> = ["", "", ";connection=own", ";connection=own"]
        .iter()
        .map(|options| Lun::opened(&volume.cfgstring("disk.img", options), MIB))
        .collect();
    std::thread::scope(|scope| {
        for lun in &luns {
            scope.spawn(|| increment(lun, 100));
        }
    });
    let (_, block) = luns[0].read(0, 512);
    assert_eq!(u64::from_le_bytes(block[..8].try_into().unwrap()), 400);
}

#[test]
fn a_lun_that_is_closed_leaves_no_lock_behind() {
    let volume = LocalVolume::new();
    volume.image("disk.img", MIB);
    let mut one = Lun::opened(&volume.cfgstring("disk.img", ""), MIB);
    let other = Lun::opened(&volume.cfgstring("disk.img", ";connection=own"), MIB);
    increment(&one, 3);
    one.close();
    increment(&other, 3);
    assert_eq!(other.read(0, 8), (OK, 6_u64.to_le_bytes().to_vec()));
}

#[test]
fn an_error_is_told_and_leaves_no_lock_behind() {
    let volume = LocalVolume::new();
    volume.image("disk.img", MIB);
    let path = volume.path("disk.img");
    let one = Lun::opened(&volume.cfgstring("disk.img", ""), MIB);
    let other = Lun::opened(&volume.cfgstring("disk.img", ";connection=own"), MIB);
    for (errno, status) in [
        (libc::ENXIO, WR_ERR),
        (libc::ENOTCONN, BUSY),
        (libc::ENOMEM, 1),
        (libc::ENOSPC, PASSTHROUGH_ERR),
    ] {
        faults::set(&path, Some(Fault::AtSubmit(errno)));
        assert_eq!(one.submit_compare_and_write(0, &[0; 512], &[0; 512]).wait().0, status);
        faults::set(&path, None);
        increment(&other, 1);
        increment(&one, 1);
        assert_eq!(one.submit_compare_and_write(0, &one.read(0, 512).1, &[0; 512]).wait().0, OK);
    }
}

#[test]
fn reads_and_writes_go_on_meanwhile() {
    let volume = LocalVolume::new();
    volume.image("disk.img", MIB);
    let lun = Lun::opened(&volume.cfgstring("disk.img", ""), MIB);
    std::thread::scope(|scope| {
        let increments = scope.spawn(|| increment(&lun, 200));
        let mut rounds = 0;
        while !increments.is_finished() {
            assert_eq!(lun.write(4096, &[7; 4096]), OK);
            assert_eq!(lun.read(4096, 4096), (OK, vec![7; 4096]));
            rounds += 1;
        }
        assert!(rounds > 10, "{rounds}");
    });
    assert_eq!(lun.read(0, 8), (OK, 200_u64.to_le_bytes().to_vec()));
}
