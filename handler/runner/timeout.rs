// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! How long the kernel waits for the commands of a device.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::abi::TcmuDevice;
use super::symbols::Symbols;

/// The kernel's default (`target_core_user.c`, `TCMU_TIME_OUT`), for a device whose attribute
/// cannot be read.
const DEFAULT_SECONDS: u32 = 30;

/// The device's `cmd_time_out` attribute, in seconds. 0: the kernel waits for ever.
///
/// The kernel changes it only while no fabric exports the device; saveconfig.json is restored in
/// that order, so its value at `open` is not the last one. It is read again with every INQUIRY,
/// which an initiator sends when it finds the LUN: the core reads configfs itself then (`alua.c`,
/// `scsi.c`).
#[derive(Debug)]
pub(super) struct CommandTimeout(AtomicU32);

impl CommandTimeout {
    /// # Safety
    /// `device` is the argument of a running callback.
    pub(super) unsafe fn new(symbols: &Symbols, device: NonNull<TcmuDevice>) -> Self {
        let timeout = Self(AtomicU32::new(DEFAULT_SECONDS));
        // SAFETY: the caller's promise.
        unsafe { timeout.refresh(symbols, device) };
        timeout
    }

    /// Reads the attribute again.
    ///
    /// # Safety
    /// As for [`new`](Self::new).
    pub(super) unsafe fn refresh(&self, symbols: &Symbols, device: NonNull<TcmuDevice>) {
        // SAFETY: the device is alive (caller); the name is NUL-terminated.
        let read = unsafe {
            (symbols.tcmu_cfgfs_dev_get_attr_int)(device.as_ptr(), c"cmd_time_out".as_ptr())
        };
        if let Ok(seconds) = u32::try_from(read) {
            self.0.store(seconds, Ordering::Relaxed);
        }
    }

    /// When to stop submitting for a command that arrives now. `None`: never.
    pub(super) fn deadline(&self) -> Option<Instant> {
        deadline(Instant::now(), self.0.load(Ordering::Relaxed))
    }
}

/// The latest moment to submit for a command that arrived at `arrival`: a margin before the kernel
/// answers it for us, after which the initiator may write the blocks anew.
///
/// The margin is for what is on its way by then, and for the time that the command spent in the
/// ring: a call that a healthy brick has received takes milliseconds, a piece of a large one a
/// second. No margin covers a brick that hangs: its calls end with gluster's
/// `network.frame-timeout` or `ping-timeout`, and may land then. But they are few, and none of them
/// begins late.
fn deadline(arrival: Instant, seconds: u32) -> Option<Instant> {
    const LONGEST_MARGIN: Duration = Duration::from_secs(5);
    let timeout = Duration::from_secs(seconds.into());
    let margin = (timeout / 4).min(LONGEST_MARGIN);
    if seconds == 0 { None } else { arrival.checked_add(timeout.saturating_sub(margin)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_keeps_a_margin_from_the_kernels_and_zero_means_none() {
        let now = Instant::now();
        let after =
            |seconds| deadline(now, seconds).map(|then| then.duration_since(now).as_millis());
        assert_eq!([after(0), after(1), after(2)], [None, Some(750), Some(1500)]);
        assert_eq!([after(30), after(130)], [Some(25_000), Some(125_000)]);
    }
}
