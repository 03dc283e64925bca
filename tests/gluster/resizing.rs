// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Images that other tools resize under a LUN, in the order and the time that they take.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::types::SHARDED;
use support::cluster::Volume;
use support::runner::{Lun, OK, RANGE};
use support::{eventually, pattern};

const MIB: u64 = 1 << 20;
const OLD: u64 = 8 * MIB;
const NEW: u64 = 48 * MIB;
/// Where initiators write as soon as they can: the fill comes there last.
const LATE: i64 = 44 << 20;

/// gluster-block's `modify size` of a block whose space is allocated: truncate, zeros, then
/// `dev_size` on each gateway.
pub(crate) fn gluster_block_on_disperse() {
    grown(
        &Volume::start(&["disperse", "3", "redundancy", "1"], 3, &[]),
        "block-store/id",
        Announced::ByDevSize,
    );
}

pub(crate) fn gluster_block_on_shards() {
    grown(&Volume::start(&[], 1, &SHARDED), "block-store/id", Announced::ByDevSize);
}

/// Another tool that does so, and leaves it to the LUN to find out.
pub(crate) fn filled_on_disperse() {
    grown(
        &Volume::start(&["disperse", "3", "redundancy", "1"], 3, &[]),
        "disk.img",
        Announced::ByItself,
    );
}

pub(crate) fn filled_on_shards() {
    grown(&Volume::start(&[], 1, &SHARDED), "disk.img", Announced::ByItself);
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Announced {
    ByDevSize,
    ByItself,
}

fn grown(volume: &Volume, image: &str, announced: Announced) {
    volume.mounted(|mount| {
        let path = mount.join(image);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        File::create(&path).unwrap().set_len(OLD).unwrap();
        let lun = Lun::in_configfs(&volume.name, &volume.cfgstring(image, ""), OLD);
        assert_eq!(lun.write(0, &pattern(1, 1 << 20)), OK);
        fill(&path, &lun);
        let full = Instant::now();
        if announced == Announced::ByDevSize {
            thread::sleep(Duration::from_secs(14));
            assert_eq!(lun.bytes(), OLD, "announced by itself");
            assert_eq!(lun.set_dev_size(NEW), 0);
        }
        eventually("the LUN has grown", || lun.bytes() == NEW);
        assert!(full.elapsed() < Duration::from_secs(25));
        assert_eq!(lun.write(LATE, &pattern(2, 1 << 20)), OK);
        thread::sleep(Duration::from_secs(1));
        assert!(
            lun.read(LATE, 1 << 20) == (OK, pattern(2, 1 << 20)),
            "acknowledged, and filled over"
        );
        assert!(lun.read(0, 1 << 20) == (OK, pattern(1, 1 << 20)));
    });
}

/// Makes the image longer, then fills what is new, slowly; initiators must not get at it before.
fn fill(path: &Path, lun: &Lun) {
    let file = File::options().write(true).open(path).unwrap();
    file.set_len(NEW).unwrap();
    for offset in (OLD..NEW).step_by(1 << 20) {
        assert_eq!(
            lun.write(LATE, &[7; 4096]),
            RANGE,
            "let in while the fill was at {} MiB",
            offset / MIB
        );
        assert_eq!(lun.write(0, &pattern(1, 1 << 20)), OK, "initiators go on");
        file.write_all_at(&vec![0; 1 << 20], offset).unwrap();
        file.sync_all().unwrap();
        thread::sleep(Duration::from_millis(400));
    }
}

/// gluster-block's `modify size N force`: truncate, then `dev_size`.
pub(crate) fn shrunk() {
    for (layout, bricks, options) in [
        (&["disperse", "3", "redundancy", "1"][..], 3, &[][..]),
        (&[], 1, &SHARDED),
        (&["replica", "3"], 3, &[]),
    ] {
        let volume = Volume::start(layout, bricks, options);
        volume.mounted(|mount| {
            let path = mount.join("disk.img");
            File::create(&path).unwrap().set_len(NEW).unwrap();
            let lun = Lun::in_configfs(&volume.name, &volume.cfgstring("disk.img", ""), NEW);
            assert_eq!(lun.write(0, &pattern(1, 1 << 20)), OK);
            assert_eq!(lun.set_dev_size(OLD), -libc::EINVAL, "the image has more");
            File::options().write(true).open(&path).unwrap().set_len(OLD).unwrap();
            assert_eq!(lun.set_dev_size(OLD), 0);
            assert_eq!(
                (lun.bytes(), lun.write(LATE, &[7; 512]), lun.read(LATE, 512).0),
                (OLD, RANGE, RANGE)
            );
            assert!(lun.read(0, 1 << 20) == (OK, pattern(1, 1 << 20)));
        });
    }
}
