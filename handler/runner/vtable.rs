// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The table of callbacks, and those for commands: C functions that call the safe traits of
//! `handler.rs`.
//!
//! This is the one place where the core's raw arguments are turned into the project's types; no
//! decision is taken here.

use std::cell::Cell;
use std::ffi::{CString, c_int};
use std::ptr::{self, NonNull};
use std::sync::Arc;

use super::abi::{self, TcmuDevice, TcmurCmd, TcmurHandler};
use super::command::{self, Command, Rejected};
use super::control::{
    check_config_cb, close_cb, destroy_cb, get_lock_state_cb, lock_cb, open_cb, reconfig_cb,
    unlock_cb, update_logdir_cb,
};
use super::devices::open_slot;
use super::entry::{RUNNER, Runner, guard};
use super::handler::{Geometry, Handler, Lun, Verdict};
use super::log;
use super::symbols::{self, Symbols, Unsupported};
use crate::iovec::IoVecs;
use crate::metrics::IoDescriptor;
use crate::scsi::{Op, Status};
use libc::iovec;

const TABLE: TcmurHandler = TcmurHandler {
    name: c"GlusterFS".as_ptr(),
    subtype: c"glfs".as_ptr(),
    // What `help create` shows: set when the handler is known.
    cfg_desc: c"".as_ptr(),
    opaque: ptr::null_mut(),
    check_config: Some(check_config_cb),
    reconfig: Some(reconfig_cb),
    open: Some(open_cb),
    close: Some(close_cb),
    nr_threads: 0,
    handle_cmd: Some(handle_cmd_cb),
    read: Some(read_cb),
    write: Some(write_cb),
    flush: Some(flush_cb),
    unmap: Some(unmap_cb),
    writesame: Some(writesame_cb),
    caw: Some(caw_cb),
    // All that it could report has been noticed here before; and with it, the core starts a thread
    // for every lost lock.
    report_event: None,
    lock: Some(lock_cb),
    unlock: Some(unlock_cb),
    // For explicit ALUA, which no release of the core supports.
    get_lock_tag: None,
    get_lock_state: Some(get_lock_state_cb),
    is_dbus_handler: false,
    update_logdir: Some(update_logdir_cb),
    init: None,
    destroy: Some(destroy_cb),
    reserved: [0; 7],
};

/// Registers `handler` with the daemon that has loaded this library.
///
/// # Errors
/// The daemon is not one this handler can serve; it has been told so in its log.
pub fn register(handler: &'static dyn Handler) -> Result<(), Unsupported> {
    let registered = Symbols::load().and_then(|symbols| {
        let runner = Runner { symbols, devices: super::devices::Devices::default(), handler };
        RUNNER.set(runner).map_err(|_| Unsupported::Twice)?;
        log::install();
        // The core keeps the table for ever.
        let help = Box::leak(CString::new(handler.help()).unwrap_or_default().into_boxed_c_str());
        let table = Box::leak(Box::new(TcmurHandler { cfg_desc: help.as_ptr(), ..TABLE }));
        match RUNNER.get().map(|runner| {
            // SAFETY: the table lives as long as the process, as do its strings.
            unsafe { (runner.symbols.tcmur_register_handler)(table) }
        }) {
            Some(0) => Ok(()),
            code => Err(Unsupported::Refused(code.unwrap_or(-1))),
        }
    });
    if let Err(reason) = &registered {
        let text = CString::new(format!("The GlusterFS handler is not loaded: {reason}"));
        symbols::log_refusal(&text.unwrap_or_default());
    }
    registered
}

/// A data callback's "the command is queued, or answered": the core must not answer it.
const QUEUED: c_int = abi::sts::OK;

/// READ: `len` bytes from `offset` into the iovecs.
///
/// # Safety
/// Only the core calls it, between `open` and `close` of `device`, on the device's command thread or
/// on the thread that completed the previous step of a compound command; `cmd` is a command that is
/// not completed, and `iov` points at `count` iovecs that are its own until it is.
unsafe extern "C" fn read_cb(
    device: *mut TcmuDevice,
    cmd: *mut TcmurCmd,
    iov: *mut iovec,
    count: usize,
    len: usize,
    offset: i64,
) -> c_int {
    let work = transfer_work(Op::Read, offset, len);
    // SAFETY: the core's arguments of this very callback.
    unsafe {
        submit("read", device, cmd, (iov, count), work, |lun, command| {
            transfer(command, len, offset, |command, at| lun.read(command, at))
        })
    }
}

