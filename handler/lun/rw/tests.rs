// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! READ and WRITE over a backend in memory that does what real ones do on bad days.

use std::sync::Arc;
use std::time::Instant;

use nix::errno::Errno;
use proptest::prelude::*;

use super::super::testing::{Fault, Memory, SIZE, image, lun};
use super::*;
use crate::runner::testing::command;

/// Submits a READ or WRITE; its status and data.
fn run(lun: &Arc<Lun<Memory>>, op: Op, offset: usize, data: Vec<u8>) -> (i32, Vec<u8>) {
    let (command, answers) = command(data, 700);
    transfer(Arc::clone(lun), &*image(lun), command, op, offset as u64);
    let answer = answers.recv().unwrap();
    (answer.status, answer.data)
}

#[test]
fn a_short_transfer_is_not_continued_after_its_deadline() {
    let lun = lun(vec![Fault::Short(512)]);
    let image = image(&lun);
    let (mut command, answers) = command(vec![7; 1024], 700);
    command.set_deadline(Some(Instant::now()));
    transfer(Arc::clone(&lun), &*image, command, Op::Write, 0);
    assert_eq!(answers.recv().unwrap().status, 3, "BUSY");
    assert_eq!(image.volume.state().bytes[512..1024], [0; 512]);
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        4 => (1_usize..1500).prop_map(Fault::Short),
        1 => Just(Fault::Fails(Errno::ENXIO)),
    ]
}

proptest! {
    /// Whatever the backend cuts short, a command that is GOOD has moved every byte; and every
    /// command is answered.
    #[test]
    fn good_means_all_of_it(
        faults in proptest::collection::vec(fault(), 0..40),
        writes in proptest::collection::vec((0_usize..16, 1_usize..=8, any::<u8>()), 1..8),
    ) {
        let lun = lun(faults);
        let image = image(&lun);
        let mut model = vec![0_u8; SIZE];
        for (block, blocks, byte) in writes {
            let (offset, len) = (block * 512, (blocks * 512).min(SIZE - block * 512));
            let (status, _) = run(&lun, Op::Write, offset, vec![byte; len]);
            if status == 0 {
                model[offset..offset + len].fill(byte);
                let range = offset..offset + len;
                prop_assert_eq!(&image.volume.state().bytes[range.clone()], &model[range]);
            } else {
                prop_assert_eq!(status, 4, "WRITE ERROR");
                // What a failed write left is unspecified: the model follows.
                model.copy_from_slice(&image.volume.state().bytes);
            }
            let (status, data) = run(&lun, Op::Read, offset, vec![0xee; len]);
            if status == 0 {
                prop_assert_eq!(&data[..], &model[offset..offset + len]);
            } else {
                prop_assert_eq!(status, 5, "READ ERROR");
            }
        }
    }
}
