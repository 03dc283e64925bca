// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! What the daemon asks of a LUN.

use std::sync::Arc;

use nix::errno::Errno;

use super::admit::Range;
use super::backend::Backend;
use super::error::Op;
use super::gate::Lock;
use super::{Lun, compare_and_write, flush, image, intercept, lock, queue, rw, size};
use crate::log;
use crate::metrics::{IoDescriptor, Span};
use crate::runner::{self, Arrival, Command, LockOutcome, LockState, Rejected};
use crate::scsi::Cdb;

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

    fn serve(self: Arc<Self>, command: Command) -> Result<(), Rejected> {
        queue::serve(self, command)
    }

    fn work(&self, cdb: &Cdb) -> IoDescriptor {
        queue::work(self, cdb)
    }

    fn intercept(self: Arc<Self>, cdb: &Cdb, arrival: &Arrival) -> runner::Verdict {
        intercept::intercept(&self, cdb, arrival)
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
