// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The size of a LUN, and what the core is told at open.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use support::eventually;
use support::faults::{self, Fault};
use support::log;
use support::runner::{BUSY, Lun, OK, RANGE, RD_ERR, WR_ERR};
use support::volume::LocalVolume;

const MIB: u64 = 1 << 20;
const DEV_CFGSTR: u32 = 0;
const WRITE_CACHE: u32 = 2;

#[test]
fn limits_that_protect_the_daemon_are_always_set() {
    let volume = LocalVolume::new();
    volume.image("disk.img", MIB);
    for block_size in [512, 4096] {
        let mut lun = Lun::new(&volume.cfgstring("disk.img", ""), MIB, block_size);
        assert_eq!(lun.open(), 0);
        let device = &lun.device;
        assert_eq!(device.unmap_align.load(Ordering::SeqCst), 1, "the core divides by it");
        assert_eq!(device.unmap_granularity.load(Ordering::SeqCst), 1);
        assert!(!device.unmap_split.load(Ordering::SeqCst));
        assert_eq!(device.max_xfer_len.load(Ordering::SeqCst), (1 << 20) / block_size);
        assert_eq!(device.xcopy_len.load(Ordering::SeqCst), (1 << 20) / block_size);
        assert!(device.max_unmap_len.load(Ordering::SeqCst) > 0);
        assert!(
            device.write_cache.load(Ordering::SeqCst) && device.solid_state.load(Ordering::SeqCst)
        );
        assert_eq!(device.size_updates.load(Ordering::SeqCst), 0);
    }
}

#[test]
fn a_larger_transfer_limit_of_the_admin_is_kept() {
    let volume = LocalVolume::new();
    volume.image("disk.img", MIB);
    let mut lun = Lun::new(&volume.cfgstring("disk.img", ""), MIB, 512);
    lun.device.max_xfer_len.store(16384, Ordering::SeqCst);
    assert_eq!(lun.open(), 0);
    assert_eq!(lun.device.max_xfer_len.load(Ordering::SeqCst), 16384);
}

#[test]
fn an_image_that_is_smaller_than_its_lun_was_created_decides_the_size() {
    let volume = LocalVolume::new();
    for (told, image, lun_bytes) in
        [(2 * MIB, MIB, MIB), (2 * MIB, MIB + 700, MIB + 512), (0, MIB, MIB)]
    {
        let name = format!("size-{told}-{image}.img");
        volume.image(&name, image);
        let lun = Lun::opened(&volume.cfgstring(&name, ""), told);
        assert_eq!(lun.bytes(), lun_bytes);
        assert_eq!(
            log::lines(&name)
                .iter()
                .filter(|l| l.starts_with("warn: ") && l.contains("the LUN has"))
                .count(),
            1
        );
        let end = i64::try_from(lun_bytes).unwrap();
        assert_eq!(lun.write(end - 512, &[1; 512]), OK);
        assert_eq!(lun.write(end, &[1; 512]), RANGE);
    }
}

/// The daemon may have been started while a tool fills the image.
#[test]
fn an_image_that_is_larger_than_its_lun_was_created_is_grown_into_when_it_is_at_rest() {
    let volume = LocalVolume::new();
    volume.image("larger.img", 2 * MIB);
    let lun = Lun::in_configfs("larger", &volume.cfgstring("larger.img", ""), MIB);
    assert_eq!((lun.bytes(), lun.write(1 << 20, &[1; 512])), (MIB, RANGE));
    assert_eq!(
        log::lines("larger.img: created with 1048576 bytes, but the image holds 2097152").len(),
        1
    );
    eventually("the LUN grows", || lun.bytes() == 2 * MIB);
    assert_eq!(lun.write((2 << 20) - 512, &[1; 512]), OK);
}

#[test]
fn unfit_shapes_are_refused_with_a_reason() {
    let volume = LocalVolume::new();
    for (image, block_size, reason) in [
        (0, 512, "less than one logical block"),
        (4095, 4096, "less than one logical block"),
        (MIB, 0, "a logical block of 0 bytes"),
        (MIB, 1000, "a logical block of 1000 bytes"),
        (MIB, u32::MAX, "a logical block of 4294967295 bytes"),
    ] {
        let name = format!("unfit-{image}-{block_size}.img");
        volume.image(&name, image);
        let mut lun = Lun::new(&volume.cfgstring(&name, ""), MIB, block_size);
        assert!(lun.open() < 0);
        let lines: Vec<_> =
            log::lines(&name).into_iter().filter(|l| l.starts_with("error")).collect();
        assert!(lines.len() == 1 && lines[0].contains(reason), "{lines:?}");
    }
}

