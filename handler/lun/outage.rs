//! How long the storage has been away, and what an initiator is told meanwhile.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::config::{Cache, Config};
use crate::metrics::{Event, Meter};
use crate::report::{self, Log};
use crate::runner::{Sense, Status};

/// How long an EIO may be a sign of an outage: replicas answer so for a moment when they lose each other, before they know. The same
/// goes for an ENOENT, for an image that is open.
const DOUBT: Duration = Duration::from_secs(3);
/// After so long without one the next one is in doubt again.
const CLEAR: Duration = Duration::from_secs(60);

/// After so long without a failure an outage may be over: nobody has looked.
const UNKNOWN: Duration = Duration::from_secs(3);

/// The outage of one LUN, if there is one. Times are in milliseconds, counted from the first outage of the process, plus one.
#[derive(Debug)]
pub(super) struct Outage {
    /// When it began. 0: there is none.
    since: AtomicU64,
    /// When a command failed last.
    last: AtomicU64,
    /// The first doubtful error of late, and the last.
    doubt: (AtomicU64, AtomicU64),
    /// Commands are kept from the storage, which may be coming back.
    held: AtomicBool,
    budget: Duration,
    /// A command that failed may be repeated without harm. With writes held back it may have been told of another one's loss.
    doubtful: bool,
    log: Arc<Log>,
    meter: Arc<Meter>,
}

impl Outage {
    /// None now.
    pub(super) fn new(config: &Config, log: &Arc<Log>, meter: &Arc<Meter>) -> Self {
        Self {
            since: AtomicU64::new(0),
            last: AtomicU64::new(0),
            doubt: Default::default(),
            held: AtomicBool::new(false),
            budget: config.outage,
            doubtful: config.cache == Cache::None,
            log: Arc::clone(log),
            meter: Arc::clone(meter),
        }
    }

    /// A command has failed because the storage is away. The initiator is to repeat it; but not for ever.
    pub(super) fn status(&self) -> Status {
        let now = now();
        self.last.store(now, Ordering::Relaxed);
        self.status_at(now)
    }

    fn status_at(&self, now: u64) -> Status {
        let began = match self.since.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => {
                self.meter.count(Event::Outage);
                let budget = self.budget.as_secs();
                report::warning!(
                    self.log,
                    "the storage is away; initiators are told BUSY for {budget} s, then NOT READY"
                );
                now
            }
            Err(since) => since,
        };
        if Duration::from_millis(now.saturating_sub(began)) < self.budget {
            Status::Busy
        } else {
            Status::Sense(Sense::NOT_READY)
        }
    }

    /// A command has failed in a way that may pass. What it is told, if it is worth another try: an outage is going on, or this is the
    /// first such error for long.
    pub(super) fn doubt(&self) -> Option<Status> {
        if self.lasting().is_some() {
            return Some(self.status());
        }
        if self.doubtful { self.doubt_at(now()) } else { None }
    }

    fn doubt_at(&self, now: u64) -> Option<Status> {
        let since = |then: u64| Duration::from_millis(now.saturating_sub(then));
        let last = self.doubt.1.swap(now, Ordering::Relaxed);
        if last == 0 || since(last) >= CLEAR {
            self.doubt.0.store(now, Ordering::Relaxed);
        }
        (since(self.doubt.0.load(Ordering::Relaxed)) < DOUBT).then_some(Status::Busy)
    }

    /// For how long the storage has been away. None: it is not, as far as is known.
    pub(super) fn lasting(&self) -> Option<Duration> {
        match self.since.load(Ordering::Relaxed) {
            0 => None,
            since => Some(Duration::from_millis(now().saturating_sub(since))),
        }
    }

    /// Whether no command has failed for a while.
    pub(super) fn is_quiet(&self) -> bool {
        Duration::from_millis(now().saturating_sub(self.last.load(Ordering::Relaxed))) >= UNKNOWN
    }

    /// Keeps commands from the storage, or lets them pass.
    pub(super) fn hold(&self, held: bool) {
        self.held.store(held, Ordering::Release);
    }

    /// What a command is told that is kept from the storage. None: it passes.
    pub(super) fn held(&self) -> Option<Status> {
        self.held.load(Ordering::Acquire).then(|| self.status_at(now()))
    }

    /// What a path checker is told: that the LUN is not ready, once the outage has used up its budget.
    pub(super) fn exhausted(&self) -> Option<Status> {
        (self.lasting()? >= self.budget).then_some(Status::Sense(Sense::NOT_READY))
    }

    /// What to tell a command that had better not begin in an outage; None if there is none, or if it is time that somebody tries.
    pub(super) fn going_on(&self) -> Option<Status> {
        if self.since.load(Ordering::Relaxed) == 0 {
            return None;
        }
        (!self.is_quiet()).then(|| self.status_at(now()))
    }

    /// A command has been served.
    pub(super) fn end(&self) {
        // A load first: the line is shared by all commands of the LUN, and nearly always there is nothing to store. What was under way
        // when the others were held back says nothing.
        if self.since.load(Ordering::Relaxed) != 0 && !self.held.load(Ordering::Acquire) {
            let since = self.since.swap(0, Ordering::Relaxed);
            if since != 0 {
                let lasted = Duration::from_millis(now().saturating_sub(since));
                report::warning!(self.log, "the storage is back after {:.1} s", lasted.as_secs_f64());
            }
        }
    }
}

fn now() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    let elapsed = START.get_or_init(Instant::now).elapsed();
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).saturating_add(1)
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;

    /// Of a LUN with this configuration.
    pub(in crate::lun) fn outage(cfgstring: &str) -> Outage {
        let log = Arc::new(Log::new(String::new()));
        Outage::new(&cfgstring.parse().unwrap(), &log, &crate::metrics::meter(cfgstring, &log))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_eio_that_stays_is_told_and_one_that_passes_is_not() {
        let outage = testing::outage("glfs/v@h/test");
        assert_eq!(outage.doubt_at(5), Some(Status::Busy));
        assert_eq!(outage.doubt_at(3_004), Some(Status::Busy));
        assert_eq!(outage.doubt_at(3_005), None);
        assert_eq!(outage.doubt_at(60_000), None, "a block that cannot be read, again");
        assert_eq!(outage.doubt_at(120_000), Some(Status::Busy));
    }

    #[test]
    fn an_outage_is_busy_within_its_budget_and_not_ready_after_it() {
        let outage = testing::outage("glfs/v@h/test");
        assert_eq!(outage.status_at(5), Status::Busy);
        assert_eq!(outage.status_at(120_004), Status::Busy);
        assert_eq!(outage.status_at(120_005), Status::Sense(Sense::NOT_READY));
        outage.end();
        assert_eq!(outage.status_at(200_000), Status::Busy, "a new outage has a new budget");
    }
}
