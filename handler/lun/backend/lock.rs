// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The lock of an image, as a LUN sees it.

use nix::errno::Errno;

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

/// From whom a lock may be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Preempt {
    /// From nobody: only a free lock is taken.
    Never,
    /// Like `Never`, for a caller that has seen to it that the owner of the last heartbeat serves
    /// nobody.
    Silent,
    /// From whoever holds it.
    Always,
    /// From another descriptor of this LUN, whose heartbeats begin like this. If the last heartbeat
    /// is none of them, another gateway has served commands since: the lock is given back then.
    Own(String),
}

/// The lock of an image, held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acquired {
    /// The last heartbeat of the holder that lost it; None: it was free.
    pub previous: Option<String>,
}

/// Why a lock was not acquired.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AcquireError {
    /// Another gateway holds it.
    #[error("another gateway holds it")]
    Held,
    /// No holder is seen, but this heartbeat of one: it may hold the lock on other replicas.
    #[error("another gateway may hold it: {0}")]
    Unconfirmed(String),
    /// [`Preempt::Own`], but another gateway has served commands since. Its heartbeat.
    #[error("another gateway has held it: {0}")]
    Foreign(String),
    /// It was taken from this gateway, and its last commands were not refused yet.
    #[error("another gateway has taken it")]
    Lost,
    /// Commands of ours are in flight: an answer may be missing.
    #[error("commands are in flight")]
    InFlight,
    /// The image must be opened anew: its locks have an owner of their own (COMPARE AND WRITE
    /// without a lock).
    #[error("the image must be opened anew")]
    Reopen,
    /// What the storage said.
    #[error("{0}")]
    Storage(Errno),
}

/// The lock over a whole image: one connection at a time may use it, and the bricks refuse all
/// others. What blocks does so within bounds.
pub trait ImageLock {
    /// What the volume can do.
    ///
    /// # Errors
    /// It could not be asked.
    fn enforcement(&self) -> Result<Enforcement, Errno>;

    /// Acquires the lock, which the bricks enforce from then on; waits until commands of the last
    /// holder cannot be in the way any more; leaves the heartbeat. In this order, and nothing stays
    /// acquired where one of it fails.
    ///
    /// # Errors
    /// [`AcquireError`].
    fn acquire(&self, heartbeat: &str, preempt: Preempt) -> Result<Acquired, AcquireError>;

    /// Takes the heartbeat away, and gives the lock back.
    ///
    /// # Errors
    /// What the storage said.
    fn release(&self) -> Result<(), Errno>;

    /// Whether the lock that was acquired through this image is still held: the bricks refuse a
    /// READ otherwise.
    ///
    /// # Errors
    /// What the storage said.
    fn holds_lock(&self) -> Result<bool, Errno>;

    /// The last heartbeat that was left with the image; empty if its owner has given the lock back.
    ///
    /// # Errors
    /// What the storage said; ENODATA if there has never been one.
    fn heartbeat(&self) -> Result<String, Errno>;

    /// Leaves a heartbeat with the image. Does not block: `done` is called later, on another
    /// thread, or dropped if there is none.
    fn send_heartbeat(
        &self,
        heartbeat: String,
        done: impl FnOnce(Result<(), Errno>) + Send + 'static,
    );
}
