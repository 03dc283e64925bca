// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Copies between LUNs on volumes in memory, as a configfs in a folder permits them.

use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::parameter_list::designator;
use super::parameter_list::tests::{list, segment, target};
use super::permission::tests::Configfs;
use super::*;
use crate::lun::gate::Lock;
use crate::lun::image::move_to_current_graph;
use crate::lun::lock;
use crate::lun::testing::{Fault, GOOD, Memory, Volume, eventually, image, lun_of, write};
use crate::runner::testing::{Answer, SERIAL, command_of};
use crate::scsi::Sense;

const OTHER_SERIAL: &str = "fedcba9876543210fedcba9876543210";

/// The receiving LUN, full of ones, and another one, full of twos, which every initiator reaches.
struct Pair {
    one: Arc<Lun<Memory>>,
    other: Arc<Lun<Memory>>,
    configfs: Configfs,
}

impl Pair {
    fn with(options: [&str; 2]) -> Self {
        Self::on(options, &Volume::new())
    }

    /// The other one is on this volume.
    fn on(options: [&str; 2], volume: &Arc<Volume>) -> Self {
        let (one, other) = (lun_of(&Volume::new(), options[0]), lun_of(volume, options[1]));
        for (lun, byte) in [(&one, 1), (&other, 2)] {
            image(lun).volume.state().bytes.fill(byte);
            add(lun);
        }
        let configfs = Configfs::new();
        let backstore = |lun: &Arc<Lun<Memory>>| lun.backstore.clone().unwrap();
        configfs.lun(&backstore(&one), SERIAL.to_str().unwrap());
        configfs.lun(&backstore(&other), OTHER_SERIAL);
        configfs.export("t", &[&backstore(&one), &backstore(&other)]);
        configfs.admit("t", "iqn.a", &[(0, false), (1, false)]);
        Self { one, other, configfs }
    }

    fn new() -> Self {
        Self::with([";copy=daemon"; 2])
    }

    /// Copies four blocks from the beginning of one LUN to block 8 of another one.
    fn copy(&self, source: u8, destination: u8) -> Answer {
        self.copy_from(0, source, destination)
    }

    fn copy_from(&self, from: u64, source: u8, destination: u8) -> Answer {
        let targets =
            [SERIAL.to_str().unwrap(), OTHER_SERIAL].map(|serial| target(designator(serial), 512));
        let mut segment = segment(from, 8, 4);
        (segment[5], segment[7]) = (source, destination);
        let list = list(&targets, &[segment]);
        let length = u32::try_from(list.len()).unwrap().to_be_bytes();
        let cdb = [&[0x83, 0, 0, 0, 0, 0, 0, 0, 0, 0][..], &length].concat();
        let (command, answers) = command_of(&cdb, list, 20);
        let configfs = self.configfs.path().to_str().unwrap();
        if let Err(rejected) = serve(Arc::clone(&self.one), command, configfs) {
            rejected.0.complete(rejected.1);
        }
        answers.recv_timeout(Duration::from_secs(60)).unwrap()
    }

    fn is_refused(&self, source: u8, destination: u8) -> bool {
        let Answer { status, sense: (key, asc, ascq, _), .. } = self.copy(source, destination);
        (status, key, asc, ascq) == (2, 0x0a, 0x0d, 0x02)
    }
}

/// Blocks 7, 8, 11 and 12.
fn around(lun: &Arc<Lun<Memory>>) -> [u8; 4] {
    let image = image(lun);
    let state = image.volume.state();
    [7, 8, 11, 12].map(|block| state.bytes[block * 512])
}

