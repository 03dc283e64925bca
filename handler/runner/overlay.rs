// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Answers that the core fills in around bytes of ours.

use std::cell::Cell;

use libc::iovec;

use super::abi::{self, TcmurCmd};
use super::raw_command::command_iovecs;

/// Bytes of an answer that the core must not write: its emulation says less than the LUN can.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlay {
    /// The whole answer, of which only our bytes count up to `core_len`.
    pub answer: Vec<u8>,
    /// Which of the first bytes are ours, in ascending order.
    pub ours: &'static [usize],
    /// How many bytes the core writes.
    pub core_len: usize,
}

/// Writes an answer into the initiator's buffer, and has the core write around our bytes of it.
///
/// The core fills in an answer with `tcmu_memcpy_into_iovec`, which follows the command's iovecs
/// (1.5.4 and 1.6.2, `tcmu_emulate_std_inquiry`): where they lead elsewhere for a byte, ours stays.
///
/// # Safety
/// As for [`raw_command::cdb`](super::raw_command::cdb), and the core answers the command on this
/// thread, when this callback has returned.
pub(super) unsafe fn lay_over(cmd: *mut TcmurCmd, overlay: &Overlay) {
    thread_local! {
        /// What the core writes into in place of the initiator's buffer.
        static DETOUR: Cell<Vec<iovec>> = const { Cell::new(Vec::new()) };
        static LOST: Cell<[u8; 1]> = const { Cell::new([0]) };
    }
    // SAFETY: the command is alive (caller).
    let data = unsafe { command_iovecs(cmd) };
    let room = data.store(&overlay.answer).min(overlay.core_len);
    let mut detour: Vec<iovec> = Vec::new();
    for index in 0..room {
        let base = if overlay.ours.contains(&index) {
            LOST.with(Cell::as_ptr).cast()
        } else {
            data.address(index)
        };
        detour.push(iovec { iov_base: base, iov_len: 1 });
    }
    let (first, count) = (detour.as_mut_ptr(), detour.len());
    // The vector's memory stays where it is.
    DETOUR.set(detour);
    // SAFETY: the command is alive (caller).
    let lib_cmd = unsafe { abi::lib_cmd(cmd) };
    // SAFETY: lib_cmd points at the aligned head of this command. The core frees neither (the
    // iovecs are part of the command's own allocation), and reads them before the next command is
    // looked at on this thread.
    unsafe { (*lib_cmd).iovec = first };
    // SAFETY: as above.
    unsafe { (*lib_cmd).iov_cnt = count };
}
