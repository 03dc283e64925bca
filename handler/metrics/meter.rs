// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! What one LUN has done.

use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};

use super::histogram::{Histogram, Latencies};
use super::registry::Subject;
use crate::log::{self, Log};
use crate::scsi::{ErrorClass, Op};

/// Whether anything is counted.
static ENABLED: AtomicBool = AtomicBool::new(false);
/// In nanoseconds: a command that takes longer is a slow one.
static SLOW: AtomicU64 = AtomicU64::new(u64::MAX);

/// Begins or ends to count.
pub(super) fn enable(enabled: bool, slow: std::time::Duration) {
    SLOW.store(u64::try_from(slow.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    ENABLED.store(enabled, Ordering::Relaxed);
}

/// The counters of a LUN. They outlive it for a while: the core closes and opens a LUN when it has
/// lost its lock, and what led to that must not be forgotten.
#[derive(Debug)]
#[repr(C)]
pub struct Meter {
    /// Beside the count of references, which every command changes too.
    in_flight: AtomicU64,
    /// The LUN's, as it was opened last.
    log: Mutex<Arc<Log>>,
    pub(super) subject: Subject,
    tallies: [Tally; Op::ALL.len()],
    events: [AtomicU64; Event::ALL.len()],
    /// For how long commands had to wait for a move at most, in nanoseconds.
    longest_pause: AtomicU64,
}

/// What is counted for each kind of command.
#[derive(Debug, Default)]
struct Tally {
    latency: Histogram,
    bytes: AtomicU64,
    errors: [AtomicU64; ErrorClass::ALL.len()],
}

/// What happens to a LUN, now and then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A command took longer than a slow one may.
    Slow,
    /// The storage went away.
    Outage,
    /// The image was opened anew under the LUN.
    Reopened,
    /// The image has become this gateway's.
    Owned,
    /// The image is not this gateway's any more.
    Standby,
    /// An error was left for a later command to tell.
    Deferred,
    /// The image was moved to a connection of the volume's new graph.
    Moved,
}

impl Event {
    /// All of them, in order.
    const ALL: [Self; 7] = [
        Self::Slow,
        Self::Outage,
        Self::Reopened,
        Self::Owned,
        Self::Standby,
        Self::Deferred,
        Self::Moved,
    ];
}

/// A command, as far as it is measured.
#[derive(Debug, Clone, Copy)]
pub struct Work {
    /// What it does.
    pub op: Op,
    /// Where, in bytes.
    pub offset: u64,
    /// To how many bytes.
    pub bytes: u64,
}

impl Meter {
    /// All zero.
    pub(super) fn new(log: &Arc<Log>) -> Self {
        Self {
            in_flight: AtomicU64::new(0),
            log: Mutex::new(Arc::clone(log)),
            subject: Subject::default(),
            tallies: Default::default(),
            events: Default::default(),
            longest_pause: AtomicU64::new(0),
        }
    }

    /// Its LUN has been opened again.
    pub(super) fn set_log(&self, log: &Arc<Log>) {
        *self.log() = Arc::clone(log);
    }

    fn log(&self) -> MutexGuard<'_, Arc<Log>> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A command begins. None if nothing is counted.
    #[must_use]
    pub fn begin(self: &Arc<Self>, work: Work) -> Option<Span> {
        if !ENABLED.load(Ordering::Relaxed) {
            return None;
        }
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        let Work { op, offset, bytes } = work;
        Some(Span {
            meter: Arc::clone(self),
            begin: now(),
            offset,
            bytes,
            op,
            error: Some(ErrorClass::Hardware),
        })
    }

    /// Something has happened.
    pub fn count(&self, event: Event) {
        if let Some(count) =
            self.events.get(event as usize).filter(|_| ENABLED.load(Ordering::Relaxed))
        {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The image was moved, and commands had to wait for so long.
    pub fn moved(&self, pause: std::time::Duration) {
        self.count(Event::Moved);
        self.longest_pause
            .fetch_max(u64::try_from(pause.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// For how long commands had to wait for a move at most.
    pub(crate) fn longest_pause(&self) -> std::time::Duration {
        std::time::Duration::from_nanos(self.longest_pause.load(Ordering::Relaxed))
    }

    fn end(&self, work: Work, nanoseconds: u64, error: Option<ErrorClass>) {
        let Some(tally) = self.tallies.get(work.op as usize) else { return };
        tally.latency.add(nanoseconds);
        match error {
            None if work.bytes > 0 => {
                tally.bytes.fetch_add(work.bytes, Ordering::Relaxed);
            }
            None => {}
            Some(class) => {
                tally.errors.get(class as usize).map(|count| count.fetch_add(1, Ordering::Relaxed));
            }
        }
        if nanoseconds > SLOW.load(Ordering::Relaxed) {
            self.count(Event::Slow);
            let (log, Work { op, offset, bytes }) = (Arc::clone(&self.log()), work);
            let seconds = std::time::Duration::from_nanos(nanoseconds).as_secs_f64();
            log::warning!(
                log,
                "slow: {} offset={offset} len={bytes} took {seconds:.1} s",
                op.name()
            );
        }
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// `good` commands of 20 microseconds that were about `bytes` together, and one that failed.
    #[cfg(test)]
    pub(super) fn set_for_test(&self, op: Op, good: u64, bytes: u64, error: Option<ErrorClass>) {
        let work = Work { op, offset: 0, bytes: bytes / good };
        let errors = std::iter::repeat_n(None, usize::try_from(good).unwrap()).chain([error]);
        errors.for_each(|error| {
            self.in_flight.fetch_add(1, Ordering::Relaxed);
            self.end(work, 20_000, error);
        });
    }

    pub(super) fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }

    pub(super) fn events(&self, event: Event) -> u64 {
        self.events.get(event as usize).map_or(0, |count| count.load(Ordering::Relaxed))
    }

    pub(super) fn operations(&self, op: Op) -> u64 {
        self.tallies.get(op as usize).map_or(0, |tally| tally.latency.count())
    }

    pub(super) fn latencies(&self, op: Op) -> Option<Latencies> {
        self.tallies.get(op as usize).map(|tally| tally.latency.read())
    }

    pub(super) fn bytes(&self, op: Op) -> u64 {
        self.tallies.get(op as usize).map_or(0, |tally| tally.bytes.load(Ordering::Relaxed))
    }

    pub(super) fn errors(&self, op: Op, class: ErrorClass) -> u64 {
        let count =
            self.tallies.get(op as usize).and_then(|tally| tally.errors.get(class as usize));
        count.map_or(0, |count| count.load(Ordering::Relaxed))
    }
}

/// A command that is being served. However it ends, it is counted: one that is dropped has met with
/// a defect.
#[derive(Debug)]
#[must_use]
pub struct Span {
    meter: Arc<Meter>,
    begin: u64,
    // A `Work`, in less room.
    offset: u64,
    bytes: u64,
    op: Op,
    error: Option<ErrorClass>,
}

impl Span {
    /// The command is about to be answered, with this error or with GOOD.
    pub fn end(mut self, error: Option<ErrorClass>) {
        self.error = error;
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        let work = Work { op: self.op, offset: self.offset, bytes: self.bytes };
        self.meter.end(work, now().saturating_sub(self.begin), self.error);
    }
}

/// Nanoseconds of a clock that is never set. Half as long as an `Instant`, since a command has
/// little room (`gluster/slab.rs`), and for a third of the instructions.
fn now() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap_or(TimeSpec::new(0, 0));
    time.tv_sec()
        .unsigned_abs()
        .wrapping_mul(1_000_000_000)
        .wrapping_add(time.tv_nsec().unsigned_abs())
}

/// What travels with every command.
const _: () = assert!(mem::size_of::<Option<Span>>() <= 40);

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_command_is_counted_however_it_ends() {
        let meter = Arc::new(Meter::new(&Arc::new(Log::new(String::from("v@h/p")))));
        let begin = |op, bytes| meter.begin(Work { op, offset: 0, bytes });
        enable(false, Duration::MAX);
        assert!(begin(Op::Read, 512).is_none(), "off");
        enable(true, Duration::MAX);
        let (good, bad, dropped) =
            (begin(Op::Read, 512), begin(Op::Read, 512), begin(Op::Write, 7));
        assert_eq!((meter.in_flight(), meter.operations(Op::Read)), (3, 0));
        good.unwrap().end(None);
        // Off meanwhile: what has begun ends.
        enable(false, Duration::MAX);
        bad.unwrap().end(Some(ErrorClass::Space));
        drop(dropped);
        assert_eq!(
            (meter.in_flight(), meter.operations(Op::Read), meter.operations(Op::Write)),
            (0, 2, 1)
        );
        assert_eq!((meter.bytes(Op::Read), meter.bytes(Op::Write)), (512, 0));
        assert_eq!(
            (
                meter.errors(Op::Read, ErrorClass::Space),
                meter.errors(Op::Write, ErrorClass::Hardware)
            ),
            (1, 1)
        );
        assert_eq!(meter.latencies(Op::Read).unwrap().count, 2);
    }
}
