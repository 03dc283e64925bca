//! The port between a LUN and what stores its bytes. `gluster` implements it with libgfapi; tests do in memory.

use nix::errno::Errno;

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

/// An open image. Requests may be submitted from any thread and finish in any order. None of the methods takes ownership of
/// failure: whatever goes wrong reaches [`Request::done`].
pub trait Backend: Send + Sync + 'static {
    /// Reads into the request's data from `offset` (bytes). May move less than asked; 0 is the end of the file.
    fn read(&self, request: impl Request, offset: u64);

    /// Writes the request's data at `offset` (bytes). May move less than asked.
    fn write(&self, request: impl Request, offset: u64);

    /// Makes every write that was done before this call durable.
    fn sync(&self, request: impl Request);

    /// Size of the image in bytes, now. Blocks: not for the command thread.
    ///
    /// # Errors
    /// What the storage said.
    fn size(&self) -> Result<u64, Errno>;

    /// Waits for the last requests and closes the image; requests submitted later fail. Blocks, within bounds.
    ///
    /// # Errors
    /// What the storage said: with a write-back cache, data may be lost.
    fn close(&self) -> Result<(), Errno>;
}
