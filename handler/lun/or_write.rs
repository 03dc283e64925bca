// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! ORWRITE: bits are set in blocks (SBC-3, 5.14).
//!
//! Atomic against every other ORWRITE and COMPARE AND WRITE of the image, through whatever gateway:
//! it is a COMPARE AND WRITE of what was read, which is repeated while others change it meanwhile.

use std::sync::Arc;

use super::backend::{Backend, CompareAndWrite, Compared};
use super::error::Op;
use super::rw::{durability, expire, fail, failed_op};
use super::whole::{self, Place};
use super::{Lun, lock};
use crate::runner::Command;
use crate::scsi::Status;

const OP: Op = Op::OrWrite;

/// Starts one over `len` bytes at `offset`; the command's data is as long.
pub(super) fn start<B: Backend>(lun: Arc<Lun<B>>, command: Command, offset: u64, len: usize) {
    let place = Place { offset, deadline: command.deadline() };
    whole::read(&Arc::clone(&lun), place, len, move |outcome| match outcome {
        Ok(bytes) => exchange(lun, command, offset, bytes),
        Err(failure) => failure.answer(&lun, command, OP, offset),
    });
}

/// Sets the bits, unless the blocks are not `expected` any more.
fn exchange<B: Backend>(lun: Arc<Lun<B>>, command: Command, offset: u64, expected: Vec<u8>) {
    let Some(image) = lun.gate.image() else {
        return fail(&lun, command, OP, offset, nix::errno::Errno::ENOTCONN);
    };
    let owned = match lock::owns(&lun) {
        Ok(owned) => owned,
        Err(errno) => return fail(&lun, command, OP, offset, errno),
    };
    let len = expected.len();
    let mut new = vec![0; len];
    command.data().copy_to(&mut new);
    new.iter_mut().zip(&expected).for_each(|(new, old)| *new |= old);
    let deadline = command.deadline();
    let durability = durability(&lun, &command);
    let call = CompareAndWrite { offset, expected, new, owned, durability, deadline };
    image.compare_and_write(call, move |outcome| match outcome {
        Ok(Compared::Written) => {
            lun.served(OP);
            command.complete(Status::Ok);
        }
        Ok(Compared::Miscompare(_)) => start(lun, command, offset, len),
        Ok(Compared::Expired) => expire(&lun, command, OP, offset),
        Err(errno) => fail(&lun, command, failed_op(OP, durability, errno), offset, errno),
    });
}
