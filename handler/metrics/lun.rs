// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Counters and last error of one LUN.

use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};

use super::histogram::{Histogram, Latencies};
use super::source::{Identity, LunState, Observed};
use crate::log::{self, Log};
use crate::scsi::{ErrorClass, Op};
use crate::threads::lock;

/// Commands and events are counted.
static ENABLED: AtomicBool = AtomicBool::new(false);
/// Threshold of a slow command, in nanoseconds.
static SLOW: AtomicU64 = AtomicU64::new(u64::MAX);

/// Starts or stops counting.
pub(super) fn enable(enabled: bool, slow: Duration) {
    SLOW.store(u64::try_from(slow.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    ENABLED.store(enabled, Ordering::Relaxed);
}

/// Counters and last error of a LUN. They outlive it for a while: the core closes and reopens a LUN
/// that has lost its lock, and the history that led to that must be kept.
#[derive(Debug)]
#[repr(C)]
pub struct LunMetrics {
    /// First, beside the reference count of the `Arc`: every command changes both.
    in_flight: AtomicU64,
    /// Log of the LUN as it was last opened.
    log: Mutex<Arc<Log>>,
    /// Empty while no such LUN is open.
    source: Mutex<Option<(Identity, Weak<dyn Observed>)>>,
    ops: [OpCounters; Op::ALL.len()],
    /// By [`Event`], of which this is the last.
    events: [AtomicU64; Event::Moved as usize + 1],
    /// Longest wait of commands for a move, in nanoseconds.
    longest_pause: AtomicU64,
    last_error: Mutex<Option<LastError>>,
}

/// The last failure of a LUN's storage.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct LastError {
    /// One sentence, without offsets: few different ones per LUN.
    pub(super) text: String,
    /// Seconds since the epoch.
    pub(super) at: f64,
}

/// Counters of one kind of command.
#[derive(Debug, Default)]
struct OpCounters {
    latency: Histogram,
    bytes: AtomicU64,
    errors: [AtomicU64; ErrorClass::ALL.len()],
}

/// Rare events of a LUN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A command exceeded the threshold of a slow one.
    Slow,
    /// The storage went away.
    Outage,
    /// The image was reopened under the LUN.
    Reopened,
    /// This gateway acquired the image's lock.
    Owned,
    /// This gateway lost or released the image's lock.
    Standby,
    /// The image was moved to a connection with the volume's new graph.
    Moved,
}

/// A command, as far as it is measured.
#[derive(Debug, Clone, Copy)]
pub struct IoDescriptor {
    /// Kind of command.
    pub op: Op,
    /// Offset in bytes.
    pub offset: u64,
    /// Length in bytes.
    pub bytes: u64,
}

impl LunMetrics {
    /// All zero.
    pub(super) fn new(log: &Arc<Log>) -> Self {
        Self {
            in_flight: AtomicU64::new(0),
            log: Mutex::new(Arc::clone(log)),
            source: Mutex::new(None),
            ops: Default::default(),
            events: Default::default(),
            longest_pause: AtomicU64::new(0),
            last_error: Mutex::new(None),
        }
    }

    /// Attaches an open LUN; it is observed for as long as it lives.
    pub fn attach(&self, identity: Identity, lun: Weak<dyn Observed>) {
        *lock(&self.source) = Some((identity, lun));
    }

    /// Detaches the LUN, which is closed.
    pub fn detach(&self) {
        *lock(&self.source) = None;
    }

    pub(super) fn is_open(&self) -> bool {
        lock(&self.source).as_ref().is_some_and(|(_, lun)| lun.strong_count() > 0)
    }

    /// Identity and state of the LUN, if it is open.
    pub(super) fn observe(&self) -> Option<(Identity, LunState)> {
        let (identity, lun) = lock(&self.source).clone()?;
        // Outside the lock: if this is the last reference to the LUN, it is dropped here.
        Some((identity, lun.upgrade()?.observe()))
    }

    /// Sets the log of a LUN that has been opened again.
    pub(super) fn set_log(&self, log: &Arc<Log>) {
        *lock(&self.log) = Arc::clone(log);
    }

    /// Starts measuring a command. `None` if metrics are disabled.
    #[must_use]
    pub fn begin(self: &Arc<Self>, io: IoDescriptor) -> Option<Span> {
        if !ENABLED.load(Ordering::Relaxed) {
            return None;
        }
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        let IoDescriptor { op, offset, bytes } = io;
        Some(Span {
            metrics: Arc::clone(self),
            begin: now(),
            offset,
            bytes,
            op,
            error: Some(ErrorClass::Hardware),
        })
    }

