// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Transitions of a LUN's state. Each is one critical section.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::super::backend::Backend;
use super::{Gate, Lock, Storage};
use crate::log;
use crate::metrics::Event;
use crate::scsi::Status;
use crate::threads;

/// Transitions of the storage.
impl<B: Backend> Gate<B> {
    /// Records that the storage has served a command.
    pub(in crate::lun) fn served(&self) {
        if !self.up.load(Ordering::Relaxed) {
            self.storage_is_back();
        }
    }

    /// Ends the outage. Not while bricks return: what was under way when commands were held back
    /// says nothing.
    #[cold]
    pub(in crate::lun) fn storage_is_back(&self) {
        let mut state = threads::lock(&self.state);
        let Storage::Down { since } = state.storage else { return };
        self.set_storage(&mut state, Storage::Up);
        drop(state);
        log::warning!(self.log, "the storage is back after {:.1} s", since.elapsed().as_secs_f64());
    }

    /// Records that a command failed because the storage is unreachable, and starts an outage.
    /// Status of the command.
    pub(in crate::lun) fn storage_failed(&self) -> Status {
        let now = Instant::now();
        let mut state = threads::lock(&self.state);
        state.outage.failed(now);
        let since = state.outage_since();
        let status = state.outage.status(since.unwrap_or(now), now);
        if since.is_none() && state.storage == Storage::Up {
            // Copies are healed from each other when their bricks return (`recovery.rs`).
            let settles = state.image.as_ref().is_some_and(|image| image.is_replicated());
            let storage = if settles {
                Storage::Settling { since: now }
            } else {
                Storage::Down { since: now }
            };
            self.set_storage(&mut state, storage);
            let budget = state.outage.budget().as_secs();
            drop(state);
            self.meter.count(Event::Outage);
            log::warning!(
                self.log,
                "the storage is away; initiators are told BUSY for {budget} s, then NOT READY"
            );
        }
        status
    }

    /// Status of a command that has failed in a way that may pass, if it is worth another try.
    pub(in crate::lun) fn retry_transient(&self) -> Option<Status> {
        let now = Instant::now();
        let mut state = threads::lock(&self.state);
        if state.outage_since().is_some() {
            drop(state);
            return Some(self.storage_failed());
        }
        state.outage.is_transient(now).then_some(Status::Busy)
    }

    /// Holds commands back while bricks return, or lets them probe the storage. Without an outage
    /// it does nothing.
    pub(in crate::lun) fn set_settling(&self, settling: bool) {
        let mut state = threads::lock(&self.state);
        if let Some(since) = state.outage_since() {
            let storage =
                if settling { Storage::Settling { since } } else { Storage::Down { since } };
            self.set_storage(&mut state, storage);
        }
    }

    /// Whether nothing has failed for a while.
    pub(in crate::lun) fn is_quiet(&self) -> bool {
        threads::lock(&self.state).outage.is_quiet(Instant::now())
    }
}

/// Transitions of the lock.
impl<B: Backend> Gate<B> {
    /// Records that the lock is held on `image`. False if that is not the LUN's image any more.
    pub(in crate::lun) fn lock_held(&self, image: &Arc<B>) -> bool {
        let mut state = threads::lock(&self.state);
        if !state.image.as_ref().is_some_and(|current| Arc::ptr_eq(current, image)) {
            return false;
        }
        state.heartbeat.acquired();
        if state.lock != Lock::Held {
            self.meter.count(Event::Owned);
        }
        state.lock = Lock::Held;
        true
    }

    /// Enters standby: the lock is not held. The state before.
    pub(in crate::lun) fn stand_by(&self) -> Lock {
        let mut state = threads::lock(&self.state);
        let before = std::mem::replace(&mut state.lock, Lock::Standby);
        if before != Lock::Standby {
            self.meter.count(Event::Standby);
        }
        before
    }

    /// Leaves standby: the bricks do not enforce the lock after all. A lock that is held stays.
    pub(in crate::lun) fn unfence(&self) {
        let mut state = threads::lock(&self.state);
        if state.lock == Lock::Standby {
            state.lock = Lock::Unfenced;
        }
    }
}
