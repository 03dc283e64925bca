// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The port between a LUN and what stores its bytes. `gluster` implements it with libgfapi; tests
//! do in memory.

mod lock;

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use nix::errno::Errno;

use crate::config::LogLevel;

/// The data of a request.
pub use crate::iovec::IoVecs as Data;

pub use self::lock::{AcquireError, Acquired, Enforcement, ImageLock, Preempt};

/// One request to a [`Backend`]: owns everything it needs until it is done.
pub trait Request: Send + Sized + 'static {
    /// Where to read into or write from. Stays as it is while the request is at the backend.
    fn data(&self) -> &Data;

    /// The request is over: how many bytes it moved from the beginning of [`data`](Self::data), or
    /// why none. Called exactly once, on a thread of the backend's, never inside the call that
    /// submitted the request; must not block.
    fn done(self, outcome: Result<usize, Errno>);
}

/// How a range is made to read as zeros, cheapest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ZeroMethod {
    /// Frees the space.
    Discard,
    /// The bricks write.
    Zerofill,
    /// The gateway writes.
    Write,
}

impl ZeroMethod {
    fn bit(self) -> u8 {
        match self {
            Self::Discard => 1,
            Self::Zerofill => 2,
            Self::Write => 0,
        }
    }
}

/// What a volume has turned out not to support.
#[derive(Debug, Default)]
pub struct Unsupported(AtomicU8);

impl Unsupported {
    /// `method`, or the next one that may be supported.
    #[must_use]
    pub fn fall_back(&self, mut method: ZeroMethod) -> ZeroMethod {
        let unsupported = self.0.load(Ordering::Relaxed);
        while unsupported & method.bit() != 0 {
            method = if method == ZeroMethod::Discard {
                ZeroMethod::Zerofill
            } else {
                ZeroMethod::Write
            };
        }
        method
    }

    /// Remembers that `method` is not supported. Whether that is new.
    pub fn add(&self, method: ZeroMethod) -> bool {
        self.0.fetch_or(method.bit(), Ordering::Relaxed) & method.bit() == 0
    }
}

/// When a write may be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// The storage has it: a flush makes it durable.
    Volatile,
    /// It is on stable storage, as after a flush. What was written before may not be.
    Durable,
}

/// A range of an image, and whether bytes are stored for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Whether bytes are stored, or may be. If not, the range reads as zeros.
    pub allocated: bool,
    /// How many bytes from the one that was asked for are alike; more that follow may be, too.
    pub len: u64,
}

/// The space of the volume that an image is on, in bytes, as far as quotas let the image have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// All.
    pub total: u64,
    /// Of it, what can still be written.
    pub free: u64,
}

/// What a [`Backend::compare_and_write`] is to do.
#[derive(Debug)]
pub struct CompareAndWrite {
    /// Where, in bytes.
    pub offset: u64,
    /// What must be there.
    pub expected: Vec<u8>,
    /// What is to be there; as long.
    pub new: Vec<u8>,
    /// The image is ours: nobody else can touch it meanwhile.
    pub owned: bool,
    /// When it may be answered that the new bytes were written.
    pub durability: Durability,
    /// Nothing is written from then on.
    pub deadline: Option<Instant>,
}

/// What a [`Backend::compare_and_write`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compared {
    /// What was expected, and has been replaced.
    Written,
    /// Something else, from this byte on. Nothing was written.
    Miscompare(usize),
    /// It could not end before the deadline, and goes no further.
    Expired,
}

