// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Commands without a daemon, for the unit tests of other modules.

use std::ffi::{CStr, c_int};
use std::mem;
use std::ptr::NonNull;
use std::sync::mpsc::{Receiver, Sender, channel};

use libc::iovec;

use super::abi::{TcmuDevice, TcmulibCmd, TcmurCmd};
use super::symbols::Symbols;
use super::{Command, DeviceHandle};
use crate::iovec::IoVecs;
use crate::scsi::Cdb;

/// The serial number of every device.
pub(crate) const SERIAL: &CStr = c"0123456789abcdef0123456789abcdef";

/// What the initiator would see of a command.
pub(crate) struct Answer {
    pub(crate) status: c_int,
    pub(crate) data: Vec<u8>,
    /// Sense key, additional sense code and qualifier, and the sense-key specific bytes.
    pub(crate) sense: (u8, u8, u8, [u8; 3]),
}

/// Stands for a `tcmur_cmd`, and owns what the core owns for it.
#[repr(C)]
struct FakeCmd {
    lib_cmd: *mut TcmulibCmd,
    head: Box<mem::MaybeUninit<TcmulibCmd>>,
    cdb: Box<[u8; 16]>,
    data: Vec<u8>,
    iovecs: Vec<iovec>,
    answer: Sender<Answer>,
}

/// A command whose data lies in pieces of `piece` bytes, and its answer to come.
pub(crate) fn command(data: Vec<u8>, piece: usize) -> (Command, Receiver<Answer>) {
    command_of(&[], data, piece)
}

/// One with this CDB.
pub(crate) fn command_of(cdb: &[u8], data: Vec<u8>, piece: usize) -> (Command, Receiver<Answer>) {
    let (answer, answers) = channel();
    let mut cmd = Box::new(FakeCmd {
        lib_cmd: std::ptr::null_mut(),
        head: Box::new(mem::MaybeUninit::zeroed()),
        cdb: Box::default(),
        data,
        iovecs: Vec::new(),
        answer,
    });
    cmd.lib_cmd = cmd.head.as_mut_ptr();
    // SAFETY: the head is zeroed, which is a valid value of all its fields.
    unsafe { (*cmd.lib_cmd).cdb = cmd.cdb.as_ptr() };
    let iovecs = cmd
        .data
        .chunks_mut(piece)
        .map(|chunk| iovec { iov_base: chunk.as_mut_ptr().cast(), iov_len: chunk.len() });
    cmd.iovecs = iovecs.collect();
    let (first, count) = (cmd.iovecs.as_mut_ptr(), cmd.iovecs.len());
    // SAFETY: the iovecs live in the command until it is completed.
    let data = unsafe { IoVecs::new(first, count) };
    let symbols: &'static Symbols = Box::leak(Box::new(Symbols::fake(complete)));
    let cmd = NonNull::from(Box::leak(cmd)).cast();
    // SAFETY: nobody else answers this command; `complete` takes it back.
    (unsafe { Command::new(symbols, NonNull::dangling(), cmd, Cdb::new(cdb), data) }, answers)
}

/// For a LUN without a device.
pub(crate) fn device_handle() -> DeviceHandle {
    let symbols: &'static Symbols = Box::leak(Box::new(Symbols::fake(complete)));
    let handle = DeviceHandle::new(symbols, NonNull::dangling(), None);
    // Before it could be used.
    handle.detach();
    handle
}

unsafe extern "C" fn complete(_: *mut TcmuDevice, cmd: *mut TcmurCmd, status: c_int) {
    // SAFETY: leaked by `command`, and completed once.
    let cmd = unsafe { Box::from_raw(cmd.cast::<FakeCmd>()) };
    // SAFETY: the head is zeroed before the plugin writes to it.
    let sense = unsafe { cmd.head.assume_init_ref() }.sense_buf;
    let sense = (sense[2], sense[12], sense[13], [sense[15], sense[16], sense[17]]);
    cmd.answer.send(Answer { status, data: cmd.data, sense }).unwrap();
}
