// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Copies on a volume in memory.

use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::time::Instant;

use super::parameter_list::designator;
use super::parameter_list::tests::{list, segment, target};
use super::*;
use crate::lun::testing::{self, Fault, Memory, Volume, image, lun_of, numbered};
use crate::runner::testing::{Answer, SERIAL};

fn submit(lun: &Arc<Lun<Memory>>, list: Vec<u8>, deadline: Option<Instant>) -> Receiver<Answer> {
    let length = u32::try_from(list.len()).unwrap().to_be_bytes();
    let cdb = [&[0x83, 0, 0, 0, 0, 0, 0, 0, 0, 0][..], &length].concat();
    testing::submit(lun, &cdb, list, deadline)
}

fn own() -> Vec<u8> {
    target(designator(SERIAL.to_str().unwrap()), 512)
}

/// The status of a copy of these segments.
fn copy(lun: &Arc<Lun<Memory>>, segments: &[(u64, u64, u16)]) -> i32 {
    let segments: Vec<_> =
        segments.iter().map(|&(from, to, blocks)| segment(from, to, blocks)).collect();
    submit(lun, list(&[own()], &segments), None).recv().unwrap().status
}

fn numbers(lun: &Arc<Lun<Memory>>) -> Vec<u8> {
    image(lun).volume.state().bytes.chunks(512).map(|block| block[0]).collect()
}

#[test]
fn segments_are_copied_in_their_order() {
    let lun = numbered(Vec::new());
    assert_eq!(copy(&lun, &[(0, 8, 2), (8, 4, 1), (3, 3, 1)]), 0);
    assert_eq!(numbers(&lun), [1, 2, 3, 4, 1, 6, 7, 8, 1, 2, 11, 12, 13, 14, 15, 16]);
    let outcome = lun.copies.answer(&crate::scsi::Cdb::new(&[0x84, 0, 1])).unwrap();
    assert_eq!(outcome, [0, 0, 0, 8, 1, 0, 3, 1, 0, 0, 0, 2], "of the last copy");
    assert_eq!(copy(&lun, &[]), 0, "nothing");
}

#[test]
fn short_transfers_are_continued_and_errors_end_the_copy() {
    let short = numbered(vec![Fault::Short(700), Fault::Short(100), Fault::Short(1)]);
    assert_eq!(copy(&short, &[(0, 8, 4)]), 0);
    assert_eq!(numbers(&short)[8..12], [1, 2, 3, 4]);
    let failing = numbered(vec![Fault::Fails(Errno::ENXIO)]);
    assert_eq!(copy(&failing, &[(0, 8, 4), (0, 12, 1)]), 5, "READ ERROR");
    assert_eq!(numbers(&failing)[12], 13, "the second segment is not begun");
    let full = numbered(vec![Fault::Short(usize::MAX), Fault::Fails(Errno::ENOSPC)]);
    assert_eq!(copy(&full, &[(0, 8, 4)]), 2, "a sense");
}

#[test]
fn nothing_is_begun_after_the_deadline() {
    let lun = numbered(Vec::new());
    let list = list(&[own()], &[segment(0, 8, 4)]);
    assert_eq!(submit(&lun, list, Some(Instant::now())).recv().unwrap().status, 3, "BUSY");
    assert_eq!(numbers(&lun)[8], 9);
}

/// Initiators repeat what is BUSY, and would copy blocks that the first attempt has overwritten.
#[test]
fn a_copy_over_its_own_source_that_fails_half_way_is_aborted() {
    let failing =
        || vec![Fault::Short(usize::MAX), Fault::Short(usize::MAX), Fault::Fails(Errno::ENOTCONN)];
    let lun = numbered(failing());
    assert_eq!(copy(&lun, &[(0, 1, 1), (1, 2, 1)]), 2, "a sense, not BUSY");
    let lun = numbered(failing());
    assert_eq!(copy(&lun, &[(0, 8, 1), (1, 9, 1)]), 3, "BUSY: it can be repeated");
    let lun = numbered(vec![Fault::Fails(Errno::ENOTCONN)]);
    assert_eq!(copy(&lun, &[(0, 1, 1), (1, 2, 1)]), 3, "BUSY: nothing is overwritten yet");
}

#[test]
fn with_cache_through_zeros_are_written_durably() {
    let lun = lun_of(&Volume::new(), ";cache=through");
    image(&lun).volume.state().bytes[4096..].fill(1);
    assert_eq!(copy(&lun, &[(0, 8, 2)]), 0);
    assert_eq!(numbers(&lun)[8..10], [0, 0]);
    assert_eq!(image(&lun).durable_writes.load(Ordering::SeqCst), 1, "a hole may come undone");
}

#[test]
fn a_segment_that_overlaps_itself_is_copied_like_memory_is_moved() {
    const MIB: u64 = 1 << 20;
    for (from, to) in [(0, 3 * MIB), (3 * MIB, 0), (5, 6)] {
        let segment = Segment { source: 0, from, destination: 0, to, blocks: 8 * MIB };
        let (pieces, width) = cut(segment, 1);
        assert_eq!((pieces.len(), width), (8, 1));
        let mut disk: Vec<u64> = (0..12).collect();
        let expected: Vec<u64> =
            if from.abs_diff(to) == 1 { continue } else { (from / MIB..from / MIB + 8).collect() };
        for piece in pieces.into_iter().rev() {
            disk[usize::try_from(piece.to / MIB).unwrap()] =
                disk[usize::try_from(piece.from / MIB).unwrap()];
        }
        let begin = usize::try_from(to / MIB).unwrap();
        assert_eq!(disk[begin..begin + 8], expected);
    }
    let apart = Segment { source: 0, from: 0, destination: 0, to: 8, blocks: 8 };
    assert_eq!(cut(apart, 512).1, IN_FLIGHT, "side by side");
    let between_luns = Segment { destination: 1, to: 0, ..apart };
    assert_eq!(cut(between_luns, 512).1, IN_FLIGHT);
}
