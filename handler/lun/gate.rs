// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The one place that decides whether a command is served: state of the storage, state of the lock,
//! pending sense.
//!
//! Its decision table is at the head of `gate/state.rs`.

mod state;
mod transitions;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use self::state::State;
use super::backend::{Backend, Opened};
use super::heartbeat::OwnerHeartbeat;
use super::outage::Outage;
use crate::config::Config;
use crate::log::Log;
use crate::metrics::{Event, LunMetrics};
use crate::scsi::{Op, Sense};
use crate::threads;

pub(super) use self::state::{Lock, Request, Storage, Verdict, Waiter};

/// The state of one LUN.
pub(super) struct Gate<B> {
    state: Mutex<State<B>>,
    /// One reference for each [`Loan`], and one of its own.
    loans: Arc<()>,
    /// Mirrors [`Storage::Up`], for completions: nearly all of them have nothing to change.
    up: AtomicBool,
    log: Arc<Log>,
    meter: Arc<LunMetrics>,
}

/// What a command has that goes on after waiting for another LUN, with no call of its own under way
/// meanwhile. Until it is dropped the image is not moved, where a move waits for commands, and the
/// lock is not acquired anew: the command is from before.
pub(super) struct Loan<B> {
    _image: Arc<B>,
    _count: Arc<()>,
}

/// The image that a new one has taken the place of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Replaced {
    /// The one that the caller named.
    Old { lock_lost: bool },
    /// None: the LUN has been closed meanwhile, or has another image than the caller knew.
    Nothing,
}

impl<B: Backend> Gate<B> {
    /// Gate of a LUN that is not open yet.
    pub(super) fn new(
        config: &Config,
        lock: Lock,
        log: &Arc<Log>,
        meter: &Arc<LunMetrics>,
    ) -> Self {
        let state = State {
            image: None,
            writable: true,
            storage: Storage::Opening,
            lock,
            pending: None,
            waiting: None,
            outage: Outage::new(config),
            heartbeat: OwnerHeartbeat::default(),
        };
        Self {
            state: Mutex::new(state),
            loans: Arc::default(),
            up: AtomicBool::new(false),
            log: Arc::clone(log),
            meter: Arc::clone(meter),
        }
    }

    fn set_storage(&self, state: &mut State<B>, storage: Storage) {
        state.storage = storage;
        self.up.store(storage == Storage::Up, Ordering::Release);
    }

    /// Decides about a command. If it is to wait, `park` makes the waiter of it, which runs when
    /// the image has been moved.
    pub(super) fn check(
        &self,
        request: Request,
        park: impl FnOnce() -> Option<Waiter>,
    ) -> Verdict<B> {
        let mut state = threads::lock(&self.state);
        let verdict = state.decide(request);
        if let (Verdict::Wait, Some(waiting)) = (&verdict, &mut state.waiting) {
            waiting.extend(park());
        }
        verdict
    }

    /// Lends the image to a command that another LUN has received, if it could be served now. What
    /// is pending stays so, for an initiator of this one.
    pub(super) fn lend(&self, op: Op) -> Option<Loan<B>> {
        let mut state = threads::lock(&self.state);
        if state.lock == Lock::Standby {
            return None;
        }
        let pending = state.pending.take();
        let verdict = state.decide(Request::Io(op, None));
        state.pending = pending;
        let Verdict::Serve(image) = verdict else { return None };
        Some(self.loan(image))
    }

    /// Lends the image to a command that has passed.
    pub(super) fn loan(&self, image: Arc<B>) -> Loan<B> {
        Loan { _image: image, _count: Arc::clone(&self.loans) }
    }

    /// How many commands have the image for as long as they last.
    pub(super) fn loans(&self) -> usize {
        Arc::strong_count(&self.loans).saturating_sub(1)
    }

    /// The image, if it is open. Not to be kept: it may be replaced.
    pub(super) fn image(&self) -> Option<Arc<B>> {
        threads::lock(&self.state).image.clone()
    }

    /// Whether the image may be written, as far as is known.
    pub(super) fn is_writable(&self) -> bool {
        threads::lock(&self.state).writable
    }

    pub(super) fn storage(&self) -> Storage {
        threads::lock(&self.state).storage
    }

    pub(super) fn lock(&self) -> Lock {
        threads::lock(&self.state).lock
    }

    /// Duration of the outage; `None` without one.
    pub(super) fn outage(&self) -> Option<Duration> {
        threads::lock(&self.state).outage_since().map(|since| since.elapsed())
    }

    /// Has the next command report this.
    #[cfg(test)]
    pub(super) fn set_pending(&self, sense: Sense) {
        threads::lock(&self.state).pending = Some(sense);
    }

    /// Has the next command report this, unless it has something else to report.
    pub(super) fn offer_pending(&self, sense: Sense) {
        threads::lock(&self.state).pending.get_or_insert(sense);
    }

    pub(super) fn with_heartbeat<R>(&self, work: impl FnOnce(&mut OwnerHeartbeat) -> R) -> R {
        work(&mut threads::lock(&self.state).heartbeat)
    }

    /// The first image is there; commands are served from now on, after this sense.
    pub(super) fn open(
        &self,
        opened: Opened<B>,
        lock: Lock,
        pending: Option<Sense>,
    ) -> Result<(), B> {
        let mut state = threads::lock(&self.state);
        if state.storage != Storage::Opening {
            return Err(opened.image);
        }
        state.lock = lock;
        state.pending = pending.or(state.pending);
        state.writable = opened.writable;
        state.image = Some(Arc::new(opened.image));
        self.set_storage(&mut state, Storage::Up);
        Ok(())
    }

    /// Another image takes the place of `old`. A lock was that of the old one, unless it has been
    /// handed over.
    pub(super) fn replace(
        &self,
        old: &Arc<B>,
        opened: Opened<Arc<B>>,
        handed_over: bool,
    ) -> Replaced {
        let mut state = threads::lock(&self.state);
        let known = state.image.as_ref().is_some_and(|image| Arc::ptr_eq(image, old));
        if !known || handed_over && state.lock != Lock::Held {
            return Replaced::Nothing;
        }
        let lost = state.lock == Lock::Held && !handed_over;
        if lost {
            state.lock = Lock::Standby;
            self.meter.count(Event::Standby);
        }
        state.writable = opened.writable;
        state.image = Some(opened.image);
        Replaced::Old { lock_lost: lost }
    }

    /// Takes the image out, for good.
    pub(super) fn close(&self) -> Option<Arc<B>> {
        let mut state = threads::lock(&self.state);
        self.set_storage(&mut state, Storage::Closed);
        state.image.take()
    }

    /// Commands wait from now on. False: they do already, or the image is not `image` any more.
    pub(super) fn pause(&self, image: &Arc<B>) -> bool {
        let mut state = threads::lock(&self.state);
        let known = state.image.as_ref().is_some_and(|current| Arc::ptr_eq(current, image));
        if known && state.waiting.is_none() {
            state.waiting = Some(Vec::new());
            return true;
        }
        false
    }

    /// Commands pass again; those that have waited are looked at anew, in their order, on this
    /// thread.
    pub(super) fn resume(&self) {
        let waiting = threads::lock(&self.state).waiting.take();
        waiting.into_iter().flatten().for_each(|waiter| waiter());
    }
}

#[cfg(test)]
mod tests;
