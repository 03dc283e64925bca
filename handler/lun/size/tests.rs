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
fn a_larger_image_is_taken_in_whole_blocks_up_to_its_end() {
    let lun = lun();
    assert_eq!(resize(&lun, BYTES), Ok(()), "its own");
    set_image(&lun, Ok(2 * BYTES + 511));
    assert_eq!(resize(&lun, BYTES + 1000), Ok(()));
    assert_eq!(lun.size.bytes(), BYTES + 512);
    assert_eq!(resize(&lun, 2 * BYTES + 512), Err(Errno::ENOSPC));
    assert_eq!(resize(&lun, 2 * BYTES), Ok(()));
    assert_eq!(lun.size.bytes(), 2 * BYTES);
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
