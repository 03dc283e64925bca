// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! libgfapi in memory: one image, whose calls fail, are cut short or are answered when the fuzzer
//! says so. Definitions in the executable come before the library's.

mod blocking;

use std::collections::VecDeque;
use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Mutex, MutexGuard};

use libc::{iovec, off_t};

/// Bytes of the image.
pub const SIZE: usize = 64 << 10;

type Callback = unsafe extern "C" fn(*mut c_void, isize, *mut c_void, *mut c_void, *mut c_void);

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Served,
    /// Moves at most so many bytes, where it moves any.
    Short(usize),
    /// A write may have been done in part.
    Failed(c_int),
}

/// When a call is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Later,
    /// Before it returns, on the caller's stack.
    Inline,
    /// Refused: there is no answer.
    AtSubmit,
}

#[derive(Clone, Copy, Debug)]
enum Operation {
    Read,
    Write,
    Zero,
    Sync,
}

struct Call {
    operation: Operation,
    outcome: Outcome,
    offset: usize,
    len: usize,
    /// Of a READ.
    buffers: Vec<(*mut u8, usize)>,
    /// Of a WRITE: libgfapi copies it before the call returns.
    data: Vec<u8>,
    fd: *mut c_void,
    callback: Callback,
    cookie: *mut c_void,
}

// SAFETY: libgfapi answers on threads of its own; the buffers are the request's until then.
unsafe impl Send for Call {}

struct Volume {
    image: Vec<u8>,
    /// Of the calls that come; when there is no more, they are served inline.
    plan: VecDeque<(Answer, Outcome)>,
    pending: Vec<Call>,
}

static VOLUME: Mutex<Volume> =
    Mutex::new(Volume { image: Vec::new(), plan: VecDeque::new(), pending: Vec::new() });
/// What blocking calls fail with; 0: they succeed.
pub static BLOCKING_ERRNO: AtomicI32 = AtomicI32::new(0);

fn volume() -> MutexGuard<'static, Volume> {
    VOLUME.lock().unwrap()
}

/// An image of zeros, and no plan. No call may be pending.
pub fn reset() {
    let mut volume = volume();
    assert!(volume.pending.is_empty(), "calls are pending");
    volume.image.clear();
    volume.image.resize(SIZE, 0);
    volume.plan.clear();
    BLOCKING_ERRNO.store(0, Ordering::SeqCst);
}

/// What becomes of a call that comes after those that are planned.
pub fn plan(answer: Answer, outcome: Outcome) {
    volume().plan.push_back((answer, outcome));
}

/// No more faults.
pub fn calm() {
    volume().plan.clear();
    BLOCKING_ERRNO.store(0, Ordering::SeqCst);
}

/// Answers a pending call. False: there is none.
pub fn deliver(which: usize) -> bool {
    let mut guard = volume();
    if guard.pending.is_empty() {
        return false;
    }
    let which = which % guard.pending.len();
    let call = guard.pending.remove(which);
    drop(guard);
    call.answer();
    true
}

fn set_errno(errno: c_int) {
    // SAFETY: this thread's.
    unsafe { *libc::__errno_location() = errno };
}

impl Call {
    fn answer(self) {
        let result = self.serve();
        if let Err(errno) = result {
            set_errno(errno);
        }
        let moved = result.map_or(-1, usize::cast_signed);
        // SAFETY: the callback of the call, once, with its cookie.
        unsafe {
            (self.callback)(self.fd, moved, ptr::null_mut(), ptr::null_mut(), self.cookie);
        }
    }

    fn serve(&self) -> Result<usize, c_int> {
        let image = &mut volume().image;
        let moves = match self.outcome {
            Outcome::Served => self.len,
            Outcome::Short(limit) => limit.min(self.len),
            Outcome::Failed(_) if matches!(self.operation, Operation::Write) => self.len / 2,
            Outcome::Failed(_) => 0,
        };
        // Of the size of the image at the call: a brick reads up to the end, and writes beyond it.
        let begin = self.offset.min(image.len());
        let end = self.offset.saturating_add(moves).min(image.len());
        let range = &mut image[begin..end.max(begin)];
        match self.operation {
            Operation::Read => {
                let mut rest = &range[..];
                for &(buffer, len) in &self.buffers {
                    let (piece, tail) = rest.split_at(len.min(rest.len()));
                    // SAFETY: the request's buffer has this length.
                    unsafe { ptr::copy_nonoverlapping(piece.as_ptr(), buffer, piece.len()) };
                    rest = tail;
                }
            }
            Operation::Write => {
                range.copy_from_slice(&self.data[..range.len()]);
                assert_eq!(range.len(), moves, "a write beyond the image");
            }
            Operation::Zero if matches!(self.outcome, Outcome::Failed(_)) => {}
            Operation::Zero => {
                let end = self.offset.saturating_add(self.len).min(image.len());
                image[begin..end.max(begin)].fill(0);
            }
            Operation::Sync => {}
        }
        match (self.outcome, self.operation) {
            (Outcome::Failed(errno), _) => Err(errno),
            (_, Operation::Read) => Ok(end - begin),
            (_, Operation::Write) => Ok(moves),
            _ => Ok(0),
        }
    }

