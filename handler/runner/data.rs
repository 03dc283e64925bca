// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The callbacks that move data: C functions that call the safe traits of `handler.rs`.
//!
//! No decision is taken here.

use std::ffi::c_int;
use std::ptr::NonNull;
use std::sync::Arc;

use libc::iovec;

use super::abi::{self, TcmuDevice, TcmurCmd};
use super::command::{Command, Rejected};
use super::devices::open_slot;
use super::entry::guard;
use super::handler::Lun;
use super::raw_command;
use crate::iovec::IoVecs;
use crate::metrics::IoDescriptor;
use crate::scsi::{Op, Status};

/// A data callback's "the command is queued, or answered": the core must not answer it.
const QUEUED: c_int = abi::sts::OK;

/// READ: `len` bytes from `offset` into the iovecs.
///
/// # Safety
/// Only the core calls it, between `open` and `close` of `device`, on the device's command thread
/// or on the thread that completed the previous step of a compound command; `cmd` is a command that
/// is not completed, and `iov` points at `count` iovecs that are its own until it is.
pub(super) unsafe extern "C" fn read(
    device: *mut TcmuDevice,
    cmd: *mut TcmurCmd,
    iov: *mut iovec,
    count: usize,
    len: usize,
    offset: i64,
) -> c_int {
    let work = transfer(Op::Read, offset, len);
    // SAFETY: the core's arguments of this very callback.
    unsafe {
        submit("read", device, cmd, (iov, count), work, |lun, command| {
            checked(command, len, offset, |command, at| lun.read(command, at))
        })
    }
}

/// WRITE: `len` bytes from the iovecs to `offset`.
///
/// # Safety
/// As for [`read`].
pub(super) unsafe extern "C" fn write(
    device: *mut TcmuDevice,
    cmd: *mut TcmurCmd,
    iov: *mut iovec,
    count: usize,
    len: usize,
    offset: i64,
) -> c_int {
    let work = transfer(Op::Write, offset, len);
    // SAFETY: the core's arguments of this very callback.
    unsafe {
        submit("write", device, cmd, (iov, count), work, |lun, command| {
            checked(command, len, offset, |command, at| lun.write(command, at))
        })
    }
}

/// COMPARE AND WRITE at `offset`; `len` is that of one half of the data in the iovecs.
///
/// # Safety
/// As for [`read`].
pub(super) unsafe extern "C" fn caw(
    device: *mut TcmuDevice,
    cmd: *mut TcmurCmd,
    offset: u64,
    len: u64,
    iov: *mut iovec,
    count: usize,
) -> c_int {
    let work = |_: &dyn Lun| IoDescriptor { op: Op::CompareAndWrite, offset, bytes: len };
    // SAFETY: the core's arguments of this very callback.
    unsafe {
        submit("caw", device, cmd, (iov, count), work, |lun, command| {
            match u64::try_from(command.data().len()) {
                Ok(both) if len.checked_mul(2) == Some(both) => {
                    lun.compare_and_write(command, offset)
                }
                _ => Err(Rejected(command, Status::InvalidCdb)),
            }
        })
    }
}

/// A READ or WRITE, as it is measured.
fn transfer(op: Op, offset: i64, len: usize) -> impl FnOnce(&dyn Lun) -> IoDescriptor {
    move |_| IoDescriptor {
        op,
        offset: u64::try_from(offset).unwrap_or(0),
        bytes: u64::try_from(len).unwrap_or(u64::MAX),
    }
}

/// Checks the arguments of a READ or WRITE: its data must be as long as the core says, and its
/// offset a number of bytes.
fn checked(
    command: Command,
    len: usize,
    offset: i64,
    serve: impl FnOnce(Command, u64) -> Result<(), Rejected>,
) -> Result<(), Rejected> {
    match u64::try_from(offset) {
        Ok(offset) if command.data().len() == len => serve(command, offset),
        Ok(_) => Err(Rejected(command, Status::InvalidCdb)),
        Err(_) => Err(Rejected(command, Status::OutOfRange)),
    }
}

/// What every data callback does: makes a [`Command`] of the core's arguments, and hands it to the
/// LUN of the device; what the LUN rejects is answered by the return value.
///
/// # Safety
/// `device`, `cmd` and the iovecs are the arguments of the running data callback.
pub(super) unsafe fn submit(
    callback: &'static str,
    device: *mut TcmuDevice,
    cmd: *mut TcmurCmd,
    (iov, count): (*mut iovec, usize),
    work: impl FnOnce(&dyn Lun) -> IoDescriptor,
    serve: impl FnOnce(Arc<dyn Lun>, Command) -> Result<(), Rejected>,
) -> c_int {
    // After a panic the core answers the command, unless there is a `Command`: that answers itself
    // when it is dropped.
    let mut fallback = abi::number(Status::HardwareError);
    let returned = guard(callback, device, |runner| {
        let (Some(raw_device), Some(raw_cmd)) = (NonNull::new(device), NonNull::new(cmd)) else {
            return fallback;
        };
        // SAFETY: the command of this callback, which is not completed.
        let cdb = unsafe { raw_command::cdb(cmd) };
        // SAFETY: the iovecs of this callback; they are kept by its command.
        let data = unsafe { IoVecs::new(iov, count) };
        // SAFETY: the arguments of this callback, whose command nobody else has seen yet.
        let mut command = unsafe { Command::new(runner.symbols, raw_device, raw_cmd, cdb, data) };
        fallback = QUEUED;
        // SAFETY: this is a data callback; the slot is not kept.
        let slot = unsafe { open_slot(runner.symbols, device) };
        if let Some(slot) = slot {
            command.watch_for(&slot.failed);
            command.measure(slot.lun.begin(work(&*slot.lun)));
            command.set_deadline(slot.timeout.deadline());
        }
        #[cfg(feature = "inject-panics")]
        super::entry::inject::panic_if_asked("submit", device);
        let queued = match slot {
            None => Err(Rejected(command, Status::Busy)),
            Some(slot) if slot.failed.is_set() => Err(Rejected(command, Status::HardwareError)),
            Some(slot) => serve(Arc::clone(&slot.lun), command),
        };
        match queued {
            Ok(()) => QUEUED,
            Err(Rejected(command, status)) => command.reject(status),
        }
    });
    returned.unwrap_or(fallback)
}
