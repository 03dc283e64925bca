// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Work of a LUN of which one may be under way at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether it is under way.
#[derive(Debug, Default)]
pub(super) struct Slot(Arc<AtomicBool>);

impl Slot {
    /// Takes it, unless somebody has it.
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
