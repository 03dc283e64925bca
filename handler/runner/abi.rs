// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The C ABI of tcmu-runner 1.5.4 and later, written down: no distribution installs its headers.
//!
//! Source: `tcmu-runner.h`, `libtcmu.h`, `libtcmu_common.h` of tags v1.5.4 to v1.6.2, which agree
//! in everything below. Layouts are for 64-bit targets; `tests/abi.rs` holds the plugin's symbols
//! against the installed daemon.

use std::ffi::{c_char, c_int, c_void};
use std::mem::{offset_of, size_of};

use libc::iovec;

use crate::scsi::{SENSE_LEN, Status};

/// `struct tcmu_device`: opaque, one per LUN, alive from `open` to the end of `close`.
#[repr(C)]
#[derive(Debug)]
pub(super) struct TcmuDevice {
    _opaque: [u8; 0],
}

/// `struct tcmur_cmd`: one command. **Its address is usually misaligned** (it follows the CDB in
/// one allocation), so it is opaque here: no reference to it is ever formed, and its one field of
/// interest is read with [`lib_cmd`].
#[repr(C)]
#[derive(Debug)]
pub(super) struct TcmurCmd {
    _opaque: [u8; 0],
}

/// `struct tcmulib_cmd`: the head of a command, properly aligned.
#[repr(C)]
#[derive(Debug)]
pub(super) struct TcmulibCmd {
    cmd_id: u16,
    pub(super) cdb: *const u8,
    /// The data of the initiator's command, when a step of a compound one has none of its own.
    pub(super) iovec: *mut iovec,
    pub(super) iov_cnt: usize,
    /// Not initialised by the core.
    pub(super) sense_buf: [u8; SENSE_LEN],
    hm_private: *mut c_void,
}

/// Reads `tcmur_cmd.lib_cmd`, its first field, from a command that may be misaligned.
///
/// # Safety
/// `cmd` is a command that the core handed to a callback and that has not been completed.
pub(super) unsafe fn lib_cmd(cmd: *mut TcmurCmd) -> *mut TcmulibCmd {
    let field = cmd.cast::<*mut TcmulibCmd>();
    // SAFETY: the command is alive (caller), and `lib_cmd` is its first field; the read tolerates
    // any alignment.
    unsafe { field.read_unaligned() }
}

/// `struct tcmulib_cfg_info`: what `reconfig` is told.
#[repr(C)]
#[derive(Debug)]
pub(super) struct CfgInfo {
    /// One of the `TCMULIB_CFG_*` below.
    pub(super) kind: u32,
    /// A union: bytes (`DEV_SIZE`), a C string (`DEV_CFGSTR`), or one meaningful byte
    /// (`WRITE_CACHE`).
    pub(super) value: u64,
}

pub(super) const TCMULIB_CFG_DEV_SIZE: u32 = 1;
pub(super) const TCMULIB_CFG_WRITE_CACHE: u32 = 2;

/// `TCMU_STS_*`: what a data callback returns, or completes a command with.
pub(super) mod sts {
    use std::ffi::c_int;

    /// As the return value of a data callback: queued, the handler completes the command. As a
    /// completion: GOOD.
    pub(in crate::runner) const OK: c_int = 0;
    /// As the return value of `handle_cmd`: the core looks at the command itself.
    pub(in crate::runner) const NOT_HANDLED: c_int = -1;
    pub(in crate::runner) const NO_RESOURCE: c_int = 1;
    pub(in crate::runner) const PASSTHROUGH_ERR: c_int = 2;
    pub(in crate::runner) const BUSY: c_int = 3;
    pub(in crate::runner) const WR_ERR: c_int = 4;
    pub(in crate::runner) const RD_ERR: c_int = 5;
    pub(in crate::runner) const INVALID_CMD: c_int = 7;
    pub(in crate::runner) const INVALID_CDB: c_int = 8;
    /// As the result of `lock`: close, open, and ask again.
    pub(in crate::runner) const FENCED: c_int = 12;
    pub(in crate::runner) const HW_ERR: c_int = 13;
    pub(in crate::runner) const RANGE: c_int = 14;
}

/// The core's number for `status`. [`Status::Sense`] also needs its bytes in the command's sense
/// buffer.
pub(super) fn number(status: Status) -> c_int {
    match status {
        Status::Ok => sts::OK,
        Status::NoResource => sts::NO_RESOURCE,
        Status::Busy => sts::BUSY,
        Status::WriteError => sts::WR_ERR,
        Status::ReadError => sts::RD_ERR,
        Status::InvalidCommand => sts::INVALID_CMD,
        Status::InvalidCdb => sts::INVALID_CDB,
        Status::HardwareError => sts::HW_ERR,
        Status::OutOfRange => sts::RANGE,
        Status::Sense(_) => sts::PASSTHROUGH_ERR,
    }
}

/// `TCMUR_DEV_LOCK_*` (`tcmur_device.h`): the results of `get_lock_state`.
pub(super) mod lock {
    use std::ffi::c_int;

    pub(in crate::runner) const UNKNOWN: c_int = 0;
    pub(in crate::runner) const UNLOCKED: c_int = 1;
    pub(in crate::runner) const WRITE_LOCKED: c_int = 5;
}

