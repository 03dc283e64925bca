// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Deferred opens, outages, and images that are reopened.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::super::backend::{Bricks, Enforcement};
use super::super::gate::Lock;
use super::super::monitor::Monitored as _;
use super::super::testing::{
    Fault, GOOD, Memory, Seen, Volume, away, closed_lun, compare_and_write, eventually, flush,
    image, lun, lun_of, read, write,
};
use super::*;
use crate::scsi::Status;

const BUSY: Seen = Seen::Refused(Status::Busy);
/// BUSY, of a command that got past the gate.
const FAILED: Seen = Seen::Answered(3);

fn tick(lun: &Arc<Lun<Memory>>) {
    Arc::clone(lun).tick(&crate::config::Site::current());
}

#[test]
fn a_deferred_open_is_tried_again_and_told_once() {
    let volume = Volume::new();
    volume.state().refused.push_back(away());
    let lun = closed_lun(&volume, "");
    start(&lun);
    eventually("the LUN is ready", || lun.gate.storage() == Storage::Up);
    assert_eq!(read(&lun), Seen::Refused(Status::Sense(Sense::BECAME_READY)));
    assert_eq!(read(&lun), GOOD);
}

/// As on a dispersed volume that lost its quorum right after a write: READ and WRITE go on, but no
/// flush ends well any more.
#[test]
fn an_image_that_cannot_be_flushed_any_more_is_opened_anew_without_a_fence_too() {
    let lun = lun(vec![Fault::Fails(Errno::EBADF)]);
    let old = Arc::as_ptr(&image(&lun));
    assert_eq!(flush(&lun), FAILED);
    eventually("it is opened anew", || !std::ptr::eq(Arc::as_ptr(&image(&lun)), old));
    eventually("it serves", || flush(&lun) == GOOD);
    let new = Arc::as_ptr(&image(&lun));
    thread::sleep(Duration::from_millis(300));
    assert!(std::ptr::eq(Arc::as_ptr(&image(&lun)), new), "once");
}

#[test]
fn a_thread_that_could_not_be_had_is_asked_for_again() {
    let lun = closed_lun(&Volume::new(), "");
    threads::testing::refuse(1);
    start(&lun);
    thread::sleep(Duration::from_millis(100));
    assert_eq!(lun.gate.storage(), Storage::Opening, "there is no thread");
    tick(&lun);
    eventually("the LUN is ready", || lun.gate.storage() == Storage::Up);
}

#[test]
fn a_panic_costs_an_attempt_and_not_the_lun() {
    let volume = Volume::new();
    volume.state().open_panics = true;
    let lun = closed_lun(&volume, "");
    start(&lun);
    eventually("the thread has ended", || !lun.recovery.is_running());
    assert_eq!(lun.gate.storage(), Storage::Opening);
    tick(&lun);
    eventually("the LUN is ready", || lun.gate.storage() == Storage::Up);
}

#[test]
fn a_panic_while_commands_are_held_back_does_not_hold_them_for_ever() {
    let (lun, image) = replicated(vec![Fault::Fails(Errno::ENOTCONN)], 3);
    image.panics.store(true, Ordering::SeqCst);
    assert_eq!(write(&lun), FAILED, "the outage begins");
    eventually("the thread has panicked", || !lun.recovery.is_running());
    image.panics.store(false, Ordering::SeqCst);
    assert_eq!(write(&lun), BUSY);
    tick(&lun);
    eventually("the LUN serves", || write(&lun) == GOOD);
}

/// A LUN of three copies, so many of whose bricks can be reached.
fn replicated(faults: Vec<Fault>, connected: u64) -> (Arc<Lun<Memory>>, Arc<Memory>) {
    let lun = lun(faults);
    let image = image(&lun);
    image.replicated.store(true, Ordering::SeqCst);
    *image.bricks.lock().unwrap() = Ok(Bricks { connected, all: 3 });
    (lun, image)
}

/// A LUN of three copies, all of whose bricks but `away` have just come back.
fn after_an_outage(away: u64) -> (Arc<Lun<Memory>>, Arc<Memory>) {
    let (lun, image) = replicated(vec![Fault::Fails(Errno::ENOTCONN)], 3 - away);
    assert_eq!(write(&lun), FAILED, "the outage begins");
    (lun, image)
}

