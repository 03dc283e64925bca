// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The one place that decides whether a command is served: state of the storage, state of the lock,
//! pending sense.
//!
//! # Decision table
//! From top to bottom, the first line that applies. *repeat*: BUSY, and NOT READY 04/00 once the
//! outage has lasted longer than `outage=`.
//!
//! | state | READ | WRITE | SYNCHRONIZE CACHE | TEST UNIT READY |
//! |---|---|---|---|---|
//! | `Opening` | NOT READY 04/01 | NOT READY 04/01 | NOT READY 04/01 | NOT READY 04/01 |
//! | `Closed` | BUSY | BUSY | BUSY | BUSY |
//! | a sense is pending | that sense, once | that sense, once | that sense, once | that sense, once |
//! | `Standby`, the owner serves | NOT READY 04/0B | NOT READY 04/0B | NOT READY 04/0B | as below |
//! | `Standby` else | BUSY | BUSY | BUSY | as below |
//! | the image is being moved | waits | waits | waits | as below |
//! | `Settling` | *repeat* | *repeat* | *repeat* | GOOD, or NOT READY 04/00 |
//! | `Down` | served | served | served | GOOD, or NOT READY 04/00 |
//! | beyond the end | ILLEGAL REQUEST 21/00 | ILLEGAL REQUEST 21/00 | | |
//! | beyond the end of an image that was cut off | served | MEDIUM ERROR 0C/00 | | |
//! | the image is read-only | served | DATA PROTECT 27/00 | served | GOOD |
//! | `Up` | served | served | served | GOOD |
//!
//! The column of a command:
//!
//! | command | column |
//! |---|---|
//! | READ, VERIFY, PRE-FETCH, GET LBA STATUS, LOG SENSE of the space | READ |
//! | WRITE, WRITE AND VERIFY, WRITE SAME, UNMAP, COMPARE AND WRITE, ORWRITE, EXTENDED COPY | WRITE |
//! | SYNCHRONIZE CACHE | SYNCHRONIZE CACHE |
//! | TEST UNIT READY; REQUEST SENSE, whose data is that sense | TEST UNIT READY |
//!
//! What is served during an outage is what finds out that it is over.

mod transitions;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::backend::{Backend, Opened};
use super::error::Op;
use super::heartbeat::OwnerHeartbeat;
use super::outage::Outage;
use crate::config::Config;
use crate::log::Log;
use crate::metrics::{Event, LunMetrics};
use crate::scsi::{Sense, Status};

/// Interval between two queries of the owner, while commands are refused.
const QUERY_INTERVAL: Duration = Duration::from_millis(500);

/// State of the storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Storage {
    /// The image has not been opened yet.
    Opening,
    /// No outage is known.
    Up,
    /// An outage: commands fail, or may.
    Down {
        /// Start of the outage.
        since: Instant,
    },
    /// An outage from which the bricks return one by one.
    Settling {
        /// Start of the outage.
        since: Instant,
    },
    /// The LUN is closed.
    Closed,
}

/// Which gateway may use the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lock {
    /// Any gateway: the bricks are not known to refuse one.
    Unfenced,
    /// This gateway alone.
    Held,
    /// Another gateway, or none.
    Standby,
}

/// A command at the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Request {
    /// One that needs the image; and its status where its range is not in the LUN, or not in the
    /// image.
    Io(Op, Option<Status>),
    TestUnitReady,
}

/// Decision about a command.
#[derive(Debug)]
pub(super) enum Verdict<B> {
    /// Submit it to this image. The reference is dropped after that: a move waits for it.
    Serve(Arc<B>),
    /// Parked until the image has been moved.
    Wait,
    /// Answer with this status.
    Answer(Status),
    /// Answer with this status, and try to acquire the lock.
    Standby(Status),
}

/// A command that waits for the image to be moved.
pub(super) type Waiter = Box<dyn FnOnce() + Send>;

/// The state of one LUN.
pub(super) struct Gate<B> {
    state: Mutex<State<B>>,
    /// Mirrors [`Storage::Up`], for completions: nearly all of them have nothing to change.
    up: AtomicBool,
    log: Arc<Log>,
    meter: Arc<LunMetrics>,
}

struct State<B> {
    image: Option<Arc<B>>,
    writable: bool,
    storage: Storage,
    lock: Lock,
    /// What the next command tells in place of its own outcome: a change that initiators must know
    /// of. The core does not tell initiators apart: it goes to the one that asks first.
    pending: Option<Sense>,
    /// The commands that wait, while the image is being moved.
    waiting: Option<Vec<Waiter>>,
    outage: Outage,
    heartbeat: OwnerHeartbeat,
}

/// The image that a new one has taken the place of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Replaced {
    /// The one that the caller named.
    Old {
        /// Its lock was held.
        lock_lost: bool,
    },
    /// None: the LUN has been closed meanwhile, or has another image than the caller knew.
    Nothing,
}

