// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! ORWRITE: bits are set in blocks (SBC-3, 5.14).
//!
//! Atomic against every other ORWRITE and COMPARE AND WRITE of the image, through whatever gateway:
//! it is a COMPARE AND WRITE of what was read, which is repeated while others change it meanwhile.

use std::sync::Arc;

use super::backend::Backend;
use super::rw::fail;
use super::whole::{self, Place};
use super::{Lun, compare_and_write};
use crate::runner::Command;
use crate::scsi::Op;

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
    let len = expected.len();
    let mut new = vec![0; len];
    command.data().copy_to(&mut new);
    new.iter_mut().zip(&expected).for_each(|(new, old)| *new |= old);
    let again = move |lun, command, _| start(lun, command, offset, len);
    compare_and_write::exchange(lun, &*image, command, (OP, offset), (expected, new), again);
}
