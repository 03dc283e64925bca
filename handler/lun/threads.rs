// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Threads of a LUN: a module of its own so that tests can refuse them.

use std::thread::Builder;

/// Runs `work` on a thread of its own. False: none could be had.
pub(super) fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> bool {
    #[cfg(test)]
    if testing::refuses() {
        return false;
    }
    Builder::new().name(name.to_owned()).spawn(work).is_ok()
}

#[cfg(test)]
pub(super) mod testing {
    use std::cell::Cell;

    thread_local! {
        static REFUSED: Cell<u32> = const { Cell::new(0) };
    }

    /// The next `spawns` of this thread fail.
    pub(in crate::lun) fn refuse(spawns: u32) {
        REFUSED.set(spawns);
    }

    pub(super) fn refuses() -> bool {
        let left = REFUSED.get();
        REFUSED.set(left.saturating_sub(1));
        left > 0
    }
}
