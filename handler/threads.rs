// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Starts threads, in one place, so that tests can refuse them; and locks.

use std::sync::mpsc::sync_channel;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::Builder;

/// Locks, also where a holder has panicked.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `work` on a thread of its own. False: none could be had.
pub(crate) fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> bool {
    #[cfg(test)]
    if testing::refuses() {
        return false;
    }
    Builder::new().name(name.to_owned()).spawn(work).is_ok()
}

/// Does `work` with `value` on a thread of its own.
///
/// # Errors
/// No thread could be had: the value, which a closure would have been dropped with.
pub(crate) fn hand_over<T: Send + 'static>(
    name: &str,
    value: T,
    work: impl FnOnce(T) + Send + 'static,
) -> Result<(), T> {
    let (sender, receiver) = sync_channel(1);
    let serve = move || {
        if let Ok(value) = receiver.recv() {
            work(value);
        }
    };
    if spawn(name, serve) { sender.send(value).map_err(|unsent| unsent.0) } else { Err(value) }
}

#[cfg(test)]
pub(crate) mod testing {
    use std::cell::Cell;

    thread_local! {
        static REFUSED: Cell<u32> = const { Cell::new(0) };
    }

    /// The next `spawns` of this thread fail.
    pub(crate) fn refuse(spawns: u32) {
        REFUSED.set(spawns);
    }

    pub(super) fn refuses() -> bool {
        let left = REFUSED.get();
        REFUSED.set(left.saturating_sub(1));
        left > 0
    }
}
