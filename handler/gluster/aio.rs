// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Asynchronous calls: from a [`Request`] to libgfapi and back, exactly once.
//!
//! libgfapi (10.3, `api/src/glfs-fops.c`) answers a call that it accepted on one of its own
//! threads, or *on the caller's stack*, before the call returns (a cache translator, a dead
//! connection, a brick in the process). tcmu-runner submits the next step of a compound command
//! from within a completion, so an answer given on the submitter's stack would recurse, once per
//! step. Such answers, and calls that libgfapi refused, take a detour over a thread of the
//! connection's.
//!
//! What follows from an answer may be submitted on the thread that delivered it: a connection has
//! one graph for its life (`volume`), so no call waits for bricks before it returns.

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};

use libgfapi_sys::{glfs_fd_t, glfs_io_cbk, glfs_stat};
use nix::errno::Errno;

use super::descriptor::Descriptor;
use super::identity;
use crate::log;
use crate::lun::backend::{Data, Request};

/// Bytes of one call. libgfapi sends a call's data as one message: 1 MiB to 4 MiB are best, and 1
/// GiB makes the brick drop the connection.
const LARGEST_CALL: usize = 4 << 20;

/// What libgfapi carries for us from a call to its answer.
struct Cookie<R> {
    /// Alive as long as its `in_flight` counts this call.
    descriptor: *const Descriptor,
    request: R,
    /// The most that a result can be.
    limit: usize,
}

/// What a call's result is, if it is not an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Returns {
    /// The bytes that were moved: at most those of the call.
    Moved,
    /// Not looked at. (Of a range it is 0, or, on shards, its length: 10.3,
    /// `shard_common_inode_write_success_unwind`.)
    Anything,
}

/// The arguments of a call that every libgfapi function takes.
pub(super) struct Call {
    pub(super) fd: *mut glfs_fd_t,
    /// The request's data, or its beginning. libgfapi copies the array before it passes the call on
    /// (`iov_dup`, `iobuf_copy`): it may be gone, with the request, before the call returns.
    pub(super) iov: *const libc::iovec,
    pub(super) count: c_int,
    pub(super) callback: glfs_io_cbk,
    pub(super) cookie: *mut c_void,
}

// SAFETY: `Descriptor` is shared between threads (it is Sync), and the pointer stays valid while
// the call is counted.
unsafe impl<R: Send> Send for Cookie<R> {}

impl<R> Cookie<R> {
    /// # Safety
    /// `cookie` was put into its descriptor's slab, and is not used any more.
    unsafe fn take(cookie: *mut Self) -> Self {
        // SAFETY: the cookie is alive (caller).
        let descriptor = unsafe { (*cookie).descriptor };
        // SAFETY: the descriptor counts this call, so it is alive.
        let descriptor = unsafe { &*descriptor };
        // SAFETY: it is in that slab (caller).
        unsafe { descriptor.slab().get(cookie) }
    }
}

thread_local! {
    /// A call is being submitted on this thread, right now. No destructor: gfapi's threads run none
    /// of ours.
    static SUBMITTING: Cell<bool> = const { Cell::new(false) };
}

/// Submits one call. `call` makes the libgfapi call and returns what that returned.
pub(super) fn submit<R: Request>(
    descriptor: &Descriptor,
    request: R,
    returns: Returns,
    call: impl FnOnce(Call) -> c_int,
) {
    let fd = descriptor.begin();
    let limit = match returns {
        Returns::Moved => request.data().head(LARGEST_CALL).iter().map(|entry| entry.iov_len).sum(),
        Returns::Anything => usize::MAX,
    };
    let cookie = descriptor.slab().put(Cookie { descriptor, request, limit });
    let Some(fd) = fd else {
        return detour(cookie, Err(Errno::EBADF));
    };
    // SAFETY: the cookie is alive until its callback runs, and that is not before `call`.
    let data: &Data = unsafe { (*cookie).request.data() };
    let head = data.head(LARGEST_CALL);
    let (iov, count) = (head.as_ptr(), c_int::try_from(head.len()).unwrap_or(c_int::MAX));
    identity::tell();
    let nested = SUBMITTING.replace(true);
    let refused =
        call(Call { fd, iov, count, callback: Some(answered::<R>), cookie: cookie.cast() }) < 0;
    let errno = Errno::last();
    SUBMITTING.set(nested);
    if refused {
        // Not passed on, so the callback will not come: the cookie is ours again.
        detour(cookie, Err(errno));
    }
}

/// Finishes a request that asks for nothing, which libgfapi calls an error.
pub(super) fn finish_nothing<R: Request>(descriptor: &Descriptor, request: R) {
    descriptor.begin();
    detour(descriptor.slab().put(Cookie { descriptor, request, limit: 0 }), Ok(0));
}

/// The callback. Runs on whatever thread has the answer; errno is meaningful only for a negative
/// result, and only now.
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
        detour(cookie, outcome);
    } else {
        // SAFETY: this is the one callback of the call that was given this cookie.
        let cookie = unsafe { Cookie::take(cookie) };
        finish(cookie, outcome);
    }
}

fn finish<R: Request>(cookie: Cookie<R>, outcome: Result<usize, Errno>) {
    let Cookie { descriptor, request, limit } = cookie;
    // More than was asked for has not been moved: a GOOD would hand the initiator what the ring held
    // before, or lose what it wrote.
    let outcome =
        outcome.and_then(|moved| if moved > limit { Err(Errno::EPROTO) } else { Ok(moved) });
    shielded(|| request.done(outcome));
    // SAFETY: this call is still counted, so the descriptor is alive.
    unsafe { (*descriptor).end() };
}

/// Finishes a call on the connection's own completion thread.
fn detour<R: Request>(cookie: *mut Cookie<R>, outcome: Result<usize, Errno>) {
    // SAFETY: the cookie was made by `put`, and the caller holds the only right to it.
    let cookie = unsafe { Cookie::take(cookie) };
    // SAFETY: this call is still counted, so the descriptor is alive.
    let connection = unsafe { (*cookie.descriptor).shared_connection() };
    connection.io().run(Box::new(move || finish(cookie, outcome)));
}

/// Runs a completion. A panic in it has answered its command (by dropping it), and must not take
/// the thread along.
pub(super) fn shielded(completion: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(completion)).is_err() {
        log::error!(
            log::PLUGIN,
            "PANIC in a completion; its command was answered with HARDWARE ERROR"
        );
    }
}
