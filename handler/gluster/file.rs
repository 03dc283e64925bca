//! An open file on a volume.

use std::ffi::{CString, c_int};
use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use libgfapi_sys as gfapi;
use libgfapi_sys::glfs_fd_t;
use nix::errno::Errno;

use super::aio::{self, Call};
use super::exclusive::{Exchange, Exclusive};
use super::volume::Volume;
use super::worker::bounded;
use crate::lun::backend::{Backend, Compared, Request};
use crate::report;

/// How long a close, or a look at the size, may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A regular file, open. Dropping it closes it.
#[derive(Debug)]
pub struct File {
    state: Arc<State>,
    exclusive: Exclusive,
}

/// What calls in flight need of a file.
#[derive(Debug)]
pub(super) struct State {
    fd: NonNull<glfs_fd_t>,
    /// Calls that libgfapi, or the completion thread, has not given back. libgfapi drops the answers of calls that are in
    /// flight when their descriptor is closed, so the descriptor is closed only at 0.
    in_flight: AtomicUsize,
    /// No further calls.
    closed: AtomicBool,
    /// Keeps the connection: it must outlive the descriptor.
    _volume: Arc<Volume>,
}

// SAFETY: libgfapi's descriptors may be used from any thread, concurrently; the counters are atomics.
unsafe impl Send for State {}
// SAFETY: as above.
unsafe impl Sync for State {}

impl State {
    /// Counts a call, and gives the descriptor unless the file is closed. The count must be taken back in either case.
    pub(super) fn begin(&self) -> Option<*mut glfs_fd_t> {
        // SeqCst, as in `close`: either this call sees `closed`, or the closer sees this call.
        self.in_flight.fetch_add(1, Ordering::SeqCst);
        (!self.closed.load(Ordering::SeqCst)).then_some(self.fd.as_ptr())
    }

    /// The descriptor. Open for those who have counted themselves.
    pub(super) fn descriptor(&self) -> *mut glfs_fd_t {
        self.fd.as_ptr()
    }

    /// Takes a call off the count. The caller's last look at the state: whoever closes the file may free it now.
    pub(super) fn end(&self) {
        self.in_flight.fetch_sub(1, Ordering::Release);
    }

    fn stat(&self) -> Result<libc::stat, Errno> {
        let mut stat = MaybeUninit::<libc::stat>::zeroed();
        let result = self.begin().ok_or(Errno::EBADF).and_then(|fd| {
            // SAFETY: the descriptor is open and counted; there is room for the result.
            let failed = unsafe { gfapi::glfs_fstat(fd, stat.as_mut_ptr()) } != 0;
            if failed { Err(Errno::last()) } else { Ok(()) }
        });
        self.end();
        // SAFETY: all bytes were initialised, with zeros, and any bytes are a valid stat.
        result.map(|()| unsafe { stat.assume_init() })
    }
}

impl File {
    /// Opens `path` with `flags` (`open(2)`). Blocks.
    ///
    /// # Errors
    /// The volume's.
    pub(super) fn open(volume: Arc<Volume>, path: &str, flags: c_int) -> Result<Self, Errno> {
        let path = CString::new(path).map_err(|_| Errno::EINVAL)?;
        // SAFETY: the volume is connected; the path is NUL-terminated.
        let fd = unsafe { gfapi::glfs_open(volume.as_ptr(), path.as_ptr(), flags) };
        let fd = NonNull::new(fd).ok_or_else(Errno::last)?;
        let state = State { fd, in_flight: AtomicUsize::new(0), closed: AtomicBool::new(false), _volume: volume };
        Ok(Self { state: Arc::new(state), exclusive: Exclusive::default() })
    }

    /// Type and size. Blocks. Of the descriptor, not of the path: a symlink's target is what was opened.
    ///
    /// # Errors
    /// The volume's.
    pub(super) fn stat(&self) -> Result<libc::stat, Errno> {
        self.state.stat()
    }
}

impl Backend for File {
    fn read(&self, request: impl Request, offset: u64) {
        if request.data().is_empty() {
            return aio::finish_nothing(&self.state, request);
        }
        aio::submit(&self.state, request, |Call { fd, iov, count, callback, cookie }| {
            let Ok(offset) = i64::try_from(offset) else { return refuse(Errno::EINVAL) };
            // SAFETY: the descriptor is open and counted; the buffers stay valid until the callback, which owns them.
            unsafe { gfapi::glfs_preadv_async(fd, iov, count, offset, 0, callback, cookie) }
        });
    }

