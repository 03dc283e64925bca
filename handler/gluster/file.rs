// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! An open file on a volume.

use std::ffi::c_int;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::errno::Errno;

use super::aio::{self, IoOp, write_flags};
use super::caw::Caw;
use super::connection::Connection;
use super::fd::Fd;
use super::space::BlockStatus;
use super::status;
use super::worker::run_with_timeout;
use crate::lun::backend::{
    Backend, Bricks, CompareAndWrite, Compared, Data, Durability, Extent, ImageStat, Request,
    Space, Unsupported,
};
use crate::{log, threads};

/// How long a close, or a look at the size, may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a look at the volume's space may take.
const SPACE_TIMEOUT: Duration = Duration::from_secs(10);

/// A regular file, open. Dropping it closes it.
#[derive(Debug)]
pub struct File {
    pub(super) fd: Arc<Fd>,
    /// Its path on the volume.
    path: String,
    pub(super) caw: Caw,
    block_status: BlockStatus,
    closed: Arc<Mutex<Closed>>,
    /// The bricks that hold it, by their numbers.
    holders: Vec<usize>,
}

/// How closing a file has gone so far.
#[derive(Debug, Clone, Copy, Default)]
enum Closed {
    /// It has not begun, or is under way.
    #[default]
    NotYet,
    /// It was given up: calls are missing, or a thread. It can be tried again.
    GivenUp,
    /// What the volume said.
    Ended(Result<(), Errno>),
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
        let holders = connection.bricks_of(path);
        let mut file = Self::new(Fd::open(connection, path, flags)?, path);
        file.holders = holders;
        Ok(file)
    }

    pub(super) fn new(fd: Fd, path: &str) -> Self {
        Self {
            fd: Arc::new(fd),
            path: path.to_owned(),
            caw: Caw::default(),
            block_status: BlockStatus::default(),
            closed: Arc::default(),
            holders: Vec::new(),
        }
    }

    /// Makes a call that may hang as long as the volume does.
    pub(super) fn blocking<T: Send + 'static>(
        &self,
        patience: Duration,
        call: impl FnOnce(&Fd) -> Result<T, Errno> + Send + 'static,
    ) -> Result<T, Errno> {
        let fd = Arc::clone(&self.fd);
        run_with_timeout(patience, move || call(&fd)).unwrap_or(Err(Errno::ETIMEDOUT))
    }

    /// Size, space and time of modification. Blocks.
    pub(super) fn image_stat(&self, patience: Duration) -> Result<ImageStat, Errno> {
        const BLOCK: u64 = 512;
        let stat = self.blocking(patience, Fd::stat)?;
        Ok(ImageStat {
            bytes: u64::try_from(stat.st_size).map_err(|_| Errno::EIO)?,
            allocated: u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(BLOCK),
            modified: (stat.st_mtime, stat.st_mtime_nsec),
        })
    }
}

impl Backend for File {
    fn read(&self, request: impl Request, offset: u64) {
        aio::submit(&self.fd, request, IoOp::Read { offset });
    }

    fn write(&self, request: impl Request, offset: u64, durability: Durability) {
        if durability == Durability::Durable && !self.fd.connection.honours_dsync() {
            let request = ThenSync { request, fd: Arc::clone(&self.fd) };
            return aio::submit(&self.fd, request, IoOp::Write { offset, flags: 0 });
        }
        aio::submit(&self.fd, request, IoOp::Write { offset, flags: write_flags(durability) });
    }

    fn discard(&self, request: impl Request, offset: u64, len: u64) {
        aio::submit(&self.fd, request, IoOp::Discard { offset, len });
    }

    fn zero(&self, request: impl Request, offset: u64, len: u64) {
        aio::submit(&self.fd, request, IoOp::Zerofill { offset, len });
    }

    fn noop(&self, request: impl Request) {
        aio::complete_noop(&self.fd, request);
    }

    fn unsupported(&self) -> &Unsupported {
        &self.fd.connection.unsupported
    }

    fn compare_and_write(
        &self,
        call: CompareAndWrite,
        done: impl FnOnce(Result<Compared, Errno>) + Send + 'static,
    ) {
        self.caw.submit(Arc::clone(&self.fd), call, Box::new(done));
    }

    fn block_status(
        &self,
        offset: u64,
        len: u64,
        done: impl FnOnce(Result<Extent, Errno>) + Send + 'static,
    ) {
        self.block_status.submit(Arc::clone(&self.fd), offset, len, done);
    }

