// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Offsets and lengths at and beyond every edge; nothing is written past the end of a LUN.

use std::fs;

use support::runner::{INVALID_CDB, Lun, OK, RANGE, table};
use support::volume::LocalVolume;

const MIB: u64 = 1 << 20;

fn lun(volume: &LocalVolume) -> Lun {
    volume.image("disk.img", MIB);
    Lun::opened(&volume.cfgstring("disk.img", ""), MIB)
}

#[test]
fn commands_beyond_the_end_are_refused_before_they_reach_the_volume() {
    let volume = LocalVolume::new();
    let lun = lun(&volume);
    let end = 1 << 20;
    for offset in [end, end - 511, end + 512, i64::MAX, i64::MAX - 511, -1, -512, i64::MIN] {
        let pending = lun.submit_write(offset, &[1; 512]);
        assert_eq!(pending.returned, RANGE, "WRITE at {offset}");
        assert_eq!(lun.submit_read(offset, 512).returned, RANGE, "READ at {offset}");
    }
    assert_eq!(fs::metadata(volume.brick_path("disk.img")).unwrap().len(), MIB);
    assert_eq!(lun.write(end - 512, &[1; 512]), OK);
}

#[test]
fn a_transfer_of_nothing_is_done() {
    let volume = LocalVolume::new();
    let lun = lun(&volume);
    assert_eq!(lun.write(0, &[]), OK);
    assert_eq!(lun.read(0, 0), (OK, Vec::new()));
    assert_eq!(lun.write(1 << 20, &[]), OK, "at the very end");
}

#[test]
fn a_length_that_is_not_that_of_the_data_is_refused() {
    let volume = LocalVolume::new();
    let lun = lun(&volume);
    for wrong in [0, 511, 513, usize::MAX] {
        let command = support::runner::FakeCommand::new(vec![1; 512]);
        let pending = lun.submit(command, |device, cmd, iov, count, _| {
            // SAFETY: a live command; the plugin does not trust the length.
            unsafe { (table().write)(device, cmd, iov, count, wrong, 0) }
        });
        assert_eq!(pending.returned, INVALID_CDB);
    }
}
