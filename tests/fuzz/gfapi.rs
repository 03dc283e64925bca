// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! libgfapi in memory: one image, whose calls fail, are cut short or are answered when the fuzzer
//! says so. Definitions in the executable come before the library's.

use std::collections::VecDeque;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

use libc::{flock, iovec, off_t};

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

/// Handles: addresses that are never looked at.
fn handle() -> *mut c_void {
    static NEXT: AtomicUsize = AtomicUsize::new(0x1000);
    ptr::without_provenance_mut(NEXT.fetch_add(16, Ordering::Relaxed))
}

#[unsafe(no_mangle)]
extern "C" fn glfs_new(_: *const c_char) -> *mut c_void {
    handle()
}

#[unsafe(no_mangle)]
extern "C" fn glfs_open(_: *mut c_void, path: *const c_char, _: c_int) -> *mut c_void {
    // SAFETY: a C string of the plugin's.
    let path = unsafe { CStr::from_ptr(path) };
    if path.to_bytes().ends_with(b"disk.img") {
        return handle();
    }
    set_errno(libc::ENOENT);
    ptr::null_mut()
}

/// A blocking call's result.
fn blocking(success: isize) -> isize {
    match BLOCKING_ERRNO.load(Ordering::SeqCst) {
        0 => success,
        errno => {
            set_errno(errno);
            -1
        }
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn glfs_pread(
    _: *mut c_void,
    buffer: *mut u8,
    len: usize,
    offset: off_t,
    _: c_int,
    _: *mut c_void,
) -> isize {
    let volume = volume();
    let offset = usize::try_from(offset).expect("an offset").min(volume.image.len());
    let piece = &volume.image[offset..(offset + len).min(volume.image.len())];
    // SAFETY: the plugin's buffer has `len` bytes.
    unsafe { ptr::copy_nonoverlapping(piece.as_ptr(), buffer, piece.len()) };
    blocking(piece.len().cast_signed())
}

#[unsafe(no_mangle)]
unsafe extern "C" fn glfs_pwrite(
    _: *mut c_void,
    buffer: *const u8,
    len: usize,
    offset: off_t,
    _: c_int,
    _: *mut c_void,
    _: *mut c_void,
) -> isize {
    let done = blocking(len.cast_signed());
    if done >= 0 {
        let offset = usize::try_from(offset).expect("an offset");
        // SAFETY: the plugin's buffer has `len` bytes.
        let data = unsafe { std::slice::from_raw_parts(buffer, len) };
        volume().image[offset..offset + len].copy_from_slice(data);
    }
    done
}

#[unsafe(no_mangle)]
unsafe extern "C" fn glfs_fstat(_: *mut c_void, stat: *mut libc::stat) -> c_int {
    // SAFETY: a plain struct of integers.
    let mut result: libc::stat = unsafe { std::mem::zeroed() };
    result.st_size = SIZE as i64;
    result.st_blocks = (SIZE / 512) as i64;
    result.st_mode = libc::S_IFREG | 0o600;
    // SAFETY: the plugin's struct.
    unsafe { stat.write(result) };
    0
}

#[unsafe(no_mangle)]
extern "C" fn glfs_posix_lock(_: *mut c_void, _: c_int, _: *mut flock) -> c_int {
    if blocking(0) == 0 { 0 } else { -1 }
}

/// No attribute is set, nothing is fenced.
#[unsafe(no_mangle)]
extern "C" fn glfs_getxattr(
    _: *mut c_void,
    _: *const c_char,
    _: *const c_char,
    _: *mut c_void,
    _: usize,
) -> isize {
    set_errno(libc::ENODATA);
    -1
}

#[unsafe(no_mangle)]
extern "C" fn glfs_fgetxattr(_: *mut c_void, _: *const c_char, _: *mut c_void, _: usize) -> isize {
    set_errno(libc::ENODATA);
    -1
}

macro_rules! succeed {
    ($($name:ident($($argument:ty),*);)*) => { $(
        #[unsafe(no_mangle)]
        extern "C" fn $name($(_: $argument),*) -> c_int {
            0
        }
    )* };
}

succeed! {
    glfs_init(*mut c_void);
    glfs_fini(*mut c_void);
    glfs_close(*mut c_void);
    glfs_set_volfile(*mut c_void, *const c_char);
    glfs_set_logging(*mut c_void, *const c_char, c_int);
    glfs_set_xlator_option(*mut c_void, *const c_char, *const c_char, *const c_char);
    glfs_setfsuid(libc::uid_t);
    glfs_setfsgid(libc::gid_t);
    glfs_setfsgroups(usize, *const libc::gid_t);
    glfs_fd_set_lkowner(*mut c_void, *mut c_void, c_int);
    glfs_file_lock(*mut c_void, c_int, *mut flock, c_int);
    glfs_fallocate(*mut c_void, c_int, off_t, usize);
}
