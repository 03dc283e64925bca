// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! What the initiator is told about an error of the volume, whichever way the error comes.

use std::time::Duration;

use libc::{
    EACCES, EAGAIN, EBADFD, EBUSY, EDQUOT, EINVAL, EIO, ENOMEM, ENOSPC, ENOTCONN, ENXIO,
    EOPNOTSUPP, EPERM, EROFS, ESTALE, ETIMEDOUT,
};

use support::eventually;
use support::faults::{self, Fault};
use support::log;
use support::runner::{
    BUSY, FakeCommand, INVALID_CDB, Lun, OK, PASSTHROUGH_ERR, Pending, RD_ERR, WR_ERR,
};
use support::volume::LocalVolume;

const MIB: u64 = 1 << 20;
const NO_RESOURCE: i32 = 1;
type Sense = Option<(u8, u8, u8)>;
const NO_SPACE: Sense = Some((7, 0x27, 0x07));
const PROTECTED: Sense = Some((7, 0x27, 0x00));

/// Every call that a LUN makes, with every errno, however it arrives: one answer each (`submit`
/// would notice two), and the documented one.
#[test]
fn every_errno_has_its_status_however_it_arrives() {
    let volume = LocalVolume::apart();
    volume.image("errors.img", MIB);
    let path = volume.path("errors.img");
    let lun = Lun::opened(&volume.cfgstring("errors.img", ""), MIB);
    let table: [(i32, i32, i32, Sense); 15] = [
        (ENOTCONN, BUSY, BUSY, None),
        (ETIMEDOUT, BUSY, BUSY, None),
        (EAGAIN, BUSY, BUSY, None),
        (ESTALE, BUSY, BUSY, None),
        (EBADFD, BUSY, BUSY, None),
        (EBUSY, BUSY, BUSY, None),
        (ENOMEM, NO_RESOURCE, NO_RESOURCE, None),
        (ENOSPC, PASSTHROUGH_ERR, PASSTHROUGH_ERR, NO_SPACE),
        (EDQUOT, PASSTHROUGH_ERR, PASSTHROUGH_ERR, NO_SPACE),
        (EROFS, PASSTHROUGH_ERR, PASSTHROUGH_ERR, PROTECTED),
        (EPERM, PASSTHROUGH_ERR, PASSTHROUGH_ERR, PROTECTED),
        (EACCES, PASSTHROUGH_ERR, PASSTHROUGH_ERR, PROTECTED),
        (EINVAL, INVALID_CDB, INVALID_CDB, None),
        (ENXIO, RD_ERR, WR_ERR, None),
        (EOPNOTSUPP, RD_ERR, WR_ERR, None),
    ];
    for (errno, read, write, sense) in table {
        for fault in [Fault::AtSubmit(errno), Fault::Inline(errno), Fault::Late(errno)] {
            faults::set(&path, Some(fault));
            let expect = |what: &str, pending: Pending, status: i32| {
                let (got, command): (i32, FakeCommand) = pending.wait();
                assert_eq!(got, status, "{what}, {fault:?}");
                assert_eq!(
                    (status == PASSTHROUGH_ERR).then(|| command.sense()),
                    sense,
                    "{what}, {fault:?}"
                );
            };
            expect("unmap", lun.submit_unmap(0, 4096), write);
            expect("verify", lun.submit_cdb(&[0x2f, 0, 0, 0, 0, 0, 0, 0, 1, 0], Vec::new()), read);
            expect("read", lun.submit_read(0, 512), read);
            expect("write", lun.submit_write(0, &[1; 512]), write);
            expect("forced write", lun.submit_forced_write(0, &[1; 512]), write);
            expect("flush", lun.submit_flush(), write);
            expect("write same", lun.submit_write_same(0, 4096, &[1; 512]), write);
            expect("write same of zeros", lun.submit_write_same(0, 4096, &[0; 512]), write);
            faults::set(&path, None);
            assert_eq!((lun.write(0, &[1; 512]), lun.flush()), (OK, OK), "works again");
        }
    }
}

