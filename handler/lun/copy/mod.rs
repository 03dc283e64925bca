// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! EXTENDED COPY: blocks are copied within the LUN, or between LUNs of this daemon, without a way
//! through the initiator.
//!
//! Segments one after the other, since one may read what another has written; a segment in pieces
//! of which several are under way, so that a command takes [`IN_FLIGHT`] pieces of memory. A piece
//! of zeros becomes a hole. Where a segment overlaps itself its pieces are copied one at a time,
//! from the end that is not overwritten by the others.
//!
//! Never `glfs_copy_file_range`: of the translators of a volume only the bricks' have that call, so
//! it goes to one replica (measured with 10.3: the others kept the old data, and `heal info` said
//! 0).

mod admit;
mod others;
mod parameter_list;
mod permission;
mod results;
mod start;

use std::cmp::min;
use std::mem;
use std::sync::{Arc, Mutex};

use nix::errno::Errno;

use self::admit::Held;
pub(super) use self::others::add;
use self::parameter_list::{Plan, Segment};
use self::results::Outcome;
pub(super) use self::results::Results;
pub(super) use self::start::{TARGET, serve};
use super::Lun;
use super::backend::{Backend, Data, Request, ZeroMethod};
use super::whole::{self, Failure, PIECE, Place};
use crate::iovec::Buffer;
use crate::runner::Command;
use crate::scsi::{Op, Sense, Status};
use crate::threads;

/// Pieces of one command under way.
const IN_FLIGHT: usize = 4;

/// An EXTENDED COPY under way.
struct Copy<B: Backend> {
    /// Those that take part, the one that the command is for first.
    luns: Vec<Arc<Lun<B>>>,
    _held: Held<B>,
    /// Whether it copies the same blocks when it is repeated after a part of it.
    is_repeatable: bool,
    list: Option<u8>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// `None` once answered.
    command: Option<Command>,
    /// Those that have not been begun; the last one is next.
    segments: Vec<Segment>,
    /// What is left of the one that has been.
    pieces: Vec<Piece>,
    /// Pieces of it that may be under way at once.
    width: usize,
    in_flight: usize,
    copied: u64,
    /// Something may have been written.
    has_written: bool,
    done: u16,
    failure: Option<Failed>,
}

/// A part of a segment, in bytes.
#[derive(Debug, Clone, Copy)]
struct Piece {
    source: usize,
    from: u64,
    destination: usize,
    to: u64,
    len: u64,
}

/// Why a copy has failed, on which LUN, and where.
#[derive(Debug, Clone, Copy)]
struct Failed {
    failure: Failure,
    lun: usize,
    offset: u64,
}

impl Piece {
    fn not_written(&self, failure: Failure) -> Failed {
        Failed { failure, lun: self.destination, offset: self.to }
    }
}

/// What to do next.
enum Next {
    Copy(Piece, Place),
    Wait,
    End(Command, Option<Failed>),
}

/// Starts a copy between `luns`.
fn start<B: Backend>(luns: Vec<Arc<Lun<B>>>, held: Held<B>, command: Command, plan: Plan) {
    let is_repeatable = plan.is_repeatable();
    let Plan { list, mut segments } = plan;
    segments.reverse();
    let command = Some(command);
    let state = Mutex::new(State { command, segments, width: IN_FLIGHT, ..State::default() });
    proceed(&Arc::new(Copy { luns, _held: held, is_repeatable, list, state }));
}

/// Begins as many pieces as may be under way; answers when there are none left.
fn proceed<B: Backend>(copy: &Arc<Copy<B>>) {
    loop {
        let next = threads::lock(&copy.state).next(|lun| copy.block_size(lun));
        match next {
            Next::Copy(piece, place) => read(copy, piece, place),
            Next::Wait => return,
            Next::End(command, failure) => return copy.end(command, failure),
        }
    }
}

fn read<B: Backend>(copy: &Arc<Copy<B>>, piece: Piece, place: Place) {
    let len = usize::try_from(piece.len).unwrap_or(usize::MAX);
    let Some(lun) = copy.luns.get(piece.source) else { return };
    let next = Arc::clone(copy);
    whole::read(lun, place, len, move |outcome| match outcome {
        Ok(bytes) => store(&next, piece, bytes),
        Err(failure) => {
            finish(&next, piece, Err(Failed { failure, lun: piece.source, offset: piece.from }));
        }
    });
}

/// Writes what was read; frees the space where it is zeros. A hole is not durable before a flush,
/// which nothing asks for with `cache=through`.
fn store<B: Backend>(copy: &Arc<Copy<B>>, piece: Piece, bytes: Vec<u8>) {
    threads::lock(&copy.state).has_written = true;
    let discards =
        |image: &Arc<B>| image.unsupported().fall_back(ZeroMethod::Discard) == ZeroMethod::Discard;
    let lun = copy.luns.get(piece.destination).filter(|lun| !lun.write_through);
    let image = lun.and_then(|lun| lun.gate.image()).filter(discards);
    let image = image.filter(|_| bytes.iter().all(|&byte| byte == 0));
    match image.filter(|_| !threads::lock(&copy.state).is_expired()) {
        Some(image) => {
            let (copy, outcome, data) = (Arc::clone(copy), Err(Errno::EIO), Buffer::empty());
            image.discard(Hole { copy, piece, bytes, outcome, data }, piece.to, piece.len);
        }
        None => write(copy, piece, bytes),
    }
}

fn write<B: Backend>(copy: &Arc<Copy<B>>, piece: Piece, bytes: Vec<u8>) {
    let place = Place { offset: piece.to, deadline: threads::lock(&copy.state).deadline() };
    let Some(lun) = copy.luns.get(piece.destination) else { return };
    let next = Arc::clone(copy);
    whole::write(lun, place, bytes, lun.write_durability(), move |outcome| {
        finish(&next, piece, outcome.map(drop).map_err(|failure| piece.not_written(failure)));
    });
}

