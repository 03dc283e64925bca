//! What the next command tells the initiator in place of being served: a change that it must know of, or an error that the
//! command it belongs to could not carry (the core reports GOOD for an UNMAP whatever its completion says).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::runner::{Sense, Status};

/// At most one, the latest. The core does not tell initiators apart: it goes to the one that asks first.
#[derive(Debug, Default)]
pub(super) struct Attention {
    /// Looked at by every command; the lock is for the rare one that finds something.
    pending: AtomicBool,
    sense: Mutex<Option<Sense>>,
}

impl Attention {
    pub(super) fn set(&self, sense: Sense) {
        *self.sense.lock().unwrap_or_else(PoisonError::into_inner) = Some(sense);
        self.pending.store(true, Ordering::Release);
    }

    pub(super) fn take(&self) -> Option<Status> {
        if !self.pending.load(Ordering::Relaxed) || !self.pending.swap(false, Ordering::Acquire) {
            return None;
        }
        self.sense.lock().unwrap_or_else(PoisonError::into_inner).take().map(Status::Sense)
    }
}
