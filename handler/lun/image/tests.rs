// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Moves to another graph: under load, with each kind of LUN.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::thread::{self, JoinHandle};

use super::super::testing::{
    Fault, GOOD, Memory, Seen, Volume, away, eventually, flush, image, lun_of, owner, read,
    submit_write, write,
};
use super::*;
use crate::scsi::Status;

/// The volume gets another graph. The old image, without a reference: a move waits for whoever has
/// one.
fn supersede(lun: &Arc<Lun<Memory>>) -> Weak<Memory> {
    let old = image(lun);
    old.superseded.store(true, Ordering::SeqCst);
    Arc::downgrade(&old)
}

fn has_moved(lun: &Arc<Lun<Memory>>, old: &Weak<Memory>) -> bool {
    !std::ptr::eq(Arc::as_ptr(&image(lun)), old.as_ptr())
}

fn freeze(image: &Weak<Memory>, frozen: bool) {
    image.upgrade().unwrap().freeze(frozen);
}

/// Moves the LUN on a thread of its own.
fn start_move(lun: &Arc<Lun<Memory>>) -> JoinHandle<()> {
    let lun = Arc::clone(lun);
    thread::Builder::new().spawn(move || move_to_current_graph(&lun)).unwrap()
}

#[test]
fn new_commands_take_the_new_graph_while_old_ones_end_on_the_old_one() {
    let lun = lun_of(&Volume::new(), "");
    let old = supersede(&lun);
    freeze(&old, true);
    let pending = submit_write(&lun, 1);
    move_to_current_graph(&lun);
    assert!(has_moved(&lun, &old));
    assert_eq!(write(&lun), GOOD, "waits for the old graph");
    assert!(pending.is_pending_for(Duration::from_millis(100)));
    freeze(&old, false);
    assert_eq!(pending.wait(), GOOD, "in flight on the old graph");
    eventually("the old image is closed, and gone", || old.upgrade().is_none());
    assert_eq!(lun.meter.longest_pause(), Duration::ZERO);
}

#[test]
fn a_command_that_has_passed_is_submitted_before_the_old_graph_is_closed() {
    let lun = lun_of(&Volume::new(), "");
    // As a command has it between the gate's verdict and its call.
    let old = image(&lun);
    old.superseded.store(true, Ordering::SeqCst);
    move_to_current_graph(&lun);
    assert!(!Arc::ptr_eq(&image(&lun), &old));
    thread::sleep(Duration::from_millis(200));
    assert!(old.closed.lock().unwrap().is_none(), "its call would be BUSY");
    let closed = Arc::downgrade(&old);
    drop(old);
    eventually("it is closed", || closed.upgrade().is_none());
}

#[test]
fn with_writes_held_back_they_are_flushed_before_the_new_graph_is_written_to() {
    let lun = lun_of(&Volume::new(), ";cache=writeback");
    let old = supersede(&lun);
    freeze(&old, true);
    let before = submit_write(&lun, 1);
    let mover = start_move(&lun);
    thread::sleep(Duration::from_millis(200));
    let during = submit_write(&lun, 2);
    assert!(during.is_pending_for(Duration::from_millis(200)), "not held");
    freeze(&old, false);
    assert_eq!((before.wait(), during.wait()), (GOOD, GOOD));
    mover.join().unwrap();
    assert!(has_moved(&lun, &old));
    assert_eq!(
        image(&lun).volume.state().bytes[0],
        2,
        "the older write has landed over the newer one"
    );
}

#[test]
fn what_cannot_be_flushed_before_a_move_fails_the_next_flush() {
    let lun = lun_of(&Volume::new(), ";cache=writeback");
    let old = supersede(&lun);
    assert_eq!(write(&lun), GOOD);
    old.upgrade().unwrap().faults.lock().unwrap().push(Fault::Fails(Errno::EIO));
    move_to_current_graph(&lun);
    assert_eq!(flush(&lun), WRITE_ERROR);
    assert_eq!(flush(&lun), GOOD, "once");
}

const WRITE_ERROR: Seen = Seen::Answered(4);

