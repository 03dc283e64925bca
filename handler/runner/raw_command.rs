// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The fields of the core's command: CDB, iovecs, sense.

use std::ffi::c_int;

use libc::iovec;

use super::abi::{self, TcmurCmd};
use crate::iovec::IoVecs;
use crate::scsi::{Cdb, Status};

/// The CDB of a command.
///
/// # Safety
/// `cmd` is a command that the core handed to a callback and that has not been completed.
pub(super) unsafe fn cdb(cmd: *mut TcmurCmd) -> Cdb {
    // SAFETY: the command is alive (caller).
    let lib_cmd = unsafe { abi::lib_cmd(cmd) };
    // SAFETY: lib_cmd points at the aligned head of this command, which nobody changes.
    let bytes = unsafe { (*lib_cmd).cdb };
    // SAFETY: every CDB has at least six bytes.
    let length = Cdb::length(unsafe { bytes.read() });
    // SAFETY: the core has copied the CDB whole, by its group (libtcmu.c,
    // tcmulib_get_next_command).
    Cdb::new(unsafe { std::slice::from_raw_parts(bytes, length) })
}

/// Replaces the operation code that the core looks at.
///
/// # Safety
/// As for [`cdb`].
pub(super) unsafe fn set_opcode(cmd: *mut TcmurCmd, opcode: u8) {
    // SAFETY: the command is alive (caller).
    let lib_cmd = unsafe { abi::lib_cmd(cmd) };
    // SAFETY: lib_cmd points at the aligned head of this command, which nobody changes.
    let bytes = unsafe { (*lib_cmd).cdb };
    // SAFETY: the core has copied the CDB from the ring into the command (libtcmu.c,
    // tcmulib_get_next_command): it may be written, and no one else does now.
    unsafe { bytes.cast_mut().write(opcode) };
}

/// The iovecs of the initiator's command, for a callback that is not given them.
///
/// # Safety
/// As for [`cdb`].
pub(super) unsafe fn raw_iovecs(cmd: *mut TcmurCmd) -> (*mut iovec, usize) {
    // SAFETY: the command is alive (caller).
    let lib_cmd = unsafe { abi::lib_cmd(cmd) };
    // SAFETY: lib_cmd points at the aligned head of this command, of which nobody changes these
    // fields.
    let iov = unsafe { (*lib_cmd).iovec };
    // SAFETY: as above.
    (iov, unsafe { (*lib_cmd).iov_cnt })
}

/// The data of the initiator's command, for a callback that is not given it. Not to be advanced:
/// the steps of one command share the iovecs.
///
/// # Safety
/// As for [`cdb`].
pub(super) unsafe fn command_iovecs(cmd: *mut TcmurCmd) -> IoVecs {
    // SAFETY: the command is alive (caller).
    let (iov, count) = unsafe { raw_iovecs(cmd) };
    // SAFETY: the iovecs of a live command.
    unsafe { IoVecs::new(iov, count) }
}

/// Readies a command that ends in `handle_cmd` for the core, which answers it: the return value of
/// that callback.
///
/// # Safety
/// As for [`cdb`].
pub(super) unsafe fn answered(cmd: *mut TcmurCmd, status: Status) -> c_int {
    // SAFETY: the command is alive (caller).
    unsafe { set_sense(cmd, status) };
    abi::number(status)
}

/// Has the core send the sense of a status along.
///
/// # Safety
/// As for [`cdb`].
pub(super) unsafe fn set_sense(cmd: *mut TcmurCmd, status: Status) {
    if let Status::Sense(sense) = status {
        // SAFETY: the command is not answered yet (caller).
        let lib_cmd = unsafe { abi::lib_cmd(cmd) };
        // SAFETY: lib_cmd points at the aligned head of this command; nobody else writes its sense
        // buffer.
        unsafe { (*lib_cmd).sense_buf = sense.to_bytes() };
    }
}