#[test]
fn blocks_are_copied_from_one_lun_to_another_either_way() {
    let pair = Pair::new();
    assert_eq!(pair.copy(0, 1).status, 0);
    assert_eq!((around(&pair.one), around(&pair.other)), ([1; 4], [2, 1, 1, 2]));
    assert_eq!(pair.copy(1, 0).status, 0);
    assert_eq!(around(&pair.one), [1, 2, 2, 1]);
    image(&pair.one).volume.state().bytes[..2048].fill(0);
    assert_eq!(pair.copy(0, 1).status, 0);
    assert_eq!(around(&pair.other), [2, 0, 0, 2], "a hole");
    assert_eq!(pair.copy(1, 1).status, 0, "both are the other one");
}

#[test]
fn both_luns_must_permit_it() {
    for options in [[";copy=daemon", ""], ["", ";copy=daemon"], [";copy=lun", ";copy=lun"]] {
        let pair = Pair::with(options);
        assert!(pair.is_refused(0, 1) && pair.is_refused(1, 0), "{options:?}");
        assert_eq!(pair.copy(0, 0).status, 0);
        assert_eq!(around(&pair.other), [2; 4]);
    }
}

#[test]
fn an_initiator_without_the_other_lun_gets_nothing_of_it() {
    let pair = Pair::new();
    pair.configfs.admit("t", "iqn.b", &[(0, false)]);
    assert!(pair.is_refused(0, 1) && pair.is_refused(1, 0));
    let pair = Pair::new();
    pair.configfs.admit("t", "iqn.b", &[(0, false), (1, true)]);
    assert!(pair.is_refused(0, 1), "it may not write it");
    assert_eq!(pair.copy(1, 0).status, 0);
}

#[test]
fn what_is_wrong_with_a_list_tells_nothing_of_a_lun_without_permission() {
    let pair = Pair::new();
    pair.configfs.admit("t", "iqn.b", &[(0, false)]);
    let answer = |from| pair.copy_from(from, 1, 0).sense;
    assert_eq!(answer(0), answer(1 << 40), "its size");
}

#[test]
fn a_lun_that_another_gateway_has_or_that_is_read_only_takes_no_part() {
    let pair = Pair::new();
    let other = image(&pair.other);
    pair.other.gate.lock_held(&other);
    pair.other.gate.stand_by();
    assert!(pair.is_refused(0, 1) && pair.is_refused(1, 0));
    let pair = Pair::new();
    pair.other.gate.close();
    assert!(pair.is_refused(1, 0));
}

#[test]
fn a_sense_that_waits_for_the_other_luns_initiators_stays() {
    let pair = Pair::new();
    pair.other.gate.set_pending(Sense::BECAME_READY);
    assert_eq!(pair.copy(0, 1).status, 0);
    assert_ne!(write(&pair.other), GOOD);
}

/// A copy to the other LUN that waits for what it reads: nothing is under way on the other one.
fn copy_that_reads(pair: &Arc<Pair>) -> JoinHandle<Answer> {
    image(&pair.one).freeze(true);
    let copying = Arc::clone(pair);
    let copy = thread::Builder::new().spawn(move || copying.copy(0, 1)).unwrap();
    eventually("the copy reads", || image(&pair.one).calls() > 0);
    copy
}

#[test]
fn a_move_of_a_lun_waits_for_the_copies_that_have_it() {
    let pair = Arc::new(Pair::with([";copy=daemon", ";copy=daemon;cache=writeback"]));
    let copy = copy_that_reads(&pair);
    image(&pair.other).superseded.store(true, Ordering::SeqCst);
    // A reference would hold the move up.
    let old = Arc::as_ptr(&image(&pair.other));
    move_to_current_graph(&pair.other);
    assert!(std::ptr::eq(Arc::as_ptr(&image(&pair.other)), old), "moved from under a copy");
    image(&pair.one).freeze(false);
    assert_eq!(copy.join().unwrap().status, 0);
    eventually("it is moved after the copy", || {
        move_to_current_graph(&pair.other);
        !std::ptr::eq(Arc::as_ptr(&image(&pair.other)), old)
    });
    assert_eq!(around(&pair.other), [2, 1, 1, 2]);
}