#[test]
fn the_admin_grows_a_lun_into_a_grown_image_and_does_not_shrink_one_whose_image_is_larger() {
    let volume = LocalVolume::new();
    volume.image("grow.img", MIB);
    let lun = Lun::opened(&volume.cfgstring("grow.img", ""), MIB);
    assert_eq!(lun.set_dev_size(2 * MIB), -libc::ENOSPC, "the image is too small");
    volume.image("grow.img", 2 * MIB);
    assert_eq!(lun.set_dev_size(2 * MIB), 0);
    assert_eq!(lun.write((2 << 20) - 512, &[1; 512]), OK);
    assert_eq!(lun.set_dev_size(MIB), -libc::EINVAL);
    assert_eq!(lun.set_dev_size(0), -libc::EINVAL);
    assert_eq!(lun.set_dev_size(u64::MAX), -libc::ENOSPC);
    assert_eq!(lun.write((2 << 20) - 512, &[1; 512]), OK, "still 2 MiB");
}

#[test]
fn an_image_that_grows_makes_its_lun_grow_by_itself() {
    let volume = LocalVolume::new();
    volume.image("growing.img", MIB);
    let lun = Lun::in_configfs("growing", &volume.cfgstring("growing.img", ""), MIB);
    let begin = Instant::now();
    volume.image("growing.img", 3 * MIB + 100);
    eventually("the LUN grows", || lun.bytes() == 3 * MIB);
    // 10 s of rest and 3 s from look to look; a machine that is busy with other tests gets some
    // more.
    assert!(begin.elapsed() >= Duration::from_secs(9) && begin.elapsed() < Duration::from_secs(20));
    assert_eq!(lun.device.size_updates.load(Ordering::SeqCst), 1);
    assert_eq!(lun.write((3 << 20) - 512, &[1; 512]), OK);
    assert_eq!(lun.write(3 << 20, &[1; 512]), RANGE);
}

/// As gluster-block does with a block whose space is allocated: cuts or makes the image longer,
/// fills it, then sets `dev_size`.
#[test]
fn an_image_that_is_filled_after_it_has_grown_is_not_announced_before_it_is_full() {
    let volume = LocalVolume::new();
    volume.image("filled.img", MIB);
    let lun = Lun::in_configfs("filled", &volume.cfgstring("filled.img", ""), MIB);
    assert_eq!(lun.write(0, &vec![1; 1 << 20]), OK);
    volume.image("filled.img", 30 * MIB);
    let image = File::options().write(true).open(volume.brick_path("filled.img")).unwrap();
    for mebibyte in 1..30 {
        // Initiators go on meanwhile, and what they write is there already.
        assert_eq!(lun.write(0, &[2; 512]), OK);
        assert_eq!(lun.bytes(), MIB, "announced while {} MiB were missing", 30 - mebibyte);
        image.write_all_at(&vec![0; 1 << 20], mebibyte << 20).unwrap();
        thread::sleep(Duration::from_millis(500));
    }
    let full = Instant::now();
    eventually("the LUN grows", || lun.bytes() == 30 * MIB);
    assert!(
        full.elapsed() >= Duration::from_secs(7),
        "announced after {:?} of rest",
        full.elapsed()
    );
}

#[test]
fn an_image_with_grow_manual_grows_its_lun_only_by_hand() {
    let volume = LocalVolume::new();
    volume.image("manual.img", MIB);
    let lun = Lun::in_configfs("manual", &volume.cfgstring("manual.img", ";grow=manual"), MIB);
    volume.image("manual.img", 2 * MIB);
    thread::sleep(Duration::from_secs(16));
    assert_eq!((lun.bytes(), lun.device.size_updates.load(Ordering::SeqCst)), (MIB, 0));
    assert_eq!(lun.set_dev_size(2 * MIB), 0);
    assert_eq!(lun.write(1 << 20, &[1; 512]), OK);
}

#[test]
fn an_image_that_is_cut_off_takes_no_writes_past_its_end_and_is_no_error_at_first() {
    let volume = LocalVolume::new();
    volume.image("cut.img", 2 * MIB);
    let lun = Lun::opened(&volume.cfgstring("cut.img", ""), 2 * MIB);
    let reports = || log::lines("cut.img: the image has been cut off");
    volume.image_shrinks("cut.img", MIB);
    eventually("it is reported", || reports().len() == 1);
    thread::sleep(Duration::from_secs(4));
    assert_eq!((reports().len(), lun.bytes()), (1, 2 * MIB));
    assert!(reports()[0].starts_with("info: "), "{:?}", reports());
    assert_eq!(lun.read(1 << 20, 512).0, RD_ERR);
    assert_eq!(lun.write((1 << 20) - 512, &[1; 512]), OK);
    for offset in [1 << 20, (1 << 20) - 512] {
        assert_eq!(
            lun.write(offset, &[1; 1024]),
            WR_ERR,
            "acknowledged, and lost when the image is cut off again"
        );
    }
    assert_eq!(lun.submit_write_same(MIB, 4096, &[0; 512]).wait().0, WR_ERR);
    assert_eq!(lun.submit_compare_and_write(MIB, &[0; 512], &[1; 512]).wait().0, WR_ERR);
    assert_eq!(fs::metadata(volume.brick_path("cut.img")).unwrap().len(), MIB);
    volume.image("cut.img", 2 * MIB);
    eventually("it is whole again", || lun.write(1 << 20, &[1; 512]) == OK);
}