/// An open image. Requests may be submitted from any thread and finish in any order. None of the
/// methods takes ownership of failure: whatever goes wrong reaches [`Request::done`].
pub trait Backend: ImageLock + Send + Sync + 'static {
    /// Reads into the request's data from `offset` (bytes). May move less than asked; 0 is the end
    /// of the file.
    fn read(&self, request: impl Request, offset: u64);

    /// Writes the request's data at `offset` (bytes). May move less than asked: what was moved is
    /// as durable as asked.
    fn write(&self, request: impl Request, offset: u64, durability: Durability);

    /// Frees `len` bytes at `offset`: they read as zeros afterwards. All or an error. The request's
    /// data is not looked at.
    fn discard(&self, request: impl Request, offset: u64, len: u64);

    /// Makes `len` bytes at `offset` zeros. All or an error. The request's data is not looked at.
    fn zero(&self, request: impl Request, offset: u64, len: u64);

    /// Finishes a request that asks for nothing, as it finishes every other: not inside this call.
    fn noop(&self, request: impl Request);

    /// What the volume has turned out not to support: known to all its images.
    fn unsupported(&self) -> &Unsupported;

    /// Replaces bytes if they are what is expected, atomically against all other such calls on this
    /// image, by whatever gateway. Calls on the same bytes are served in order, calls on others do
    /// not wait for them. `done` is called as [`Request::done`] is.
    fn compare_and_write(
        &self,
        call: CompareAndWrite,
        done: impl FnOnce(Result<Compared, Errno>) + Send + 'static,
    );

    /// Tells whether bytes are stored at `offset`, and for how many of the `len` bytes from there
    /// (neither is 0) this is so. Where the storage cannot tell, all of it is allocated. `done` is
    /// called as [`Request::done`] is, within bounds.
    fn block_status(
        &self,
        offset: u64,
        len: u64,
        done: impl FnOnce(Result<Extent, Errno>) + Send + 'static,
    );

    /// Space of the volume. Blocks, within bounds: not for the command thread.
    ///
    /// # Errors
    /// What the storage said.
    fn space(&self) -> Result<Space, Errno>;

    /// Makes every write that was done before this call durable.
    fn sync(&self, request: impl Request);

    /// The image, now. Blocks: not for the command thread.
    ///
    /// # Errors
    /// What the storage said.
    fn stat(&self) -> Result<ImageStat, Errno>;

    /// Size of the image in bytes, now. Blocks: not for the command thread.
    ///
    /// # Errors
    /// What the storage said.
    fn size(&self) -> Result<u64, Errno> {
        self.stat().map(|stat| stat.bytes)
    }

    /// Whether the connection to the storage is encrypted, if that is known. Does not block.
    fn encrypted(&self) -> Option<bool> {
        None
    }

    /// Whether there may be more than one copy of each byte, which are healed from each other. Does
    /// not block.
    fn is_replicated(&self) -> bool;

    /// The bricks of the image's connection, and how many of them can be reached. Blocks, within
    /// bounds.
    ///
    /// # Errors
    /// Not known now.
    fn bricks(&self) -> Result<Bricks, Errno>;

    /// How often a brick of the image's connection was seen away: only grows. Does not block.
    fn brick_losses(&self) -> u64 {
        0
    }

    /// Whether the volume has another graph by now: an image opened again from the [`Source`] would
    /// be on it. Does not block.
    fn is_superseded(&self) -> bool {
        false
    }

    /// Waits until no call is in flight, for `patience` at most. Whether that is so. A call is in
    /// flight until [`Request::done`] has returned.
    fn drain(&self, patience: Duration) -> bool;

    /// Waits for the last requests and closes the image, for `patience` at most; requests submitted
    /// later fail. Once it has ended, each further call gives its outcome.
    ///
    /// # Errors
    /// ETIMEDOUT or EBUSY: not closed yet; call again to wait on. Else what the storage said: with
    /// a write-back cache, data may be lost.
    fn close(&self, patience: Duration) -> Result<(), Errno>;
}

/// An image, as `fstat` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageStat {
    /// Size in bytes.
    pub bytes: u64,
    /// Bytes that it takes on the bricks, copies not counted.
    pub allocated: u64,
    /// Time of the last modification: seconds and nanoseconds.
    pub modified: (i64, i64),
}

/// The bricks of a volume, as this gateway sees them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bricks {
    /// Those that are connected now.
    pub connected: u64,
    /// All.
    pub all: u64,
}

/// Where a LUN's image is opened from, at first and again.
pub trait Source: Send + Sync + 'static {
    /// What it opens.
    type Backend: Backend;

    /// Opens the image. With `after`, by a connection to the storage that was made later than that,
    /// because those before it fail. Blocks for `patience` at most.
    ///
    /// # Errors
    /// Why not.
    fn open(
        &self,
        patience: Duration,
        after: Option<Instant>,
    ) -> Result<Opened<Self::Backend>, OpenError>;

    /// How detailed a log of its own the storage's library is to keep, from now on.
    fn set_log_level(&self, level: LogLevel);
}

/// An image, open.
#[derive(Debug)]
pub struct Opened<B> {
    /// The image.
    pub image: B,
    /// Whether it may be written.
    pub writable: bool,
}

/// Why an image was not opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct OpenError {
    /// Whether another attempt may succeed.
    pub kind: OpenErrorKind,
    /// The nearest number.
    pub errno: Errno,
    /// A sentence for the admin: the cause, and what to do about it.
    pub why: String,
}

/// Whether another attempt to open an image may succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenErrorKind {
    /// The storage is away: it may, without a change of the configuration.
    Transient,
    /// Not before an admin changes the configuration or the volume.
    Permanent,
}
