// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Recovery of a LUN, on one thread while it is needed: opens the image when the first open did not
//! reach the cluster; reopens it when an outage does not end by itself; waits for bricks;
//! acquires the lock for commands that came without one; moves to another connection when the
//! volume has another graph.
//!
//! libgfapi reconnects to bricks on its own, within three seconds of their return, and most outages
//! end so. What it does not get over: a descriptor that its brick has forgotten, a graph whose
//! bricks have moved while no glusterd could say so.

mod bricks;
mod requests;

use std::cmp::min;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use self::bricks::BrickWait;
use super::backend::{Backend, OpenErrorKind, Opened};
use super::gate::Storage;
use super::{Lun, image, lock};
use crate::log;
use crate::metrics::Event;
use crate::scsi::Sense;
use crate::threads;

pub(super) use self::bricks::wait_until_connected;
pub(super) use self::requests::{Recovery, Task};

/// Between two attempts to open an image for the first time. Cheap: the connection, once made, is
/// kept.
const OPEN_INTERVAL: Duration = Duration::from_secs(2);
/// Between two looks whether an outage is over.
const PROBE_INTERVAL: Duration = Duration::from_secs(2);
/// How long an outage may last before the image is opened anew, and then before another connection
/// is tried; twice as long after each that did not help.
const REOPEN_AFTER: Duration = Duration::from_secs(10);
const LONGEST_REOPEN_INTERVAL: Duration = Duration::from_secs(300);
/// Like [`REOPEN_AFTER`], for storage that answers: a volume without quorum for writes does.
const REOPEN_ANSWERING_AFTER: Duration = Duration::from_secs(60);

/// Starts the thread, unless there is one or nothing to do. If none can be had, the monitor tries
/// again.
pub(super) fn start<B: Backend>(lun: &Arc<Lun<B>>) {
    let wanted = match lun.gate.storage() {
        Storage::Opening | Storage::Down { .. } | Storage::Settling { .. } => true,
        Storage::Up => false,
        Storage::Closed => return,
    };
    if !lun.recovery.claim(wanted) {
        return;
    }
    let (recovery, weak) = (Arc::clone(&lun.recovery), Arc::downgrade(lun));
    if !threads::spawn("glfs-recover", move || run(&recovery, &weak)) {
        lun.recovery.stopped();
    }
}

/// Commands have come that need the lock.
pub(super) fn request_lock<B: Backend>(lun: &Arc<Lun<B>>) {
    lun.recovery.request(Task::Acquire);
    start(lun);
}

fn run<B: Backend>(recovery: &Recovery, lun: &Weak<Lun<B>>) {
    let mut worker = RecoveryThread::default();
    while let Some(lun) = lun.upgrade() {
        let step = catch_unwind(AssertUnwindSafe(|| worker.step(&lun)));
        match step {
            Ok(Some(pause)) => {
                drop(lun);
                recovery.sleep(pause);
            }
            // Unless something has happened since it was looked.
            Ok(None) if recovery.finish() => return start(&lun),
            Ok(None) => {}
            Err(_) => {
                log::error!(lun.log, "PANIC in the recovery of this LUN; it is started anew");
                lun.gate.resume();
                // By the monitor, with another thread and without what this one knew.
                recovery.stopped();
                return;
            }
        }
    }
}

/// State of the thread.
struct RecoveryThread<B> {
    bricks: BrickWait,
    /// Time of the last probe of the storage.
    probed: Option<Instant>,
    /// Since when this connection has been tried, and for how long it will be.
    connection_tried: Option<Instant>,
    reopen_after: Duration,
    /// That the image cannot be opened has been reported.
    reported: bool,
    /// An image that waits for the old one to be closed.
    successor: Option<Opened<B>>,
}

impl<B> Default for RecoveryThread<B> {
    fn default() -> Self {
        Self {
            bricks: BrickWait::default(),
            probed: None,
            connection_tried: None,
            reopen_after: REOPEN_AFTER,
            reported: false,
            successor: None,
        }
    }
}

