//! How long the storage has been away, and what an initiator is told meanwhile.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::runner::{Sense, Status};

/// After so long without a failure an outage may be over: nobody has looked.
const UNKNOWN: Duration = Duration::from_secs(3);

/// The outage of one LUN, if there is one. Times are in milliseconds, counted from the first outage of the process, plus one.
#[derive(Debug)]
pub(super) struct Outage {
    /// When it began. 0: there is none.
    since: AtomicU64,
    /// When a command failed last.
    last: AtomicU64,
    budget: Duration,
}

impl Outage {
    /// None now. `budget`: how long an outage is something that passes.
    pub(super) fn new(budget: Duration) -> Self {
        Self { since: AtomicU64::new(0), last: AtomicU64::new(0), budget }
    }

    /// A command has failed because the storage is away. The initiator is to repeat it; but not for ever.
    pub(super) fn status(&self) -> Status {
        let now = now();
        self.last.store(now, Ordering::Relaxed);
        self.status_at(now)
    }

    fn status_at(&self, now: u64) -> Status {
        let began = match self.since.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => now,
            Err(since) => since,
        };
        if Duration::from_millis(now.saturating_sub(began)) < self.budget {
            Status::Busy
        } else {
            Status::Sense(Sense::NOT_READY)
        }
    }

    /// What to tell a command that had better not begin in an outage; None if there is none, or if it is time that somebody tries.
    pub(super) fn going_on(&self) -> Option<Status> {
        if self.since.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let now = now();
        let quiet = Duration::from_millis(now.saturating_sub(self.last.load(Ordering::Relaxed)));
        (quiet < UNKNOWN).then(|| self.status_at(now))
    }

    /// A command has been served.
    pub(super) fn end(&self) {
        // A load first: the line is shared by all commands of the LUN, and nearly always there is nothing to store.
        if self.since.load(Ordering::Relaxed) != 0 {
            self.since.store(0, Ordering::Relaxed);
        }
    }
}

fn now() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    let elapsed = START.get_or_init(Instant::now).elapsed();
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_busy_within_its_budget_and_not_ready_after_it() {
        let outage = Outage::new(Duration::from_secs(120));
        assert_eq!(outage.status_at(5), Status::Busy);
        assert_eq!(outage.status_at(120_004), Status::Busy);
        assert_eq!(outage.status_at(120_005), Status::Sense(Sense::NOT_READY));
        outage.end();
        assert_eq!(outage.status_at(200_000), Status::Busy, "a new outage has a new budget");
    }
}