    fn submit(mut self) -> c_int {
        let mut guard = volume();
        let (answer, outcome) = guard.plan.pop_front().unwrap_or((Answer::Inline, Outcome::Served));
        self.outcome = outcome;
        match (answer, outcome) {
            (Answer::AtSubmit, Outcome::Failed(errno)) => {
                set_errno(errno);
                return -1;
            }
            (Answer::Inline, _) => {
                drop(guard);
                self.answer();
            }
            _ => guard.pending.push(self),
        }
        0
    }
}

fn call(
    operation: Operation,
    (offset, len): (off_t, usize),
    (fd, callback, cookie): (*mut c_void, Callback, *mut c_void),
) -> Call {
    let offset = usize::try_from(offset).expect("a negative offset");
    Call {
        operation,
        outcome: Outcome::Served,
        offset,
        len,
        buffers: Vec::new(),
        data: Vec::new(),
        fd,
        callback,
        cookie,
    }
}

/// # Safety
/// `iov` has `count` entries, whose buffers are valid.
unsafe fn entries<'a>(iov: *const iovec, count: c_int) -> &'a [iovec] {
    // SAFETY: the caller's.
    unsafe { std::slice::from_raw_parts(iov, usize::try_from(count).expect("a count")) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn glfs_preadv_async(
    fd: *mut c_void,
    iov: *const iovec,
    count: c_int,
    offset: off_t,
    _flags: c_int,
    callback: Callback,
    cookie: *mut c_void,
) -> c_int {
    // SAFETY: the plugin's array.
    let entries = unsafe { entries(iov, count) };
    let len = entries.iter().map(|entry| entry.iov_len).sum();
    let mut call = call(Operation::Read, (offset, len), (fd, callback, cookie));
    call.buffers = entries.iter().map(|entry| (entry.iov_base.cast(), entry.iov_len)).collect();
    call.submit()
}

#[unsafe(no_mangle)]
unsafe extern "C" fn glfs_pwritev_async(
    fd: *mut c_void,
    iov: *const iovec,
    count: c_int,
    offset: off_t,
    _flags: c_int,
    callback: Callback,
    cookie: *mut c_void,
) -> c_int {
    // SAFETY: the plugin's array.
    let entries = unsafe { entries(iov, count) };
    let mut data = Vec::new();
    for entry in entries {
        // SAFETY: the plugin's buffer.
        let piece = unsafe { std::slice::from_raw_parts(entry.iov_base.cast(), entry.iov_len) };
        data.extend_from_slice(piece);
    }
    let mut call = call(Operation::Write, (offset, data.len()), (fd, callback, cookie));
    call.data = data;
    call.submit()
}

#[unsafe(no_mangle)]
extern "C" fn glfs_fdatasync_async(
    fd: *mut c_void,
    callback: Callback,
    cookie: *mut c_void,
) -> c_int {
    call(Operation::Sync, (0, 0), (fd, callback, cookie)).submit()
}

#[unsafe(no_mangle)]
extern "C" fn glfs_discard_async(
    fd: *mut c_void,
    offset: off_t,
    len: usize,
    callback: Callback,
    cookie: *mut c_void,
) -> c_int {
    call(Operation::Zero, (offset, len), (fd, callback, cookie)).submit()
}

#[unsafe(no_mangle)]
extern "C" fn glfs_zerofill_async(
    fd: *mut c_void,
    offset: off_t,
    len: off_t,
    callback: Callback,
    cookie: *mut c_void,
) -> c_int {
    let len = usize::try_from(len).expect("a negative length");
    call(Operation::Zero, (offset, len), (fd, callback, cookie)).submit()
}
