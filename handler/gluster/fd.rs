// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! A `glfs_fd_t`, and how many calls are using it.

use std::ffi::c_int;
use std::mem::MaybeUninit;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use libgfapi_sys as gfapi;
use libgfapi_sys::glfs_fd_t;
use nix::errno::Errno;

use super::connection::Connection;
use super::slab::Slab;
use super::volume::{c_string, check};
use crate::{log, threads};

/// An open descriptor.
///
/// # Invariants
/// It stays open as long as `in_flight` is not 0: libgfapi drops the answers of calls that are in
/// flight when their descriptor is closed. What is counted may use the raw descriptor.
#[derive(Debug)]
pub(super) struct Fd {
    raw: NonNull<glfs_fd_t>,
    /// Calls that libgfapi, or a thread of ours, has not given back.
    in_flight: AtomicUsize,
    /// No further calls.
    closed: AtomicBool,
    /// Itself, from the begin of the close until it is closed: answers of calls in flight look at
    /// it when they come, also where closing was given up.
    kept: Mutex<Option<Arc<Self>>>,
    /// For what accompanies the calls.
    pub(super) slab: Slab,
    /// A duplicate whose position belongs to `SEEK_DATA` and `SEEK_HOLE`; made for the first.
    pub(super) duplicate: Mutex<Option<NonNull<glfs_fd_t>>>,
    /// Must outlive the descriptor.
    pub(super) connection: Arc<Connection>,
}

// SAFETY: libgfapi's descriptors may be used from any thread, concurrently, and the duplicate is
// used by one at a time; the counters are atomics.
unsafe impl Send for Fd {}
// SAFETY: as above.
unsafe impl Sync for Fd {}

impl Fd {
    /// Opens `path` with `flags` (`open(2)`). Blocks.
    ///
    /// # Errors
    /// The volume's.
    pub(super) fn open(
        connection: Arc<Connection>,
        path: &str,
        flags: c_int,
    ) -> Result<Self, Errno> {
        // Absolute: a connection whose bricks did not answer at first has no working directory.
        let path = c_string(&format!("/{path}"))?;
        // SAFETY: the volume is connected; the path is NUL-terminated.
        let fd = unsafe { gfapi::glfs_open(connection.volume.as_ptr(), path.as_ptr(), flags) };
        Self::new(fd, connection)
    }

    /// Takes what an open on `connection` has given.
    ///
    /// # Errors
    /// If that is nothing, the errno it has left.
    pub(super) fn new(fd: *mut glfs_fd_t, connection: Arc<Connection>) -> Result<Self, Errno> {
        let raw = NonNull::new(fd).ok_or_else(Errno::last)?;
        Ok(Self {
            raw,
            in_flight: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            kept: Mutex::new(None),
            slab: Slab::new(),
            duplicate: Mutex::new(None),
            connection,
        })
    }

    /// Counts a call, and gives the descriptor unless it is closed. The count must be taken back in
    /// either case.
    pub(super) fn begin(&self) -> Option<*mut glfs_fd_t> {
        // SeqCst, as in `close`: either this call sees `closed`, or the closer sees this call.
        self.in_flight.fetch_add(1, Ordering::SeqCst);
        (!self.closed.load(Ordering::SeqCst)).then_some(self.raw.as_ptr())
    }

    /// Takes a call off the count. The caller's last look at this: whoever closes the file may free
    /// it now.
    pub(super) fn end(&self) {
        self.in_flight.fetch_sub(1, Ordering::Release);
    }

    /// The raw descriptor, for those who have counted themselves.
    pub(super) fn as_ptr(&self) -> *mut glfs_fd_t {
        self.raw.as_ptr()
    }

    /// Makes a call that blocks. Counted meanwhile.
    ///
    /// # Errors
    /// The call's; EBADF if closed.
    pub(super) fn with<T>(
        &self,
        call: impl FnOnce(*mut glfs_fd_t) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let result = self.begin().ok_or(Errno::EBADF).and_then(call);
        self.end();
        result
    }

    /// Waits until no more than `calls` are in flight, at most for `patience`. Whether that is so.
    pub(super) fn drains_to(&self, calls: usize, patience: Duration) -> bool {
        let begin = Instant::now();
        // SeqCst pairs with `begin`, its Acquire half with `end`.
        while self.in_flight.load(Ordering::SeqCst) > calls {
            if begin.elapsed() > patience {
                return false;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        true
    }

    /// Type and size. Blocks. Of what is open, not of the path: a symlink's target is what was
    /// opened.
    ///
    /// # Errors
    /// The volume's.
    pub(super) fn stat(&self) -> Result<libc::stat, Errno> {
        let mut stat = MaybeUninit::<libc::stat>::zeroed();
        // SAFETY: the descriptor is open and counted; there is room for the result.
        self.with(|fd| check(unsafe { gfapi::glfs_fstat(fd, stat.as_mut_ptr()) }))?;
        // SAFETY: all bytes were initialised, with zeros, and any bytes are a valid stat.
        Ok(unsafe { stat.assume_init() })
    }

    /// Makes durable what was written before. Blocks.
    ///
    /// # Errors
    /// The volume's.
    pub(super) fn sync(&self) -> Result<(), Errno> {
        let none = ptr::null_mut();
        // SAFETY: the descriptor is open and counted.
        self.with(|fd| check(unsafe { gfapi::glfs_fsync(fd, none, none) }))
    }

    /// Gives `len` bytes at `offset` space on the bricks; the file grows to their end. Blocks.
    ///
    /// # Errors
    /// The volume's; EOPNOTSUPP where it cannot.
    pub(super) fn allocate(&self, offset: u64, len: u64) -> Result<(), Errno> {
        const AND_GROW: c_int = 0;
        let offset = i64::try_from(offset).map_err(|_| Errno::EFBIG)?;
        let len = usize::try_from(len).map_err(|_| Errno::EFBIG)?;
        // SAFETY: the descriptor is open and counted.
        self.with(|fd| check(unsafe { gfapi::glfs_fallocate(fd, AND_GROW, offset, len) }))
    }

    /// Lets no further call begin. False if that was so already.
    pub(super) fn begin_close(self: &Arc<Self>) -> bool {
        let begins = !self.closed.swap(true, Ordering::SeqCst);
        if begins {
            *threads::lock(&self.kept) = Some(Arc::clone(self));
        }
        begins
    }

    /// Waits until the last call has been given back, at most for `patience`, and closes. Only
    /// after [`begin_close`](Self::begin_close), and until it has closed. None: calls are missing,
    /// so it stays open.
    ///
    /// # Errors
    /// The volume's.
    pub(super) fn close(self: &Arc<Self>, patience: Duration) -> Option<Result<(), Errno>> {
        // The core closes a LUN when all commands are answered, which is a moment before their
        // calls have returned.
        if !self.drains_to(0, patience) {
            log::error_always!(
                log::PLUGIN,
                "A file stays open: calls in it have not been answered for {} s",
                patience.as_secs()
            );
            return None;
        }
        // Not before, and no other descriptor of the image either: that drops the image's lock.
        if let Some(duplicate) = threads::lock(&self.duplicate).take() {
            // SAFETY: open, and nobody seeks: that would be counted.
            unsafe { gfapi::glfs_close(duplicate.as_ptr()) };
        }
        // SAFETY: the descriptor is open, no call is in flight, and none will come (`closed`).
        let outcome = check(unsafe { gfapi::glfs_close(self.as_ptr()) });
        drop(threads::lock(&self.kept).take());
        Some(outcome)
    }
}