    fn write(&self, request: impl Request, offset: u64) {
        if request.data().is_empty() {
            return aio::finish_nothing(&self.state, request);
        }
        aio::submit(&self.state, request, |Call { fd, iov, count, callback, cookie }| {
            let Ok(offset) = i64::try_from(offset) else { return refuse(Errno::EINVAL) };
            // SAFETY: the descriptor is open and counted; libgfapi copies the buffers before it returns.
            unsafe { gfapi::glfs_pwritev_async(fd, iov, count, offset, 0, callback, cookie) }
        });
    }

    fn discard(&self, request: impl Request, offset: u64, len: u64) {
        aio::submit(&self.state, request, |Call { fd, callback, cookie, .. }| {
            let (Ok(offset), Ok(len)) = (i64::try_from(offset), usize::try_from(len)) else {
                return refuse(Errno::EFBIG);
            };
            // SAFETY: the descriptor is open and counted.
            unsafe { gfapi::glfs_discard_async(fd, offset, len, callback, cookie) }
        });
    }

    fn zero(&self, request: impl Request, offset: u64, len: u64) {
        aio::submit(&self.state, request, |Call { fd, callback, cookie, .. }| {
            let (Ok(offset), Ok(len)) = (i64::try_from(offset), i64::try_from(len)) else {
                return refuse(Errno::EFBIG);
            };
            // SAFETY: the descriptor is open and counted.
            unsafe { gfapi::glfs_zerofill_async(fd, offset, len, callback, cookie) }
        });
    }

    fn nothing(&self, request: impl Request) {
        aio::finish_nothing(&self.state, request);
    }

    fn compare_and_write(
        &self,
        offset: u64,
        expected: Vec<u8>,
        new: Vec<u8>,
        done: impl FnOnce(Result<Compared, Errno>) + Send + 'static,
    ) {
        self.exclusive.compare_and_write(Arc::clone(&self.state), Exchange { offset, expected, new }, Box::new(done));
    }

    fn sync(&self, request: impl Request) {
        aio::submit(&self.state, request, |Call { fd, callback, cookie, .. }| {
            // SAFETY: the descriptor is open and counted.
            unsafe { gfapi::glfs_fdatasync_async(fd, callback, cookie) }
        });
    }

    fn size(&self) -> Result<u64, Errno> {
        let state = Arc::clone(&self.state);
        let stat = bounded("glfs-stat", PATIENCE, move || state.stat()).ok_or(Errno::ETIMEDOUT)??;
        u64::try_from(stat.st_size).map_err(|_| Errno::EIO)
    }

    fn close(&self) -> Result<(), Errno> {
        if self.state.closed.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        let state = Arc::clone(&self.state);
        // In an outage the last flush may hang for gluster's frame timeout of 30 minutes.
        bounded("glfs-close", PATIENCE, move || close(&state)).unwrap_or(Err(Errno::ETIMEDOUT))
    }
}

impl Drop for File {
    fn drop(&mut self) {
        if let Err(errno) = self.close() {
            report::warning!("A file that was not in use any more could not be closed: {errno}");
        }
    }
}

fn close(state: &Arc<State>) -> Result<(), Errno> {
    // The core closes a LUN when all commands are answered, which is a moment before their calls have returned.
    let begin = Instant::now();
    // SeqCst pairs with `begin`, its Acquire half with `end`.
    while state.in_flight.load(Ordering::SeqCst) > 0 {
        if begin.elapsed() > PATIENCE {
            report::error_always!("A file stays open: calls in it have not been answered for {} s", PATIENCE.as_secs());
            // Their answers may still come, and will look at the state.
            let _leaked = Arc::into_raw(Arc::clone(state));
            return Err(Errno::EBUSY);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    // SAFETY: the descriptor is open, no call is in flight, and none will come (`closed`).
    if unsafe { gfapi::glfs_close(state.fd.as_ptr()) } == 0 { Ok(()) } else { Err(Errno::last()) }
}

/// Fails a call as libgfapi does: -1, and errno.
fn refuse(errno: Errno) -> c_int {
    errno.set();
    -1
}
