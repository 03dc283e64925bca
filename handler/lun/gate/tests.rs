// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The decision table, line by line; and what may not happen between two states.

use std::sync::Arc;
use std::time::Instant;

use super::super::Lun;
use super::super::testing::{Memory, SIZE, Volume, closed_lun, image, lun_of};
use super::*;
use crate::scsi::{Op, Status};

/// What a command of each column gets.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Gets {
    Served,
    Waits,
    Answer(Status),
}

use Gets::{Answer, Served, Waits};

const OPS: [Op; 10] = Op::ALL;

fn gets(lun: &Lun<Memory>, request: Request) -> Gets {
    match lun.gate.check(request, || None) {
        Verdict::Serve(_) => Served,
        Verdict::Wait => Waits,
        Verdict::Answer(status) | Verdict::Standby(status) => Answer(status),
    }
}

/// A line of the table: READ, WRITE, SYNCHRONIZE CACHE, TEST UNIT READY.
fn assert_line(
    what: &str,
    lun: &Lun<Memory>,
    in_range: bool,
    [read, write, flush, test]: [Gets; 4],
) {
    for op in OPS {
        let expected = match op {
            Op::Read | Op::Verify | Op::LbaStatus => &read,
            Op::Write
            | Op::WriteSame
            | Op::Unmap
            | Op::CompareAndWrite
            | Op::OrWrite
            | Op::Copy => &write,
            Op::Flush => &flush,
        };
        let refusal = (!in_range && op != Op::Flush).then_some(Status::OutOfRange);
        assert_eq!(gets(lun, Request::Io(op, refusal)), *expected, "{what}: {op:?}");
    }
    assert_eq!(gets(lun, Request::TestUnitReady), test, "{what}: TEST UNIT READY");
}

fn all(gets: &Gets) -> [Gets; 4] {
    [(); 4].map(|()| gets.clone())
}

const GOOD: Gets = Answer(Status::Ok);
const BUSY: Gets = Answer(Status::Busy);
const NOT_READY: Gets = Answer(Status::Sense(Sense::NOT_READY));

fn lun(options: &str) -> Arc<Lun<Memory>> {
    lun_of(&Volume::new(), options)
}

#[test]
fn every_line_of_the_table_is_as_it_says() {
    let opening = closed_lun(&Volume::new(), "");
    assert_line("Opening", &opening, true, all(&Answer(Status::Sense(Sense::BECOMING_READY))));

    let closed = lun("");
    closed.gate.close();
    assert_line("Closed", &closed, true, all(&BUSY));

    let up = lun("");
    assert_line("Up", &up, true, [Served, Served, Served, GOOD]);
    let beyond = Answer(Status::OutOfRange);
    assert_line("beyond the end", &up, false, [beyond.clone(), beyond, Served, GOOD]);

    let read_only = closed_lun(&Volume::new(), "");
    read_only.attach(Opened { image: Volume::new().open(), writable: false }, None, None).unwrap();
    let protected = Answer(Status::Sense(Sense::WRITE_PROTECTED));
    assert_line("read-only", &read_only, true, [Served, protected, Served, GOOD]);

    let standby = lun_of(&Volume::fenced(), "");
    assert_line("Standby", &standby, true, [BUSY, BUSY, BUSY, GOOD]);
    standby.gate.with_heartbeat(|owner| {
        let begin = Instant::now();
        for (beat, second) in [(1, 0), (2, 1)] {
            owner.owner_timed_out(
                format!("other 1 {beat}"),
                Duration::MAX,
                begin + Duration::from_secs(second),
            );
        }
    });
    let standby_sense = Answer(Status::Sense(Sense::STANDBY));
    let line = [standby_sense.clone(), standby_sense.clone(), standby_sense, GOOD];
    assert_line("Standby, the owner serves", &standby, true, line);

    let moving = lun("");
    assert!(moving.gate.pause(&image(&moving)));
    assert_line("the image is being moved", &moving, true, [Waits, Waits, Waits, GOOD]);

    let down = lun("");
    down.gate.storage_failed();
    assert_line("Down", &down, true, [Served, Served, Served, GOOD]);
    let long_down = lun(";outage=0");
    long_down.gate.storage_failed();
    assert_line("Down for long", &long_down, true, [Served, Served, Served, NOT_READY]);

    for (options, line) in [("", [BUSY, BUSY, BUSY, GOOD]), (";outage=0", all(&NOT_READY))] {
        let settling = lun(options);
        settling.gate.storage_failed();
        settling.gate.set_settling(true);
        assert_line("Settling", &settling, true, line);
    }
}

#[test]
fn a_pending_sense_is_told_once_by_whatever_comes_first() {
    let requests = OPS.map(|op| Request::Io(op, None)).into_iter().chain([Request::TestUnitReady]);
    for request in requests {
        let lun = lun("");
        lun.gate.set_pending(Sense::BECAME_READY);
        assert_eq!(gets(&lun, request), Answer(Status::Sense(Sense::BECAME_READY)), "{request:?}");
        assert_eq!(gets(&lun, Request::Io(Op::Read, None)), Served);
    }
}

#[test]
fn bricks_that_refuse_nobody_after_all_do_not_take_a_lock_that_is_held() {
    let lun = lun("");
    assert!(lun.gate.lock_held(&image(&lun)));
    lun.gate.unfence();
    assert_eq!(lun.gate.lock(), Lock::Held);
    assert_eq!(lun.gate.stand_by(), Lock::Held);
    lun.gate.unfence();
    assert_eq!(lun.gate.lock(), Lock::Unfenced);
}

#[test]
fn a_lock_does_not_outlive_the_image_that_it_was_of() {
    let volume = Volume::new();
    let lun = lun_of(&volume, "");
    let old = image(&lun);
    assert!(lun.gate.lock_held(&old));
    let replaced =
        lun.gate.replace(&old, Opened { image: Arc::new(volume.open()), writable: true }, false);
    assert_eq!((replaced, lun.gate.lock()), (Replaced::Old { lock_lost: true }, Lock::Standby));
    assert!(!lun.gate.lock_held(&old), "held on an image that is gone");
    assert_eq!(lun.gate.lock(), Lock::Standby);
}

#[test]
fn an_image_that_comes_too_late_does_not_open_a_closed_lun() {
    let volume = Volume::new();
    let lun = closed_lun(&volume, "");
    lun.gate.close();
    let opened = Opened { image: volume.open(), writable: true };
    assert!(lun.gate.open(opened, Lock::Unfenced, None).is_err());
    assert!(lun.gate.image().is_none());
    assert_eq!(lun.size.bytes(), SIZE as u64);
}

#[test]
fn what_was_under_way_when_commands_were_held_back_does_not_end_an_outage() {
    let lun = lun("");
    lun.gate.storage_failed();
    lun.gate.set_settling(true);
    lun.gate.served();
    assert!(matches!(lun.gate.storage(), Storage::Settling { .. }));
    lun.gate.set_settling(false);
    lun.gate.served();
    assert_eq!(lun.gate.storage(), Storage::Up);
}
