// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Asynchronous calls: from a [`Request`] to libgfapi and back, exactly once.
//!
//! libgfapi (10.3, `api/src/glfs-fops.c`) answers a call that it accepted on one of its own
//! threads, or *on the caller's stack*, before the call returns (a cache translator, a dead
//! connection, a brick in the process). tcmu-runner submits the next step of a compound command
//! from within a completion, so an answer given on the submitter's stack would recurse, once per
//! step. Such completions, and those of calls that libgfapi refused, are deferred to a thread of
//! the connection's.
//!
//! What follows from an answer may be submitted on the thread that delivered it: a connection has
//! one graph for its life (`volume`), so no call waits for bricks before it returns.

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::Arc;

use libgfapi_sys as gfapi;
use libgfapi_sys::{glfs_fd_t, glfs_io_cbk, glfs_stat};
use nix::errno::Errno;
use nix::unistd::{getegid, geteuid};

use super::fd::Fd;
use crate::log;
use crate::lun::backend::{Data, Durability, Request};

/// Bytes of one call. libgfapi sends a call's data as one message: 1 MiB to 4 MiB are best, and 1
/// GiB makes the brick drop the connection.
const LARGEST_CALL: usize = 4 << 20;

/// A call; offsets and lengths in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) enum IoOp {
    /// Into the request's data.
    Read { offset: u64 },
    /// The request's data, with flags of `open(2)`.
    Write { offset: u64, flags: c_int },
    /// Punches a hole.
    Discard { offset: u64, len: u64 },
    /// The bricks write zeros.
    Zerofill { offset: u64, len: u64 },
    /// fdatasync.
    Sync,
}

impl IoOp {
    fn moves_data(self) -> bool {
        matches!(self, Self::Read { .. } | Self::Write { .. })
    }

    /// The largest result that is no error: the bytes to move. Results of a range are not looked at
    /// (0, or, on shards, its length: 10.3, `shard_common_inode_write_success_unwind`).
    fn limit(self, data: &Data) -> usize {
        if self.moves_data() {
            data.head(LARGEST_CALL).iter().map(|entry| entry.iov_len).sum()
        } else {
            usize::MAX
        }
    }

    /// Makes the call on `fd`, which calls `callback` with `cookie`. Negative, with errno: it was
    /// not accepted, and the callback will not come.
    ///
    /// # Safety
    /// `fd` is open until the callback has returned. `iov` has `count` entries now; their buffers
    /// are valid until the callback, for a write until libgfapi has copied them. (The array may be
    /// gone, with its request, before the call returns: so it is no slice.)
    unsafe fn call(
        self,
        fd: *mut glfs_fd_t,
        (iov, count): (*const libc::iovec, c_int),
        callback: glfs_io_cbk,
        cookie: *mut c_void,
    ) -> c_int {
        let signed = |number: u64| i64::try_from(number).ok();
        match self {
            Self::Read { offset } => {
                let Some(offset) = signed(offset) else { return refuse(Errno::EINVAL) };
                // SAFETY: descriptor and buffers are there until the callback (caller). The array
                // is copied before the call returns (`iov_dup`).
                unsafe { gfapi::glfs_preadv_async(fd, iov, count, offset, 0, callback, cookie) }
            }
            Self::Write { offset, flags } => {
                let Some(offset) = signed(offset) else { return refuse(Errno::EINVAL) };
                // SAFETY: the descriptor is there until the callback (caller). Array and buffers
                // are copied before the call returns (`iobuf_copy`).
                unsafe {
                    gfapi::glfs_pwritev_async(fd, iov, count, offset, flags, callback, cookie)
                }
            }
            Self::Discard { offset, len } => {
                let (Some(offset), Ok(len)) = (signed(offset), usize::try_from(len)) else {
                    return refuse(Errno::EFBIG);
                };
                // SAFETY: the descriptor is there until the callback (caller).
                unsafe { gfapi::glfs_discard_async(fd, offset, len, callback, cookie) }
            }
            Self::Zerofill { offset, len } => {
                let (Some(offset), Some(len)) = (signed(offset), signed(len)) else {
                    return refuse(Errno::EFBIG);
                };
                // SAFETY: the descriptor is there until the callback (caller).
                unsafe { gfapi::glfs_zerofill_async(fd, offset, len, callback, cookie) }
            }
            Self::Sync => {
                // SAFETY: the descriptor is there until the callback (caller).
                unsafe { gfapi::glfs_fdatasync_async(fd, callback, cookie) }
            }
        }
    }
}

/// Fails a call as libgfapi does: -1, and errno.
fn refuse(errno: Errno) -> c_int {
    errno.set();
    -1
}

/// Flags of a write. libgfapi hands them through all translators to the brick, which calls fsync
/// before it answers (6 to 11: `glfs_pwritev_async_common`, `posix_writev`). On their way
/// performance/write-behind does not hold such a write back, and cluster/replicate need not flush
/// it (`wb_writev`, `afr_writev`).
pub(super) fn write_flags(durability: Durability) -> c_int {
    match durability {
        Durability::Volatile => 0,
        Durability::Durable => libc::O_DSYNC,
    }
}

/// What libgfapi carries from a call to its callback.
struct Cookie<R> {
    /// Alive as long as its `in_flight` counts this call.
    fd: *const Fd,
    request: R,
    /// The most that a result can be.
    limit: usize,
}

// SAFETY: `Fd` is shared between threads (it is Sync), and the pointer stays valid while the call
// is counted.
unsafe impl<R: Send> Send for Cookie<R> {}

