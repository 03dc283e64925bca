//! How long the storage has been away, and what an initiator is told meanwhile.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::runner::{Sense, Status};

/// The outage of one LUN, if there is one.
#[derive(Debug)]
pub(super) struct Outage {
    /// Milliseconds, counted from the first outage of the process, at which it began, plus one. 0: there is none.
    since: AtomicU64,
    budget: Duration,
}

impl Outage {
    /// None now. `budget`: how long an outage is something that passes.
    pub(super) fn new(budget: Duration) -> Self {
        Self { since: AtomicU64::new(0), budget }
    }

    /// A command has failed because the storage is away. The initiator is to repeat it; but not for ever.
    pub(super) fn status(&self) -> Status {
        static START: OnceLock<Instant> = OnceLock::new();
        let elapsed = START.get_or_init(Instant::now).elapsed();
        self.status_at(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).saturating_add(1))
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

    /// Whether there is one, as far as is known.
    pub(super) fn goes_on(&self) -> bool {
        self.since.load(Ordering::Relaxed) != 0
    }

    /// A command has been served, or the image could be looked at.
    pub(super) fn end(&self) {
        // A load first: the line is shared by all commands of the LUN, and nearly always there is nothing to store.
        if self.since.load(Ordering::Relaxed) != 0 {
            self.since.store(0, Ordering::Relaxed);
        }
    }
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