/// WRITE: `len` bytes from the iovecs to `offset`.
///
/// # Safety
/// As for [`read_cb`].
unsafe extern "C" fn write_cb(
    device: *mut TcmuDevice,
    cmd: *mut TcmurCmd,
    iov: *mut iovec,
    count: usize,
    len: usize,
    offset: i64,
) -> c_int {
    let work = transfer_work(Op::Write, offset, len);
    // SAFETY: the core's arguments of this very callback.
    unsafe {
        submit("write", device, cmd, (iov, count), work, |lun, command| {
            transfer(command, len, offset, |command, at| lun.write(command, at))
        })
    }
}

/// SYNCHRONIZE CACHE.
///
/// # Safety
/// As for [`read_cb`].
unsafe extern "C" fn flush_cb(device: *mut TcmuDevice, cmd: *mut TcmurCmd) -> c_int {
    let work = IoDescriptor { op: Op::Flush, offset: 0, bytes: 0 };
    // SAFETY: the core's arguments of this very callback.
    unsafe { submit("flush", device, cmd, NO_DATA, work, <dyn Lun>::flush) }
}

/// UNMAP of one descriptor: `len` bytes at `offset`.
///
/// # Safety
/// As for [`read_cb`].
unsafe extern "C" fn unmap_cb(
    device: *mut TcmuDevice,
    cmd: *mut TcmurCmd,
    offset: u64,
    len: u64,
) -> c_int {
    let work = IoDescriptor { op: Op::Unmap, offset, bytes: len };
    // SAFETY: the core's arguments of this very callback.
    unsafe {
        submit("unmap", device, cmd, NO_DATA, work, |lun, command| lun.unmap(command, offset, len))
    }
}

/// WRITE SAME: `len` bytes at `offset` become the block in the iovecs.
///
/// # Safety
/// As for [`read_cb`].
unsafe extern "C" fn writesame_cb(
    device: *mut TcmuDevice,
    cmd: *mut TcmurCmd,
    offset: u64,
    len: u64,
    iov: *mut iovec,
    count: usize,
) -> c_int {
    if HIDDEN.take() == cmd.addr() {
        // SAFETY: the core's argument of this very callback, whose bit `handle_cmd` has cleared.
        unsafe { command::change_flags(cmd, |flags| flags | UNMAP) };
    }
    let work = IoDescriptor { op: Op::WriteSame, offset, bytes: len };
    // SAFETY: the core's arguments of this very callback.
    unsafe {
        submit("writesame", device, cmd, (iov, count), work, |lun, command| {
            lun.write_same(command, offset, len)
        })
    }
}

