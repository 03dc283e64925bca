// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! COMPARE AND WRITE: blocks are replaced if they are what the initiator believes. VMware calls it
//! ATS, and locks with it.
//!
//! Atomic against every other COMPARE AND WRITE of the image, through whatever gateway: the backend
//! holds a lock of the cluster meanwhile.

use std::sync::Arc;

use super::backend::{Backend, CompareAndWrite, Compared};
use super::rw::{durability, expire, fail, failed_op};
use super::{Lun, lock};
use crate::runner::Command;
use crate::scsi::{Op, Sense, Status};

/// Starts one at `offset`; the command's data is the expected blocks, then the new ones.
pub(super) fn start<B: Backend>(lun: Arc<Lun<B>>, image: &B, command: Command, offset: u64) {
    const OP: Op = Op::CompareAndWrite;
    let mut expected = command.data().to_vec();
    let new = expected.split_off(expected.len() / 2);
    exchange(lun, image, command, (OP, offset), (expected, new), |lun, command, byte| {
        lun.served(OP);
        command.complete(Status::Sense(Sense::miscompare(byte)));
    });
}

/// Replaces the blocks at `offset`, and answers. Where they are not as expected, `differs` does so,
/// given the first byte that is not.
pub(super) fn exchange<B: Backend>(
    lun: Arc<Lun<B>>,
    image: &B,
    command: Command,
    (op, offset): (Op, u64),
    (expected, new): (Vec<u8>, Vec<u8>),
    differs: impl FnOnce(Arc<Lun<B>>, Command, usize) + Send + 'static,
) {
    let owned = match lock::owns(&lun) {
        Ok(owned) => owned,
        Err(errno) => return fail(&lun, command, op, offset, errno),
    };
    let deadline = command.deadline();
    let durability = durability(&lun, &command);
    let call = CompareAndWrite { offset, expected, new, owned, durability, deadline };
    image.compare_and_write(call, move |outcome| match outcome {
        Ok(Compared::Written) => {
            lun.served(op);
            command.complete(Status::Ok);
        }
        Ok(Compared::Miscompare(byte)) => differs(lun, command, byte),
        Ok(Compared::Expired) => expire(&lun, command, op, offset),
        Err(errno) => fail(&lun, command, failed_op(op, durability, errno), offset, errno),
    });
}
