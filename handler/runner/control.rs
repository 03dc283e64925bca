// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The callbacks that are not about a command: opening and closing, the lock, changes of a LUN, the
//! handler as a whole.
//!
//! As in `data.rs`, no decision is taken here.

use std::ffi::{CStr, c_char, c_int};
use std::ptr::NonNull;
use std::sync::Arc;

use nix::errno::Errno;

use super::abi::{self, CfgInfo, TcmuDevice};
use super::device::Device;
use super::entry::{NO_DEVICE, Runner, guard};
use super::handler::{LockOutcome, LockState};
use super::log;

/// Opens a LUN; `reopen` if it has been closed a moment ago.
///
/// # Safety
/// Only the core calls it, with a device that is not open, on its main thread, or on a recovery
/// thread (`reopen`).
pub(super) unsafe extern "C" fn open_cb(device: *mut TcmuDevice, reopen: bool) -> c_int {
    let result = guard("open", device, |runner| {
        let Some(raw) = NonNull::new(device) else { return negative(Errno::EINVAL) };
        // SAFETY: the core's argument of this very callback.
        let opened = runner.handler.open(&unsafe { Device::new(runner.symbols, raw, reopen) });
        match opened {
            Ok(lun) => {
                runner.devices.insert(runner.symbols, raw, lun);
                0
            }
            Err(errno) => negative(errno),
        }
    });
    result.unwrap_or(negative(Errno::EIO))
}

/// Closes a LUN.
///
/// # Safety
/// Only the core calls it, once for each `open` that succeeded, with no data callback of `device`
/// running; the device is freed when it returns.
pub(super) unsafe extern "C" fn close_cb(device: *mut TcmuDevice) {
    guard("close", device, |runner| {
        if let Some(slot) = runner.devices.remove(runner.symbols, device) {
            Arc::clone(&slot.lun).close();
        }
    });
}

/// Acquires the lock of a LUN with an implicit ALUA group.
///
/// # Safety
/// Only the core calls it, on a thread of its own, with a device that lives until it returns, and
/// that another thread may be closing.
pub(super) unsafe extern "C" fn lock_cb(device: *mut TcmuDevice, _tag: u16) -> c_int {
    let lock = |runner: &Runner| runner.devices.get(device).map(|slot| slot.lun.lock());
    match guard("lock", device, lock).flatten() {
        Some(LockOutcome::Locked) => abi::sts::OK,
        Some(LockOutcome::Reopen) => abi::sts::FENCED,
        Some(LockOutcome::NotNow) | None => abi::sts::BUSY,
    }
}

/// Gives the lock back.
///
/// # Safety
/// As for [`lock_cb`].
pub(super) unsafe extern "C" fn unlock_cb(device: *mut TcmuDevice) -> c_int {
    let done = guard("unlock", device, |runner| {
        if let Some(slot) = runner.devices.get(device) {
            slot.lun.unlock();
        }
    });
    done.map_or(abi::sts::HW_ERR, |()| abi::sts::OK)
}

/// Whether the lock is held: for each INQUIRY, on the command thread.
///
/// # Safety
/// As for [`lock_cb`].
pub(super) unsafe extern "C" fn get_lock_state_cb(device: *mut TcmuDevice) -> c_int {
    let state = |runner: &Runner| runner.devices.get(device).map(|slot| slot.lun.lock_state());
    match guard("get_lock_state", device, state).flatten() {
        Some(LockState::Locked) => abi::lock::WRITE_LOCKED,
        Some(LockState::Unlocked) => abi::lock::UNLOCKED,
        None => abi::lock::UNKNOWN,
    }
}

/// Changes a LUN.
///
/// # Safety
/// Only the core calls it, on its main thread, with a device that lives until it returns and may be
/// closed; `info` is NULL or points at a struct of the core's.
pub(super) unsafe extern "C" fn reconfig_cb(device: *mut TcmuDevice, info: *mut CfgInfo) -> c_int {
    let changed = guard("reconfig", device, |runner| {
        let slot = runner.devices.get(device).ok_or(Errno::EAGAIN)?;
        // SAFETY: NULL, or a struct that the core keeps alive during this callback.
        let info = unsafe { info.as_ref() }.ok_or(Errno::EAGAIN)?;
        let [first_byte, ..] = info.value.to_ne_bytes();
        match info.kind {
            abi::TCMULIB_CFG_DEV_SIZE => slot.lun.resize(info.value),
            abi::TCMULIB_CFG_WRITE_CACHE => slot.lun.set_write_cache(first_byte != 0),
            // TCMULIB_CFG_DEV_CFGSTR: another image under a live LUN is another LUN.
            _ => Err(Errno::EOPNOTSUPP),
        }
    });
    changed.unwrap_or(Err(Errno::EIO)).map_or_else(negative, |()| 0)
}

/// Whether a configuration can be served, and why not.
///
/// # Safety
/// `cfgstring` is NULL or a C string; `reason` is NULL or points at a place for one pointer.
pub(super) unsafe extern "C" fn check_config_cb(
    cfgstring: *const c_char,
    reason: *mut *mut c_char,
) -> bool {
    let is_right = guard("check_config", NO_DEVICE, |runner| {
        if cfgstring.is_null() {
            return false;
        }
        // SAFETY: not NULL, so a NUL-terminated string of the caller's.
        let text = unsafe { CStr::from_ptr(cfgstring) };
        let verdict = text
            .to_str()
            .map_err(|e| format!("Not UTF-8: {e}"))
            .and_then(|t| runner.handler.check_config(t));
        let Err(why) = verdict else { return true };
        let why = std::ffi::CString::new(why).unwrap_or_default();
        if !reason.is_null() {
            // The core releases the text with free(), so it must be malloc's.
            // SAFETY: a NUL-terminated string; the result is NULL or owned by the caller.
            let copy = unsafe { libc::strdup(why.as_ptr()) };
            // SAFETY: not NULL, so a place of the caller's for one pointer.
            unsafe { reason.write(copy) };
        }
        false
    });
    is_right.unwrap_or(false)
}

/// The log directory has changed.
///
/// # Safety
/// Any thread may call it.
pub(super) unsafe extern "C" fn update_logdir_cb() -> bool {
    guard("update_logdir", NO_DEVICE, |runner| runner.handler.update_logdir()).is_some()
}

/// The daemon exits.
///
/// # Safety
/// Only the core calls it, on its main thread, when all devices are removed.
pub(super) unsafe extern "C" fn destroy_cb() {
    guard("destroy", NO_DEVICE, |runner| {
        runner.handler.destroy();
        log::close();
    });
}

/// Control callbacks answer with `-errno`; a positive number would be taken for success by the
/// kernel.
fn negative(errno: Errno) -> c_int {
    -(errno as c_int)
}
