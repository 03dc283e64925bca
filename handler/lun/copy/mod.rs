// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! EXTENDED COPY: blocks are copied within the LUN, without a way through the initiator.
//!
//! Segments one after the other, since one may read what another has written; a segment in pieces
//! of which several are under way, so that a command takes [`IN_FLIGHT`] pieces of memory. A piece
//! of zeros becomes a hole. Where a segment overlaps itself its pieces are copied one at a time,
//! from the end that is not overwritten by the others.
//!
//! Never `glfs_copy_file_range`: of the translators of a volume only the bricks' have that call, so
//! it goes to one replica (measured with 10.3: the others kept the old data, and `heal info` said
//! 0).

mod parameter_list;
mod results;

use std::cmp::min;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;

use self::parameter_list::Segment;
pub(super) use self::parameter_list::{LONGEST, Own, Plan, designator, parse};
use self::results::Outcome;
pub(super) use self::results::Results;
use super::Lun;
use super::backend::{Backend, Data, Request, ZeroMethod};
use super::error::Op;
use super::whole::{self, Failure, PIECE, Place};
use crate::iovec::Buffer;
use crate::runner::Command;
use crate::scsi::Status;

/// Pieces of one command under way.
const IN_FLIGHT: usize = 4;

/// An EXTENDED COPY under way.
struct Copy<B: Backend> {
    lun: Arc<Lun<B>>,
    list: Option<u8>,
    state: Mutex<State>,
}

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
    done: u16,
    failure: Option<(Failure, u64)>,
}

/// A part of a segment, in bytes.
#[derive(Debug, Clone, Copy)]
struct Piece {
    from: u64,
    to: u64,
    len: u64,
}

/// What to do next.
enum Next {
    Copy(Piece, Place),
    Wait,
    End(Command, Option<(Failure, u64)>),
}

/// Starts a copy.
pub(super) fn start<B: Backend>(lun: Arc<Lun<B>>, command: Command, plan: Plan) {
    let Plan { list, mut segments } = plan;
    segments.reverse();
    let state = State {
        command: Some(command),
        segments,
        pieces: Vec::new(),
        width: IN_FLIGHT,
        in_flight: 0,
        copied: 0,
        done: 0,
        failure: None,
    };
    proceed(&Arc::new(Copy { lun, list, state: Mutex::new(state) }));
}

/// Begins as many pieces as may be under way; answers when there are none left.
fn proceed<B: Backend>(copy: &Arc<Copy<B>>) {
    loop {
        let next = copy.state().next(copy.lun.block_size.bytes());
        match next {
            Next::Copy(piece, place) => read(copy, piece, place),
            Next::Wait => return,
            Next::End(command, failure) => return copy.end(command, failure),
        }
    }
}

fn read<B: Backend>(copy: &Arc<Copy<B>>, piece: Piece, place: Place) {
    let len = usize::try_from(piece.len).unwrap_or(usize::MAX);
    let next = Arc::clone(copy);
    whole::read(&copy.lun, place, len, move |outcome| match outcome {
        Ok(bytes) => store(&next, piece, bytes),
        Err(failure) => finish(&next, piece, Err(failure)),
    });
}

/// Writes what was read; frees the space where it is zeros.
fn store<B: Backend>(copy: &Arc<Copy<B>>, piece: Piece, bytes: Vec<u8>) {
    let discards =
        |image: &Arc<B>| image.unsupported().fall_back(ZeroMethod::Discard) == ZeroMethod::Discard;
    let image = copy.lun.gate.image().filter(discards);
    match image.filter(|_| bytes.iter().all(|&byte| byte == 0) && !copy.state().is_expired()) {
        Some(image) => {
            let hole =
                Hole { copy: Arc::clone(copy), piece, bytes: Some(bytes), data: Buffer::empty() };
            image.discard(hole, piece.to, piece.len);
        }
        None => write(copy, piece, bytes),
    }
}

fn write<B: Backend>(copy: &Arc<Copy<B>>, piece: Piece, bytes: Vec<u8>) {
    let place = Place { offset: piece.to, deadline: copy.state().deadline() };
    let next = Arc::clone(copy);
    let durability = copy.lun.write_durability();
    whole::write(&copy.lun, place, bytes, durability, move |outcome| {
        finish(&next, piece, outcome.map(drop));
    });
}

/// A piece of zeros, on its way to become a hole.
struct Hole<B: Backend> {
    copy: Arc<Copy<B>>,
    piece: Piece,
    /// The zeros, for a volume that cannot free space. `None` once over.
    bytes: Option<Vec<u8>>,
    data: Buffer,
}

impl<B: Backend> Request for Hole<B> {
    fn data(&self) -> &Data {
        self.data.data()
    }

    fn done(mut self, outcome: Result<usize, Errno>) {
        let Some(bytes) = self.bytes.take() else { return };
        match outcome {
            Ok(_) => {
                self.copy.lun.served(Op::Unmap);
                finish(&self.copy, self.piece, Ok(()));
            }
            Err(Errno::EOPNOTSUPP | Errno::ENOSYS | Errno::EINVAL) => {
                write(&self.copy, self.piece, bytes);
            }
            Err(errno) => {
                finish(&self.copy, self.piece, Err(Failure::Storage(Op::Unmap, errno)));
            }
        }
    }
}

impl<B: Backend> Drop for Hole<B> {
    fn drop(&mut self) {
        if self.bytes.take().is_some() {
            finish(&self.copy, self.piece, Err(Failure::Storage(Op::Unmap, Errno::EIO)));
        }
    }
}

/// A piece has come to its end.
fn finish<B: Backend>(copy: &Arc<Copy<B>>, piece: Piece, outcome: Result<(), Failure>) {
    {
        let mut state = copy.state();
        state.in_flight = state.in_flight.saturating_sub(1);
        match outcome {
            Ok(()) => state.copied = state.copied.saturating_add(piece.len),
            // The first one: those that follow are its consequences.
            Err(failure) if state.failure.is_none() => state.failure = Some((failure, piece.to)),
            Err(_) => {}
        }
    }
    proceed(copy);
}

impl<B: Backend> Copy<B> {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, command: Command, failure: Option<(Failure, u64)>) {
        if let Some(list) = self.list {
            let (segments, bytes) = {
                let state = self.state();
                (state.done, state.copied)
            };
            self.lun.copies.add(Outcome { list, ok: failure.is_none(), segments, bytes });
        }
        match failure {
            None => command.complete(Status::Ok),
            Some((failure, offset)) => failure.answer(&self.lun, command, Op::Copy, offset),
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

    fn next(&mut self, block_size: usize) -> Next {
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
            (self.pieces, self.width) = cut(segment, u64::try_from(block_size).unwrap_or(u64::MAX));
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
        pieces.push(Piece { from: at(from), to: at(to), len: piece });
        offset = offset.saturating_add(piece);
    }
    let overlaps = from.abs_diff(to) < len;
    if !(overlaps && to > from) {
        pieces.reverse();
    }
    (pieces, if overlaps { 1 } else { IN_FLIGHT })
}

#[cfg(test)]
mod tests;
