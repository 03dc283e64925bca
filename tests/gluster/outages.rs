// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Clusters that cannot be reached when a LUN is opened, and outages that do not end by themselves.

use std::time::{Duration, Instant};

use support::cluster::{NOWHERE, Volume, gluster};
use support::runner::{BUSY, Lun, OK, PASSTHROUGH_ERR};
use support::{eventually, log, pattern};

const MIB: u64 = 1 << 20;
const BECOMING_READY: (u8, u8, u8) = (2, 4, 1);
const BECAME_READY: (u8, u8, u8) = (6, 0x28, 0);
const TEST_UNIT_READY: [u8; 6] = [0; 6];

/// Status and sense of a READ.
fn read(lun: &Lun) -> (i32, Option<(u8, u8, u8)>) {
    let (status, command) = lun.submit_read(0, 512).wait();
    (status, (status == PASSTHROUGH_ERR).then(|| command.sense()))
}

pub(crate) fn deferred() {
    let volume = Volume::start(&["replica", "3"], 3, &[]);
    volume.image("disk.img", 2 * MIB);
    volume.kill_bricks();
    let begin = Instant::now();
    // The admin said 1 MiB: the image decides, when it has been at rest.
    let lun = Lun::in_configfs("deferred", &volume.cfgstring("disk.img", ""), MIB);
    assert!(begin.elapsed() < Duration::from_secs(8), "{:?}", begin.elapsed());
    let lines = log::lines(&format!("{}@", volume.name));
    let told: Vec<_> = lines.iter().filter(|line| !line.starts_with("info")).collect();
    assert!(
        told.len() == 1 && told[0].starts_with("warn") && told[0].contains("not ready yet"),
        "{lines:?}"
    );
    assert!(!told[0].ends_with("..."), "goes on in another line: {lines:?}");
    assert_eq!(read(&lun), (PASSTHROUGH_ERR, Some(BECOMING_READY)));
    assert_eq!(lun.submit_write(0, &[1; 512]).returned, PASSTHROUGH_ERR);
    assert_eq!(lun.submit_unmap(0, 512).returned, PASSTHROUGH_ERR);
    assert_eq!(lun.screen(&TEST_UNIT_READY).0, PASSTHROUGH_ERR);
    std::thread::sleep(Duration::from_secs(6));
    assert_eq!(read(&lun), (PASSTHROUGH_ERR, Some(BECOMING_READY)), "still");

    volume.restart_bricks();
    let begin = Instant::now();
    eventually("the LUN is ready", || read(&lun).1 != Some(BECOMING_READY));
    println!("ready {:?} after the bricks", begin.elapsed());
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    // That READ took the unit attention along.
    assert_eq!(lun.screen(&TEST_UNIT_READY).0, OK);
    assert_eq!(lun.write(0, &pattern(1, 4096)), OK);
    assert_eq!(lun.read(0, 4096), (OK, pattern(1, 4096)));
    eventually("the LUN has the image's size", || lun.bytes() == 2 * MIB);
    assert_eq!(lun.read(i64::try_from(2 * MIB - 512).unwrap(), 512).0, OK);

    // The same once more, to look at the unit attention itself.
    volume.kill_bricks();
    let other = Lun::opened(&volume.cfgstring("disk.img", ";connection=own"), 2 * MIB);
    volume.restart_bricks();
    eventually("it is not becoming ready any more", || {
        let (status, sense) = read(&other);
        assert!(
            status == PASSTHROUGH_ERR && matches!(sense, Some(BECOMING_READY | BECAME_READY)),
            "{status} {sense:?}"
        );
        sense == Some(BECAME_READY)
    });
    assert_eq!(read(&other), (OK, None));
}

pub(crate) fn silent_server() {
    gluster(&["volume", "list"]);
    let begin = Instant::now();
    let luns: Vec<Lun> =
        (0..20).map(|n| Lun::opened(&format!("glfs/silent@{NOWHERE}/disk{n}.img"), MIB)).collect();
    assert!(begin.elapsed() < Duration::from_secs(15), "20 LUNs: {:?}", begin.elapsed());
    for lun in &luns {
        assert_eq!(read(lun), (PASSTHROUGH_ERR, Some(BECOMING_READY)));
    }
    // A LUN that goes on trying can be removed at once.
    let begin = Instant::now();
    drop(luns);
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
}

/// The image is removed and made anew under the open LUN: its descriptor is good for nothing any
/// more, and only another one helps.
pub(crate) fn bad_descriptor() {
    let volume = Volume::start(&[], 1, &[]);
    volume.image("disk.img", MIB);
    let lun = Lun::opened(&volume.cfgstring("disk.img", ""), MIB);
    assert_eq!(lun.write(0, &pattern(1, 4096)), OK);
    // A brick that has lost the file refuses to open it again for a client that comes back.
    volume.kill_bricks();
    eventually("the loss is noticed", || lun.read(0, 4096).0 == BUSY);
    volume.forget("disk.img");
    volume.restart_bricks();
    volume.image("disk.img", MIB);
    let begin = Instant::now();
    eventually("the LUN serves the image of that name", || lun.read(0, 512) == (OK, vec![0; 512]));
    println!("served {:?} after the bricks", begin.elapsed());
    assert_eq!((lun.write(0, &pattern(2, 4096)), lun.read(0, 4096)), (OK, (OK, pattern(2, 4096))));
    let lines = log::lines(&format!("{}@", volume.name));
    assert!(lines.iter().any(|line| line.contains("opened anew")), "{lines:?}");
}

/// A multipath driver sends nothing but TEST UNIT READY over a path that has failed.
pub(crate) fn path_checker() {
    for (layout, bricks) in [(&[][..], 1), (&["replica", "3"][..], 3)] {
        let volume = Volume::start(layout, bricks, &[]);
        volume.image("disk.img", MIB);
        let lun = Lun::opened(&volume.cfgstring("disk.img", ";outage=1"), MIB);
        let is_ready = || lun.screen(&TEST_UNIT_READY).0 == OK;
        assert!(is_ready());
        volume.kill_bricks();
        eventually("the loss is noticed", || lun.read(0, 512).0 == BUSY);
        eventually("the outage lasts too long", || !is_ready());
        volume.restart_bricks();
        let begin = Instant::now();
        eventually("the path is well again", is_ready);
        println!("{layout:?}: ready {:?} after the bricks", begin.elapsed());
        eventually("and serves", || lun.write(0, &[1; 512]) == OK);
        assert!(is_ready());
    }
}
