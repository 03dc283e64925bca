// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Fills over a backend in memory that answers when it is told to.

use std::sync::Arc;
use std::sync::mpsc::Receiver;

use super::super::testing::{self, Memory, image, lun};
use super::*;
use crate::runner::testing::Answer;

/// Submits a WRITE SAME of the block `number`.
fn fill(lun: &Arc<Lun<Memory>>, number: usize) -> Receiver<Answer> {
    let byte = u8::try_from(number).unwrap();
    let mut cdb = [0_u8; 16];
    (cdb[0], cdb[9], cdb[13]) = (0x93, byte % 16, 1);
    testing::submit(lun, &cdb, vec![byte; 512], None)
}

#[test]
fn fills_of_a_lun_have_a_bounded_number_of_pieces_in_flight_and_are_served_in_order() {
    let lun = lun(Vec::new());
    let image = image(&lun);
    image.freeze(true);
    let fills: Vec<_> = (1..=48).map(|number| fill(&lun, number)).collect();
    assert_eq!(image.calls(), 8);
    image.freeze(false);
    assert!(fills.iter().all(|answers| answers.recv().unwrap().status == 0));
    assert_eq!(image.calls(), 48);
    let last: Vec<_> =
        image.volume.state().bytes.iter().step_by(512).map(|&byte| usize::from(byte)).collect();
    assert_eq!(last, [[48].as_slice(), &(33..48).collect::<Vec<_>>()].concat());
}

#[test]
fn an_image_that_is_closed_meanwhile_leaves_no_fill_unanswered() {
    let lun = lun(Vec::new());
    let image = image(&lun);
    image.freeze(true);
    let fills: Vec<_> = (1..=20).map(|number| fill(&lun, number)).collect();
    lun.gate.close();
    image.freeze(false);
    let statuses: Vec<_> = fills.iter().map(|answers| answers.recv().unwrap().status).collect();
    assert_eq!((&statuses[..8], &statuses[8..]), (&[0; 8][..], &[3; 12][..]));
}

#[test]
fn ranges_of_an_unmap_that_touch_or_overlap_are_one_call() {
    let all = 0..16;
    let each = all.clone().map(|lba| lba..lba + 1);
    let whole = [all];
    assert_eq!(merged(each.clone().collect()), whole);
    assert_eq!(merged(each.rev().collect()), whole, "from the end");
    assert_eq!(merged(vec![0..8, 2..4, 7..16]), whole, "one within another");
    assert_eq!(merged(vec![4..6, 0..3, 8..9]), [0..3, 4..6, 8..9]);
}
