//! An error that the command it belongs to could not carry: the core reports GOOD for an UNMAP whatever its completion says.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::runner::Sense;

/// At most one, the latest: it goes out with the next command (SPC-4, 4.5.7).
#[derive(Debug, Default)]
pub(super) struct Deferred {
    /// Looked at by every command; the lock is for the rare one that finds something.
    pending: AtomicBool,
    sense: Mutex<Option<Sense>>,
}

impl Deferred {
    pub(super) fn set(&self, sense: Sense) {
        *self.sense.lock().unwrap_or_else(PoisonError::into_inner) = Some(sense);
        self.pending.store(true, Ordering::Release);
    }

    pub(super) fn take(&self) -> Option<Sense> {
        if !self.pending.load(Ordering::Relaxed) || !self.pending.swap(false, Ordering::Acquire) {
            return None;
        }
        self.sense.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