#[test]
fn an_owner_takes_its_lock_along_without_the_core_noticing() {
    let (volume, lun) = owner();
    let old = supersede(&lun);
    old.upgrade().unwrap().delay(Duration::from_millis(50));
    let before: Vec<_> = (0..4).map(|n| submit_write(&lun, n)).collect();
    move_to_current_graph(&lun);
    assert!(has_moved(&lun, &old));
    assert!(
        before.into_iter().all(|command| command.wait() == GOOD),
        "refused: the lock moved too early"
    );
    assert_eq!((lun.gate.lock(), volume.state().holder), (Lock::Held, Some(image(&lun).number)));
    assert_eq!(write(&lun), GOOD);
    let pause = lun.meter.longest_pause();
    assert!(pause >= Duration::from_millis(100) && pause < Duration::from_secs(4), "{pause:?}");
}

#[test]
fn a_lock_that_another_gateway_has_or_has_had_is_left_to_it() {
    for (holder, heartbeat) in [
        (Some(77), None),
        // It has taken the lock, served commands, and left: nobody has it.
        (None, Some(String::from("other 1 1.1"))),
        // Or died. A heartbeat needs no lock: one of this gateway, on its way meanwhile, has come
        // last.
        (None, None),
    ] {
        let (volume, lun) = owner();
        supersede(&lun);
        let last = heartbeat.or_else(|| volume.state().heartbeat.clone());
        (volume.state().holder, volume.state().heartbeat) = (holder, last.clone());
        move_to_current_graph(&lun);
        assert_eq!((lun.gate.lock(), volume.state().holder), (Lock::Standby, holder));
        assert_eq!(volume.state().heartbeat, last, "{holder:?}");
    }
}

#[test]
fn a_move_waits_for_a_heartbeat_that_is_under_way() {
    let (volume, lun) = owner();
    let old = supersede(&lun);
    old.upgrade().unwrap().delay(Duration::from_millis(300));
    lock::send_heartbeat(&lun);
    move_to_current_graph(&lun);
    assert!(has_moved(&lun, &old));
    let left_by_move = volume.state().heartbeat.clone();
    thread::sleep(Duration::from_millis(600));
    assert_eq!(volume.state().heartbeat, left_by_move, "one of before the move comes after it");
}

#[test]
fn a_lock_is_not_acquired_while_a_replaced_image_has_a_write_in_flight() {
    let (volume, lun) = owner();
    let old = image(&lun);
    old.freeze(true);
    let pending = submit_write(&lun, 1);
    let opened = Opened { image: volume.open(), writable: true };
    assert!(replace(&lun, opened).is_ok());
    // Given back by the bricks, or by whoever has owned the image meanwhile.
    (volume.state().holder, volume.state().heartbeat) = (None, Some(String::new()));
    lock::acquire_for_io(&lun);
    assert_eq!(lun.gate.lock(), Lock::Standby, "a write from before is under way");
    old.freeze(false);
    pending.wait();
    drop(old);
    eventually("the lock is acquired", || {
        lock::acquire_for_io(&lun);
        lun.gate.lock() == Lock::Held
    });
}

#[test]
fn a_move_that_has_to_wait_too_long_is_given_up_and_what_waited_is_served() {
    let (_, lun) = owner();
    let old = supersede(&lun);
    freeze(&old, true);
    let before = submit_write(&lun, 1);
    let begin = Instant::now();
    let mover = start_move(&lun);
    thread::sleep(Duration::from_millis(500));
    let during = submit_write(&lun, 2);
    mover.join().unwrap();
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    assert!(!has_moved(&lun, &old) && !lun.moves.is_due());
    freeze(&old, false);
    assert_eq!((before.wait(), during.wait()), (GOOD, GOOD));
    assert_eq!(lun.gate.lock(), Lock::Held);
}

#[test]
fn a_new_graph_that_does_not_come_up_is_not_taken() {
    let volume = Volume::new();
    let lun = lun_of(&volume, "");
    let old = supersede(&lun);
    volume.state().refused.push_back(away());
    move_to_current_graph(&lun);
    assert!(!has_moved(&lun, &old));
    assert_eq!((read(&lun), image(&lun).closed.lock().unwrap().is_some()), (GOOD, false));
    move_to_current_graph(&lun);
    assert!(has_moved(&lun, &old));
}

#[test]
fn a_closed_lun_answers_what_has_waited() {
    let lun = lun_of(&Volume::new(), ";cache=writeback");
    assert!(lun.gate.pause(&image(&lun)));
    let waiting = submit_write(&lun, 1);
    assert!(waiting.is_pending_for(Duration::from_millis(50)));
    crate::runner::Lun::close(Arc::clone(&lun));
    assert_eq!(waiting.wait(), Seen::Answered(3));
    assert_eq!(write(&lun), Seen::Refused(Status::Busy));
}
