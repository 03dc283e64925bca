// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! SCSI status for an errno of the storage.

use nix::errno::Errno;

use super::backend::Backend;
use super::gate::Gate;
use crate::log::Kind;
use crate::scsi::{Op, Sense, Status};

/// Kind of a command for the rate limit of log lines, and its name there.
pub(super) fn kind(op: Op) -> Kind {
    Kind { number: op as u32, name: op.name() }
}

/// The status for `errno` in `op`. Errors that pass by themselves are an outage: BUSY, so that the
/// initiator repeats the command, until it has lasted too long. What an initiator can act upon has
/// a sense of its own; the rest is a medium error.
pub(super) fn status<B: Backend>(op: Op, errno: Errno, gate: &Gate<B>) -> Status {
    match errno {
        // The brick, the network or the quorum is away, or a graph switch has the file between two
        // graphs. EBADF: the image has just been opened anew, and this was the old one.
        Errno::ENOTCONN | Errno::ETIMEDOUT | Errno::ESTALE | Errno::EBADFD | Errno::EBADF => {
            gate.storage_failed()
        }
        // Locked by another client for a moment.
        Errno::EAGAIN | Errno::EBUSY | Errno::EINTR => Status::Busy,
        Errno::ENOMEM => Status::NoResource,
        Errno::ENOSPC | Errno::EDQUOT => Status::Sense(Sense::SPACE_ALLOCATION_FAILED),
        Errno::EROFS | Errno::EPERM | Errno::EACCES => Status::Sense(Sense::WRITE_PROTECTED),
        // Only misaligned I/O to a volume that demands O_DIRECT is answered so.
        Errno::EINVAL => Status::InvalidCdb,
        // ENOENT: the first changes on a sharded volume find the folder of the shards half made by
        // each other (10.3, shard_mkdir_internal_dir). A flush that has failed must say so: the
        // next one may find nothing left to write.
        Errno::EIO | Errno::ENOENT if op != Op::Flush => {
            gate.retry_transient().unwrap_or_else(|| medium_error(op))
        }
        _ => medium_error(op),
    }
}

fn medium_error(op: Op) -> Status {
    if op.writes() || op == Op::Flush { Status::WriteError } else { Status::ReadError }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Memory, Volume, lun_of};
    use super::*;

    /// The status on a LUN with these options, of the first error that it meets with.
    fn first(options: &str, op: Op, errno: Errno) -> Status {
        status::<Memory>(op, errno, &lun_of(&Volume::new(), options).gate)
    }

    #[test]
    fn a_doubtful_error_is_worth_another_try_but_not_of_a_flush_nor_with_writes_held_back() {
        for errno in [Errno::EIO, Errno::ENOENT] {
            assert_eq!(first("", Op::Write, errno), Status::Busy);
            assert_eq!(first("", Op::Flush, errno), Status::WriteError);
            assert_eq!(first(";cache=writeback", Op::Write, errno), Status::WriteError);
        }
    }

    #[test]
    fn an_outage_that_lasts_is_not_ready() {
        assert_eq!(first(";outage=0", Op::Read, Errno::ENOTCONN), Status::Sense(Sense::NOT_READY));
        assert_eq!(first(";outage=0", Op::Read, Errno::EAGAIN), Status::Busy);
    }
}
