// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The data of a command: a scatter list over memory that the kernel shares with us.

use std::ffi::c_void;
use std::ops::Deref;
use std::ptr;
use std::sync::Arc;

use libc::iovec;

/// What is left to transfer of a command's data buffers.
///
/// The memory is the TCMU ring's data area (or a private buffer of the core): the kernel, and in
/// the end the initiator, may look at it at any time, so it is never borrowed as a slice, only
/// copied to and from.
///
/// # Invariants
/// `first` points at `count` iovecs whose lengths add up to `len`; they and the memory they
/// describe stay valid as long as the [`Command`](crate::runner::Command) that owns this value is
/// not completed. No other code reads the iovecs meanwhile: the core tolerates that a handler
/// advances them (its own helpers do).
#[derive(Debug)]
pub struct IoVecs {
    first: *mut iovec,
    count: usize,
    len: usize,
}

// SAFETY: the list belongs to one command, which belongs to one owner at a time, on whatever
// thread.
unsafe impl Send for IoVecs {}

impl IoVecs {
    /// For commands without data.
    pub(crate) const fn empty() -> Self {
        Self { first: ptr::null_mut(), count: 0, len: 0 }
    }

    /// Takes over the iovecs of a command.
    ///
    /// # Safety
    /// `first` and `count` are what the core passed to a callback, and the result does not outlive
    /// that command.
    pub(crate) unsafe fn new(first: *mut iovec, count: usize) -> Self {
        let mut list = Self { first, count, len: 0 };
        list.len =
            list.entries().iter().fold(0, |sum: usize, entry| sum.saturating_add(entry.iov_len));
        list
    }

    /// Bytes left.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Nothing left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The beginning of the list, at most `limit` bytes and at least one entry: as many whole
    /// entries as fit, or the first one cut.
    #[must_use]
    pub fn head(&self, limit: usize) -> Head<'_> {
        let mut room = limit;
        let whole = self.entries().iter().take_while(|entry| {
            let fits = entry.iov_len <= room;
            room = room.saturating_sub(entry.iov_len);
            fits
        });
        match (whole.count(), self.entries().first()) {
            (0, Some(&first)) => Head::Cut([iovec { iov_base: first.iov_base, iov_len: limit }]),
            (n, _) => Head::Whole(self.entries().get(..n).unwrap_or_default()),
        }
    }

    /// Skips `bytes`, which have been transferred.
    pub fn advance(&mut self, bytes: usize) {
        let mut left = bytes.min(self.len);
        self.len -= left;
        while left > 0 && self.count > 0 {
            // SAFETY: `count` is positive, so `first` points at an entry that is ours (invariant).
            let entry = unsafe { &mut *self.first };
            if left < entry.iov_len {
                entry.iov_base = entry.iov_base.wrapping_byte_add(left);
                entry.iov_len -= left;
                return;
            }
            left -= entry.iov_len;
            self.count -= 1;
            // SAFETY: at most one past the end of the array.
            self.first = unsafe { self.first.add(1) };
        }
    }

    /// Copies as much of `bytes` as fits to the beginning; how much that was.
    pub(crate) fn store(&self, bytes: &[u8]) -> usize {
        let mut rest = bytes;
        for entry in self.entries() {
            let (now, later) = rest.split_at(entry.iov_len.min(rest.len()));
            // SAFETY: the entry describes memory of this command that may be written (invariant).
            unsafe { ptr::copy_nonoverlapping(now.as_ptr(), entry.iov_base.cast(), now.len()) };
            rest = later;
        }
        bytes.len() - rest.len()
    }

    /// Fills what is left with zeros.
    pub(crate) fn clear(&self) {
        for entry in self.entries() {
            // SAFETY: the entry describes memory of this command that may be written (invariant).
            unsafe { ptr::write_bytes(entry.iov_base.cast::<u8>(), 0, entry.iov_len) };
        }
    }

    /// A copy of what is left.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.len];
        self.copy_to(&mut bytes);
        bytes
    }

    /// Copies the beginning into `bytes`; how much there was.
    pub fn copy_to(&self, bytes: &mut [u8]) -> usize {
        let mut rest = bytes;
        let whole = rest.len();
        for entry in self.entries() {
            let (now, later) = rest.split_at_mut(entry.iov_len.min(rest.len()));
            // SAFETY: the entry describes memory of this command that may be read (invariant).
            unsafe { ptr::copy_nonoverlapping(entry.iov_base.cast(), now.as_mut_ptr(), now.len()) };
            rest = later;
        }
        whole - rest.len()
    }

    /// Where the byte `index` is; NULL beyond the end.
    pub(crate) fn address(&self, index: usize) -> *mut c_void {
        let mut left = index;
        for entry in self.entries() {
            if left < entry.iov_len {
                return entry.iov_base.wrapping_byte_add(left);
            }
            left -= entry.iov_len;
        }
        ptr::null_mut()
    }

    fn entries(&self) -> &[iovec] {
        if self.count == 0 {
            return &[];
        }
        // SAFETY: `first` points at `count` entries that nobody changes while `self` is borrowed
        // (invariant).
        unsafe { std::slice::from_raw_parts(self.first, self.count) }
    }
}

