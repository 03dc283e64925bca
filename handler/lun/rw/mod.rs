//! READ, WRITE and SYNCHRONIZE CACHE on their way through the storage.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use nix::errno::Errno;

use super::Lun;
use super::backend::{Backend, Data, Request};
use super::error::{Op, status};
use super::geometry::fits;
use crate::report;
use crate::runner::{Command, Rejected, Sense, Status};

/// A READ or WRITE in flight: the command knows what data is left, this where it goes.
struct Transfer<B: Backend> {
    lun: Arc<Lun<B>>,
    command: Command,
    op: Op,
    /// Where in the image the data that is left begins, in bytes.
    offset: u64,
}

/// A SYNCHRONIZE CACHE in flight.
struct Flush<B: Backend> {
    lun: Arc<Lun<B>>,
    command: Command,
}

/// Starts a READ or WRITE at `offset`.
pub(super) fn transfer<B: Backend>(lun: Arc<Lun<B>>, command: Command, op: Op, offset: u64) -> Result<(), Rejected> {
    if !fits(lun.bytes.load(Ordering::Relaxed), offset, command.data().len()) {
        return Err(Rejected(command, Status::OutOfRange));
    }
    if op == Op::Write && !lun.writable {
        return Err(Rejected(command, Status::Sense(Sense::WRITE_PROTECTED)));
    }
    Transfer { lun, command, op, offset }.submit();
    Ok(())
}

/// Starts a SYNCHRONIZE CACHE.
pub(super) fn flush<B: Backend>(lun: Arc<Lun<B>>, command: Command) {
    let image = Arc::clone(&lun);
    image.backend.sync(Flush { lun, command });
}

impl<B: Backend> Transfer<B> {
    fn submit(self) {
        let (lun, offset) = (Arc::clone(&self.lun), self.offset);
        match self.op {
            Op::Read => lun.backend.read(self, offset),
            Op::Write | Op::Flush => lun.backend.write(self, offset),
        }
    }
}

impl<B: Backend> Request for Transfer<B> {
    fn data(&self) -> &Data {
        self.command.data()
    }

    /// The core takes a GOOD for all of the data, so a short transfer is continued here, and what a READ finds beyond the end
    /// of the file is zeros: anything less hands the initiator whatever the ring held before.
    fn done(mut self, outcome: Result<usize, Errno>) {
        let moved = match outcome {
            Ok(moved) => moved,
            Err(errno) => return fail(&self.lun, self.command, self.op, self.offset, errno),
        };
        self.command.data_mut().advance(moved);
        self.offset = self.offset.saturating_add(u64::try_from(moved).unwrap_or(u64::MAX));
        if self.command.data().is_empty() {
            return self.command.complete(Status::Ok);
        }
        match (moved, self.op) {
            (0, Op::Read) => {
                self.command.data_mut().zero();
                self.command.complete(Status::Ok);
            }
            (0, _) => fail(&self.lun, self.command, self.op, self.offset, Errno::EIO),
            _ => self.submit(),
        }
    }
}

impl<B: Backend> Request for Flush<B> {
    fn data(&self) -> &Data {
        self.command.data()
    }

    fn done(self, outcome: Result<usize, Errno>) {
        match outcome {
            Ok(_) => self.command.complete(Status::Ok),
            Err(errno) => fail(&self.lun, self.command, Op::Flush, 0, errno),
        }
    }
}

fn fail<B: Backend>(lun: &Lun<B>, command: Command, op: Op, offset: u64, errno: Errno) {
    let (label, op_name, left) = (&lun.label, op.name(), command.data().len());
    report::error!("{label}: {op_name} offset={offset} len={left} failed: {errno}");
    command.complete(status(op, errno));
}

#[cfg(test)]
mod tests;
