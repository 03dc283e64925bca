// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The state of a LUN, and what it makes of a command.
//!
//! # Decision table
//! From top to bottom, the first line that applies. *repeat*: BUSY, and NOT READY 04/00 once the
//! outage has lasted longer than `outage=`.
//!
//! | state | READ | WRITE | SYNCHRONIZE CACHE | TEST UNIT READY |
//! |---|---|---|---|---|
//! | `Opening` | NOT READY 04/01 | NOT READY 04/01 | NOT READY 04/01 | NOT READY 04/01 |
//! | `Closed` | BUSY | BUSY | BUSY | BUSY |
//! | a sense is pending | it, once | it, once | it, once | it, once |
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
//! | WRITE, WRITE AND VERIFY, WRITE SAME, UNMAP, ORWRITE | WRITE |
//! | COMPARE AND WRITE, EXTENDED COPY | WRITE |
//! | SYNCHRONIZE CACHE | SYNCHRONIZE CACHE |
//! | TEST UNIT READY; REQUEST SENSE, whose data is that sense | TEST UNIT READY |
//!
//! What is served during an outage is what finds out that it is over.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::backend::Backend;
use super::super::heartbeat::OwnerHeartbeat;
use super::super::outage::Outage;
use crate::scsi::{Op, Sense, Status};

/// Interval between two queries of the owner, while commands are refused.
const QUERY_INTERVAL: Duration = Duration::from_millis(500);

/// State of the storage; `since` the start of an outage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::lun) enum Storage {
    /// The image has not been opened yet.
    Opening,
    /// No outage is known.
    Up,
    /// An outage: commands fail, or may.
    Down { since: Instant },
    /// An outage from which the bricks return one by one.
    Settling { since: Instant },
    /// The LUN is closed.
    Closed,
}

/// Which gateway may use the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::lun) enum Lock {
    /// Any gateway: the bricks are not known to refuse one.
    Unfenced,
    /// This gateway alone.
    Held,
    /// Another gateway, or none.
    Standby,
}

/// A command at the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::lun) enum Request {
    /// One that needs the image; and its status where its range is not in the LUN, or not in the
    /// image.
    Io(Op, Option<Status>),
    TestUnitReady,
}

/// Decision about a command.
#[derive(Debug)]
pub(in crate::lun) enum Verdict<B> {
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
pub(in crate::lun) type Waiter = Box<dyn FnOnce() + Send>;

/// State of a LUN, under the lock of its gate.
pub(super) struct State<B> {
    pub(super) image: Option<Arc<B>>,
    pub(super) writable: bool,
    pub(super) storage: Storage,
    pub(super) lock: Lock,
    /// What the next command tells in place of its own outcome: a change that initiators must know
    /// of. The core does not tell initiators apart: it goes to the one that asks first.
    pub(super) pending: Option<Sense>,
    /// The commands that wait, while the image is being moved.
    pub(super) waiting: Option<Vec<Waiter>>,
    pub(super) outage: Outage,
    pub(super) heartbeat: OwnerHeartbeat,
}

impl<B: Backend> State<B> {
    pub(super) fn decide(&mut self, request: Request) -> Verdict<B> {
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

    /// Start of the outage.
    pub(super) fn outage_since(&self) -> Option<Instant> {
        match self.storage {
            Storage::Down { since } | Storage::Settling { since } => Some(since),
            Storage::Opening | Storage::Up | Storage::Closed => None,
        }
    }
}
