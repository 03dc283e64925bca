// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The fills of a LUN, and their pieces.

use std::cmp::min;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock};

use nix::errno::Errno;

use super::super::backend::{Backend, Data, Request, ZeroMethod};
use super::super::error::kind;
use super::super::whole::Failure;
use super::super::{Lun, flush, rw};
use super::pattern::{Pattern, piece_size};
use crate::iovec::Window;
use crate::log;
use crate::runner::Command;
use crate::scsi::{Op, Status};
use crate::threads;

/// Pieces of one LUN in flight. libgfapi keeps a copy of each that is written, so they are also the
/// memory that fills take: 8 MiB, and the repeated block of each fill that has pieces among them.
pub(super) const MAX_IN_FLIGHT: usize = 8;

/// The fill of one command.
pub(super) struct Fill<B: Backend> {
    lun: Arc<Lun<B>>,
    op: Op,
    /// Where the first range begins, in bytes, and the first block with it.
    offset: u64,
    pattern: Pattern,
    /// The pattern, repeated, from the first piece that is written on.
    repeated: OnceLock<Arc<[u8]>>,
    state: Mutex<State>,
}

struct State {
    /// `None` once answered.
    command: Option<Command>,
    method: ZeroMethod,
    /// What has not been submitted, or must be again. The last one is next.
    left: Vec<Range<u64>>,
    in_flight: usize,
    verdict: Result<(), Failure>,
}

/// A part of a fill, at the backend.
struct Piece<B: Backend> {
    fill: Arc<Fill<B>>,
    range: Range<u64>,
    method: ZeroMethod,
    data: Window,
    outcome: Result<usize, Errno>,
}

/// What to do next about a fill.
enum Step<B: Backend> {
    Submit(Piece<B>),
    /// It has ended, and is to be answered.
    End(Arc<Fill<B>>),
}

impl<B: Backend> Fill<B> {
    pub(super) fn new(
        lun: Arc<Lun<B>>,
        command: Command,
        (op, method): (Op, ZeroMethod),
        pattern: Pattern,
        mut left: Vec<Range<u64>>,
    ) -> Self {
        let offset = left.first().map_or(0, |range| range.start);
        left.reverse();
        let state = State { command: Some(command), method, left, in_flight: 0, verdict: Ok(()) };
        Self { lun, op, offset, pattern, repeated: OnceLock::new(), state: Mutex::new(state) }
    }

    /// Ends it, if its time is over; gives its next piece. `None`: all that is left is in flight.
    fn step(self: &Arc<Self>) -> Option<Step<B>> {
        let mut state = threads::lock(&self.state);
        let is_expired = state.command.as_ref().is_some_and(Command::is_expired);
        if !state.left.is_empty() && state.verdict.is_ok() && is_expired {
            state.verdict = Err(Failure::Expired);
        }
        if state.verdict.is_err() {
            state.left.clear();
        }
        let Some(Range { start, end }) = state.left.pop() else {
            return (state.in_flight == 0).then(|| Step::End(Arc::clone(self)));
        };
        if let Some(image) = self.lun.gate.image() {
            state.method = image.unsupported().fall_back(state.method);
        }
        let middle = min(end, start.saturating_add(piece_size(state.method)));
        if middle < end {
            state.left.push(middle..end);
        }
        state.in_flight += 1;
        let data = match state.method {
            ZeroMethod::Discard | ZeroMethod::Zerofill => Window::new(Arc::default(), 0, 0),
            ZeroMethod::Write => self.data(&(start..middle)),
        };
        let (fill, range, method) = (Arc::clone(self), start..middle, state.method);
        Some(Step::Submit(Piece { fill, range, method, data, outcome: Err(Errno::EIO) }))
    }

    /// What is to be written to `range`.
    fn data(&self, range: &Range<u64>) -> Window {
        let bytes = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        let block_offset =
            bytes(range.start.saturating_sub(self.offset)).checked_rem(self.pattern.period());
        let repeated = self.repeated.get_or_init(|| self.pattern.repeated());
        Window::new(
            Arc::clone(repeated),
            block_offset.unwrap_or(0),
            bytes(range.end.saturating_sub(range.start)),
        )
    }