impl<R> Cookie<R> {
    /// # Safety
    /// `cookie` was inserted into its descriptor's slab, and is not used any more.
    unsafe fn remove(cookie: *mut Self) -> Self {
        // SAFETY: the cookie is alive (caller).
        let fd = unsafe { (*cookie).fd };
        // SAFETY: the descriptor counts this call, so it is alive.
        let fd = unsafe { &*fd };
        // SAFETY: it is in that slab (caller).
        unsafe { fd.slab.remove(cookie) }
    }
}

thread_local! {
    /// A call is being submitted on this thread, right now. No destructor: gfapi's threads run none
    /// of ours.
    static SUBMITTING: Cell<bool> = const { Cell::new(false) };
    /// This thread has told libgfapi its user and group.
    static HAS_FS_IDS: Cell<bool> = const { Cell::new(false) };
}

/// Submits one call. Any thread; does not block.
pub(super) fn submit<R: Request>(fd: &Fd, request: R, op: IoOp) {
    // To move no byte is an error to libgfapi.
    if op.moves_data() && request.data().is_empty() {
        return complete_noop(fd, request);
    }
    let raw = fd.begin();
    let limit = op.limit(request.data());
    let cookie = fd.slab.insert(Cookie { fd, request, limit });
    let Some(raw) = raw else {
        return defer_completion(cookie, Err(Errno::EBADF));
    };
    // SAFETY: the cookie is alive until its callback runs, and that is not before the call.
    let data: &Data = unsafe { (*cookie).request.data() };
    let head = data.head(LARGEST_CALL);
    let iov = (head.as_ptr(), c_int::try_from(head.len()).unwrap_or(c_int::MAX));
    set_fs_ids();
    let nested = SUBMITTING.replace(true);
    // SAFETY: the call is counted, so the descriptor stays open; the request, which owns the
    // buffers, stays in the cookie until the callback.
    let refused = unsafe { op.call(raw, iov, Some(answered::<R>), cookie.cast()) } < 0;
    let errno = Errno::last();
    SUBMITTING.set(nested);
    if refused {
        // Not passed on, so the callback will not come: the cookie is ours again.
        defer_completion(cookie, Err(errno));
    }
}

/// Completes a request that asks for nothing, like every other: not on the caller's stack.
pub(super) fn complete_noop<R: Request>(fd: &Fd, request: R) {
    fd.begin();
    defer_completion(fd.slab.insert(Cookie { fd, request, limit: 0 }), Ok(0));
}

/// The callback of each call (`glfs_io_cbk`). Runs on whatever thread has the answer; errno is
/// meaningful only for a negative result, and only now (10.3, `glfs_io_async_cbk`).
///
/// # Safety
/// * `cookie` is what [`submit`] gave to a call for a request of type `R`.
/// * libgfapi calls it once for each call that it accepted, and never for one that it refused.
/// * The descriptor of the call has not been closed: libgfapi drops the answers of a closed one.
unsafe extern "C" fn answered<R: Request>(
    _fd: *mut glfs_fd_t,
    result: isize,
    _before: *mut glfs_stat,
    _after: *mut glfs_stat,
    cookie: *mut c_void,
) {
    let outcome = usize::try_from(result).map_err(|_| match Errno::last() {
        Errno::UnknownErrno => Errno::EIO,
        errno => errno,
    });
    let cookie = cookie.cast::<Cookie<R>>();
    if SUBMITTING.get() {
        defer_completion(cookie, outcome);
    } else {
        // SAFETY: this is the one callback of the call that was given this cookie.
        let cookie = unsafe { Cookie::remove(cookie) };
        complete(cookie, outcome);
    }
}

fn complete<R: Request>(cookie: Cookie<R>, outcome: Result<usize, Errno>) {
    let Cookie { fd, request, limit } = cookie;
    // More than was asked for has not been moved: a GOOD would hand the initiator what the ring
    // held before, or lose what it wrote.
    let outcome =
        outcome.and_then(|moved| if moved > limit { Err(Errno::EPROTO) } else { Ok(moved) });
    catch_panic(|| request.done(outcome));
    // SAFETY: this call is still counted, so the descriptor is alive.
    unsafe { (*fd).end() };
}

/// Completes a call on the connection's own thread.
fn defer_completion<R: Request>(cookie: *mut Cookie<R>, outcome: Result<usize, Errno>) {
    // SAFETY: the cookie was inserted by `submit` or `complete_noop`, and the caller holds the only
    // right to it.
    let cookie = unsafe { Cookie::remove(cookie) };
    // SAFETY: this call is still counted, so the descriptor is alive.
    let connection = Arc::clone(unsafe { &(*cookie.fd).connection });
    connection.io.run(Box::new(move || complete(cookie, outcome)));
}

/// Runs a completion. A panic in it has answered its command (by dropping it), and must not take
/// the thread along.
pub(super) fn catch_panic(completion: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(completion)).is_err() {
        log::error!(
            log::PLUGIN,
            "PANIC in a completion; its command was answered with HARDWARE ERROR"
        );
    }
}

/// Tells libgfapi this thread's user and group, once. Otherwise it asks the system with every call:
/// five system calls, of which this saves four (10.3, `syncop_create_frame`). The daemon's never
/// change.
fn set_fs_ids() {
    if HAS_FS_IDS.replace(true) {
        return;
    }
    let (user, group) = (geteuid().as_raw(), getegid().as_raw());
    // Groups decide nothing for root, which the daemon is; for others libgfapi goes on asking.
    if user == 0 {
        // SAFETY: no groups, so no list.
        unsafe { gfapi::glfs_setfsgroups(0, ptr::null()) };
    }
    // SAFETY: takes a number.
    unsafe { gfapi::glfs_setfsgid(group) };
    // SAFETY: takes a number.
    unsafe { gfapi::glfs_setfsuid(user) };
}