#[test]
fn a_lun_shrinks_to_an_image_that_has_been_cut_off_and_does_not_grow_back_by_itself() {
    let volume = LocalVolume::new();
    volume.image("shrink.img", 4 * MIB);
    let lun = Lun::in_configfs("shrink", &volume.cfgstring("shrink.img", ""), 4 * MIB);
    volume.image_shrinks("shrink.img", 2 * MIB);
    assert_eq!(lun.set_dev_size(3 * MIB), -libc::ENOSPC);
    assert_eq!(lun.set_dev_size(MIB), -libc::EINVAL, "the image has more");
    assert_eq!(lun.set_dev_size(2 * MIB), 0);
    assert_eq!(lun.bytes(), 2 * MIB);
    assert_eq!(lun.write((2 << 20) - 512, &[1; 512]), OK);
    assert_eq!((lun.write(2 << 20, &[1; 512]), lun.read(2 << 20, 512).0), (RANGE, RANGE));
    assert_eq!(log::lines("shrink.img: shrunk from 4194304 to 2097152 bytes by dev_size").len(), 1);
    // As a late write of another gateway would make it.
    volume.image("shrink.img", 4 * MIB);
    thread::sleep(Duration::from_secs(16));
    assert_eq!(lun.bytes(), 2 * MIB, "grown back");
    assert_eq!(lun.set_dev_size(4 * MIB), 0);
    assert_eq!(
        log::lines("shrink.img").iter().filter(|line| line.starts_with("error: ")).count(),
        2
    );
}

#[test]
fn a_write_in_flight_past_the_new_end_is_waited_for_before_a_lun_shrinks() {
    let volume = LocalVolume::new();
    volume.image("flight.img", 4 * MIB);
    let lun = Lun::opened(&volume.cfgstring("flight.img", ""), 4 * MIB);
    faults::set(&volume.path("flight.img"), Some(Fault::Delayed(Duration::from_secs(1))));
    let pending = lun.submit_write(3 << 20, &[1; 512]);
    faults::set(&volume.path("flight.img"), None);
    volume.image_shrinks("flight.img", 2 * MIB);
    // The write lands now, and makes the image 3 MiB and 512 bytes again.
    assert_eq!(lun.set_dev_size(2 * MIB), -libc::EBUSY);
    assert_eq!(pending.answered(), Some(OK), "answered before the size was");
    assert_eq!(lun.bytes(), 4 * MIB);
    volume.image_shrinks("flight.img", 2 * MIB);
    assert_eq!(lun.set_dev_size(2 * MIB), 0);
}

/// As the C handler answers: gluster-block gives up a block on a gateway that refuses.
#[test]
fn a_size_is_accepted_while_the_image_cannot_be_looked_at_and_nothing_is_served_past_what_is_known()
{
    let volume = LocalVolume::new();
    volume.image("unseen.img", 2 * MIB);
    let lun = Lun::in_configfs("unseen", &volume.cfgstring("unseen.img", ""), 2 * MIB);
    let outage = || {
        faults::set(&volume.path("unseen.img"), Some(Fault::Late(libc::ENOTCONN)));
        assert_eq!(lun.write(0, &[1; 512]), BUSY);
    };
    outage();
    assert_eq!(lun.set_dev_size(4 * MIB), 0);
    assert_eq!(lun.write(2 << 20, &[1; 512]), RANGE, "the image has not been seen to be so large");
    volume.image("unseen.img", 4 * MIB);
    faults::set(&volume.path("unseen.img"), None);
    assert_eq!(lun.write(0, &[1; 512]), OK);
    eventually("the image is looked at", || lun.write(2 << 20, &[1; 512]) == OK);
    outage();
    assert_eq!(lun.set_dev_size(MIB), 0);
    assert_eq!(lun.write(1 << 20, &[1; 512]), RANGE);
    assert_eq!(lun.set_dev_size(8 * MIB), 0);
    faults::set(&volume.path("unseen.img"), None);
    assert_eq!(lun.write(0, &[1; 512]), OK);
    eventually("the kernel is told that the image is not so large", || lun.bytes() == MIB);
}

#[test]
fn other_changes_of_a_live_lun_are_refused() {
    let volume = LocalVolume::new();
    volume.image("disk.img", MIB);
    let lun = Lun::opened(&volume.cfgstring("disk.img", ""), MIB);
    assert_eq!(lun.reconfig(WRITE_CACHE, 1), 0);
    assert_eq!(lun.reconfig(WRITE_CACHE, 0), -libc::EOPNOTSUPP);
    assert_eq!(lun.reconfig(DEV_CFGSTR, 0), -libc::EOPNOTSUPP);
    assert_eq!(lun.reconfig(99, 0), -libc::EOPNOTSUPP);
}