    /// A piece has come back.
    fn resume(&self, piece: &Range<u64>, method: ZeroMethod, outcome: Result<usize, Errno>) {
        let end = match (outcome, method) {
            (Ok(_), ZeroMethod::Discard | ZeroMethod::Zerofill) => Ok(piece.end),
            (Ok(0), ZeroMethod::Write) if !piece.is_empty() => Err(Errno::ENODATA),
            (Ok(bytes), ZeroMethod::Write) => {
                Ok(piece.start.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX)))
            }
            (Err(errno), ZeroMethod::Discard | ZeroMethod::Zerofill) if is_unsupported(errno) => {
                self.remember(method, errno);
                Ok(piece.start)
            }
            (Err(errno), _) => Err(errno),
        };
        if outcome.is_ok() {
            self.lun.served(self.op);
        }
        let mut state = threads::lock(&self.state);
        state.in_flight = state.in_flight.saturating_sub(1);
        match end {
            Ok(end) if end < piece.end => state.left.push(end..piece.end),
            // The first one: those that follow are its consequences.
            Err(errno) if state.verdict.is_ok() => {
                state.verdict = Err(Failure::Storage(self.op, errno));
            }
            Ok(_) | Err(_) => {}
        }
    }

    fn remember(&self, method: ZeroMethod, errno: Errno) {
        let Some(image) = self.lun.gate.image() else { return };
        if image.unsupported().add(method) {
            let log = &self.lun.log;
            log::warning!(
                log,
                "the volume has no {method:?} ({errno}): its LUNs do without from now on"
            );
        }
    }

    /// Tells the initiator how it ended.
    fn answer(&self) {
        let (lun, op, offset) = (&self.lun, self.op, self.offset);
        let (command, verdict) = {
            let mut state = threads::lock(&self.state);
            (state.command.take(), state.verdict)
        };
        let Some(command) = command else { return };
        let status = match verdict {
            Ok(()) if lun.write_through && op == Op::WriteSame => {
                // Zeros that the bricks have written themselves are not durable yet.
                return match lun.gate.image() {
                    Some(image) => flush::start(Arc::clone(lun), &*image, command),
                    None => command.complete(lun.failed(op, Errno::ENOTCONN)),
                };
            }
            Ok(()) => return command.complete(Status::Ok),
            Err(Failure::Storage(_, errno)) => {
                let name = kind(op).name;
                lun.log.failed(kind(op), format_args!("{name} offset={offset} failed: {errno}"));
                lun.failed(op, errno)
            }
            Err(Failure::Expired) => rw::expired(lun, op, offset),
        };
        command.complete(status);
    }
}

/// The errnos of a volume that does not support a call, as opposed to one that has failed in it:
/// after such a failure nothing is known of the range, and writing zeros may come too late.
fn is_unsupported(errno: Errno) -> bool {
    matches!(errno, Errno::EOPNOTSUPP | Errno::ENOSYS | Errno::EINVAL)
}

impl<B: Backend> Piece<B> {
    fn submit(self, image: &B) {
        let (offset, len) = (self.range.start, self.range.end.saturating_sub(self.range.start));
        match self.method {
            _ if len == 0 => image.noop(self),
            ZeroMethod::Discard => image.discard(self, offset, len),
            ZeroMethod::Zerofill => image.zero(self, offset, len),
            ZeroMethod::Write => {
                let durability = self.fill.lun.write_durability();
                image.write(self, offset, durability);
            }
        }
    }
}

impl<B: Backend> Request for Piece<B> {
    fn data(&self) -> &Data {
        self.data.data()
    }

    fn done(mut self, outcome: Result<usize, Errno>) {
        self.outcome = outcome;
    }
}

/// However a piece ends, its fill and those that wait go on: they have no one else.
impl<B: Backend> Drop for Piece<B> {
    fn drop(&mut self) {
        let lun = Arc::clone(&self.fill.lun);
        self.fill.resume(&self.range, self.method, self.outcome);
        lun.fills.release();
        submit(&lun);
    }
}

/// The fills of a LUN that have not ended, in the order in which they came.
pub(in crate::lun) struct Fills<B: Backend>(Mutex<Queue<B>>);

struct Queue<B: Backend> {
    in_flight: usize,
    fills: VecDeque<Arc<Fill<B>>>,
}

/// Submits as many pieces as may be in flight, and answers what has ended.
pub(super) fn submit<B: Backend>(lun: &Arc<Lun<B>>) {
    while let Some(next) = lun.fills.next() {
        match (next, lun.gate.image()) {
            (Step::Submit(piece), Some(image)) => piece.submit(&*image),
            (Step::Submit(piece), None) => piece.done(Err(Errno::ENOTCONN)),
            (Step::End(fill), _) => fill.answer(),
        }
    }
}

impl<B: Backend> Fills<B> {
    pub(in crate::lun) fn new() -> Self {
        Self(Mutex::new(Queue { in_flight: 0, fills: VecDeque::new() }))
    }

    /// Adds a fill, behind the others.
    pub(super) fn add(&self, fill: Fill<B>) {
        threads::lock(&self.0).fills.push_back(Arc::new(fill));
    }

    /// A piece is not in flight any more.
    fn release(&self) {
        let mut queue = threads::lock(&self.0);
        queue.in_flight = queue.in_flight.saturating_sub(1);
    }

    /// What to do next about the first fill that can go on.
    fn next(&self) -> Option<Step<B>> {
        let mut queue = threads::lock(&self.0);
        if queue.in_flight >= MAX_IN_FLIGHT {
            return None;
        }
        let mut fills = queue.fills.iter().enumerate();
        let (index, step) = fills.find_map(|(index, fill)| Some((index, fill.step()?)))?;
        match step {
            Step::Submit(_) => queue.in_flight += 1,
            Step::End(_) => drop(queue.fills.remove(index)),
        }
        Some(step)
    }
}
