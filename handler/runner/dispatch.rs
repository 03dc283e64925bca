// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! `handle_cmd`: every command before the core looks at it, and how a command gets an answer later
//! for which the core has no callback.
//!
//! # The disguise
//! The core calls `handle_cmd` first, but what it answers must be final: "will be completed later"
//! ends in a jump to NULL, as only the core's own handlers set `tcmur_cmd->done`. So a command of
//! the LUN's own is passed on as a SYNCHRONIZE CACHE: `handle_cmd` writes 35h into the first byte
//! of the CDB, remembers the CDB for this thread, and returns `NOT_HANDLED`. The core then calls
//! [`flush`] on the same thread, which takes the CDB back, and has an asynchronous command with the
//! initiator's data. Why that is sound, in `tcmur_cmd_handler.c` of 1.5.4, whose lines are those of
//! 1.6.2, too:
//!
//! * The CDB is the core's own copy (`libtcmu.c:1168`, `tcmulib_get_next_command`), which the
//!   kernel does not read; nothing but `tcmu_cdb_get_lba` (a log line of
//!   `check_for_timed_out_cmds`) looks at it later. That one aborts the daemon on operation codes
//!   60h to 7Fh and from C0h on (`api.c:76`), none of which is in the table.
//! * After `handle_try_passthrough` (2390) the core takes the command for an unknown one in
//!   `handle_sync_cmd`, and goes on to `tcmur_cmd_handler` (2397). That counts it, so that removal
//!   waits for it (2125), refuses it in a recovery (2127), checks the ALUA state as for a WRITE
//!   (2154), and sets `done` (1759) before it calls `flush` (`flush_work_fn`, 1748).
//! * With `nr_threads` 0 all that is on the command thread, without a queue between
//!   (`tcmur_aio.c:218`), so the thread-local is that of this command or, where the core refused it
//!   on the way, of one that has ended. The address tells them apart: a command that comes later at
//!   the same address resets it first.
//! * `flush`'s 0 becomes `ASYNC_HANDLED` (`tcmur_aio.c:221`), and the completion by
//!   `tcmur_cmd_complete` ends in `handle_generic_cbk`, which tells the initiator whatever status
//!   and sense there are, and takes the command off the count.

use std::cell::Cell;
use std::ffi::c_int;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use libc::iovec;

use super::abi::{self, TcmuDevice, TcmurCmd};
use super::data::submit;
use super::devices::Slot;
use super::entry::{Runner, guard};
use super::handler::{Arrival, Lun, Verdict};
use super::{overlay, raw_command};
use crate::metrics::IoDescriptor;
use crate::scsi::{Cdb, DataDirection, Op, Operation, Server, Status};

const SYNCHRONIZE_CACHE: u8 = 0x35;

thread_local! {
    /// The address and the CDB of the command that `handle_cmd` has disguised on this thread, where
    /// the core calls `flush` next if it finds nothing against the command.
    static DISGUISED: Cell<Option<(usize, Cdb)>> = const { Cell::new(None) };
}

/// Every command, before the core looks at it.
///
/// # Safety
/// Only the core calls it, on the command thread of `device`, which may be being closed by another
/// thread; `cmd` is a command that is not completed.
pub(super) unsafe extern "C" fn handle_cmd(device: *mut TcmuDevice, cmd: *mut TcmurCmd) -> c_int {
    let body = |runner: &Runner| {
        DISGUISED.set(None);
        // SAFETY: the core's argument of this very callback.
        let cdb = unsafe { raw_command::cdb(cmd) };
        // SAFETY: as above.
        let data = unsafe { raw_command::command_iovecs(cmd) };
        if has_short_response(&cdb) {
            data.clear();
        }
        // From the table: this callback also runs while the LUN is being closed.
        let slot = runner.devices.get(device);
        if let (Some(Operation::Inquiry), Some(slot), Some(device)) =
            (cdb.operation(), &slot, NonNull::new(device))
        {
            // SAFETY: as above.
            unsafe { slot.timeout.refresh(runner.symbols, device) };
        }
        let arrival = Arrival {
            // SAFETY: the device is alive: the core's argument of this very callback.
            block_size: unsafe { (runner.symbols.tcmu_dev_get_block_size)(device) },
            // SAFETY: as above.
            blocks: unsafe { (runner.symbols.tcmu_dev_get_num_lbas)(device) },
            // SAFETY: as above.
            max_transfer: unsafe { (runner.symbols.tcmu_dev_get_max_xfer_len)(device) },
            data_len: data.len(),
        };
        match look(runner, slot.as_deref(), &cdb, &arrival) {
            // SAFETY: as above.
            Verdict::End(status) => unsafe { raw_command::answered(cmd, status) },
            Verdict::Data(bytes) => {
                data.store(&bytes);
                // SAFETY: as above.
                unsafe { raw_command::answered(cmd, Status::Ok) }
            }
            Verdict::Overlay(overlay) => {
                // SAFETY: as above; the core answers the command on this thread, before it is
                // freed.
                unsafe { overlay::lay_over(cmd, &overlay) };
                abi::sts::NOT_HANDLED
            }
            Verdict::Pass => {
                if cdb.command().is_some_and(|command| command.server == Server::Queue) {
                    // SAFETY: as above.
                    unsafe { raw_command::set_opcode(cmd, SYNCHRONIZE_CACHE) };
                    DISGUISED.set(Some((cmd.addr(), cdb)));
                }
                abi::sts::NOT_HANDLED
            }
        }
    };
    guard("handle_cmd", device, body).unwrap_or(abi::sts::NOT_HANDLED)
}

/// SYNCHRONIZE CACHE, or a command in its disguise.
///
/// # Safety
/// As for [`read`](super::data::read).
pub(super) unsafe extern "C" fn flush(device: *mut TcmuDevice, cmd: *mut TcmurCmd) -> c_int {
    let own = DISGUISED.take().filter(|(address, _)| *address == cmd.addr());
    let Some((_, cdb)) = own else {
        const NO_DATA: (*mut iovec, usize) = (ptr::null_mut(), 0);
        let work = |_: &dyn Lun| IoDescriptor { op: Op::Flush, offset: 0, bytes: 0 };
        // SAFETY: the core's arguments of this very callback.
        return unsafe { submit("flush", device, cmd, NO_DATA, work, <dyn Lun>::flush) };
    };
    // SAFETY: as above; this is the command whose operation code `handle_cmd` has replaced.
    unsafe { raw_command::set_opcode(cmd, cdb.opcode()) };
    // SAFETY: as above.
    let iovecs = unsafe { raw_command::raw_iovecs(cmd) };
    // SAFETY: as above.
    unsafe { submit("flush", device, cmd, iovecs, |lun| lun.work(&cdb), <dyn Lun>::serve) }
}

/// What becomes of a command.
fn look(runner: &Runner, slot: Option<&Slot>, cdb: &Cdb, arrival: &Arrival) -> Verdict {
    match slot {
        Some(slot) if !slot.failed.is_set() => Arc::clone(&slot.lun).intercept(cdb, arrival),
        // The core calls TEST UNIT READY good, and multipath would never leave the path.
        Some(_) if cdb.operation() == Some(Operation::TestUnitReady) => {
            Verdict::End(Status::HardwareError)
        }
        _ => runner.handler.filter(cdb, arrival),
    }
}

/// Whether less than the initiator's buffer may be answered, and the rest would stay as the ring
/// had it: with data of other commands.
fn has_short_response(cdb: &Cdb) -> bool {
    cdb.command().is_some_and(|command| {
        command.data == DataDirection::In && command.operation != Operation::Read
    })
}
