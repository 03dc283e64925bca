// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The way of a command through the gate, and back.

use std::sync::Arc;

use nix::errno::Errno;

use super::backend::Backend;
use super::error::{kind, status};
use super::gate::{Request, Verdict, Waiter};
use super::{Lun, lock, recovery, rw};
use crate::runner::{Command, Rejected};
use crate::scsi::{Op, Status};

impl<B: Backend> Lun<B> {
    /// Lets `serve` submit a command over `range`: now, when the image has been moved, or not at
    /// all.
    pub(super) fn admit(
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
        if op.writes() {
            self.unflushed.wrote(&self.gate);
        }
    }

    /// The storage has not. Status of the command.
    pub(super) fn failed(self: &Arc<Self>, op: Op, errno: Errno) -> Status {
        lock::command_failed(self, op, errno);
        self.meter.set_last_error(format!("{}: {errno}", op.name()));
        if matches!(errno, Errno::ENOTCONN | Errno::EBADFD) {
            self.unflushed.storage_failed(&self.gate);
        }
        let status = status(op, errno, &self.gate);
        recovery::start(self);
        status
    }
}

/// What a command is about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Range {
    pub(super) op: Op,
    /// In bytes.
    pub(super) offset: u64,
    pub(super) len: u64,
}

/// Submits a command to an image.
pub(super) trait Serve<B: Backend>:
    FnOnce(Arc<Lun<B>>, &Arc<B>, Command) + Send + 'static
{
}

impl<B: Backend, F: FnOnce(Arc<Lun<B>>, &Arc<B>, Command) + Send + 'static> Serve<B> for F {}
