// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Space: which ranges of an image are allocated, and how much its volume has.

use std::ptr::NonNull;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use libgfapi_sys as gfapi;
use nix::errno::Errno;

use super::aio;
use super::connection::Connection;
use super::fd::Fd;
use super::worker::{Worker, run_with_timeout};
use crate::lun::backend::Extent;
use crate::threads;

/// Bounds a block status. Each of its three calls waits for one brick at most.
const BLOCK_STATUS_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves the block status calls of one image, one after the other, on a thread that begins with
/// the first.
#[derive(Debug, Default)]
pub(super) struct BlockStatus {
    worker: Mutex<Option<Worker>>,
}

impl BlockStatus {
    /// Serves a call later, and says `done`.
    pub(super) fn submit(
        &self,
        fd: Arc<Fd>,
        offset: u64,
        len: u64,
        done: impl FnOnce(Result<Extent, Errno>) + Send + 'static,
    ) {
        // Counted from now on, so that the file stays open until the call is answered.
        let is_open = fd.begin().is_some();
        let connection = Arc::clone(&fd.connection);
        let answer = move |serve: fn(&Arc<Fd>, u64, u64) -> Result<Extent, Errno>| {
            let outcome = if is_open { serve(&fd, offset, len) } else { Err(Errno::EBADF) };
            aio::catch_panic(|| done(outcome));
            fd.end();
        };
        let mut worker = threads::lock(&self.worker);
        if worker.is_none() {
            *worker = Worker::start("glfs-call");
        }
        match &*worker {
            Some(worker) => worker.run(Box::new(|| answer(serve))),
            None => connection.io.run(Box::new(|| answer(|_, _, _| Err(Errno::EAGAIN)))),
        }
    }
}

/// The extent that begins at `offset`, as far as the volume can tell. Blocks, within bounds.
fn serve(fd: &Arc<Fd>, offset: u64, len: u64) -> Result<Extent, Errno> {
    if !can_seek(fd) {
        return Ok(Extent { allocated: true, len });
    }
    // One that hangs still has the position: another thread would hang behind it.
    if fd.duplicate.try_lock().is_err() {
        return Err(Errno::ETIMEDOUT);
    }
    let fd = Arc::clone(fd);
    run_with_timeout(BLOCK_STATUS_TIMEOUT, move || extent(&fd, offset, len))
        .unwrap_or(Err(Errno::ETIMEDOUT))
}

/// Whether the volume can tell where an image has holes. features/shard refuses (6 to 11,
/// `shard_seek`); performance/write-behind lets the call pass writes that it holds back; and
/// cluster/disperse takes a brick that knows of no further data for a bad one: it does not write
/// down the versions of what it wrote before, and the descriptor is bad from then on (10.3,
/// `ec_lock_update_good`, `ec_update_size_version_done`).
fn can_seek(fd: &Fd) -> bool {
    let Connection { topology, holds_writes_back, .. } = &*fd.connection;
    !topology.is_sharded() && !topology.is_dispersed() && !holds_writes_back
}

/// The extent that begins at `offset`. Blocks.
///
/// A hole is believed if two calls see it, with an `fstat` between them: the brick that a rebalance
/// has just moved the file from answers ENXIO, which cluster/distribute takes for the end of the
/// data (6 to 11, `dht_seek_cbk`), while `fstat` notices that the file has moved. If it moved
/// before the first call, the second is right; if after the `fstat`, the first was.
fn extent(fd: &Fd, offset: u64, len: u64) -> Result<Extent, Errno> {
    let first = seen(fd, offset, len)?;
    if first.allocated {
        return Ok(first);
    }
    fd.stat()?;
    let second = seen(fd, offset, len)?;
    let len = if second.allocated { second.len } else { first.len.min(second.len) };
    Ok(Extent { len, ..second })
}

fn seen(fd: &Fd, offset: u64, len: u64) -> Result<Extent, Errno> {
    let allocated = |len| Ok(Extent { allocated: true, len });
    let hole = |len| Ok(Extent { allocated: false, len });
    let up_to = |end: u64| end.saturating_sub(offset).min(len);
    match fd.seek(offset, libc::SEEK_DATA) {
        Ok(data) if data > offset => hole(up_to(data)),
        Err(Errno::ENXIO) => hole(len),
        Ok(_) => match fd.seek(offset, libc::SEEK_HOLE) {
            Ok(end) if end > offset => allocated(up_to(end)),
            // The file has changed meanwhile.
            Ok(_) | Err(Errno::ENXIO) => allocated(len),
            Err(errno) => Err(errno),
        },
        Err(Errno::EINVAL | Errno::EOPNOTSUPP | Errno::ENOSYS) => allocated(len),
        Err(errno) => Err(errno),
    }
}

impl Fd {
    /// The next byte from `offset` on that `whence`, `SEEK_DATA` or `SEEK_HOLE`, looks for. Blocks,
    /// also while another call seeks.
    ///
    /// `glfs_lseek` leaves its result in the descriptor's position and reads it from there, where
    /// the callback of every READ and WRITE puts its own (10.3, `glfs_io_async_cbk`). So it gets a
    /// duplicate that nothing else uses.
    ///
    /// # Errors
    /// The volume's: ENXIO if there is none; EINVAL or EOPNOTSUPP where it cannot tell.
    pub(super) fn seek(&self, offset: u64, whence: std::ffi::c_int) -> Result<u64, Errno> {
        let offset = i64::try_from(offset).map_err(|_| Errno::EFBIG)?;
        let mut duplicate = threads::lock(&self.duplicate);
        self.with(|fd| {
            if duplicate.is_none() {
                // SAFETY: the descriptor is open and counted.
                *duplicate = NonNull::new(unsafe { gfapi::glfs_dup(fd) });
            }
            let duplicate = (*duplicate).ok_or_else(Errno::last)?;
            // SAFETY: it is closed with the descriptor, which is counted.
            let found = unsafe { gfapi::glfs_lseek(duplicate.as_ptr(), offset, whence) };
            u64::try_from(found).map_err(|_| Errno::last())
        })
    }
}
