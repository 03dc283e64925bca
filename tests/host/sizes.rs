//! The size of a LUN, and what the core is told at open.

use std::sync::atomic::Ordering;

use crate::support::eventually;
use crate::support::log;
use crate::support::runner::{Lun, OK, RANGE, RD_ERR};
use crate::support::volume::LocalVolume;

const MIB: u64 = 1 << 20;
const DEV_CFGSTR: u32 = 0;
const DEV_SIZE: u32 = 1;
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
        assert!(device.write_cache.load(Ordering::SeqCst) && device.solid_state.load(Ordering::SeqCst));
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
fn the_image_decides_the_size() {
    let volume = LocalVolume::new();
    for (told, image, lun_bytes) in
        [(2 * MIB, MIB, MIB), (MIB, 2 * MIB, 2 * MIB), (MIB, MIB + 700, MIB + 512), (0, MIB, MIB)]
    {
        let name = format!("size-{told}-{image}.img");
        volume.image(&name, image);
        let lun = Lun::opened(&volume.cfgstring(&name, ""), told);
        assert_eq!(lun.bytes(), lun_bytes);
        assert_eq!(
            log::lines(&name).iter().filter(|l| l.starts_with("warn: ") && l.contains("the LUN has")).count(),
            1
        );
        let end = i64::try_from(lun_bytes).unwrap();
        assert_eq!(lun.write(end - 512, &[1; 512]), OK);
        assert_eq!(lun.write(end, &[1; 512]), RANGE);
    }
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
        let lines: Vec<_> = log::lines(&name).into_iter().filter(|l| l.starts_with("error")).collect();
        assert!(lines.len() == 1 && lines[0].contains(reason), "{lines:?}");
    }
}

#[test]
fn the_admin_grows_a_lun_into_a_grown_image_and_never_shrinks_it() {
    let volume = LocalVolume::new();
    volume.image("grow.img", MIB);
    let lun = Lun::opened(&volume.cfgstring("grow.img", ""), MIB);
    assert_eq!(lun.reconfig(DEV_SIZE, 2 * MIB), -libc::ENOSPC, "the image is too small");
    volume.image("grow.img", 2 * MIB);
    assert_eq!(lun.reconfig(DEV_SIZE, 2 * MIB), 0);
    assert_eq!(lun.write((2 << 20) - 512, &[1; 512]), OK);
    assert_eq!(lun.reconfig(DEV_SIZE, MIB), -libc::EINVAL);
    assert_eq!(lun.reconfig(DEV_SIZE, 0), -libc::EINVAL);
    assert_eq!(lun.reconfig(DEV_SIZE, u64::MAX), -libc::ENOSPC);
    assert_eq!(lun.write((2 << 20) - 512, &[1; 512]), OK, "still 2 MiB");
}

#[test]
fn an_image_that_grows_makes_its_lun_grow_by_itself() {
    let volume = LocalVolume::new();
    volume.image("growing.img", MIB);
    let lun = Lun::in_configfs("growing", &volume.cfgstring("growing.img", ""), MIB);
    let begin = std::time::Instant::now();
    volume.image("growing.img", 3 * MIB + 100);
    eventually("the LUN grows", || lun.bytes() == 3 * MIB);
    // The watch takes 3 s; a machine that is busy with other tests gets some more.
    assert!(begin.elapsed().as_secs() < 10);
    assert_eq!(lun.device.size_updates.load(Ordering::SeqCst), 1);
    assert_eq!(lun.write((3 << 20) - 512, &[1; 512]), OK);
    assert_eq!(lun.write(3 << 20, &[1; 512]), RANGE);
}

#[test]
fn an_image_that_is_cut_off_is_reported_once_and_the_lun_keeps_its_size() {
    let volume = LocalVolume::new();
    volume.image("cut.img", 2 * MIB);
    let lun = Lun::opened(&volume.cfgstring("cut.img", ""), 2 * MIB);
    let reports = || log::lines("cut.img: the image has been cut off").len();
    volume.image_shrinks("cut.img", MIB);
    eventually("it is reported", || reports() == 1);
    std::thread::sleep(std::time::Duration::from_secs(4));
    assert_eq!((reports(), lun.bytes()), (1, 2 * MIB));
    assert_eq!(lun.read(1 << 20, 512).0, RD_ERR);
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
