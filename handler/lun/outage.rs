// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Bounds of an outage, and the status of commands during one.

use std::time::{Duration, Instant};

use crate::config::{Cache, Config};
use crate::scsi::{Sense, Status};

/// An EIO, or an ENOENT of an open image, counts as transient for this long: replicas answer so for
/// a moment when they lose each other.
const TRANSIENT: Duration = Duration::from_secs(3);
/// After this long without such an error, the next one counts as transient again.
const CLEAR: Duration = Duration::from_secs(60);
/// After this long without a failure a command may probe whether the outage is over.
const QUIET: Duration = Duration::from_secs(3);

/// The failures of one LUN's storage.
#[derive(Debug)]
pub(super) struct Outage {
    budget: Duration,
    /// Whether a command that failed may be repeated without harm. With writes held back it may
    /// have been told of another one's loss.
    repeatable: bool,
    last_failure: Option<Instant>,
    /// The first transient error of late, and the last.
    transient: Option<(Instant, Instant)>,
}

impl Outage {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            budget: config.outage,
            repeatable: config.cache != Cache::Writeback,
            last_failure: None,
            transient: None,
        }
    }

    /// How long initiators are told to repeat.
    pub(super) fn budget(&self) -> Duration {
        self.budget
    }

    /// Records that the storage has failed.
    pub(super) fn failed(&mut self, now: Instant) {
        self.last_failure = Some(now);
    }

    /// Whether nothing has failed for a while.
    pub(super) fn is_quiet(&self, now: Instant) -> bool {
        self.last_failure.is_none_or(|failure| now.duration_since(failure) >= QUIET)
    }

    /// Whether the initiator has repeated for long enough.
    pub(super) fn is_exhausted(&self, since: Instant, now: Instant) -> bool {
        now.duration_since(since) >= self.budget
    }

    /// Status of a command during an outage that began at `since`: the initiator is to repeat it,
    /// but not for ever.
    pub(super) fn status(&self, since: Instant, now: Instant) -> Status {
        if self.is_exhausted(since, now) { Status::Sense(Sense::NOT_READY) } else { Status::Busy }
    }

    /// Records an error that may be transient. Whether the command is worth another try: it is the
    /// first such error for long.
    pub(super) fn is_transient(&mut self, now: Instant) -> bool {
        if !self.repeatable {
            return false;
        }
        let first = match self.transient {
            Some((first, last)) if now.duration_since(last) < CLEAR => first,
            _ => now,
        };
        self.transient = Some((first, now));
        now.duration_since(first) < TRANSIENT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_eio_that_stays_is_told_and_one_that_passes_is_not() {
        let mut outage = Outage::new(&"glfs/v@h/test".parse().unwrap());
        let begin = Instant::now();
        let mut at = |millis| outage.is_transient(begin + Duration::from_millis(millis));
        assert!(at(5) && at(3_004));
        assert!(!at(3_005));
        assert!(!at(60_000), "a block that cannot be read, again");
        assert!(at(120_000));
    }
}
