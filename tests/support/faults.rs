// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Faults in libgfapi: this executable defines the asynchronous calls, so the plugin's go through
//! here.
//!
//! A definition in the executable comes before the library's, whatever its symbol version. Calls on
//! files without a fault are passed on as they are.

mod call;
mod registry;

use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use libc::{iovec, off_t};

use self::call::{Call, Callback};
use self::registry::{FAULTS, Kind, count, wanted};
use super::eventually;

pub use self::registry::{Fault, calls, set};

/// The library's own function.
macro_rules! real {
    ($name:ident, $version:literal, $type:ty) => {{
        static ADDRESS: LazyLock<usize> = LazyLock::new(|| {
            // SAFETY: NUL-terminated names; the plugin has loaded the library.
            unsafe {
                let library = libc::dlopen(c"libgfapi.so.0".as_ptr(), libc::RTLD_NOW);
                libc::dlvsym(
                    library,
                    concat!(stringify!($name), "\0").as_ptr().cast(),
                    $version.as_ptr(),
                )
                .addr()
            }
        });
        // SAFETY: the type of this function since GlusterFS 6.
        unsafe { std::mem::transmute::<usize, $type>(*ADDRESS) }
    }};
}

#[unsafe(no_mangle)]
extern "C" fn glfs_open(fs: *mut c_void, path: *const c_char, flags: c_int) -> *mut c_void {
    type Open = unsafe extern "C" fn(*mut c_void, *const c_char, c_int) -> *mut c_void;
    let open = real!(glfs_open, c"GFAPI_3.4.0", Open);
    // SAFETY: the caller's arguments, passed on.
    let (fd, path) = unsafe { (open(fs, path, flags), CStr::from_ptr(path)) };
    FAULTS
        .lock()
        .unwrap()
        .open
        .insert(fd.addr(), path.to_str().unwrap().trim_start_matches('/').to_owned());
    fd
}

#[unsafe(no_mangle)]
extern "C" fn glfs_close(fd: *mut c_void) -> c_int {
    // Before another one may have this address.
    FAULTS.lock().unwrap().open.remove(&fd.addr());
    let close = real!(glfs_close, c"GFAPI_3.4.0", unsafe extern "C" fn(*mut c_void) -> c_int);
    // SAFETY: the caller's argument, passed on.
    unsafe { close(fd) }
}

/// How many connections are being ended.
pub static ENDING: AtomicUsize = AtomicUsize::new(0);
/// While this is set, they do not come to their end.
pub static ENDLESS: AtomicBool = AtomicBool::new(false);

#[unsafe(no_mangle)]
extern "C" fn glfs_fini(fs: *mut c_void) -> c_int {
    ENDING.fetch_add(1, Ordering::SeqCst);
    while ENDLESS.load(Ordering::SeqCst) {
        thread::sleep(Duration::from_millis(5));
    }
    let fini = real!(glfs_fini, c"GFAPI_3.4.0", unsafe extern "C" fn(*mut c_void) -> c_int);
    // SAFETY: the caller's argument, passed on.
    let outcome = unsafe { fini(fs) };
    ENDING.fetch_sub(1, Ordering::SeqCst);
    outcome
}

/// A call to be made later, and the data of it.
struct Late {
    call: Call,
    cut: Vec<iovec>,
}

// SAFETY: as a `Call`; the data belongs to the request that is in flight.
unsafe impl Send for Late {}

type Vectored = unsafe extern "C" fn(
    *mut c_void,
    *const iovec,
    c_int,
    off_t,
    c_int,
    Callback,
    *mut c_void,
) -> c_int;

