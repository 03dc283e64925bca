// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Which LUN a device of the core is.
//!
//! Two ways lead from a device to its LUN. Data callbacks take the device's private pointer: the
//! core runs them only between `open` and `close`, and a lock that all LUNs share has no place in
//! their path. Every other callback may run while the device is being closed by another thread
//! (runner contract: recovery, C2, C3), so it takes a reference from the table here.

use std::collections::HashMap;
use std::ptr::{self, NonNull};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::abi::TcmuDevice;
use super::command::Failed;
use super::handler::Lun;
use super::symbols::Symbols;
use super::timeout::CommandTimeout;

/// An opened LUN.
pub(super) struct Slot {
    pub(super) lun: Arc<dyn Lun>,
    pub(super) timeout: CommandTimeout,
    /// Cleared by a reopen, which starts anew.
    pub(super) failed: Failed,
}

/// The LUNs that are open.
#[derive(Default)]
pub(super) struct Devices(Mutex<HashMap<usize, Arc<Slot>>>);

impl Devices {
    /// Makes `lun` the one behind `device`.
    pub(super) fn insert(&self, symbols: &Symbols, raw: NonNull<TcmuDevice>, lun: Arc<dyn Lun>) {
        let device = raw.as_ptr();
        // SAFETY: `device` is the argument of the running `open`.
        let timeout = unsafe { CommandTimeout::new(symbols, raw) };
        let slot = Arc::new(Slot { lun, timeout, failed: Failed::default() });
        let private: *const Slot = Arc::as_ptr(&slot);
        let replaced = self.table().insert(device.addr(), slot);
        drop(replaced);
        // SAFETY: `device` is the argument of the running `open`.
        unsafe { (symbols.tcmur_dev_set_private)(device, private.cast()) };
    }

    /// Takes the LUN away from `device`: no callback that starts from now on finds it.
    pub(super) fn remove(&self, symbols: &Symbols, device: *mut TcmuDevice) -> Option<Arc<Slot>> {
        // SAFETY: `device` is the argument of the running `open` or `close`.
        unsafe { (symbols.tcmur_dev_set_private)(device, ptr::null()) };
        self.table().remove(&device.addr())
    }

    /// The LUN, if it is open, from any callback.
    pub(super) fn get(&self, device: *mut TcmuDevice) -> Option<Arc<Slot>> {
        self.table().get(&device.addr()).cloned()
    }

    /// Takes a LUN out of service after a panic.
    pub(super) fn fail(&self, device: *mut TcmuDevice) {
        if let Some(slot) = self.get(device) {
            slot.failed.set();
        }
    }

    fn table(&self) -> MutexGuard<'_, HashMap<usize, Arc<Slot>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The LUN, if it is open, from a data callback, without a lock.
///
/// # Safety
/// A data callback (read, write, flush, ...) is running for `device`, and the result does not
/// outlive it.
pub(super) unsafe fn open_slot<'a>(symbols: &Symbols, device: *mut TcmuDevice) -> Option<&'a Slot> {
    // SAFETY: `device` is a data callback's argument (caller).
    let private = unsafe { (symbols.tcmur_dev_get_private)(device) };
    // SAFETY: the pointer is NULL, or it was set by `insert` and its slot is in the table until
    // `remove` clears both, which `close` does; the core never closes a device while a data
    // callback of it runs.
    unsafe { private.cast::<Slot>().as_ref() }
}
