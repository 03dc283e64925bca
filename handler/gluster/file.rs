// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! An open file on a volume.

use std::ffi::c_int;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use libgfapi_sys as gfapi;
use nix::errno::Errno;

use super::aio::{self, Call, Returns};
use super::caw::Caw;
use super::connection::Connection;
use super::descriptor::Descriptor;
use super::space::BlockStatus;
use super::status;
use super::volfile::Translator;
use super::worker::{hand_over, run_with_timeout};
use crate::log;
use crate::lun::backend::{
    Backend, Bricks, CompareAndWrite, Compared, Data, Durability, Extent, ImageStat, Request,
    Space, Unsupported,
};

/// How long a close, or a look at the size, may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a look at the volume's space may take.
const SPACE_TIMEOUT: Duration = Duration::from_secs(10);

/// A regular file, open. Dropping it closes it.
#[derive(Debug)]
pub struct File {
    descriptor: Arc<Descriptor>,
    /// Its path on the volume.
    path: String,
    caw: Caw,
    block_status: BlockStatus,
    /// How closing it has ended.
    closed: Arc<Mutex<Option<Result<(), Errno>>>>,
    /// The bricks that hold it, by their numbers.
    holders: Vec<usize>,
}

impl File {
    /// Opens `path` with `flags` (`open(2)`). Blocks.
    ///
    /// # Errors
    /// The volume's.
    pub(super) fn open(
        connection: Arc<Connection>,
        path: &str,
        flags: c_int,
    ) -> Result<Self, Errno> {
        let holders = status::holders(&connection, path);
        let mut file = Self::new(Descriptor::open(connection, path, flags)?, path);
        file.holders = holders;
        Ok(file)
    }

    pub(super) fn new(descriptor: Descriptor, path: &str) -> Self {
        Self {
            descriptor: Arc::new(descriptor),
            path: path.to_owned(),
            caw: Caw::default(),
            block_status: BlockStatus::default(),
            closed: Arc::default(),
            holders: Vec::new(),
        }
    }

    pub(super) fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// Makes a call that may hang as long as the volume does.
    pub(super) fn blocking<T: Send + 'static>(
        &self,
        patience: Duration,
        call: impl FnOnce(&Descriptor) -> Result<T, Errno> + Send + 'static,
    ) -> Result<T, Errno> {
        let descriptor = Arc::clone(&self.descriptor);
        run_with_timeout(patience, move || call(&descriptor)).unwrap_or(Err(Errno::ETIMEDOUT))
    }

    /// Makes a call that nobody waits for, on a thread of its own. Without one it is dropped.
    pub(super) fn later(&self, call: impl FnOnce(&Descriptor) + Send + 'static) {
        let descriptor = Arc::clone(&self.descriptor);
        if hand_over("glfs-call", descriptor, move |descriptor| call(&descriptor)).is_err() {
            log::warning!(log::PLUGIN, "No thread could be had for a call");
        }
    }

    /// Whether locks of the descriptor have an owner of their own.
    pub(super) fn has_lock_owner(&self) -> bool {
        self.caw.has_owner()
    }
}

impl Backend for File {
    fn read(&self, request: impl Request, offset: u64) {
        if request.data().is_empty() {
            return aio::finish_nothing(&self.descriptor, request);
        }
        aio::submit(
            &self.descriptor,
            request,
            Returns::Moved,
            move |Call { fd, iov, count, callback, cookie }| {
                let Ok(offset) = i64::try_from(offset) else { return refuse(Errno::EINVAL) };
                // SAFETY: the descriptor is open and counted; the buffers stay valid until the
                // callback, which owns them.
                unsafe { gfapi::glfs_preadv_async(fd, iov, count, offset, 0, callback, cookie) }
            },
        );
    }

    fn write(&self, request: impl Request, offset: u64, durability: Durability) {
        if durability == Durability::Durable && !self.descriptor.connection().honours_dsync() {
            let descriptor = Arc::clone(&self.descriptor);
            return write(&self.descriptor, Flushed { request, descriptor }, offset, 0);
        }
        write(&self.descriptor, request, offset, flags(durability));
    }

    fn discard(&self, request: impl Request, offset: u64, len: u64) {
        aio::submit(
            &self.descriptor,
            request,
            Returns::Anything,
            move |Call { fd, callback, cookie, .. }| {
                let (Ok(offset), Ok(len)) = (i64::try_from(offset), usize::try_from(len)) else {
                    return refuse(Errno::EFBIG);
                };
                // SAFETY: the descriptor is open and counted.
                unsafe { gfapi::glfs_discard_async(fd, offset, len, callback, cookie) }
            },
        );
    }

    fn zero(&self, request: impl Request, offset: u64, len: u64) {
        aio::submit(
            &self.descriptor,
            request,
            Returns::Anything,
            move |Call { fd, callback, cookie, .. }| {
                let (Ok(offset), Ok(len)) = (i64::try_from(offset), i64::try_from(len)) else {
                    return refuse(Errno::EFBIG);
                };
                // SAFETY: the descriptor is open and counted.
                unsafe { gfapi::glfs_zerofill_async(fd, offset, len, callback, cookie) }
            },
        );
    }

    fn noop(&self, request: impl Request) {
        aio::finish_nothing(&self.descriptor, request);
    }

    fn unsupported(&self) -> &Unsupported {
        self.descriptor.connection().unsupported()
    }

    fn compare_and_write(
        &self,
        call: CompareAndWrite,
        done: impl FnOnce(Result<Compared, Errno>) + Send + 'static,
    ) {
        self.caw.submit(Arc::clone(&self.descriptor), call, Box::new(done));
    }

