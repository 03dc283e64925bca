// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Reads and writes of a LUN's own accord, for commands that need more than to move their data: all
//! of a buffer is moved, or none of it counts. Nothing is submitted after the command's deadline.

use std::sync::Arc;
use std::time::Instant;

use nix::errno::Errno;

use super::Lun;
use super::backend::{Backend, Data, Durability, Request};
use super::rw;
use crate::iovec::Buffer;
use crate::runner::Command;
use crate::scsi::{Op, Status};

/// Bytes of the largest piece that one command reads or writes at a time.
pub(super) const PIECE: u64 = 1 << 20;

/// Why a piece was not moved.
#[derive(Debug, Clone, Copy)]
pub(super) enum Failure {
    /// What the storage said, of this kind of work.
    Storage(Op, Errno),
    /// The deadline has passed.
    Expired,
}

impl Failure {
    /// Tells the initiator of `command`.
    pub(super) fn answer<B: Backend>(
        self,
        lun: &Arc<Lun<B>>,
        command: Command,
        op: Op,
        offset: u64,
    ) {
        let left = command.data().len();
        command.complete(self.status(lun, left, op, offset));
    }

    /// Logs it; the status of the command, of which `left` bytes are not moved.
    pub(super) fn status<B: Backend>(
        self,
        lun: &Arc<Lun<B>>,
        left: usize,
        op: Op,
        offset: u64,
    ) -> Status {
        match self {
            Self::Storage(op, errno) => rw::failed(lun, left, op, offset, errno),
            Self::Expired => rw::expired(lun, op, offset),
        }
    }
}

/// Where a piece is, and until when it may be begun.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// In bytes.
    pub(super) offset: u64,
    pub(super) deadline: Option<Instant>,
}

/// Reads `len` bytes.
pub(super) fn read<B: Backend>(
    lun: &Arc<Lun<B>>,
    place: Place,
    len: usize,
    done: impl FnOnce(Result<Vec<u8>, Failure>) + Send + 'static,
) {
    start(lun, place, Buffer::of(vec![0; len]), None, done);
}

/// Writes all of `bytes`, and gives them back.
pub(super) fn write<B: Backend>(
    lun: &Arc<Lun<B>>,
    place: Place,
    bytes: Vec<u8>,
    durability: Durability,
    done: impl FnOnce(Result<Vec<u8>, Failure>) + Send + 'static,
) {
    start(lun, place, Buffer::of(bytes), Some(durability), done);
}

fn start<B: Backend>(
    lun: &Arc<Lun<B>>,
    place: Place,
    buffer: Buffer,
    write: Option<Durability>,
    done: impl FnOnce(Result<Vec<u8>, Failure>) + Send + 'static,
) {
    Piece { lun: Arc::clone(lun), place, buffer, moved: 0, write, done: Some(done) }.submit();
}

/// A piece in flight. Whoever waits for it has nobody else: if it is dropped, it has failed.
struct Piece<B: Backend, F: FnOnce(Result<Vec<u8>, Failure>) + Send + 'static> {
    lun: Arc<Lun<B>>,
    place: Place,
    buffer: Buffer,
    /// How many bytes have been moved.
    moved: usize,
    /// `None`: it is a read.
    write: Option<Durability>,
    /// `None` once called.
    done: Option<F>,
}

impl<B: Backend, F: FnOnce(Result<Vec<u8>, Failure>) + Send + 'static> Piece<B, F> {
    fn op(&self) -> Op {
        if self.write.is_some() { Op::Write } else { Op::Read }
    }

    fn submit(self) {
        if self.place.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return self.end(Err(Failure::Expired));
        }
        let Some(image) = self.lun.gate.image() else { return self.fail(Errno::ENOTCONN) };
        let moved = u64::try_from(self.moved).unwrap_or(u64::MAX);
        let offset = self.place.offset.saturating_add(moved);
        match self.write {
            None => image.read(self, offset),
            Some(durability) => image.write(self, offset, durability),
        }
    }

    fn fail(self, errno: Errno) {
        let durability = self.write.unwrap_or(Durability::Volatile);
        let op = rw::failed_op(self.op(), durability, errno);
        self.end(Err(Failure::Storage(op, errno)));
    }

    fn end(mut self, outcome: Result<(), Failure>) {
        let bytes = std::mem::replace(&mut self.buffer, Buffer::empty()).into_bytes();
        if let Some(done) = self.done.take() {
            done(outcome.map(|()| bytes));
        }
    }
}

impl<B: Backend, F: FnOnce(Result<Vec<u8>, Failure>) + Send + 'static> Request for Piece<B, F> {
    fn data(&self) -> &Data {
        self.buffer.data()
    }

    fn done(mut self, outcome: Result<usize, Errno>) {
        match outcome {
            // The end of the file: the image has been cut off, and zeros would hide it.
            Ok(0) => self.fail(Errno::ENODATA),
            Err(errno) => self.fail(errno),
            Ok(bytes) => {
                self.lun.served(self.op());
                self.moved = self.moved.saturating_add(bytes);
                self.buffer.set_window(self.moved, usize::MAX);
                if self.buffer.data().is_empty() { self.end(Ok(())) } else { self.submit() }
            }
        }
    }
}

impl<B: Backend, F: FnOnce(Result<Vec<u8>, Failure>) + Send + 'static> Drop for Piece<B, F> {
    fn drop(&mut self) {
        if let Some(done) = self.done.take() {
            done(Err(Failure::Storage(self.op(), Errno::EIO)));
        }
    }
}
