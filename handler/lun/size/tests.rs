// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The table of sizes, over an image in memory.

use std::sync::Arc;

use super::super::testing::{Memory, SIZE, Volume, image, lun_of};
use super::*;

const BYTES: u64 = SIZE as u64;

fn lun() -> Arc<Lun<Memory>> {
    lun_of(&Volume::new(), "")
}

fn set_image(lun: &Arc<Lun<Memory>>, size: Result<u64, Errno>) {
    *image(lun).size.lock().unwrap() = size;
}

#[test]
fn a_size_that_the_image_does_not_have_is_refused_in_both_directions() {
    let lun = lun();
    assert_eq!(resize(&lun, BYTES), Ok(()), "its own");
    assert_eq!(resize(&lun, BYTES + 512), Err(Errno::ENOSPC));
    assert_eq!(resize(&lun, BYTES - 512), Err(Errno::EINVAL), "data would be lost");
    assert_eq!(resize(&lun, 511), Err(Errno::EINVAL), "less than a block");
    assert_eq!(lun.size.bytes(), BYTES);
}

#[test]
fn a_larger_image_is_taken_in_whole_blocks_up_to_its_end() {
    let lun = lun();
    set_image(&lun, Ok(2 * BYTES + 511));
    assert_eq!(resize(&lun, BYTES + 1000), Ok(()));
    assert_eq!(lun.size.bytes(), BYTES + 512);
    assert_eq!(resize(&lun, 2 * BYTES + 512), Err(Errno::ENOSPC));
    assert_eq!(resize(&lun, 2 * BYTES), Ok(()));
    assert_eq!(lun.size.bytes(), 2 * BYTES);
}

#[test]
fn past_the_end_of_an_image_that_was_cut_off_reads_go_on_and_writes_fail() {
    let lun = lun();
    set_image(&lun, Ok(BYTES / 2));
    check(&lun);
    let admit = |op, offset| lun.size.admit(op, offset, 512).map(drop);
    for op in [Op::Write, Op::WriteSame, Op::Unmap, Op::CompareAndWrite] {
        assert_eq!(admit(op, BYTES / 2), Err(Status::WriteError), "{op:?}");
        assert_eq!(admit(op, BYTES / 2 - 512), Ok(()), "{op:?}");
        assert_eq!(admit(op, BYTES), Err(Status::OutOfRange), "{op:?}");
    }
    assert_eq!(admit(Op::Read, BYTES / 2), Ok(()), "the image answers it");
    set_image(&lun, Ok(BYTES));
    check(&lun);
    assert_eq!(admit(Op::Write, BYTES / 2), Ok(()), "it is whole again");
}

#[test]
fn a_lun_shrinks_to_an_image_that_was_cut_off_and_does_not_grow_back_by_itself() {
    let lun = lun();
    set_image(&lun, Ok(BYTES / 2));
    assert_eq!(resize(&lun, BYTES / 4), Err(Errno::EINVAL), "the image has more");
    assert_eq!(resize(&lun, BYTES / 2), Ok(()));
    assert_eq!((lun.size.bytes(), lun.size.monitor().grow), (BYTES / 2, Grow::Manual));
}

#[test]
fn a_lun_with_a_write_in_flight_past_the_new_end_keeps_its_size() {
    let lun = lun();
    set_image(&lun, Ok(BYTES / 2));
    let write = lun.size.admit(Op::Write, BYTES / 2, 512).unwrap();
    assert_eq!(resize(&lun, BYTES / 2), Err(Errno::EBUSY));
    assert_eq!(lun.size.bytes(), BYTES);
    drop(write);
    assert_eq!(resize(&lun, BYTES / 2), Ok(()));
}

#[test]
fn a_size_of_an_image_that_cannot_be_queried_is_accepted_and_served_when_it_is_there() {
    let lun = lun();
    set_image(&lun, Err(Errno::ENOTCONN));
    assert_eq!(resize(&lun, 2 * BYTES), Ok(()));
    assert_eq!(lun.size.bytes(), BYTES, "not known to be there");
    set_image(&lun, Ok(2 * BYTES));
    check(&lun);
    assert_eq!(lun.size.bytes(), 2 * BYTES);
}

#[test]
fn an_accepted_size_that_the_image_turns_out_not_to_have_is_taken_back() {
    let lun = lun();
    set_image(&lun, Err(Errno::ENOTCONN));
    assert_eq!(resize(&lun, 2 * BYTES), Ok(()));
    set_image(&lun, Ok(BYTES));
    check(&lun);
    assert_eq!((lun.size.bytes(), lun.size.monitor().kernel_differs), (BYTES, true));
}