    /// Of the folder that the image is in.
    fn space(&self) -> Result<Space, Errno> {
        let folder = self.path.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
        self.blocking(SPACE_TIMEOUT, move |fd| fd.connection.volume.space(&folder))
    }

    fn sync(&self, request: impl Request) {
        aio::submit(&self.fd, request, IoOp::Sync);
    }

    fn stat(&self) -> Result<ImageStat, Errno> {
        self.image_stat(CALL_TIMEOUT)
    }

    fn is_replicated(&self) -> bool {
        self.fd.connection.topology.has_redundancy()
    }

    fn bricks(&self) -> Result<Bricks, Errno> {
        self.blocking(status::QUERY_TIMEOUT, |fd| {
            status::bricks(&fd.connection.volume, &fd.connection.volfile)
        })
    }

    fn is_superseded(&self) -> bool {
        self.fd.connection.generation.is_superseded()
    }

    fn brick_losses(&self) -> u64 {
        self.fd.connection.status.losses(&self.holders)
    }

    fn drain(&self, patience: Duration) -> bool {
        self.fd.drains_to(0, patience)
    }

    fn encrypted(&self) -> Option<bool> {
        Some(self.fd.connection.topology.tls)
    }

    fn close(&self, patience: Duration) -> Result<(), Errno> {
        let state = || threads::lock(&self.closed);
        // Taken by one caller: a descriptor is closed once.
        let again = {
            let mut closed = state();
            let again = matches!(*closed, Closed::GivenUp);
            if again {
                *closed = Closed::NotYet;
            }
            again
        };
        if self.fd.begin_close() || again {
            let closed = Arc::clone(&self.closed);
            let closing = Closing { fd: Some(Arc::clone(&self.fd)), closed };
            // In an outage the last flush may hang for gluster's frame timeout of 30 minutes.
            run_with_timeout(patience, move || closing.close(patience));
        }
        match *state() {
            Closed::NotYet => Err(Errno::ETIMEDOUT),
            Closed::GivenUp => Err(Errno::EBUSY),
            // These two would say that it is not closed.
            Closed::Ended(Err(Errno::ETIMEDOUT | Errno::EBUSY)) => Err(Errno::EIO),
            Closed::Ended(outcome) => outcome,
        }
    }
}

/// A descriptor on its way to the thread that closes it, if one can be had.
struct Closing {
    fd: Option<Arc<Fd>>,
    closed: Arc<Mutex<Closed>>,
}

impl Closing {
    fn set(&self, closed: Closed) {
        *threads::lock(&self.closed) = closed;
    }

    fn close(mut self, patience: Duration) {
        if let Some(fd) = self.fd.take() {
            self.set(fd.close(patience).map_or(Closed::GivenUp, Closed::Ended));
        }
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        if self.fd.is_some() {
            log::error_always!(
                log::PLUGIN,
                "A file stays open: no thread could be had to close it"
            );
            self.set(Closed::GivenUp);
        }
    }
}

impl Drop for File {
    fn drop(&mut self) {
        if let Err(errno) = self.close(CALL_TIMEOUT) {
            log::warning!(
                log::PLUGIN,
                "A file that was not in use any more could not be closed: {errno}"
            );
        }
        // A completion that is deferred looks at the descriptor when it ends, also one of a call
        // that came too late for a closed file.
        if !self.fd.drains_to(0, Duration::ZERO) {
            let _leaked = Arc::into_raw(Arc::clone(&self.fd));
        }
    }
}

/// A write that is flushed before it is done: for bricks that do not honour `O_DSYNC`.
struct ThenSync<R> {
    request: R,
    fd: Arc<Fd>,
}

impl<R: Request> Request for ThenSync<R> {
    fn data(&self) -> &Data {
        self.request.data()
    }

    fn done(self, outcome: Result<usize, Errno>) {
        match outcome {
            Ok(bytes) if bytes > 0 => {
                aio::submit(&self.fd, Synced { request: self.request, bytes }, IoOp::Sync);
            }
            outcome => self.request.done(outcome),
        }
    }
}

/// The flush of a write that moved `bytes`.
struct Synced<R> {
    request: R,
    bytes: usize,
}

impl<R: Request> Request for Synced<R> {
    fn data(&self) -> &Data {
        self.request.data()
    }

    fn done(self, outcome: Result<usize, Errno>) {
        self.request.done(outcome.map(|_| self.bytes));
    }
}
