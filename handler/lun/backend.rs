//! The port between a LUN and what stores its bytes. `gluster` implements it with libgfapi; tests do in memory.

use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::config::LogLevel;

/// The data of a request. Its home is the runner's edge, where the memory comes from.
pub use crate::runner::IoVecs as Data;

/// One request to a [`Backend`]: owns everything it needs until it is done.
pub trait Request: Send + Sized + 'static {
    /// Where to read into or write from. Stays as it is while the request is at the backend.
    fn data(&self) -> &Data;

    /// The request is over: how many bytes it moved from the beginning of [`data`](Self::data), or why none. Called exactly
    /// once, on a thread of the backend's, never inside the call that submitted the request; must not block.
    fn done(self, outcome: Result<usize, Errno>);
}

/// What a [`Backend::compare_and_write`] is to do.
#[derive(Debug)]
pub struct Exchange {
    /// Where, in bytes.
    pub offset: u64,
    /// What must be there.
    pub expected: Vec<u8>,
    /// What is to be there; as long.
    pub new: Vec<u8>,
    /// The image is ours: nobody else can touch it meanwhile.
    pub owned: bool,
}

/// What a [`Backend::compare_and_write`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compared {
    /// What was expected, and has been replaced.
    Written,
    /// Something else, from this byte on. Nothing was written.
    DiffersAt(usize),
}

/// What a volume can do to keep out a gateway that does not own the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enforcement {
    /// Nothing, and why.
    Impossible(&'static str),
    /// It would, but nobody has asked for it on this image.
    Possible,
    /// Whoever does not own the image is refused.
    Active,
}

/// Owning an image: one connection at a time may use it, and the bricks refuse all others. All of it blocks, within bounds.
pub trait Ownership {
    /// What the volume can do.
    ///
    /// # Errors
    /// It could not be asked.
    fn enforcement(&self) -> Result<Enforcement, Errno>;

    /// Takes the image, from whoever owns it.
    ///
    /// # Errors
    /// What the storage said; EDEADLK if this image must be opened anew before it can be owned.
    fn take(&self) -> Result<(), Errno>;

    /// Gives the image up.
    ///
    /// # Errors
    /// What the storage said.
    fn release(&self) -> Result<(), Errno>;

    /// Whether somebody else owns the image.
    ///
    /// # Errors
    /// What the storage said.
    fn is_taken(&self) -> Result<bool, Errno>;

    /// After an image was taken from somebody: how long its commands may still be in the way of ours.
    fn settling(&self) -> Duration;

    /// What the owner has left with the image.
    ///
    /// # Errors
    /// What the storage said; ENODATA if there is none.
    fn note(&self) -> Result<String, Errno>;

    /// Leaves a note with the image.
    ///
    /// # Errors
    /// What the storage said.
    fn set_note(&self, note: &str) -> Result<(), Errno>;
}

/// An open image. Requests may be submitted from any thread and finish in any order. None of the methods takes ownership of
/// failure: whatever goes wrong reaches [`Request::done`].
pub trait Backend: Ownership + Send + Sync + 'static {
    /// Reads into the request's data from `offset` (bytes). May move less than asked; 0 is the end of the file.
    fn read(&self, request: impl Request, offset: u64);

    /// Writes the request's data at `offset` (bytes). May move less than asked.
    fn write(&self, request: impl Request, offset: u64);

    /// Frees `len` bytes at `offset`: they read as zeros afterwards. All or an error. The request's data is not looked at.
    fn discard(&self, request: impl Request, offset: u64, len: u64);

    /// Makes `len` bytes at `offset` zeros. All or an error. The request's data is not looked at.
    fn zero(&self, request: impl Request, offset: u64, len: u64);

    /// Finishes a request that asks for nothing, as it finishes every other: not inside this call.
    fn nothing(&self, request: impl Request);

    /// Replaces bytes if they are what is expected, atomically against all other such calls on this image, by whatever gateway.
    /// `done` is called as [`Request::done`] is.
    fn compare_and_write(&self, exchange: Exchange, done: impl FnOnce(Result<Compared, Errno>) + Send + 'static);

    /// Makes every write that was done before this call durable.
    fn sync(&self, request: impl Request);

    /// Size of the image in bytes, now. Blocks: not for the command thread.
    ///
    /// # Errors
    /// What the storage said.
    fn size(&self) -> Result<u64, Errno>;

    /// Whether the connection to the storage is encrypted, if that is known. Does not block.
    fn encrypted(&self) -> Option<bool> {
        None
    }

    /// Whether there may be more than one copy of each byte, which are healed from each other. Does not block.
    fn is_replicated(&self) -> bool;

    /// The bricks of the image, and how many of them can be reached. None: there is one copy, or nothing is known. Blocks, within
    /// bounds.
    fn bricks(&self) -> Option<Bricks>;

    /// Waits for the last requests and closes the image; requests submitted later fail. Blocks, within bounds.
    ///
    /// # Errors
    /// What the storage said: with a write-back cache, data may be lost.
    fn close(&self) -> Result<(), Errno>;
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

    /// Opens the image. With `after`, by a connection to the storage that was made later than that, because those before it fail.
    /// Blocks for `patience` at most.
    ///
    /// # Errors
    /// Why not.
    fn open(&self, patience: Duration, after: Option<Instant>) -> Result<Opened<Self::Backend>, NotOpened>;

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
#[derive(Debug, Clone)]
pub struct NotOpened {
    /// The nearest number.
    pub errno: Errno,
    /// It may go well later: the storage is away.
    pub passes: bool,
    /// A sentence for the admin.
    pub why: String,
}