/// COMPARE AND WRITE at `offset`; `len` is that of one half of the data in the iovecs.
///
/// # Safety
/// As for [`read_cb`].
unsafe extern "C" fn caw_cb(
    device: *mut TcmuDevice,
    cmd: *mut TcmurCmd,
    offset: u64,
    len: u64,
    iov: *mut iovec,
    count: usize,
) -> c_int {
    let work = IoDescriptor { op: Op::CompareAndWrite, offset, bytes: len };
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

/// What a LUN is asked about before the core looks at it: TEST UNIT READY, which the core always
/// calls good; and SYNCHRONIZE CACHE (10), (16), for which it would ask for the lock.
const PRIOR: [u8; 3] = [0x00, 0x35, 0x91];

const INQUIRY: u8 = 0x12;

/// The UNMAP bit of WRITE SAME (10) and (16).
const UNMAP: u8 = 0b0000_1000;

thread_local! {
    /// The address of the WRITE SAME whose UNMAP bit `handle_cmd` has hidden from the core on this
    /// thread, where the core calls `writesame` next if it finds nothing wrong with the command. 0:
    /// none.
    static HIDDEN: Cell<usize> = const { Cell::new(0) };
}

/// Every command, before the core looks at it.
///
/// # Safety
/// Only the core calls it, on the command thread of `device`, which may be being closed by another
/// thread; `cmd` is a command that is not completed.
unsafe extern "C" fn handle_cmd_cb(device: *mut TcmuDevice, cmd: *mut TcmurCmd) -> c_int {
    guard(
        "handle_cmd",
        device,
        || abi::sts::NOT_HANDLED,
        |runner| {
            // SAFETY: the core's argument of this very callback.
            let cdb = unsafe { command::cdb(cmd) };
            // From the table: this callback also runs while the LUN is being closed.
            let slot = || runner.devices.get(device);
            if runner.handler.has_short_response(&cdb) {
                // SAFETY: as above.
                unsafe { command::command_iovecs(cmd) }.clear();
            }
            if let (INQUIRY, Some(device)) = (cdb.opcode(), NonNull::new(device)) {
                // SAFETY: as above.
                slot()
                    .iter()
                    .for_each(|slot| unsafe { slot.timeout.refresh(runner.symbols, device) });
            }
            HIDDEN.set(0);
            // SAFETY: as above.
            let status =
                match runner.handler.filter(&cdb, &unsafe { geometry(runner.symbols, device) }) {
                    Verdict::End(status) => Some(status),
                    Verdict::Page(page) => {
                        // SAFETY: as above.
                        unsafe { command::command_iovecs(cmd) }.store(&page);
                        Some(Status::Ok)
                    }
                    Verdict::HideUnmap => {
                        // SAFETY: as above; the command is a WRITE SAME.
                        unsafe { command::change_flags(cmd, |flags| flags & !UNMAP) };
                        HIDDEN.set(cmd.addr());
                        None
                    }
                    Verdict::Pass if PRIOR.contains(&cdb.opcode()) => slot().and_then(|slot| {
                        // The core calls TEST UNIT READY good, and multipath would never leave the
                        // path.
                        if slot.failed.is_set() {
                            Some(Status::HardwareError)
                        } else {
                            Arc::clone(&slot.lun).prior(&cdb)
                        }
                    }),
                    Verdict::Pass => None,
                };
            // SAFETY: as above.
            status.map_or(abi::sts::NOT_HANDLED, |status| unsafe { command::answered(cmd, status) })
        },
    )
}

/// # Safety
/// `device` is the argument of a running callback.
unsafe fn geometry(symbols: &Symbols, device: *mut TcmuDevice) -> Geometry {
    Geometry {
        // SAFETY: the device is alive (caller).
        block_size: unsafe { (symbols.tcmu_dev_get_block_size)(device) },
        // SAFETY: as above.
        blocks: unsafe { (symbols.tcmu_dev_get_num_lbas)(device) },
        // SAFETY: as above.
        max_transfer: unsafe { (symbols.tcmu_dev_get_max_xfer_len)(device) },
    }
}

/// A READ or WRITE, as it is measured.
fn transfer_work(op: Op, offset: i64, len: usize) -> IoDescriptor {
    IoDescriptor {
        op,
        offset: u64::try_from(offset).unwrap_or(0),
        bytes: u64::try_from(len).unwrap_or(u64::MAX),
    }
}

/// Checks the arguments of a READ or WRITE: its data must be as long as the core says, and its
/// offset a number of bytes.
fn transfer(
    command: Command,
    len: usize,
    offset: i64,
    work: impl FnOnce(Command, u64) -> Result<(), Rejected>,
) -> Result<(), Rejected> {
    match u64::try_from(offset) {
        Ok(offset) if command.data().len() == len => work(command, offset),
        Ok(_) => Err(Rejected(command, Status::InvalidCdb)),
        Err(_) => Err(Rejected(command, Status::OutOfRange)),
    }
}

/// The iovecs of a callback that is given none.
const NO_DATA: (*mut iovec, usize) = (ptr::null_mut(), 0);

/// What every data callback does: makes a [`Command`] of the core's arguments, and hands it to the
/// LUN of the device; what the LUN rejects is answered by the return value.
///
/// # Safety
/// `device`, `cmd` and the iovecs are the arguments of the running data callback.
unsafe fn submit(
    callback: &'static str,
    device: *mut TcmuDevice,
    cmd: *mut TcmurCmd,
    (iov, count): (*mut iovec, usize),
    work: IoDescriptor,
    serve: impl FnOnce(Arc<dyn Lun>, Command) -> Result<(), Rejected>,
) -> c_int {
    // After a panic the core answers the command, unless there is a `Command`: that answers itself
    // when it is dropped.
    let fallback = Cell::new(abi::number(Status::HardwareError));
    guard(
        callback,
        device,
        || fallback.get(),
        |runner| {
            let (Some(raw_device), Some(raw_cmd)) = (NonNull::new(device), NonNull::new(cmd))
            else {
                return fallback.get();
            };
            // SAFETY: the command of this callback, which is not completed.
            let cdb = unsafe { command::cdb(cmd) };
            // SAFETY: the iovecs of this callback; they are kept by its command.
            let data = unsafe { IoVecs::new(iov, count) };
            // SAFETY: the arguments of this callback, whose command nobody else has seen yet.
            let mut command =
                unsafe { Command::new(runner.symbols, raw_device, raw_cmd, cdb, data) };
            fallback.set(QUEUED);
            // SAFETY: this is a data callback; the slot is not kept.
            let slot = unsafe { open_slot(runner.symbols, device) };
            if let Some(slot) = slot {
                command.watch_for(&slot.failed);
                command.measure(slot.lun.begin(work));
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
        },
    )
}
