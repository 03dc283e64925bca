//! What an open LUN says to the core on its own account, from any thread.

use std::ptr::NonNull;
use std::sync::{Mutex, PoisonError};

use nix::errno::Errno;

use super::abi::TcmuDevice;
use super::symbols::{self, Symbols};

/// A LUN's device, for as long as the LUN is open. Never used from within the core's `report_event`, which holds a lock that the
/// functions here take.
#[derive(Debug)]
pub struct Link {
    symbols: &'static Symbols,
    /// None when the device may be gone.
    device: Mutex<Option<Pointer>>,
}

#[derive(Debug, Clone, Copy)]
struct Pointer(NonNull<TcmuDevice>);

// SAFETY: only used under the lock of the `Link`, for functions that the core lets any thread call.
unsafe impl Send for Pointer {}

impl Link {
    pub(super) fn new(symbols: &'static Symbols, raw: NonNull<TcmuDevice>) -> Self {
        Self { symbols, device: Mutex::new(Some(Pointer(raw))) }
    }

    /// Tells the core and the kernel that the LUN has another size; initiators get a unit attention.
    ///
    /// # Errors
    /// What the kernel answered; ENODEV after [`retire`](Self::retire).
    pub fn resize(&self, bytes: u64) -> Result<(), Errno> {
        self.with_device(|symbols, device| {
            // SAFETY: the device is alive; none of the core's locks is held.
            match unsafe { (symbols.tcmur_dev_update_size)(device, bytes) } {
                0 => Ok(()),
                error => Err(Errno::from_raw(error.saturating_neg())),
            }
        })
        .unwrap_or(Err(Errno::ENODEV))
    }

    /// Sets the write protect bit (WP) of MODE SENSE, if the daemon can (1.6.0 and later). Writes still arrive.
    pub fn set_write_protect(&self) {
        if let Some(set) = symbols::set_write_protect() {
            // SAFETY: the device is alive.
            self.with_device(|_, device| unsafe { set(device, true) });
        }
    }

    /// Tells the core that another gateway has taken the LUN: it opens the LUN anew, and asks for the lock, before it passes on
    /// another WRITE. To be said before the command that has met with it is answered.
    pub fn lock_lost(&self) {
        // SAFETY: the device is alive; none of the core's locks is held.
        self.with_device(|symbols, device| unsafe { (symbols.tcmu_notify_lock_lost)(device) });
    }

    /// The device is about to go: it is not touched any more from here on.
    pub fn retire(&self) {
        *self.device.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Does something with the device, unless it is gone. The lock is held meanwhile, so that the device stays: `retire`, on the
    /// thread that closes the LUN, waits for it.
    fn with_device<R>(&self, work: impl FnOnce(&Symbols, *mut TcmuDevice) -> R) -> Option<R> {
        let device = self.device.lock().unwrap_or_else(PoisonError::into_inner);
        device.as_ref().map(|Pointer(raw)| work(self.symbols, raw.as_ptr()))
    }
}
