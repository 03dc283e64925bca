// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Fills over a backend in memory that answers when it is told to.

use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::{Duration, Instant};

use super::super::testing::{Memory, image, lun};
use super::*;
use crate::runner::Lun as _;
use crate::runner::testing::{Answer, command_of};

/// Submits a WRITE SAME of the block `number`.
fn fill(lun: &Arc<Lun<Memory>>, number: usize, deadline: Option<Instant>) -> Receiver<Answer> {
    let byte = u8::try_from(number).unwrap();
    let mut cdb = [0_u8; 16];
    (cdb[0], cdb[9], cdb[13]) = (0x93, byte % 16, 1);
    let (mut command, answers) = command_of(&cdb, vec![byte; 512], 512);
    command.set_deadline(deadline);
    assert!(Arc::clone(lun).serve(command).is_ok());
    answers
}

#[test]
fn fills_of_a_lun_have_a_bounded_number_of_pieces_in_flight_and_are_served_in_order() {
    let lun = lun(Vec::new());
    let image = image(&lun);
    image.freeze(true);
    let fills: Vec<_> = (1..=48).map(|number| fill(&lun, number, None)).collect();
    assert_eq!(image.calls(), 8);
    image.freeze(false);
    assert!(fills.iter().all(|answers| answers.recv().unwrap().status == 0));
    assert_eq!(image.calls(), 48);
    let last: Vec<_> =
        image.volume.state().bytes.iter().step_by(512).map(|&byte| usize::from(byte)).collect();
    assert_eq!(last, [[48].as_slice(), &(33..48).collect::<Vec<_>>()].concat());
}

#[test]
fn a_fill_that_has_waited_beyond_its_deadline_is_not_begun() {
    let lun = lun(Vec::new());
    let image = image(&lun);
    image.freeze(true);
    let before: Vec<_> = (1..=8).map(|number| fill(&lun, number, None)).collect();
    let late = fill(&lun, 9, Some(Instant::now() + Duration::from_millis(50)));
    let after = fill(&lun, 10, None);
    thread::sleep(Duration::from_millis(60));
    image.freeze(false);
    assert_eq!(late.recv().unwrap().status, 3, "BUSY");
    assert!(before.iter().chain([&after]).all(|answers| answers.recv().unwrap().status == 0));
    assert_eq!(image.calls(), 9);
    assert_eq!(image.volume.state().bytes[512 * 9], 0);
}

#[test]
fn an_image_that_is_closed_meanwhile_leaves_no_fill_unanswered() {
    let lun = lun(Vec::new());
    let image = image(&lun);
    image.freeze(true);
    let fills: Vec<_> = (1..=20).map(|number| fill(&lun, number, None)).collect();
    lun.gate.close();
    image.freeze(false);
    let statuses: Vec<_> = fills.iter().map(|answers| answers.recv().unwrap().status).collect();
    assert_eq!((&statuses[..8], &statuses[8..]), (&[0; 8][..], &[3; 12][..]));
}

#[test]
fn ranges_of_an_unmap_that_touch_or_overlap_are_one_call() {
    let calls = |descriptors: &[(u64, u32)]| {
        let lun = lun(Vec::new());
        let image = image(&lun);
        image.volume.state().bytes.fill(7);
        let length = u16::try_from(descriptors.len() * 16).unwrap();
        let mut list = [(length + 6).to_be_bytes(), length.to_be_bytes(), [0; 2], [0; 2]].concat();
        for (lba, count) in descriptors {
            list.extend([&lba.to_be_bytes()[..], &count.to_be_bytes(), &[0; 4]].concat());
        }
        let mut cdb = [0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        cdb[7..9].copy_from_slice(&(length + 8).to_be_bytes());
        let (command, answers) = command_of(&cdb, list, 512);
        assert!(Arc::clone(&lun).serve(command).is_ok());
        assert_eq!(answers.recv().unwrap().status, 0);
        let blocks: Vec<_> =
            image.volume.state().bytes.chunks(512).map(|block| block[0] == 0).collect();
        let all = |lba: usize| {
            descriptors.iter().any(|&(from, count)| {
                (from..from + u64::from(count)).contains(&u64::try_from(lba).unwrap())
            })
        };
        assert!(blocks.iter().enumerate().all(|(lba, zero)| *zero == all(lba)), "{blocks:?}");
        image.calls()
    };
    let each: Vec<_> = (0..16).map(|lba| (lba, 1)).collect();
    assert_eq!(calls(&each), 1);
    assert_eq!(calls(&each.iter().rev().copied().collect::<Vec<_>>()), 1, "from the end");
    assert_eq!(calls(&[(0, 8), (2, 2), (7, 3)]), 1, "one within another");
    assert_eq!(calls(&[(4, 2), (0, 3), (8, 1)]), 3);
}