pub(super) type Control = unsafe extern "C" fn(*mut TcmuDevice) -> c_int;
pub(super) type Plain = unsafe extern "C" fn(*mut TcmuDevice, *mut TcmurCmd) -> c_int;
pub(super) type Transfer =
    unsafe extern "C" fn(*mut TcmuDevice, *mut TcmurCmd, *mut iovec, usize, usize, i64) -> c_int;
pub(super) type Unmap = unsafe extern "C" fn(*mut TcmuDevice, *mut TcmurCmd, u64, u64) -> c_int;
pub(super) type Ranged =
    unsafe extern "C" fn(*mut TcmuDevice, *mut TcmurCmd, u64, u64, *mut iovec, usize) -> c_int;

/// `struct tcmur_handler`: the table of callbacks. The core keeps the pointer for the life of the
/// process and has no notion of the struct's size; `reserved` lets a later, longer layout find
/// NULLs.
#[repr(C)]
#[derive(Debug)]
pub(super) struct TcmurHandler {
    pub(super) name: *const c_char,
    pub(super) subtype: *const c_char,
    pub(super) cfg_desc: *const c_char,
    pub(super) opaque: *mut c_void,
    pub(super) check_config: Option<unsafe extern "C" fn(*const c_char, *mut *mut c_char) -> bool>,
    pub(super) reconfig: Option<unsafe extern "C" fn(*mut TcmuDevice, *mut CfgInfo) -> c_int>,
    pub(super) open: Option<unsafe extern "C" fn(*mut TcmuDevice, bool) -> c_int>,
    pub(super) close: Option<unsafe extern "C" fn(*mut TcmuDevice)>,
    /// Stays 0: with worker threads of the core, commands would be cancelled half-way at removal.
    pub(super) nr_threads: c_int,
    pub(super) handle_cmd: Option<Plain>,
    pub(super) read: Option<Transfer>,
    pub(super) write: Option<Transfer>,
    pub(super) flush: Option<Plain>,
    pub(super) unmap: Option<Unmap>,
    pub(super) writesame: Option<Ranged>,
    pub(super) caw: Option<Ranged>,
    pub(super) report_event: Option<Control>,
    pub(super) lock: Option<unsafe extern "C" fn(*mut TcmuDevice, u16) -> c_int>,
    pub(super) unlock: Option<Control>,
    pub(super) get_lock_tag: Option<unsafe extern "C" fn(*mut TcmuDevice, *mut u16) -> c_int>,
    pub(super) get_lock_state: Option<Control>,
    /// For the core's own use with handlers on D-Bus: false.
    pub(super) is_dbus_handler: bool,
    pub(super) update_logdir: Option<unsafe extern "C" fn() -> bool>,
    pub(super) init: Option<unsafe extern "C" fn() -> c_int>,
    pub(super) destroy: Option<unsafe extern "C" fn()>,
    pub(super) reserved: [usize; 7],
}

/// Offsets measured with the C headers of v1.5.4 and v1.6.2.
const _: () = {
    assert!(offset_of!(TcmurHandler, check_config) == 32);
    assert!(offset_of!(TcmurHandler, reconfig) == 40);
    assert!(offset_of!(TcmurHandler, open) == 48);
    assert!(offset_of!(TcmurHandler, close) == 56);
    assert!(offset_of!(TcmurHandler, nr_threads) == 64);
    assert!(offset_of!(TcmurHandler, handle_cmd) == 72);
    assert!(offset_of!(TcmurHandler, read) == 80);
    assert!(offset_of!(TcmurHandler, write) == 88);
    assert!(offset_of!(TcmurHandler, flush) == 96);
    assert!(offset_of!(TcmurHandler, unmap) == 104);
    assert!(offset_of!(TcmurHandler, writesame) == 112);
    assert!(offset_of!(TcmurHandler, caw) == 120);
    assert!(offset_of!(TcmurHandler, report_event) == 128);
    assert!(offset_of!(TcmurHandler, lock) == 136);
    assert!(offset_of!(TcmurHandler, unlock) == 144);
    assert!(offset_of!(TcmurHandler, get_lock_tag) == 152);
    assert!(offset_of!(TcmurHandler, get_lock_state) == 160);
    assert!(offset_of!(TcmurHandler, is_dbus_handler) == 168);
    assert!(offset_of!(TcmurHandler, update_logdir) == 176);
    assert!(offset_of!(TcmurHandler, init) == 184);
    assert!(offset_of!(TcmurHandler, destroy) == 192);
    assert!(offset_of!(TcmurHandler, reserved) == 200);
    assert!(size_of::<TcmurHandler>() == 256);

    assert!(offset_of!(TcmulibCmd, cdb) == 8);
    assert!(offset_of!(TcmulibCmd, iovec) == 16);
    assert!(offset_of!(TcmulibCmd, iov_cnt) == 24);
    assert!(offset_of!(TcmulibCmd, sense_buf) == 32);
    assert!(offset_of!(TcmulibCmd, hm_private) == 128);
    assert!(size_of::<TcmulibCmd>() == 136);

    assert!(offset_of!(CfgInfo, value) == 8);
    assert!(size_of::<CfgInfo>() == 16);
};
