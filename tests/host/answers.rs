// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Answers of libgfapi that are wrong in length, or do not come.

use std::thread;
use std::time::Duration;

use support::faults::{self, Fault};
use support::pattern;
use support::runner::{Lun, OK, Pending, RD_ERR, WR_ERR};
use support::volume::LocalVolume;

const MIB: u64 = 1 << 20;
/// More than the plugin asks for in one call.
const LONG: usize = 6 << 20;

/// Every command that makes an asynchronous call.
fn one_of_each(lun: &Lun) -> Vec<Pending> {
    vec![
        lun.submit_read(0, 65536),
        lun.submit_write(65536, &[2; 65536]),
        lun.submit_forced_write(2 * 65536, &[3; 512]),
        lun.submit_flush(),
        lun.submit_unmap(4 * 65536, 65536),
        lun.submit_write_same(5 * 65536, 65536, &[0; 512]),
        lun.submit_write_same(6 * 65536, 65536, &[7; 512]),
        lun.submit_unmapping_write_same(7 * 65536, 65536, &[0; 512]),
    ]
}

#[test]
fn calls_that_do_half_of_their_work_are_continued_until_all_is_done() {
    let volume = LocalVolume::new();
    volume.image("half.img", 8 * MIB);
    let lun = Lun::opened(&volume.cfgstring("half.img", ""), 8 * MIB);
    faults::set(&volume.path("half.img"), Some(Fault::Half));
    let data = pattern(11, LONG);
    assert_eq!(lun.write(512, &data), OK);
    assert!(lun.read(512, LONG) == (OK, data), "other data");
    for pending in one_of_each(&lun) {
        assert_eq!(pending.wait().0, OK);
    }
    faults::set(&volume.path("half.img"), None);
    assert_eq!(lun.read(6 * 65536, 65536), (OK, vec![7; 65536]));
}

/// What a call claims beyond what it was asked for has not been moved: a GOOD would hand the
/// initiator what the ring held before, and lose what it wrote.
#[test]
fn calls_that_claim_more_than_they_were_asked_for_are_errors() {
    let volume = LocalVolume::new();
    volume.image("twice.img", 8 * MIB);
    let lun = Lun::opened(&volume.cfgstring("twice.img", ""), 8 * MIB);
    assert_eq!(lun.write(0, &pattern(12, LONG)), OK);
    faults::set(&volume.path("twice.img"), Some(Fault::Twice));
    assert_eq!(lun.read(0, LONG).0, RD_ERR);
    assert_eq!(lun.write(0, &pattern(13, LONG)), WR_ERR);
    faults::set(&volume.path("twice.img"), None);
    let data = pattern(14, LONG);
    assert_eq!(lun.write(0, &data), OK);
    assert!(lun.read(0, LONG) == (OK, data), "other data");
}

#[test]
fn calls_that_are_not_answered_hold_up_no_other_lun_and_end_when_their_connection_does() {
    let volume = LocalVolume::apart();
    volume.image("never.img", 8 * MIB);
    volume.image("other.img", MIB);
    let lun = Lun::opened(&volume.cfgstring("never.img", ""), 8 * MIB);
    let other = Lun::opened(&volume.cfgstring("other.img", ""), MIB);
    faults::set(&volume.path("never.img"), Some(Fault::Never));
    let pending = one_of_each(&lun);
    for _ in 0..10 {
        assert_eq!((other.write(0, &[1; 4096]), other.flush()), (OK, OK));
        thread::sleep(Duration::from_millis(50));
    }
    assert!(pending.iter().all(|command| command.answered().is_none()), "answered by nobody");
    // As libgfapi does: what is in flight on a connection that is lost gets ENOTCONN.
    faults::set(&volume.path("never.img"), None);
    for command in pending {
        assert_ne!(command.wait().0, OK);
    }
    support::eventually("the LUN serves again", || lun.write(0, &[1; 512]) == OK);
    assert_eq!(lun.read(0, 512), (OK, vec![1; 512]));
}