macro_rules! vectored {
    ($($name:ident $kind:ident: $blocking:expr,)*) => { $(
        #[unsafe(no_mangle)]
        extern "C" fn $name(
            fd: *mut c_void, iov: *const iovec, count: c_int, offset: off_t, flags: c_int,
            callback: Callback, cookie: *mut c_void,
        ) -> c_int {
            // SAFETY: the caller's array.
            let given = unsafe { std::slice::from_raw_parts(iov, usize::try_from(count).unwrap()) };
            let len = given.iter().map(|entry| entry.iov_len).sum();
            let kind = match Kind::$kind {
                Kind::Write if flags & libc::O_DSYNC != 0 => Kind::DurableWrite,
                kind => kind,
            };
            let mut room = match (Call { fd, callback, cookie }).disturb(kind, len) {
                Ok(room) => room,
                Err(returned) => return returned,
            };
            let mut cut = Vec::new();
            for entry in given {
                let iov_len = entry.iov_len.min(room);
                room -= iov_len;
                if iov_len > 0 {
                    cut.push(iovec { iov_base: entry.iov_base, iov_len });
                }
            }
            let count = c_int::try_from(cut.len()).unwrap();
            if wanted(fd) == Some(Fault::Synchronous) {
                let blocking = $blocking;
                // SAFETY: the caller's arguments, passed on.
                let moved = unsafe { blocking(fd, cut.as_ptr(), count, offset, flags) };
                (Call { fd, callback, cookie }).answer(moved, nix::errno::Errno::last_raw());
                return 0;
            }
            if wanted(fd) == Some(Fault::Twice) {
                let blocking = $blocking;
                let late = Late { call: Call { fd, callback, cookie }, cut };
                thread::spawn(move || {
                    let Late { call, cut } = { late };
                    // SAFETY: the caller's arguments; its data stays until the call is answered.
                    let moved = unsafe { blocking(call.fd, cut.as_ptr(), count, offset, flags) };
                    call.answer(2 * moved, nix::errno::Errno::last_raw());
                });
                return 0;
            }
            let call = real!($name, c"GFAPI_6.0", Vectored);
            let delay = match (kind, wanted(fd)) {
                (Kind::Write | Kind::DurableWrite, Some(Fault::SlowWrites(time)))
                | (_, Some(Fault::Delayed(time))) => Some(time),
                _ => None,
            };
            if let Some(time) = delay {
                let late = Late { call: Call { fd, callback, cookie }, cut };
                thread::spawn(move || {
                    let Late { call: Call { fd, callback, cookie }, cut } = { late };
                    thread::sleep(time);
                    // SAFETY: the caller's arguments; its data stays until the call is answered.
                    unsafe { call(fd, cut.as_ptr(), count, offset, flags, callback, cookie) };
                });
                return 0;
            }
            // SAFETY: the caller's arguments, perhaps shortened, passed on.
            unsafe { call(fd, cut.as_ptr(), count, offset, flags, callback, cookie) }
        }
    )* };
}

type Blocking = unsafe extern "C" fn(*mut c_void, *const iovec, c_int, off_t, c_int) -> isize;

vectored! {
    glfs_preadv_async Read: real!(glfs_preadv, c"GFAPI_3.4.0", Blocking),
    glfs_pwritev_async Write: real!(glfs_pwritev, c"GFAPI_3.4.0", Blocking),
}

#[unsafe(no_mangle)]
extern "C" fn glfs_fdatasync_async(
    fd: *mut c_void,
    callback: Callback,
    cookie: *mut c_void,
) -> c_int {
    type Sync = unsafe extern "C" fn(*mut c_void, Callback, *mut c_void) -> c_int;
    let sync = real!(glfs_fdatasync_async, c"GFAPI_6.0", Sync);
    let held = wanted(fd) == Some(Fault::HeldSync);
    let call = Call { fd, callback, cookie };
    match call.disturb(Kind::Sync, 0) {
        Ok(_) if held => {
            thread::spawn(move || {
                eventually("held flushes are released", || {
                    wanted({ call }.fd) != Some(Fault::HeldSync)
                });
                // SAFETY: the caller's arguments, passed on.
                unsafe { sync({ call }.fd, call.callback, call.cookie) };
            });
            0
        }
        // SAFETY: the caller's arguments, passed on.
        Ok(_) => unsafe { sync(fd, callback, cookie) },
        Err(returned) => returned,
    }
}

/// The flush of a COMPARE AND WRITE, which blocks.
#[unsafe(no_mangle)]
extern "C" fn glfs_fsync(fd: *mut c_void, before: *mut c_void, after: *mut c_void) -> c_int {
    type Sync = unsafe extern "C" fn(*mut c_void, *mut c_void, *mut c_void) -> c_int;
    count(fd, Kind::Sync);
    if let Some(Fault::NoSync(errno)) = wanted(fd) {
        // SAFETY: this thread's errno.
        unsafe { *libc::__errno_location() = errno };
        return -1;
    }
    let sync = real!(glfs_fsync, c"GFAPI_6.0", Sync);
    // SAFETY: the caller's arguments, passed on.
    unsafe { sync(fd, before, after) }
}