    fn block_status(
        &self,
        offset: u64,
        len: u64,
        done: impl FnOnce(Result<Extent, Errno>) + Send + 'static,
    ) {
        self.block_status.submit(Arc::clone(&self.descriptor), offset, len, done);
    }

    /// Of the folder that the image is in.
    fn space(&self) -> Result<Space, Errno> {
        let folder = self.path.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
        self.blocking(SPACE_TIMEOUT, move |descriptor| {
            descriptor.connection().volume().space(&folder)
        })
    }

    fn sync(&self, request: impl Request) {
        sync(&self.descriptor, request);
    }

    fn stat(&self) -> Result<ImageStat, Errno> {
        let stat = self.blocking(PATIENCE, Descriptor::stat)?;
        Ok(ImageStat {
            bytes: u64::try_from(stat.st_size).map_err(|_| Errno::EIO)?,
            allocated: u64::try_from(stat.st_blocks).unwrap_or(0),
            modified: (stat.st_mtime, stat.st_mtime_nsec),
        })
    }

    fn is_replicated(&self) -> bool {
        self.descriptor.connection().layout().is_replicated()
    }

    fn bricks(&self) -> Result<Bricks, Errno> {
        self.blocking(status::QUERY_TIMEOUT, |descriptor| status::bricks(descriptor.connection()))
    }

    fn is_superseded(&self) -> bool {
        self.descriptor.connection().is_superseded()
    }

    fn brick_losses(&self) -> u64 {
        self.descriptor.connection().status().losses(&self.holders)
    }

    fn drain(&self, patience: Duration) -> bool {
        self.descriptor.drains_to(0, patience)
    }

    fn encrypted(&self) -> Option<bool> {
        let clients = self.descriptor.connection().volfile().clients();
        Some(!clients.is_empty() && clients.iter().all(Translator::is_encrypted))
    }

    fn close(&self, patience: Duration) -> Result<(), Errno> {
        if self.descriptor.shut() {
            let (closing, closed) =
                (Closing(Some(Arc::clone(&self.descriptor))), Arc::clone(&self.closed));
            // In an outage the last flush may hang for gluster's frame timeout of 30 minutes.
            run_with_timeout(patience, move || {
                let outcome = closing.close(patience);
                *closed.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
            });
        }
        let closed = *self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        closed.unwrap_or(Err(Errno::ETIMEDOUT))
    }
}

/// A descriptor on its way to the thread that closes it. Where no thread can be had it is kept for
/// good: calls may be in flight whose answers will look at it.
struct Closing(Option<Arc<Descriptor>>);

impl Closing {
    fn close(mut self, patience: Duration) -> Result<(), Errno> {
        self.0.take().map_or(Ok(()), |descriptor| descriptor.close(patience))
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        if let Some(descriptor) = self.0.take() {
            log::error_always!(
                log::PLUGIN,
                "A file stays open: no thread could be had to close it"
            );
            let _leaked = Arc::into_raw(descriptor);
        }
    }
}

impl Drop for File {
    fn drop(&mut self) {
        if let Err(errno) = self.close(PATIENCE) {
            log::warning!(
                log::PLUGIN,
                "A file that was not in use any more could not be closed: {errno}"
            );
        }
    }
}

/// A write that is flushed before it is done: for bricks that do not honour `O_DSYNC`.
struct Flushed<R> {
    request: R,
    descriptor: Arc<Descriptor>,
}

/// The flush of a write that moved so many bytes.
struct Flush<R>(R, usize);

impl<R: Request> Request for Flushed<R> {
    fn data(&self) -> &Data {
        self.request.data()
    }

    fn done(self, outcome: Result<usize, Errno>) {
        match outcome {
            Ok(bytes) if bytes > 0 => sync(&self.descriptor, Flush(self.request, bytes)),
            outcome => self.request.done(outcome),
        }
    }
}

impl<R: Request> Request for Flush<R> {
    fn data(&self) -> &Data {
        self.0.data()
    }

    fn done(self, outcome: Result<usize, Errno>) {
        self.0.done(outcome.map(|_| self.1));
    }
}

fn write(descriptor: &Descriptor, request: impl Request, offset: u64, flags: c_int) {
    if request.data().is_empty() {
        return aio::finish_nothing(descriptor, request);
    }
    aio::submit(
        descriptor,
        request,
        Returns::Moved,
        move |Call { fd, iov, count, callback, cookie }| {
            let Ok(offset) = i64::try_from(offset) else { return refuse(Errno::EINVAL) };
            // SAFETY: the descriptor is open and counted; libgfapi copies the buffers before it
            // returns.
            unsafe { gfapi::glfs_pwritev_async(fd, iov, count, offset, flags, callback, cookie) }
        },
    );
}

fn sync(descriptor: &Descriptor, request: impl Request) {
    aio::submit(
        descriptor,
        request,
        Returns::Anything,
        move |Call { fd, callback, cookie, .. }| {
            // SAFETY: the descriptor is open and counted.
            unsafe { gfapi::glfs_fdatasync_async(fd, callback, cookie) }
        },
    );
}

/// Flags of a write. libgfapi hands them through all translators to the brick, which calls fsync
/// before it answers (6 to 11: `glfs_pwritev_async_common`, `posix_writev`). On their way
/// performance/write-behind does not hold such a write back, and cluster/replicate need not flush
/// it (`wb_writev`, `afr_writev`).
pub(super) fn flags(durability: Durability) -> c_int {
    match durability {
        Durability::Volatile => 0,
        Durability::Durable => libc::O_DSYNC,
    }
}

/// Fails a call as libgfapi does: -1, and errno.
fn refuse(errno: Errno) -> c_int {
    errno.set();
    -1
}