/// Data of our own, for requests that carry other than what the initiator sent.
#[derive(Debug)]
pub struct Buffer {
    bytes: Vec<u8>,
    /// What `list` points at. On the heap: the buffer may be moved while a request is in flight.
    entry: Box<iovec>,
    list: IoVecs,
}

// SAFETY: `entry` points into `bytes`, which moves along.
unsafe impl Send for Buffer {}

impl Buffer {
    /// No bytes.
    #[must_use]
    pub fn empty() -> Self {
        let entry = Box::new(iovec { iov_base: ptr::null_mut(), iov_len: 0 });
        Self { bytes: Vec::new(), entry, list: IoVecs::empty() }
    }

    /// These bytes, all of which are the data of the next request.
    #[must_use]
    pub fn of(bytes: Vec<u8>) -> Self {
        let mut buffer = Self::empty();
        let len = bytes.len();
        buffer.bytes = bytes;
        buffer.set_window(0, len);
        buffer
    }

    /// The bytes, when no request is in flight.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Whether there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Makes `len` bytes from `from` on, or what there is of them, the data of the next request.
    pub fn set_window(&mut self, from: usize, len: usize) {
        let window = self.bytes.get_mut(from..).unwrap_or_default();
        let len = len.min(window.len());
        *self.entry = iovec { iov_base: window.as_mut_ptr().cast(), iov_len: len };
        // INVARIANT: one entry, over bytes that live as long as the buffer and are not touched
        // until the next `set_window`.
        self.list = IoVecs { first: &raw mut *self.entry, count: 1, len };
    }

    /// The window.
    #[must_use]
    pub fn data(&self) -> &IoVecs {
        &self.list
    }
}

/// A part of bytes that several requests write, each its own part.
#[derive(Debug)]
pub struct Window {
    _bytes: Arc<[u8]>,
    /// What `list` points at. On the heap: the window may be moved while a request is in flight.
    _entry: Box<iovec>,
    list: IoVecs,
}

// SAFETY: the entry points into the bytes, which are kept along with it, and are only read.
unsafe impl Send for Window {}

impl Window {
    /// `len` bytes of `bytes` from `from` on, or what there is of them. For requests that write:
    /// nothing may be read into them.
    #[must_use]
    pub fn new(bytes: Arc<[u8]>, from: usize, len: usize) -> Self {
        let window = bytes.get(from..).unwrap_or_default();
        let len = len.min(window.len());
        let mut entry =
            Box::new(iovec { iov_base: window.as_ptr().cast_mut().cast(), iov_len: len });
        // INVARIANT: one entry, over bytes that live as long as the window and are never written.
        let list = IoVecs { first: &raw mut *entry, count: usize::from(len > 0), len };
        Self { _bytes: bytes, _entry: entry, list }
    }

    /// The part.
    #[must_use]
    pub fn data(&self) -> &IoVecs {
        &self.list
    }
}

/// The beginning of an [`IoVecs`], ready to be handed to a vectored call.
#[derive(Debug)]
pub enum Head<'a> {
    /// Entries of the list as they are.
    Whole(&'a [iovec]),
    /// The first entry, shortened.
    Cut([iovec; 1]),
}

impl Deref for Head<'_> {
    type Target = [iovec];

    fn deref(&self) -> &[iovec] {
        match self {
            Self::Whole(entries) => entries,
            Self::Cut(entry) => entry,
        }
    }
}

#[cfg(test)]
mod tests;