impl<B: Backend> State<B> {
    fn decide(&mut self, request: Request) -> Verdict<B> {
        let image = match (self.storage, &self.image) {
            (Storage::Closed, _) => return Verdict::Answer(Status::Busy),
            (Storage::Opening, _) | (_, None) => {
                return Verdict::Answer(Status::Sense(Sense::BECOMING_READY));
            }
            (_, Some(image)) => image,
        };
        if let Some(sense) = self.pending.take() {
            return Verdict::Answer(Status::Sense(sense));
        }
        let Request::Io(op, refusal) = request else {
            return match self.outage_since() {
                Some(since) if self.outage.is_exhausted(since, Instant::now()) => {
                    Verdict::Answer(Status::Sense(Sense::NOT_READY))
                }
                _ => Verdict::Answer(Status::Ok),
            };
        };
        if self.lock == Lock::Standby {
            return self.standby_status();
        }
        if self.waiting.is_some() {
            return Verdict::Wait;
        }
        if let Storage::Settling { since } = self.storage {
            return Verdict::Answer(self.outage.status(since, Instant::now()));
        }
        if let Some(status) = refusal {
            return Verdict::Answer(status);
        }
        if !self.writable && op.writes() {
            return Verdict::Answer(Status::Sense(Sense::WRITE_PROTECTED));
        }
        Verdict::Serve(Arc::clone(image))
    }

    /// Another gateway that serves the image is no outage, but a reason to go there. Until that is
    /// known a command is repeated.
    fn standby_status(&mut self) -> Verdict<B> {
        let now = Instant::now();
        let status =
            if self.heartbeat.is_alive(now) { Status::Sense(Sense::STANDBY) } else { Status::Busy };
        if self.heartbeat.is_query_due(QUERY_INTERVAL, now) {
            Verdict::Standby(status)
        } else {
            Verdict::Answer(status)
        }
    }

    fn outage_since(&self) -> Option<Instant> {
        match self.storage {
            Storage::Down { since } | Storage::Settling { since } => Some(since),
            Storage::Opening | Storage::Up | Storage::Closed => None,
        }
    }
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
            up: AtomicBool::new(false),
            log: Arc::clone(log),
            meter: Arc::clone(meter),
        }
    }

    fn state(&self) -> MutexGuard<'_, State<B>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
        let mut state = self.state();
        let verdict = state.decide(request);
        if let (Verdict::Wait, Some(waiting)) = (&verdict, &mut state.waiting) {
            waiting.extend(park());
        }
        verdict
    }

    /// Whether a command of another LUN may use the image now. What is pending stays so, for an
    /// initiator of this one.
    pub(super) fn lends(&self, op: Op) -> bool {
        let mut state = self.state();
        if state.lock == Lock::Standby {
            return false;
        }
        let pending = state.pending.take();
        let verdict = state.decide(Request::Io(op, None));
        state.pending = pending;
        matches!(verdict, Verdict::Serve(_))
    }

    /// The image, if it is open. Not to be kept: it may be replaced.
    pub(super) fn image(&self) -> Option<Arc<B>> {
        self.state().image.clone()
    }

    /// Whether the image may be written, as far as is known.
    pub(super) fn is_writable(&self) -> bool {
        self.state().writable
    }

    pub(super) fn storage(&self) -> Storage {
        self.state().storage
    }

    pub(super) fn lock(&self) -> Lock {
        self.state().lock
    }

    /// Duration of the outage; `None` without one.
    pub(super) fn outage(&self) -> Option<Duration> {
        self.state().outage_since().map(|since| since.elapsed())
    }

    /// Has the next command report this.
    #[cfg(test)]
    pub(super) fn set_pending(&self, sense: Sense) {
        self.state().pending = Some(sense);
    }

    /// Has the next command report this, unless it has something else to report.
    pub(super) fn offer_pending(&self, sense: Sense) {
        self.state().pending.get_or_insert(sense);
    }

    /// Does something with the heartbeats.
    pub(super) fn with_heartbeat<R>(&self, work: impl FnOnce(&mut OwnerHeartbeat) -> R) -> R {
        work(&mut self.state().heartbeat)
    }

    /// The first image is there; commands are served from now on, after this sense.
    pub(super) fn open(
        &self,
        opened: Opened<B>,
        lock: Lock,
        pending: Option<Sense>,
    ) -> Result<(), B> {
        let mut state = self.state();
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
        let mut state = self.state();
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
        let mut state = self.state();
        self.set_storage(&mut state, Storage::Closed);
        state.image.take()
    }

    /// Commands wait from now on. False: they do already, or the image is not `image` any more.
    pub(super) fn pause(&self, image: &Arc<B>) -> bool {
        let mut state = self.state();
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
        let waiting = self.state().waiting.take();
        waiting.into_iter().flatten().for_each(|waiter| waiter());
    }
}

impl<B> fmt::Debug for Gate<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
