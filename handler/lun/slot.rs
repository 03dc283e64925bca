// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! A slot for work of a LUN that must not run twice at a time: a heartbeat, a look at the storage.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Free, or taken by the work that is under way.
#[derive(Debug, Default)]
pub(super) struct Slot(Arc<AtomicBool>);

impl Slot {
    /// None: that work is under way already.
    pub(super) fn take(&self) -> Option<Taken> {
        let taken = self.0.swap(true, Ordering::AcqRel);
        (!taken).then(|| Taken(Arc::clone(&self.0)))
    }
}

/// A slot that is taken. Given back when it is dropped, also by a call that is never answered.
pub(super) struct Taken(Arc<AtomicBool>);

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}
