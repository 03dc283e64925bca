//! What the initiator is told about an error of the volume, whichever way the error comes.

use libc::{EACCES, EAGAIN, EBADFD, EDQUOT, EINVAL, EIO, ENOMEM, ENOSPC, ENOTCONN, EPERM, EROFS, ESTALE, ETIMEDOUT};

use crate::support::faults::{self, Fault};
use crate::support::log;
use crate::support::runner::{BUSY, FakeCommand, INVALID_CDB, Lun, OK, PASSTHROUGH_ERR, Pending, RD_ERR, WR_ERR};
use crate::support::volume::LocalVolume;

const MIB: u64 = 1 << 20;
const NO_RESOURCE: i32 = 1;
type Sense = Option<(u8, u8, u8)>;
const NO_SPACE: Sense = Some((7, 0x27, 0x07));
const PROTECTED: Sense = Some((7, 0x27, 0x00));

#[test]
fn every_errno_has_its_status_however_it_arrives() {
    let volume = LocalVolume::new();
    volume.image("errors.img", MIB);
    let lun = Lun::opened(&volume.cfgstring("errors.img", ""), MIB);
    let table: [(i32, i32, i32, Sense); 13] = [
        (ENOTCONN, BUSY, BUSY, None),
        (ETIMEDOUT, BUSY, BUSY, None),
        (EAGAIN, BUSY, BUSY, None),
        (ESTALE, BUSY, BUSY, None),
        (EBADFD, BUSY, BUSY, None),
        (ENOMEM, NO_RESOURCE, NO_RESOURCE, None),
        (ENOSPC, PASSTHROUGH_ERR, PASSTHROUGH_ERR, NO_SPACE),
        (EDQUOT, PASSTHROUGH_ERR, PASSTHROUGH_ERR, NO_SPACE),
        (EROFS, PASSTHROUGH_ERR, PASSTHROUGH_ERR, PROTECTED),
        (EPERM, PASSTHROUGH_ERR, PASSTHROUGH_ERR, PROTECTED),
        (EACCES, PASSTHROUGH_ERR, PASSTHROUGH_ERR, PROTECTED),
        (EINVAL, INVALID_CDB, INVALID_CDB, None),
        (EIO, RD_ERR, WR_ERR, None),
    ];
    for (errno, read, write, sense) in table {
        for fault in [Fault::AtSubmit(errno), Fault::Inline(errno), Fault::Late(errno)] {
            faults::set(&volume.path("errors.img"), Some(fault));
            let expect = |pending: Pending, status: i32| {
                let (got, command): (i32, FakeCommand) = pending.wait();
                assert_eq!(got, status, "{fault:?}");
                assert_eq!((status == PASSTHROUGH_ERR).then(|| command.sense()), sense, "{fault:?}");
            };
            expect(lun.submit_read(0, 512), read);
            expect(lun.submit_write(0, &[1; 512]), write);
            expect(lun.submit_flush(), write);
        }
    }
    faults::set(&volume.path("errors.img"), None);
    assert_eq!(lun.write(0, &[1; 512]), OK, "works again");
}

#[test]
fn a_storm_of_errors_does_not_flood_the_log() {
    let volume = LocalVolume::new();
    volume.image("storm.img", MIB);
    let lun = Lun::opened(&volume.cfgstring("storm.img", ""), MIB);
    faults::set(&volume.path("storm.img"), Some(Fault::AtSubmit(EIO)));
    for _ in 0..2000 {
        assert_eq!(lun.read(512, 512).0, RD_ERR);
    }
    faults::set(&volume.path("storm.img"), None);
    let lines = log::lines("storm.img: READ");
    assert!(lines.len() <= 20, "{} lines", lines.len());
}