    /// Counts an event.
    pub fn count(&self, event: Event) {
        if let Some(count) =
            self.events.get(event as usize).filter(|_| ENABLED.load(Ordering::Relaxed))
        {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a move for which commands had to wait for `pause`.
    pub fn moved(&self, pause: Duration) {
        self.count(Event::Moved);
        self.longest_pause
            .fetch_max(u64::try_from(pause.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Longest wait of commands for a move.
    pub(crate) fn longest_pause(&self) -> Duration {
        Duration::from_nanos(self.longest_pause.load(Ordering::Relaxed))
    }

    /// Records a failure of the storage: one sentence for an admin.
    pub fn set_last_error(&self, text: String) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        *lock(&self.last_error) = Some(LastError { text, at: now.as_secs_f64() });
    }

    /// The last failure of the storage, if there was one.
    pub(super) fn last_error(&self) -> Option<LastError> {
        lock(&self.last_error).clone()
    }

    fn end(&self, io: IoDescriptor, nanoseconds: u64, error: Option<ErrorClass>) {
        let Some(counters) = self.ops.get(io.op as usize) else { return };
        counters.latency.add(nanoseconds);
        match error {
            None if io.bytes > 0 => {
                counters.bytes.fetch_add(io.bytes, Ordering::Relaxed);
            }
            None => {}
            Some(class) => {
                counters
                    .errors
                    .get(class as usize)
                    .map(|count| count.fetch_add(1, Ordering::Relaxed));
            }
        }
        if nanoseconds > SLOW.load(Ordering::Relaxed) {
            self.count(Event::Slow);
            let (log, IoDescriptor { op, offset, bytes }) = (Arc::clone(&lock(&self.log)), io);
            let seconds = Duration::from_nanos(nanoseconds).as_secs_f64();
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
        let io = IoDescriptor { op, offset: 0, bytes: bytes / good };
        let errors = std::iter::repeat_n(None, usize::try_from(good).unwrap()).chain([error]);
        errors.for_each(|error| {
            self.in_flight.fetch_add(1, Ordering::Relaxed);
            self.end(io, 20_000, error);
        });
    }

    pub(super) fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }

    pub(super) fn events(&self, event: Event) -> u64 {
        self.events.get(event as usize).map_or(0, |count| count.load(Ordering::Relaxed))
    }

    pub(super) fn operations(&self, op: Op) -> u64 {
        self.ops.get(op as usize).map_or(0, |counters| counters.latency.count())
    }

    pub(super) fn latencies(&self, op: Op) -> Option<Latencies> {
        self.ops.get(op as usize).map(|counters| counters.latency.read())
    }

    pub(super) fn bytes(&self, op: Op) -> u64 {
        self.ops.get(op as usize).map_or(0, |counters| counters.bytes.load(Ordering::Relaxed))
    }

    pub(super) fn errors(&self, op: Op, class: ErrorClass) -> u64 {
        let count =
            self.ops.get(op as usize).and_then(|counters| counters.errors.get(class as usize));
        count.map_or(0, |count| count.load(Ordering::Relaxed))
    }
}

/// A command in flight. It is counted however it ends; one that is dropped without [`Span::end`]
/// has met a defect, and counts as a HARDWARE ERROR.
#[derive(Debug)]
#[must_use]
pub struct Span {
    metrics: Arc<LunMetrics>,
    begin: u64,
    // An `IoDescriptor`, packed.
    offset: u64,
    bytes: u64,
    op: Op,
    error: Option<ErrorClass>,
}

impl Span {
    /// Sets the bytes that the command is about, where only its parameter list says so.
    pub fn set_range(&mut self, offset: u64, bytes: u64) {
        (self.offset, self.bytes) = (offset, bytes);
    }

    /// Ends the span: the command is about to be answered, with this error or with GOOD.
    pub fn end(mut self, error: Option<ErrorClass>) {
        self.error = error;
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        let io = IoDescriptor { op: self.op, offset: self.offset, bytes: self.bytes };
        self.metrics.end(io, now().saturating_sub(self.begin), self.error);
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

/// Every command carries one.
const _: () = assert!(mem::size_of::<Option<Span>>() <= 40);

#[cfg(test)]
mod tests {
    use Duration;

    use super::*;

    #[test]
    fn a_command_is_counted_however_it_ends() {
        let metrics = Arc::new(LunMetrics::new(&Arc::new(Log::new(String::from("v@h/p")))));
        let begin = |op, bytes| metrics.begin(IoDescriptor { op, offset: 0, bytes });
        enable(false, Duration::MAX);
        assert!(begin(Op::Read, 512).is_none(), "off");
        enable(true, Duration::MAX);
        let (good, bad, dropped) =
            (begin(Op::Read, 512), begin(Op::Read, 512), begin(Op::Write, 7));
        assert_eq!((metrics.in_flight(), metrics.operations(Op::Read)), (3, 0));
        good.unwrap().end(None);
        // Off meanwhile: what has begun ends.
        enable(false, Duration::MAX);
        bad.unwrap().end(Some(ErrorClass::Space));
        drop(dropped);
        assert_eq!(
            (metrics.in_flight(), metrics.operations(Op::Read), metrics.operations(Op::Write)),
            (0, 2, 1)
        );
        assert_eq!((metrics.bytes(Op::Read), metrics.bytes(Op::Write)), (512, 0));
        assert_eq!(
            (
                metrics.errors(Op::Read, ErrorClass::Space),
                metrics.errors(Op::Write, ErrorClass::Hardware)
            ),
            (1, 1)
        );
        assert_eq!(metrics.latencies(Op::Read).unwrap().count, 2);
    }
}
