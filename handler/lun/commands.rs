// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The commands of a LUN: each passes the gate, and is submitted.

use std::sync::Arc;

use nix::errno::Errno;

use super::backend::Backend;
use super::error::{Op, kind, status};
use super::gate::{Lock, Request, Verdict, Waiter};
use super::{Lun, compare_and_write, flush, image, lock, recovery, rw, size, unmap};
use crate::log;
use crate::metrics::{IoDescriptor, Span};
use crate::runner::{self, Command, LockOutcome, LockState, Rejected};
use crate::scsi::{Cdb, Status};

impl<B: Backend> Lun<B> {
    /// Lets `serve` submit a command over `range`: now, when the image has been moved, or not at
    /// all.
    fn admit(
        self: Arc<Self>,
        command: Command,
        range: Range,
        serve: impl Serve<B>,
    ) -> Result<(), Rejected> {
        let (admission, refusal) = match self.size.admit(range.op, range.offset, range.len) {
            Ok(admission) => (admission, None),
            Err(status) => (None, Some(status)),
        };
        let mut parked = Some((command, serve));
        let verdict = self.gate.check(Request::Io(range.op, refusal), || {
            let (lun, (command, serve)) = (Arc::clone(&self), parked.take()?);
            Some(Box::new(move || lun.admit_again(command, range, serve)) as Waiter)
        });
        let Some((mut command, serve)) = parked else { return Ok(()) };
        match verdict {
            Verdict::Serve(image) => {
                command.keep(admission);
                serve(self, &image, command);
            }
            Verdict::Answer(status) => return Err(Rejected(command, status)),
            Verdict::Standby(status) => {
                recovery::request_lock(&self);
                return Err(Rejected(command, status));
            }
            Verdict::Wait => return Err(Rejected(command, Status::Busy)),
        }
        Ok(())
    }

    /// Like `admit`, for a command that has waited.
    fn admit_again(self: Arc<Self>, command: Command, range: Range, serve: impl Serve<B>) {
        if command.is_expired() {
            return rw::expire(&self, command, range.op, range.offset);
        }
        if let Err(Rejected(command, status)) = self.admit(command, range, serve) {
            command.complete(status);
        }
    }

    /// The storage has done something for a command.
    pub(super) fn served(&self, op: Op) {
        self.log.succeeded(kind(op));
        self.gate.served();
        self.locking.served();
        self.size.served(op);
        if !matches!(op, Op::Read | Op::Flush) {
            self.durability.wrote(&self.gate);
        }
    }

    /// The storage has not. Status of the command.
    pub(super) fn failed(self: &Arc<Self>, op: Op, errno: Errno) -> Status {
        lock::command_failed(self, op, errno);
        self.meter.set_last_error(format!("{}: {errno}", op.name()));
        if matches!(errno, Errno::ENOTCONN | Errno::EBADFD) {
            self.durability.storage_failed(&self.gate);
        }
        let status = status(op, errno, &self.gate);
        recovery::start(self);
        status
    }
}

/// What a command is about.
#[derive(Debug, Clone, Copy)]
struct Range {
    op: Op,
    offset: u64,
    len: u64,
}

/// Submits a command to an image.
trait Serve<B: Backend>: FnOnce(Arc<Lun<B>>, &Arc<B>, Command) + Send + 'static {}

impl<B: Backend, F: FnOnce(Arc<Lun<B>>, &Arc<B>, Command) + Send + 'static> Serve<B> for F {}

/// Bytes of a command's data.
fn length(command: &Command) -> u64 {
    u64::try_from(command.data().len()).unwrap_or(u64::MAX)
}

impl<B: Backend> runner::Lun for Lun<B> {
    fn begin(&self, work: IoDescriptor) -> Option<Span> {
        self.meter.begin(work)
    }

    fn read(self: Arc<Self>, command: Command, offset: u64) -> Result<(), Rejected> {
        let range = Range { op: Op::Read, offset, len: length(&command) };
        self.admit(command, range, move |lun, image, command| {
            rw::transfer(lun, &**image, command, Op::Read, offset);
        })
    }