#[test]
fn a_lock_is_not_acquired_again_while_a_copy_from_before_has_the_lun() {
    let volume = Volume::fenced();
    let pair = Arc::new(Pair::on([";copy=daemon"; 2], &volume));
    lock::acquire_for_io(&pair.other);
    assert_eq!(pair.other.gate.lock(), Lock::Held);
    let copy = copy_that_reads(&pair);
    // Another gateway takes the image, writes to it, and gives it up.
    pair.other.gate.stand_by();
    (volume.state().holder, volume.state().heartbeat) = (None, Some(String::new()));
    lock::acquire_for_io(&pair.other);
    assert_eq!(pair.other.gate.lock(), Lock::Standby, "the copy would be let through");
    image(&pair.one).freeze(false);
    assert_ne!(copy.join().unwrap().status, 0);
    assert_eq!(around(&pair.other), [2; 4]);
    eventually("it is acquired after the copy", || {
        lock::acquire_for_io(&pair.other);
        pair.other.gate.lock() == Lock::Held
    });
}

#[test]
fn what_breaks_another_lun_is_not_told_as_an_error_of_the_receiving_one() {
    let pair = Pair::new();
    image(&pair.other).faults.lock().unwrap().push(Fault::Fails(Errno::ENXIO));
    let Answer { status, sense: (key, asc, ascq, _), .. } = pair.copy(0, 1);
    assert_eq!((status, key, asc, ascq), (2, 0x0a, 0x0d, 0x01));
}

#[test]
fn a_lun_has_no_more_copies_at_once_than_it_announces() {
    let pair = Arc::new(Pair::new());
    image(&pair.one).freeze(true);
    let copies: Vec<_> = (0..20)
        .map(|_| {
            let copying = Arc::clone(&pair);
            thread::Builder::new().spawn(move || copying.copy(0, 0).status).unwrap()
        })
        .collect();
    eventually("some are answered", || {
        copies.iter().filter(|copy| copy.is_finished()).count() == 4
    });
    image(&pair.one).freeze(false);
    let answers: Vec<_> = copies.into_iter().map(|copy| copy.join().unwrap()).collect();
    assert_eq!(answers.iter().filter(|status| **status == 0).count(), 16, "{answers:?}");
}

#[test]
fn an_error_is_that_of_the_lun_that_has_failed() {
    let pair = Pair::new();
    image(&pair.other).faults.lock().unwrap().push(Fault::Fails(Errno::ENOSPC));
    let answer = pair.copy(0, 1);
    assert_eq!((answer.status, answer.sense.0, answer.sense.1), (2, 7, 0x27));
    image(&pair.other).faults.lock().unwrap().push(Fault::Fails(Errno::ENOTCONN));
    assert_ne!(pair.copy(1, 0).status, 0);
    assert!(pair.other.gate.outage().is_some() && pair.one.gate.outage().is_none());
}

#[test]
fn a_serial_number_that_two_luns_have_names_neither() {
    let pair = Pair::new();
    let third = lun_of(&Volume::new(), ";copy=daemon");
    pair.configfs.lun(&third.backstore.clone().unwrap(), OTHER_SERIAL);
    add(&third);
    assert!(pair.is_refused(0, 1));
}

/// As while the kernel removes a backstore, which waits for the daemon.
#[test]
fn a_configfs_that_says_nothing_does_not_hold_up_the_answer() {
    let pair = Pair::new();
    let file = pair.configfs.path().join("core").join(pair.other.backstore.clone().unwrap());
    let serial = file.join("wwn/vpd_unit_serial");
    std::fs::remove_file(&serial).unwrap();
    nix::unistd::mkfifo(&serial, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let begin = Instant::now();
    assert_eq!(pair.copy(0, 1).status, 3, "BUSY");
    assert!(begin.elapsed() < Duration::from_secs(20));
    // Lets the thread that waits to read it go.
    drop(std::fs::OpenOptions::new().write(true).open(&serial).unwrap());
}