/// Nothing gets past the gate for so long.
fn assert_held(lun: &Arc<Lun<Memory>>, time: Duration) {
    let begin = Instant::now();
    while begin.elapsed() < time {
        assert_eq!(write(lun), BUSY, "{:?} after it began", begin.elapsed());
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn after_an_outage_nothing_is_served_before_all_bricks_are_back() {
    let (lun, image) = after_an_outage(1);
    assert_held(&lun, Duration::from_secs(2));
    *image.bricks.lock().unwrap() = Ok(Bricks { connected: 3, all: 3 });
    let waited = eventually("three of three bricks serve", || write(&lun) == GOOD);
    assert!(
        waited > Duration::from_millis(400),
        "served before the bricks had settled: {waited:?}"
    );
    assert!(lun.gate.outage().is_none(), "the outage goes on");
}

#[test]
fn a_brick_that_stays_away_is_waited_for_only_for_a_while() {
    let (lun, _) = after_an_outage(1);
    let waited = eventually("two of three bricks serve", || write(&lun) == GOOD);
    assert!(waited > Duration::from_secs(3) && waited < Duration::from_secs(8), "{waited:?}");
}

#[test]
fn bricks_that_cannot_be_counted_are_not_taken_for_all_there_are() {
    let (lun, image) = after_an_outage(0);
    *image.bricks.lock().unwrap() = Err(Errno::ETIMEDOUT);
    assert_held(&lun, Duration::from_secs(5));
    *image.bricks.lock().unwrap() = Ok(Bricks { connected: 3, all: 3 });
    eventually("three of three bricks serve", || write(&lun) == GOOD);
}

#[test]
fn bricks_that_can_never_be_counted_are_not_waited_for_for_ever() {
    let (lun, image) = after_an_outage(0);
    *image.bricks.lock().unwrap() = Err(Errno::ETIMEDOUT);
    let waited = eventually("it serves", || write(&lun) == GOOD);
    assert!(waited > Duration::from_secs(8), "{waited:?}");
}

#[test]
fn a_lun_that_was_idle_while_the_quorum_was_away_waits_for_the_bricks_too() {
    let (lun, image) = replicated(Vec::new(), 1);
    image.losses.store(2, Ordering::SeqCst);
    tick(&lun);
    eventually("the loss is noticed", || lun.gate.outage().is_some());
    assert_held(&lun, Duration::from_secs(1));
    *image.bricks.lock().unwrap() = Ok(Bricks { connected: 3, all: 3 });
    eventually("three of three bricks serve", || write(&lun) == GOOD);
}

#[test]
fn one_brick_of_three_that_goes_away_disturbs_nobody() {
    let (lun, image) = replicated(Vec::new(), 2);
    image.losses.store(1, Ordering::SeqCst);
    tick(&lun);
    thread::sleep(Duration::from_millis(300));
    assert_eq!((lun.gate.storage(), write(&lun)), (Storage::Up, GOOD));
}

#[test]
fn an_outage_that_nobody_tries_is_found_to_be_over() {
    let lun = lun(vec![Fault::Fails(Errno::ENOTCONN)]);
    assert_eq!(write(&lun), FAILED);
    eventually("the outage is over", || lun.gate.outage().is_none());
}

#[test]
fn with_writes_held_back_an_image_is_not_replaced_before_the_old_one_is_closed() {
    let volume = Volume::new();
    let lun = lun_of(&volume, ";cache=writeback");
    let old = image(&lun);
    *old.close_outcome.lock().unwrap() = Err(Errno::ETIMEDOUT);
    let opened = image::replace(&lun, Opened { image: volume.open(), writable: true });
    let opened = opened.expect_err("replaced while the close hangs");
    assert!(Arc::ptr_eq(&old, &image(&lun)));
    assert!(
        matches!(write(&lun), Seen::Answered(status) if status != 0),
        "served by an image that is being closed"
    );
    *old.close_outcome.lock().unwrap() = Ok(());
    assert!(image::replace(&lun, opened).is_ok());
    assert!(!Arc::ptr_eq(&old, &image(&lun)));
}

/// What was refused made it look, and there is no core that would.
#[test]
fn a_lun_that_could_not_ask_for_the_fence_when_it_was_opened_comes_back() {
    let volume = Volume::fenced();
    volume.state().enforcement = Err(Errno::ETIMEDOUT);
    let lun = lun_of(&volume, "");
    assert_eq!(lun.gate.lock(), Lock::Unfenced);
    volume.state().enforcement = Ok(Enforcement::Active);
    assert_eq!(write(&lun), FAILED, "refused by the bricks");
    eventually("it has the lock", || write(&lun) == GOOD);
    assert_eq!(lun.gate.lock(), Lock::Held);
}

#[test]
fn an_owner_whose_descriptor_has_gone_bad_gets_another_one() {
    let lun = lun_of(&Volume::fenced(), "");
    super::super::lock::acquire_for_io(&lun);
    let old = image(&lun);
    *old.faults.lock().unwrap() = vec![Fault::Fails(Errno::EBADF); 100];
    assert_eq!(flush(&lun), FAILED);
    eventually("it has the lock", || write(&lun) == GOOD);
    assert!(!Arc::ptr_eq(&old, &image(&lun)), "the lock was acquired on the bad descriptor");
}

#[test]
fn a_lun_with_lock_owners_of_its_own_is_opened_anew_to_be_locked() {
    let volume = Volume::new();
    volume.state().enforcement = Ok(Enforcement::Possible);
    let lun = lun_of(&volume, "");
    assert_eq!(compare_and_write(&lun), GOOD);
    let old = image(&lun);
    // Another gateway has it enforced now, and is gone.
    volume.state().enforcement = Ok(Enforcement::Active);
    assert_eq!(write(&lun), FAILED, "refused by the bricks");
    eventually("it has the lock", || write(&lun) == GOOD);
    assert!(!Arc::ptr_eq(&old, &image(&lun)) && old.closed.lock().unwrap().is_some());
}
