// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! What the daemon asks of a LUN.

use std::sync::Arc;

use nix::errno::Errno;

use super::admit::Range;
use super::backend::Backend;
use super::gate::Lock;
use super::{Lun, compare_and_write, flush, image, intercept, lock, queue, rw, size};
use crate::log;
use crate::metrics::{IoDescriptor, Span};
use crate::runner::{self, Arrival, Command, LockOutcome, LockState, Rejected};
use crate::scsi::{Cdb, Op};

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
        if enabled || self.write_through {
            return Ok(());
        }
        // Twice for every LUN of a restored configuration, which says that there is no cache.
        log::info_always!(
            self.log,
            "the write cache bit stays set: the bricks cache, so initiators must flush \
             (cache=through: every write is durable)"
        );
        Err(Errno::EOPNOTSUPP)
    }

    fn close(self: Arc<Self>) {
        self.device.detach();
        self.meter.detach();
        self.log.flush_suppressed(true);
        let held = self.gate.lock() == Lock::Held && self.gate.outage().is_none();
        let image = self.gate.close();
        if let Some(image) = &image {
            self.unflushed.closed(self.log.label(), &**image);
        }
        // Nothing waits, as far as the core knows; a thread that does leaves.
        self.gate.resume();
        self.recovery.wake();
        // The next owner need not wait for this one to be silent.
        if let (true, Some(image)) = (held, &image) {
            lock::release(&self, &**image);
        }
        match image.map(|image| image.close(image::CLOSE_TIMEOUT)) {
            None | Some(Ok(())) => log::info_always!(self.log, "closed"),
            Some(Err(errno)) => {
                log::error_always!(self.log, "closing failed, cached writes may be lost: {errno}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::super::testing::{
        GOOD, Memory, Volume, compare_and_write, image, lun_of, submit, write,
    };
    use super::*;
    use crate::runner::Lun as _;

    fn write_same(lun: &Arc<Lun<Memory>>, byte: u8) {
        let mut cdb = [0; 16];
        (cdb[0], cdb[13]) = (0x93, 2);
        assert_eq!(submit(lun, &cdb, vec![byte; 512], None).recv().unwrap().status, 0);
    }

    #[test]
    fn with_write_through_every_write_is_durable_and_initiators_need_not_flush() {
        let lun = lun_of(&Volume::new(), ";cache=through");
        let durable = || image(&lun).durable_writes.load(Ordering::SeqCst);
        assert_eq!((compare_and_write(&lun), durable()), (GOOD, 1));
        assert_eq!((write(&lun), durable()), (GOOD, 2));
        write_same(&lun, 9);
        assert_eq!(durable(), 3);
        let before = image(&lun).calls();
        write_same(&lun, 0);
        assert_eq!(image(&lun).calls() - before, 2, "zeros that the bricks write, and a flush");
        assert_eq!(lun.set_write_cache(false), Ok(()));
    }

    #[test]
    fn without_it_the_write_cache_bit_stays_set() {
        let lun = lun_of(&Volume::new(), "");
        assert_eq!(write(&lun), GOOD);
        assert_eq!(image(&lun).durable_writes.load(Ordering::SeqCst), 0);
        assert_eq!(lun.set_write_cache(true), Ok(()));
        assert_eq!(lun.set_write_cache(false), Err(Errno::EOPNOTSUPP));
    }
}