/// A piece of zeros, on its way to become a hole.
struct Hole<B: Backend> {
    copy: Arc<Copy<B>>,
    piece: Piece,
    /// The zeros, for a volume that cannot free space.
    bytes: Vec<u8>,
    outcome: Result<usize, Errno>,
    data: Buffer,
}

impl<B: Backend> Request for Hole<B> {
    fn data(&self) -> &Data {
        self.data.data()
    }

    fn done(mut self, outcome: Result<usize, Errno>) {
        self.outcome = outcome;
    }
}

/// However it ends, its copy goes on.
impl<B: Backend> Drop for Hole<B> {
    fn drop(&mut self) {
        match self.outcome {
            Ok(_) => {
                if let Some(lun) = self.copy.luns.get(self.piece.destination) {
                    lun.served(Op::Unmap);
                }
                finish(&self.copy, self.piece, Ok(()));
            }
            Err(Errno::EOPNOTSUPP | Errno::ENOSYS | Errno::EINVAL) => {
                write(&self.copy, self.piece, mem::take(&mut self.bytes));
            }
            Err(errno) => {
                let failed = self.piece.not_written(Failure::Storage(Op::Unmap, errno));
                finish(&self.copy, self.piece, Err(failed));
            }
        }
    }
}

/// A piece has come to its end.
fn finish<B: Backend>(copy: &Arc<Copy<B>>, piece: Piece, outcome: Result<(), Failed>) {
    {
        let mut state = threads::lock(&copy.state);
        state.in_flight = state.in_flight.saturating_sub(1);
        match outcome {
            Ok(()) => state.copied = state.copied.saturating_add(piece.len),
            // The first one: those that follow are its consequences.
            Err(failed) => {
                state.failure.get_or_insert(failed);
            }
        }
    }
    proceed(copy);
}

impl<B: Backend> Copy<B> {
    fn block_size(&self, lun: usize) -> usize {
        self.luns.get(lun).map_or(1, |lun| lun.block_size.bytes())
    }

    fn end(&self, command: Command, failed: Option<Failed>) {
        let receiving = self.luns.first();
        if let (Some(list), Some(receiving)) = (self.list, receiving) {
            let (segments, bytes) = {
                let state = threads::lock(&self.state);
                (state.done, state.copied)
            };
            receiving.copies.add(Outcome { list, ok: failed.is_none(), segments, bytes });
        }
        let status = failed.map_or(Status::Ok, |failed| self.status(failed));
        command.complete(status);
    }

    /// The status of a copy that has failed.
    fn status(&self, Failed { failure, lun: at, offset }: Failed) -> Status {
        let Some(lun) = self.luns.get(at) else { return Status::HardwareError };
        let status = failure.status(lun, 0, Op::Copy, offset);
        // Initiators repeat much, BUSY above all.
        if !self.is_repeatable && threads::lock(&self.state).has_written {
            return Status::Sense(Sense::COPY_FAILED);
        }
        match status {
            Status::Busy | Status::NoResource | Status::Sense(Sense::SPACE_ALLOCATION_FAILED) => {
                status
            }
            // It says nothing about the LUN that has received the command.
            _ if at != 0 => Status::Sense(Sense::COPY_FAILED),
            _ => status,
        }
    }
}

impl State {
    fn deadline(&self) -> Option<std::time::Instant> {
        self.command.as_ref().and_then(Command::deadline)
    }

    fn is_expired(&self) -> bool {
        self.command.as_ref().is_some_and(Command::is_expired)
    }

    fn next(&mut self, block_size: impl Fn(usize) -> usize) -> Next {
        if self.failure.is_some() {
            self.pieces.clear();
            self.segments.clear();
        }
        while self.pieces.is_empty() && self.in_flight == 0 {
            let Some(segment) = self.segments.pop() else {
                return self
                    .command
                    .take()
                    .map_or(Next::Wait, |command| Next::End(command, self.failure.take()));
            };
            let block_size = u64::try_from(block_size(segment.source)).unwrap_or(u64::MAX);
            (self.pieces, self.width) = cut(segment, block_size);
            self.done = self.done.saturating_add(1);
        }
        if self.in_flight >= self.width {
            return Next::Wait;
        }
        let Some(piece) = self.pieces.pop() else { return Next::Wait };
        self.in_flight = self.in_flight.saturating_add(1);
        Next::Copy(piece, Place { offset: piece.from, deadline: self.deadline() })
    }
}

/// The pieces of a segment, of which the last one is next, and how many may be under way at once.
fn cut(segment: Segment, block_size: u64) -> (Vec<Piece>, usize) {
    let bytes = |blocks: u64| blocks.saturating_mul(block_size);
    let (from, to, len) = (bytes(segment.from), bytes(segment.to), bytes(segment.blocks));
    let mut pieces = Vec::new();
    let mut offset = 0;
    while offset < len {
        let piece = min(PIECE, len.saturating_sub(offset));
        let at = |begin: u64| begin.saturating_add(offset);
        let Segment { source, destination, .. } = segment;
        pieces.push(Piece { source, from: at(from), destination, to: at(to), len: piece });
        offset = offset.saturating_add(piece);
    }
    let overlaps = segment.source == segment.destination && from.abs_diff(to) < len;
    if !(overlaps && to > from) {
        pieces.reverse();
    }
    (pieces, if overlaps { 1 } else { IN_FLIGHT })
}

#[cfg(test)]
mod between_tests;
#[cfg(test)]
mod tests;
