// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Commands that arrive while a flush is under way share the next one.

use libc::EIO;

use support::faults::{self, Fault};
use support::runner::{Lun, OK, WR_ERR};
use support::volume::LocalVolume;

const MIB: u64 = 1 << 20;

#[test]
fn flushes_that_arrive_during_one_share_the_next_and_do_not_join_the_one_that_has_begun() {
    let volume = LocalVolume::new();
    volume.image("disk.img", MIB);
    let path = volume.path("disk.img");
    let lun = Lun::opened(&volume.cfgstring("disk.img", ""), MIB);
    faults::set(&path, Some(Fault::HeldSync));
    let first = lun.submit_flush();
    assert_eq!(lun.write(0, &[1; 512]), OK, "after the first has begun");
    let others: Vec<_> = (0..10).map(|_| lun.submit_flush()).collect();
    std::thread::sleep(std::time::Duration::from_millis(100));
    assert_eq!(faults::calls(&path, "sync"), 1, "one at a time");
    assert!(
        others.iter().all(|flush| flush.answered().is_none()),
        "answered by a flush that began too early"
    );
    faults::set(&path, None);
    assert_eq!(first.wait().0, OK);
    for flush in others {
        assert_eq!(flush.wait().0, OK);
    }
    assert_eq!(faults::calls(&path, "sync"), 2, "one for all of those");
    assert_eq!(lun.flush(), OK);
    assert_eq!(faults::calls(&path, "sync"), 3, "and none is skipped");
}

#[test]
fn an_error_reaches_all_who_share_the_flush_and_nobody_else() {
    let volume = LocalVolume::new();
    volume.image("disk.img", MIB);
    let path = volume.path("disk.img");
    let lun = Lun::opened(&volume.cfgstring("disk.img", ""), MIB);
    faults::set(&path, Some(Fault::HeldSync));
    let first = lun.submit_flush();
    let (second, third) = (lun.submit_flush(), lun.submit_flush());
    faults::set(&path, Some(Fault::NoSync(EIO)));
    assert_eq!(first.wait().0, OK);
    assert_eq!((second.wait().0, third.wait().0), (WR_ERR, WR_ERR));
    faults::set(&path, None);
    assert_eq!(lun.flush(), OK);
}
