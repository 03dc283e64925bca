// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! What the kernel has given up is not begun any more: the initiator may have written the blocks
//! anew.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use support::faults::{self, Fault};
use support::runner::{BUSY, Lun, OK};
use support::volume::LocalVolume;

const MIB: u64 = 1 << 20;

/// A LUN for whose commands the kernel waits so many seconds.
fn impatient(volume: &LocalVolume, bytes: u64, seconds: i32) -> (Lun, String) {
    volume.image("disk.img", bytes);
    let mut lun = Lun::new(&volume.cfgstring("disk.img", ""), bytes, 512);
    lun.device.cmd_time_out.store(seconds, Ordering::SeqCst);
    assert_eq!(lun.open(), 0);
    (lun, volume.path("disk.img"))
}

#[test]
fn a_write_same_of_zeros_on_a_slow_disk_does_not_zero_what_was_written_after_the_kernel_gave_up() {
    let volume = LocalVolume::apart();
    let (lun, path) = impatient(&volume, 128 * MIB, 4);
    faults::set(&path, Some(Fault::SlowWrites(Duration::from_millis(700))));
    let begin = Instant::now();
    let fill = lun.submit_write_same(0, 64 * MIB, &[0; 512]);
    assert_eq!(fill.returned, OK);
    thread::sleep(Duration::from_secs(4).saturating_sub(begin.elapsed()));
    let end = i64::try_from(64 * MIB - 512).unwrap();
    assert_eq!(lun.write(end, &[7; 512]), OK, "the initiator goes on");
    let (status, _) = fill.wait();
    faults::set(&path, None);
    assert_eq!(lun.read(end, 512), (OK, vec![7; 512]), "zeroed after the kernel had given up");
    assert_eq!(status, BUSY);
}

#[test]
fn a_fill_that_has_waited_too_long_behind_others_is_not_begun() {
    let volume = LocalVolume::apart();
    let (lun, path) = impatient(&volume, 128 * MIB, 2);
    faults::set(&path, Some(Fault::SlowWrites(Duration::from_millis(400))));
    let fills: Vec<_> = (0..4).map(|_| lun.submit_write_same(0, 24 * MIB, &[5; 512])).collect();
    let last = lun.submit_write_same(100 * MIB, MIB, &[6; 512]);
    for fill in fills {
        fill.wait();
    }
    assert_eq!(last.wait().0, BUSY);
    faults::set(&path, None);
    assert_eq!(lun.read(100 << 20, 512), (OK, vec![0; 512]), "it was executed");
}

#[test]
fn a_flush_that_has_waited_too_long_behind_another_is_not_begun() {
    let volume = LocalVolume::new();
    let (lun, path) = impatient(&volume, MIB, 60);
    // The attribute is written after the LUN was opened, when a saved configuration is restored.
    lun.device.cmd_time_out.store(1, Ordering::SeqCst);
    lun.screen(&[0x12]);
    faults::set(&path, Some(Fault::HeldSync));
    let (first, second) = (lun.submit_flush(), lun.submit_flush());
    thread::sleep(Duration::from_millis(1100));
    let third = lun.submit_flush();
    faults::set(&path, None);
    assert_eq!((first.wait().0, second.wait().0, third.wait().0), (OK, BUSY, OK));
    assert_eq!(faults::calls(&path, "sync"), 2);
}

#[test]
fn compare_and_writes_behind_a_dead_holders_lock_end_in_time_and_other_blocks_do_not_wait() {
    let volume = LocalVolume::new();
    let (lun, path) = impatient(&volume, MIB, 8);
    faults::set(&path, Some(Fault::LockHeld(4096)));
    let begin = Instant::now();
    let stuck: Vec<_> =
        (0..64).map(|_| lun.submit_compare_and_write(4096, &[0; 512], &[1; 512])).collect();
    let other = lun.submit_compare_and_write(8192, &[0; 512], &[2; 512]);
    support::eventually("the other block is served", || other.answered().is_some());
    assert!(begin.elapsed() < Duration::from_secs(3), "it waited for {:?}", begin.elapsed());
    for command in stuck {
        assert_eq!(command.wait().0, BUSY);
    }
    assert!(
        begin.elapsed() < Duration::from_secs(8),
        "the kernel had given up: {:?}",
        begin.elapsed()
    );
    faults::set(&path, None);
    assert_eq!(lun.read(4096, 512), (OK, vec![0; 512]), "executed after all");
    assert_eq!(lun.submit_compare_and_write(4096, &[0; 512], &[1; 512]).wait().0, OK);
}

#[test]
fn compare_and_writes_of_one_block_keep_their_order() {
    let volume = LocalVolume::new();
    let (lun, path) = impatient(&volume, MIB, 30);
    faults::set(&path, Some(Fault::LockHeld(0)));
    // Each finds what the one before it has left, or fails.
    let chain: Vec<_> =
        (0..32).map(|n| lun.submit_compare_and_write(0, &[n; 512], &[n + 1; 512])).collect();
    faults::set(&path, None);
    for command in chain {
        assert_eq!(command.wait().0, OK);
    }
    assert_eq!(lun.read(0, 512), (OK, vec![32; 512]));
}