#[test]
fn an_outage_is_busy_at_first_and_not_ready_when_it_lasts() {
    let volume = LocalVolume::new();
    volume.image("away.img", MIB);
    let path = volume.path("away.img");
    let lun = Lun::opened(&volume.cfgstring("away.img", ";outage=1"), MIB);
    faults::set(&path, Some(Fault::AtSubmit(ENOTCONN)));
    assert_eq!(lun.read(0, 512).0, BUSY);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let (status, command) = lun.submit_read(0, 512).wait();
    assert_eq!((status, command.sense()), (PASSTHROUGH_ERR, (2, 4, 0)));
    faults::set(&path, None);
    assert_eq!(lun.read(0, 512).0, OK);
    faults::set(&path, Some(Fault::AtSubmit(ENOTCONN)));
    assert_eq!(lun.read(0, 512).0, BUSY, "a new outage");
    faults::set(&path, None);
}

/// Otherwise the next outage, however much later, would be NOT READY at once.
#[test]
fn a_flush_or_a_compare_and_write_that_is_served_ends_an_outage() {
    let volume = LocalVolume::new();
    volume.image("served.img", MIB);
    let path = volume.path("served.img");
    let lun = Lun::opened(&volume.cfgstring("served.img", ";outage=1"), MIB);
    let served: [fn(&Lun) -> i32; 2] =
        [Lun::flush, |lun| lun.submit_compare_and_write(0, &[0; 512], &[0; 512]).wait().0];
    for served in served {
        faults::set(&path, Some(Fault::AtSubmit(ENOTCONN)));
        assert_eq!(lun.read(0, 512).0, BUSY);
        faults::set(&path, None);
        assert_eq!(served(&lun), OK);
        std::thread::sleep(std::time::Duration::from_millis(1100));
    }
    faults::set(&path, Some(Fault::AtSubmit(ENOTCONN)));
    assert_eq!(lun.read(0, 512).0, BUSY);
    faults::set(&path, None);
}

#[test]
fn an_unmap_finds_out_that_an_outage_is_over() {
    let volume = LocalVolume::new();
    volume.image("out.img", MIB);
    let path = volume.path("out.img");
    let lun = Lun::opened(&volume.cfgstring("out.img", ""), MIB);
    faults::set(&path, Some(Fault::AtSubmit(ENOTCONN)));
    assert_eq!(lun.read(0, 512).0, BUSY);
    assert_eq!(lun.submit_unmap(0, 4096).wait().0, BUSY);
    faults::set(&path, None);
    eventually("the end of the outage is found out", || lun.submit_unmap(0, 4096).wait().0 == OK);
    assert_eq!(lun.read(0, 512).0, OK);
}

#[test]
fn a_storm_of_errors_does_not_flood_the_log() {
    let volume = LocalVolume::new();
    volume.image("storm.img", MIB);
    let lun = Lun::opened(&volume.cfgstring("storm.img", ""), MIB);
    faults::set(&volume.path("storm.img"), Some(Fault::AtSubmit(ENXIO)));
    for _ in 0..2000 {
        assert_eq!(lun.read(512, 512).0, RD_ERR);
    }
    faults::set(&volume.path("storm.img"), None);
    let lines = log::lines("storm.img: READ");
    assert!(lines.len() <= 20, "{} lines", lines.len());
}

#[test]
fn an_eio_that_stays_is_a_medium_error() {
    let volume = LocalVolume::new();
    volume.image("bad.img", MIB);
    let lun = Lun::opened(&volume.cfgstring("bad.img", ""), MIB);
    faults::set(&volume.path("bad.img"), Some(Fault::Late(EIO)));
    assert_eq!(lun.write(0, &[1; 512]), BUSY);
    assert_eq!(lun.flush(), WR_ERR, "a flush is not repeated: it may find nothing left to write");
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!((lun.write(0, &[1; 512]), lun.read(0, 512).0), (WR_ERR, RD_ERR));
    faults::set(&volume.path("bad.img"), None);
    assert_eq!(lun.write(0, &[1; 512]), OK);
}
