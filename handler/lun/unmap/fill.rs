// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The fill of one command, and its pieces.

use std::cmp::min;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use nix::errno::Errno;

use super::super::Lun;
use super::super::backend::{Backend, Data, Request, ZeroMethod};
use super::super::error::{Op, kind};
use super::super::flush;
use super::submit;
use crate::iovec::Window;
use crate::log;
use crate::runner::Command;
use crate::scsi::Status;

/// Bytes of the largest piece: no call should take longer than the margin between a command's
/// deadline and the kernel's.
fn piece_size(method: ZeroMethod) -> u64 {
    match method {
        ZeroMethod::Discard => 128 << 20,
        // A brick whose file system cannot zero a range writes it, and answers when it is done.
        ZeroMethod::Zerofill => 64 << 20,
        ZeroMethod::Write => 1 << 20,
    }
}

/// What a range is filled with.
#[derive(Debug)]
pub(super) enum Pattern {
    Zeros,
    Block(Vec<u8>),
}

impl Pattern {
    pub(super) fn of(block: Vec<u8>) -> Self {
        if block.iter().all(|&byte| byte == 0) { Self::Zeros } else { Self::Block(block) }
    }

    /// Bytes after which it repeats itself.
    fn period(&self) -> usize {
        match self {
            Self::Zeros => 1,
            Self::Block(block) => block.len(),
        }
    }

    /// Enough of it for a piece that begins anywhere in a block: a short write may have stopped
    /// there.
    fn repeated(&self) -> Arc<[u8]> {
        let piece = usize::try_from(piece_size(ZeroMethod::Write)).unwrap_or(usize::MAX);
        match self {
            Self::Zeros => vec![0; piece].into(),
            Self::Block(block) => {
                block.repeat(piece.div_ceil(block.len()).saturating_add(1)).into()
            }
        }
    }
}

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

/// Why a fill ends before its end.
#[derive(Debug, Clone, Copy)]
enum Failure {
    Storage(Errno),
    Expired,
}

/// A part of a fill, at the backend.
pub(super) struct Piece<B: Backend> {
    fill: Arc<Fill<B>>,
    range: Range<u64>,
    method: ZeroMethod,
    data: Window,
    outcome: Result<usize, Errno>,
}

/// What to do next about a fill.
pub(super) enum Step<B: Backend> {
    Submit(Piece<B>),
    /// All that is left is in flight.
    Wait,
    End,
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

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends it, if its time is over; gives its next piece.
    pub(super) fn step(self: &Arc<Self>) -> Step<B> {
        let mut state = self.state();
        if !state.left.is_empty() && state.verdict.is_ok() && state.is_expired() {
            state.verdict = Err(Failure::Expired);
        }
        if state.verdict.is_err() {
            state.left.clear();
        }
        let Some(Range { start, end }) = state.left.pop() else {
            return if state.in_flight == 0 { Step::End } else { Step::Wait };
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
        Step::Submit(Piece { fill, range, method, data, outcome: Err(Errno::EIO) })
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
        let mut state = self.state();
        state.in_flight = state.in_flight.saturating_sub(1);
        match end {
            Ok(end) if end < piece.end => state.left.push(end..piece.end),
            // The first one: those that follow are its consequences.
            Err(errno) if state.verdict.is_ok() => state.verdict = Err(Failure::Storage(errno)),
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
    pub(super) fn answer(&self) {
        let (lun, op, offset) = (&self.lun, self.op, self.offset);
        let (command, verdict) = {
            let mut state = self.state();
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
            Err(Failure::Storage(errno)) => {
                let name = kind(op).name;
                lun.log.failed(kind(op), format_args!("{name} offset={offset} failed: {errno}"));
                lun.failed(op, errno)
            }
            Err(Failure::Expired) => {
                let name = kind(op).name;
                lun.log.failed(
                    kind(op),
                    format_args!("{name} offset={offset} could not end before cmd_time_out"),
                );
                Status::Busy
            }
        };
        command.complete(status);
    }
}

/// The errnos of a volume that does not support a call, as opposed to one that has failed in it:
/// after such a failure nothing is known of the range, and writing zeros may come too late.
fn is_unsupported(errno: Errno) -> bool {
    matches!(errno, Errno::EOPNOTSUPP | Errno::ENOSYS | Errno::EINVAL)
}

impl State {
    fn is_expired(&self) -> bool {
        self.command.as_ref().is_some_and(Command::is_expired)
    }
}

impl<B: Backend> Piece<B> {
    pub(super) fn submit(self, image: &B) {
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
