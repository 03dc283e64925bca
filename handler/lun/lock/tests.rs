// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Who gets the lock.

use std::sync::Arc;
use std::thread;

use super::super::testing::{GOOD, Memory, Seen, Volume, eventually, image, lun_of, read, write};
use super::*;
use crate::lun::compare_and_write;
use crate::runner;
use crate::runner::testing::command;
use crate::scsi::{Sense, Status};

/// Two gateways of one image; the first holds the lock.
fn owner_and_other() -> (Arc<Volume>, Arc<Lun<Memory>>, Arc<Lun<Memory>>) {
    let volume = Volume::fenced();
    let (owner, other) = (lun_of(&volume, ""), lun_of(&volume, ""));
    assert_eq!(core_lock(&owner), LockOutcome::Locked);
    assert_eq!(write(&owner), GOOD);
    (volume, owner, other)
}

#[test]
fn an_initiator_that_goes_on_asking_for_writes_gets_the_lock_and_one_that_asks_once_does_not() {
    let (_, owner, other) = owner_and_other();
    assert_eq!(core_lock(&other), LockOutcome::NotNow);
    assert_eq!(write(&owner), GOOD);
    let begin = Instant::now();
    let waited = eventually("it is locked", || core_lock(&other) == LockOutcome::Locked);
    assert!(
        waited > Duration::from_secs(1) && begin.elapsed() < Duration::from_secs(4),
        "{waited:?}"
    );
    assert_eq!(write(&other), GOOD);
    assert_eq!((write(&owner), owner.gate.lock()), (Seen::Answered(3), Lock::Standby));
}

/// Between the gate's verdict and the call the lock may be lost.
#[test]
fn a_compare_and_write_that_comes_too_late_does_not_rob_the_new_owner() {
    let (volume, owner, _) = owner_and_other();
    owner.gate.stand_by();
    volume.state().holder = Some(77);
    let (command, answers) = command(vec![0; 1024], 512);
    compare_and_write::start(Arc::clone(&owner), &*image(&owner), command, 0);
    assert_eq!(answers.recv().unwrap().status, 3, "BUSY");
    assert_eq!(volume.state().holder, Some(77));
}

#[test]
fn a_volume_that_stops_enforcing_is_asked_again() {
    let volume = Volume::fenced();
    volume.state().enforcement = Ok(Enforcement::Possible);
    let lun = lun_of(&volume, "");
    volume.state().enforcement = Ok(Enforcement::Impossible("an admin has turned it off"));
    assert_eq!(core_lock(&lun), LockOutcome::NotNow);
    assert_eq!(core_lock(&lun), LockOutcome::Locked, "without a fence");
}

#[test]
fn one_write_does_not_rob_an_owner_where_reads_come_all_the_time() {
    let (_, owner, other) = owner_and_other();
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(3) {
        assert!(read(&other) != GOOD);
        assert_eq!(write(&owner), GOOD);
        send_heartbeat(&owner);
        thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(core_lock(&other), LockOutcome::NotNow, "robbed by one WRITE");
    assert_eq!(write(&owner), GOOD);
}

#[test]
fn a_read_takes_a_free_lock_and_finds_out_that_an_owner_serves() {
    let (volume, owner, other) = owner_and_other();
    assert_eq!(read(&other), Seen::Refused(Status::Busy));
    let standby = Seen::Refused(Status::Sense(Sense::STANDBY));
    eventually("it is known that the owner serves", || {
        assert_eq!(write(&owner), GOOD);
        send_heartbeat(&owner);
        read(&other) == standby
    });
    unlock(&owner);
    assert_eq!(volume.state().holder, None);
    eventually("it is served", || read(&other) == GOOD);
    assert_eq!(volume.state().holder, Some(image(&other).number));
}

#[test]
fn a_lock_that_was_acquired_for_an_image_that_has_been_replaced_is_given_back() {
    let volume = Volume::fenced();
    let lun = lun_of(&volume, "");
    let old = image(&lun);
    let opened = super::super::backend::Opened { image: Arc::new(volume.open()), writable: true };
    lun.gate.replace(&old, opened, false);
    let _exclusive = lun.locking.exclusive();
    assert!(acquire(&lun, &old, Preempt::Never).is_err());
    assert_eq!((lun.gate.lock(), volume.state().holder), (Lock::Standby, None));
}

#[test]
fn an_owner_whose_lock_a_replica_does_not_know_of_keeps_it_as_long_as_it_serves() {
    let (volume, owner, other) = owner_and_other();
    for flag in [&image(&other).replicated, &image(&other).sees_no_holder] {
        flag.store(true, Ordering::SeqCst);
    }
    let begin = Instant::now();
    while begin.elapsed() < ABSENT_OWNER_TIMEOUT + Duration::from_secs(1) {
        assert!(read(&other) != GOOD, "taken from an owner that serves");
        assert_eq!(write(&owner), GOOD);
        send_heartbeat(&owner);
        thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(write(&owner), GOOD);
    eventually("it is taken when its owner serves nobody", || read(&other) == GOOD);
    assert_eq!(volume.state().holder, Some(image(&other).number));
}

#[test]
fn an_image_that_was_given_back_is_free_at_once_on_replicas_too() {
    let (volume, owner, other) = owner_and_other();
    image(&other).replicated.store(true, Ordering::SeqCst);
    runner::Lun::close(owner);
    assert_eq!(volume.state().holder, None);
    assert_eq!(core_lock(&other), LockOutcome::Locked);
}