impl<B: Backend> RecoveryThread<B> {
    /// Does what there is to do. When to look again; None: there is nothing left.
    fn step(&mut self, lun: &Arc<Lun<B>>) -> Option<Duration> {
        let pause = match lun.gate.storage() {
            Storage::Closed => {
                // A closed LUN has no use for its tasks.
                lun.recovery.clear();
                return None;
            }
            Storage::Opening => self.open_deferred(lun),
            Storage::Up => {
                *self = Self::default();
                None
            }
            Storage::Down { since } => Some(self.end_outage(lun, since, false)),
            Storage::Settling { since } => Some(self.end_outage(lun, since, true)),
        };
        while let Some(task) = lun.recovery.take() {
            match task {
                Task::CheckQuorum => bricks::check_quorum(lun),
                Task::Reopen => {
                    self.reopen(lun, None, "for another descriptor");
                    lun.recovery.request(Task::Acquire);
                }
                Task::Acquire => lock::acquire_for_io(lun),
                Task::Move => image::move_to_current_graph(lun),
            }
        }
        pause.or_else(|| (lun.gate.storage() != Storage::Up).then_some(Duration::ZERO))
    }

    /// Tries to open the image for the first time.
    fn open_deferred(&mut self, lun: &Arc<Lun<B>>) -> Option<Duration> {
        let after = self.next_connection();
        match lun.source.open(lun.open_timeout, after) {
            Ok(opened) => {
                bricks::wait_until_connected(&opened.image);
                // If it does not fit, an admin may make it fit.
                if lun.attach(opened, None, Some(Sense::BECAME_READY)).is_ok() {
                    return None;
                }
            }
            // An outage has been reported when it began; that nothing will come of it when it ends
            // has not.
            Err(not) => {
                if not.kind == OpenErrorKind::Permanent && !mem::replace(&mut self.reported, true) {
                    log::error_always!(lun.log, "cannot be opened: {}", not.why);
                }
                lun.meter.set_last_error(not.why);
            }
        }
        Some(OPEN_INTERVAL)
    }

    /// If the connections made so far have been tried for long enough: another one is needed, made
    /// later than this.
    fn next_connection(&mut self) -> Option<Instant> {
        let connection_tried = *self.connection_tried.get_or_insert_with(Instant::now);
        if connection_tried.elapsed() < self.reopen_after {
            return None;
        }
        self.connection_tried = Some(Instant::now());
        self.reopen_after = min(self.reopen_after * 2, LONGEST_REOPEN_INTERVAL);
        Some(connection_tried)
    }

    /// Looks after an image in an outage. When to look again.
    fn end_outage(&mut self, lun: &Arc<Lun<B>>, since: Instant, settling: bool) -> Duration {
        let Some(image) = lun.gate.image() else { return PROBE_INTERVAL };
        let replicated = image.is_replicated();
        if replicated {
            self.bricks.wait_for_bricks(lun, &*image, settling);
        }
        if self.probed.is_none_or(|probed| probed.elapsed() >= PROBE_INTERVAL) {
            self.probe_or_reopen(lun, &*image, since.elapsed());
            self.probed = Some(Instant::now());
        }
        if replicated { bricks::POLL_INTERVAL } else { PROBE_INTERVAL }
    }

    fn probe_or_reopen(&mut self, lun: &Arc<Lun<B>>, image: &B, elapsed: Duration) {
        let answers = image.size().is_ok();
        if answers && lun.gate.is_quiet() {
            // No command has come since. None will where the initiator's driver only checks whether
            // the LUN is ready.
            return lun.gate.storage_is_back();
        }
        if elapsed < if answers { REOPEN_ANSWERING_AFTER } else { REOPEN_AFTER } {
            return;
        }
        // At first with the connection that there is: perhaps only the descriptor has gone bad.
        let after = self.next_connection();
        if !answers || after.is_some() {
            self.reopen(lun, after, &format!("after an outage of {} s", elapsed.as_secs()));
        }
    }

    /// Opens the image anew, with a connection made later than `after`, and puts it in place.
    fn reopen(&mut self, lun: &Arc<Lun<B>>, after: Option<Instant>, why: &str) {
        let successor =
            self.successor.take().or_else(|| lun.source.open(lun.open_timeout, after).ok());
        let Some(opened) = successor.filter(|opened| opened.image.size().is_ok()) else { return };
        match image::replace(lun, opened) {
            Ok(()) => {
                lun.meter.count(Event::Reopened);
                log::warning_always!(lun.log, "opened anew {why}");
            }
            // Later, when what the old one holds back has been written, or is lost.
            Err(opened) => self.successor = Some(opened),
        }
    }
}

#[cfg(test)]
mod tests;