type Range = unsafe extern "C" fn(*mut c_void, off_t, usize, Callback, *mut c_void) -> c_int;

macro_rules! ranges {
    ($($name:ident $kind:ident)*) => { $(
        /// `glfs_zerofill_async` has an `off_t` where this has a `usize`: one register either way.
        #[unsafe(no_mangle)]
        extern "C" fn $name(
            fd: *mut c_void,
            offset: off_t,
            len: usize,
            callback: Callback,
            cookie: *mut c_void,
        ) -> c_int {
            let call = real!($name, c"GFAPI_6.0", Range);
            match (Call { fd, callback, cookie }).disturb(Kind::$kind, len) {
                // SAFETY: the caller's arguments, passed on.
                Ok(_) => unsafe { call(fd, offset, len, callback, cookie) },
                Err(returned) => returned,
            }
        }
    )* };
}

ranges! { glfs_discard_async Discard glfs_zerofill_async Zerofill }

/// The blocking calls that COMPARE AND WRITE makes: refused, or passed on.
macro_rules! blocking {
    ($(fn $name:ident($($arg:ident: $type:ty),*) -> $result:ty, $version:literal;)*) => { $(
        #[unsafe(no_mangle)]
        extern "C" fn $name(fd: *mut c_void, $($arg: $type),*) -> $result {
            type Call = unsafe extern "C" fn(*mut c_void, $($type),*) -> $result;
            if let Some(Fault::AtSubmit(errno)) = wanted(fd) {
                // SAFETY: this thread's errno.
                unsafe { *libc::__errno_location() = errno };
                return -1;
            }
            let call = real!($name, $version, Call);
            // SAFETY: the caller's arguments, passed on.
            unsafe { call(fd, $($arg),*) }
        }
    )* };
}

type Lock = unsafe extern "C" fn(*mut c_void, c_int, *mut libc::flock) -> c_int;

#[unsafe(no_mangle)]
extern "C" fn glfs_posix_lock(fd: *mut c_void, command: c_int, range: *mut libc::flock) -> c_int {
    // SAFETY: the caller's range.
    let (begin, kind) = unsafe { ((*range).l_start, c_int::from((*range).l_type)) };
    let refused = match wanted(fd) {
        Some(Fault::AtSubmit(errno)) => Some(errno),
        Some(Fault::LockHeld(held)) if held == begin && kind != libc::F_UNLCK => Some(libc::EAGAIN),
        _ => None,
    };
    if let Some(errno) = refused {
        // SAFETY: this thread's errno.
        unsafe { *libc::__errno_location() = errno };
        return -1;
    }
    let lock = real!(glfs_posix_lock, c"GFAPI_3.4.0", Lock);
    // SAFETY: the caller's arguments, passed on.
    unsafe { lock(fd, command, range) }
}

blocking! {
    fn glfs_pread(
        buffer: *mut c_void, len: usize, offset: off_t, flags: c_int, after: *mut c_void
    ) -> isize, c"GFAPI_6.0";
}

#[unsafe(no_mangle)]
extern "C" fn glfs_pwrite(
    fd: *mut c_void,
    buffer: *const c_void,
    len: usize,
    offset: off_t,
    flags: c_int,
    before: *mut c_void,
    after: *mut c_void,
) -> isize {
    type Write = unsafe extern "C" fn(
        *mut c_void,
        *const c_void,
        usize,
        off_t,
        c_int,
        *mut c_void,
        *mut c_void,
    ) -> isize;
    let is_durable = flags & libc::O_DSYNC != 0;
    if is_durable {
        count(fd, Kind::DurableWrite);
    }
    let refused = match wanted(fd) {
        Some(Fault::AtSubmit(errno)) => Some(errno),
        Some(Fault::NoSync(errno)) if is_durable => Some(errno),
        _ => None,
    };
    if let Some(errno) = refused {
        // SAFETY: this thread's errno.
        unsafe { *libc::__errno_location() = errno };
        return -1;
    }
    let write = real!(glfs_pwrite, c"GFAPI_6.0", Write);
    // SAFETY: the caller's arguments, passed on.
    unsafe { write(fd, buffer, len, offset, flags, before, after) }
}
