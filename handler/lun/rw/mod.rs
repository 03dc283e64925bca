// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! READ and WRITE on their way through the storage.

use std::sync::Arc;

use nix::errno::Errno;

use super::Lun;
use super::backend::{Backend, Data, Durability, Request};
use super::error::kind;
use crate::runner::Command;
use crate::scsi::{Op, Status};

/// A READ or WRITE in flight: the command knows what data is left, this where it goes.
struct Transfer<B: Backend> {
    lun: Arc<Lun<B>>,
    command: Command,
    op: Op,
    /// Where in the image the data that is left begins, in bytes.
    offset: u64,
    /// Of a WRITE.
    durability: Durability,
}

/// Starts a READ or WRITE at `offset`.
pub(super) fn transfer<B: Backend>(
    lun: Arc<Lun<B>>,
    image: &B,
    command: Command,
    op: Op,
    offset: u64,
) {
    let durability = durability(&lun, &command);
    Transfer { lun, command, op, offset, durability }.submit(image);
}

impl<B: Backend> Transfer<B> {
    fn submit(self, image: &B) {
        let offset = self.offset;
        if self.op == Op::Read {
            return image.read(self, offset);
        }
        let durability = self.durability;
        image.write(self, offset, durability);
    }

    /// Goes on with what a short transfer has left.
    fn go_on(self) {
        if self.command.data().is_empty() {
            return self.command.complete(Status::Ok);
        }
        if self.command.is_expired() {
            return expire(&self.lun, self.command, self.op, self.offset);
        }
        match self.lun.gate.image() {
            Some(image) => self.submit(&image),
            None => fail(&self.lun, self.command, self.op, self.offset, Errno::ENOTCONN),
        }
    }
}

impl<B: Backend> Request for Transfer<B> {
    fn data(&self) -> &Data {
        self.command.data()
    }

    /// The core takes a GOOD for all of the data, so a short transfer is continued here; less would
    /// hand the initiator whatever the ring held before. Where nothing is moved, a READ has met the
    /// end of the file. The LUN is no larger than the file was, so somebody has cut it off: the
    /// data is lost, and inventing zeros would hide it.
    fn done(mut self, outcome: Result<usize, Errno>) {
        let moved = match outcome {
            Ok(0) if !self.command.data().is_empty() => Err(Errno::ENODATA),
            other => other,
        };
        match moved {
            Err(errno) => {
                let op = failed_op(self.op, self.durability, errno);
                fail(&self.lun, self.command, op, self.offset, errno);
            }
            Ok(bytes) => {
                self.lun.served(self.op);
                self.command.data_mut().advance(bytes);
                self.offset = self.offset.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
                self.go_on();
            }
        }
    }
}

/// How durable the data of a command must be before it is answered (FUA, `cache=through`).
pub(super) fn durability<B: Backend>(lun: &Lun<B>, command: &Command) -> Durability {
    if command.cdb().is_durable() { Durability::Durable } else { lun.write_durability() }
}

impl<B: Backend> Lun<B> {
    /// How durable any write must be before it is answered (`cache=through`).
    pub(super) fn write_durability(&self) -> Durability {
        if self.write_through { Durability::Durable } else { Durability::Volatile }
    }
}

/// The kind of work that `errno` is of. EIO of a durable write is a failed flush: it may also be of
/// writes that were acknowledged before, which no later flush would report again.
pub(super) fn failed_op(op: Op, durability: Durability, errno: Errno) -> Op {
    match (durability, errno) {
        (Durability::Durable, Errno::EIO) => Op::Flush,
        _ => op,
    }
}

/// Answers a command for which nothing may be submitted any more.
pub(super) fn expire<B: Backend>(lun: &Lun<B>, command: Command, op: Op, offset: u64) {
    command.complete(expired(lun, op, offset));
}

/// Logs that a command is too late. The initiator repeats it, if the kernel has not yet told it to.
pub(super) fn expired<B: Backend>(lun: &Lun<B>, op: Op, offset: u64) -> Status {
    let kind = kind(op);
    lun.log.failed(
        kind,
        format_args!("{} offset={offset} could not end before cmd_time_out", kind.name),
    );
    Status::Busy
}

/// Says what went wrong, and tells the initiator.
pub(super) fn fail<B: Backend>(
    lun: &Arc<Lun<B>>,
    command: Command,
    op: Op,
    offset: u64,
    errno: Errno,
) {
    let left = command.data().len();
    command.complete(failed(lun, left, op, offset, errno));
}

/// Logs what went wrong in a command of which `left` bytes are not moved; its status.
pub(super) fn failed<B: Backend>(
    lun: &Arc<Lun<B>>,
    left: usize,
    op: Op,
    offset: u64,
    errno: Errno,
) -> Status {
    let kind = kind(op);
    let hint = match errno {
        // Nothing of ours is misaligned for buffered I/O.
        Errno::EINVAL => {
            "; do the bricks demand O_DIRECT (gluster volume get VOLUME all | grep -i direct)?"
        }
        _ => "",
    };
    let name = kind.name;
    lun.log.failed(kind, format_args!("{name} offset={offset} len={left} failed: {errno}{hint}"));
    lun.failed(op, errno)
}

#[cfg(test)]
mod tests;