    fn write(self: Arc<Self>, command: Command, offset: u64) -> Result<(), Rejected> {
        let range = Range { op: Op::Write, offset, len: length(&command) };
        self.admit(command, range, move |lun, image, command| {
            rw::transfer(lun, &**image, command, Op::Write, offset);
        })
    }

    fn unmap(self: Arc<Self>, command: Command, offset: u64, len: u64) -> Result<(), Rejected> {
        let range = Range { op: Op::Unmap, offset, len };
        self.admit(command, range, move |lun, _, command| unmap::unmap(&lun, command, offset, len))
    }

    fn write_same(
        self: Arc<Self>,
        command: Command,
        offset: u64,
        len: u64,
    ) -> Result<(), Rejected> {
        if command.data().len() != self.block_size.bytes() {
            return Err(Rejected(command, Status::InvalidCdb));
        }
        let range = Range { op: Op::WriteSame, offset, len };
        self.admit(command, range, move |lun, _, command| {
            unmap::write_same(&lun, command, offset, len);
        })
    }

    fn compare_and_write(self: Arc<Self>, command: Command, offset: u64) -> Result<(), Rejected> {
        let range = Range { op: Op::CompareAndWrite, offset, len: length(&command) / 2 };
        self.admit(command, range, move |lun, image, command| {
            compare_and_write::start(lun, &**image, command, offset);
        })
    }

    fn flush(self: Arc<Self>, command: Command) -> Result<(), Rejected> {
        let range = Range { op: Op::Flush, offset: 0, len: 0 };
        self.admit(command, range, |lun, image, command| flush::start(lun, &**image, command))
    }

    /// A disk that is removed is flushed through all of its paths. That must not move the lock to
    /// the last one: so a flush is looked at before the core asks for the lock.
    fn prior(self: Arc<Self>, cdb: &Cdb) -> Option<Status> {
        const TEST_UNIT_READY: u8 = 0;
        let is_test = cdb.opcode() == TEST_UNIT_READY;
        let request = if is_test { Request::TestUnitReady } else { Request::Io(Op::Flush, None) };
        let status = match self.gate.check(request, || None) {
            Verdict::Serve(_) | Verdict::Wait | Verdict::Answer(Status::Ok) => return None,
            Verdict::Answer(status) => status,
            Verdict::Standby(status) => {
                recovery::request_lock(&self);
                status
            }
        };
        let work = IoDescriptor { op: Op::Flush, offset: 0, bytes: 0 };
        if let Some(span) = (!is_test).then(|| self.begin(work)).flatten() {
            span.end(status.error_class());
        }
        Some(status)
    }

    fn lock(&self) -> LockOutcome {
        lock::core_lock(self)
    }

    fn unlock(&self) {
        lock::unlock(self);
    }

    fn lock_state(&self) -> LockState {
        if self.gate.lock() == Lock::Standby { LockState::Unlocked } else { LockState::Locked }
    }

    fn resize(&self, bytes: u64) -> Result<(), Errno> {
        size::resize(self, bytes)
    }

    fn set_write_cache(&self, enabled: bool) -> Result<(), Errno> {
        if enabled {
            return Ok(());
        }
        // Twice for every LUN of a restored configuration, which says that there is no cache.
        log::info_always!(
            self.log,
            "the write cache bit stays set: the bricks cache, so initiators must flush"
        );
        Err(Errno::EOPNOTSUPP)
    }

    fn close(self: Arc<Self>) {
        self.device.detach();
        self.meter.detach();
        self.log.flush_suppressed(true);
        let held = self.gate.lock() == Lock::Held && self.gate.outage().is_none();
        let image = self.gate.close();
        // Nothing waits, as far as the core knows; a thread that does leaves.
        self.gate.resume();
        self.recovery.wake();
        // The next owner need not wait for this one to be silent.
        if let (true, Some(image)) = (held, &image) {
            lock::give_back(&self, &**image);
        }
        match image.map(|image| image.close(image::CLOSE_TIMEOUT)) {
            None | Some(Ok(())) => log::info_always!(self.log, "closed"),
            Some(Err(errno)) => {
                log::error_always!(self.log, "closing failed, cached writes may be lost: {errno}");
            }
        }
    }
}
