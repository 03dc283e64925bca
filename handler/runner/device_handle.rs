// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! What an open LUN says to the core and to the kernel on its own account, from any thread.
//!
//! The core frees a device as soon as `close` has returned (`main.c`, `dev_removed`), and closes it
//! on its main thread, which the kernel waits for while it removes the backstore. Hence two kinds
//! of calls:
//!
//! * Calls that take the device, under the handle's lock, which [`detach`](DeviceHandle::detach)
//!   takes as well: the device lives until they return. They are only those that do nothing but set
//!   a field, or take `state_lock` to do so (`tcmu_notify_lock_lost`). Whoever keeps them waiting
//!   keeps the core's own next step waiting: `tcmur_stop_device` takes `state_lock` right after
//!   `close` returns, and no callback of this plugin is called with it held (only `report_event`
//!   would be).
//! * The call that may block takes no device. `tcmur_dev_update_size` opens a file in the
//!   backstore's configfs directory; an `rmdir` of that directory holds its lock until the daemon
//!   has closed the LUN, so the call would return when the device is already freed, and then write
//!   to it. No lock and no bound cures that. What targetcli does instead needs no device: a write
//!   to `attrib/dev_size`. The kernel asks the daemon (`tcmu_dev_size_store`), whose main thread
//!   finds the device, or does not, and calls [`Lun::resize`](super::Lun::resize).

use std::ffi::{CString, c_int};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use nix::errno::Errno;

use super::abi::TcmuDevice;
use super::symbols::{self, Symbols};

/// A LUN's device, for as long as the LUN is open.
#[derive(Debug)]
pub struct DeviceHandle {
    symbols: &'static Symbols,
    /// None once detached.
    device: Mutex<Option<Pointer>>,
    /// The configfs attribute of the backstore's size. None if the backstore's name is not known.
    size_attribute: Option<CString>,
    /// A thread is writing it, or waits to.
    announcing: Arc<AtomicBool>,
}

#[derive(Debug, Clone, Copy)]
struct Pointer(NonNull<TcmuDevice>);

// SAFETY: only used under the lock of the `DeviceHandle`, for functions that the core lets any
// thread call.
unsafe impl Send for Pointer {}

impl DeviceHandle {
    pub(super) fn new(
        symbols: &'static Symbols,
        raw: NonNull<TcmuDevice>,
        size_attribute: Option<CString>,
    ) -> Self {
        let device = Mutex::new(Some(Pointer(raw)));
        Self { symbols, device, size_attribute, announcing: Arc::default() }
    }

    /// Tells the kernel that the LUN has another size, on a thread of its own; initiators get a
    /// unit attention. On the way [`Lun::resize`](super::Lun::resize) is called, on the daemon's
    /// main thread. `refused` gets the kernel's error.
    ///
    /// At most one thread at a time: where one is still at it, nothing is done. It ends when the
    /// kernel answers, which is when the daemon's main thread does, or when the backstore's
    /// directory is gone.
    ///
    /// # Errors
    /// ENODEV if the LUN is closed, or its backstore is unknown; EAGAIN if no thread could be had.
    pub fn announce_size(
        &self,
        bytes: u64,
        refused: impl FnOnce(Errno) + Send + 'static,
    ) -> Result<(), Errno> {
        let is_detached = self.device.lock().unwrap_or_else(PoisonError::into_inner).is_none();
        let attribute =
            self.size_attribute.clone().filter(|_| !is_detached).ok_or(Errno::ENODEV)?;
        if self.announcing.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        // Dropped also where no thread could be had.
        let announcing = Announcing(Arc::clone(&self.announcing));
        let symbols = self.symbols;
        let thread = thread::Builder::new().name(String::from("glfs-call"));
        let call = move || {
            let outcome = write(symbols, &attribute, bytes);
            drop(announcing);
            if let Err(errno) = outcome {
                refused(errno);
            }
        };
        thread.spawn(call).map(drop).map_err(|_| Errno::EAGAIN)
    }

    /// Sets the write protect bit (WP) of MODE SENSE, if the daemon can (1.6.0 and later). Writes
    /// still arrive.
    pub fn set_write_protect(&self) {
        if let Some(set) = symbols::set_write_protect() {
            // SAFETY: the device is alive. The function sets a field.
            self.with_device(|_, device| unsafe { set(device, true) });
        }
    }

    /// Tells the core that another gateway has taken the LUN: it opens the LUN anew, and asks for
    /// the lock, before it passes on another WRITE. To be said before the command that has met with
    /// it is answered.
    pub fn lock_lost(&self) {
        // SAFETY: the device is alive; none of the core's locks is held. The function takes
        // `state_lock`, logs, and sets fields; the event that it would report next is not reported,
        // as there is no `report_event`.
        self.with_device(|symbols, device| unsafe { (symbols.tcmu_notify_lock_lost)(device) });
    }

    /// Gives up the device, which is about to go. Waits for calls that are using it, none of which
    /// blocks.
    pub fn detach(&self) {
        *self.device.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Calls a function that takes the device and does not block, unless the device is gone.
    fn with_device(&self, call: impl FnOnce(&Symbols, *mut TcmuDevice)) {
        let device = self.device.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Pointer(raw)) = *device {
            call(self.symbols, raw.as_ptr());
        }
    }
}

/// Ends when dropped.
struct Announcing(Arc<AtomicBool>);

impl Drop for Announcing {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// Writes a number to an attribute of the target. Blocks.
fn write(symbols: &Symbols, attribute: &CString, number: u64) -> Result<(), Errno> {
    let text = CString::new(number.to_string()).map_err(|_| Errno::EINVAL)?;
    let len = c_int::try_from(text.as_bytes().len()).map_err(|_| Errno::EINVAL)?;
    // SAFETY: both strings are NUL-terminated, and `len` is the length of the second.
    match unsafe { (symbols.tcmu_cfgfs_set_str)(attribute.as_ptr(), text.as_ptr(), len) } {
        0 => Ok(()),
        error => Err(Errno::from_raw(error.saturating_neg())),
    }
}
