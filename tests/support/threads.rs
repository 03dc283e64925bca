// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Threads that cannot be had: this executable defines `pthread_create`, so the plugin's calls go
//! through here.

use std::cell::Cell;
use std::ffi::{CStr, c_int, c_void};
use std::sync::LazyLock;

use libc::{pthread_attr_t, pthread_t};

type Start = extern "C" fn(*mut c_void) -> *mut c_void;
type Create =
    unsafe extern "C" fn(*mut pthread_t, *const pthread_attr_t, Start, *mut c_void) -> c_int;

thread_local! {
    /// The current thread gets no others.
    static REFUSED: Cell<bool> = const { Cell::new(false) };
}

/// Does `work` while this thread can start no thread.
pub fn without<R>(work: impl FnOnce() -> R) -> R {
    REFUSED.set(true);
    let result = work();
    REFUSED.set(false);
    result
}

#[unsafe(no_mangle)]
extern "C" fn pthread_create(
    thread: *mut pthread_t,
    attributes: *const pthread_attr_t,
    start: Start,
    argument: *mut c_void,
) -> c_int {
    static REAL: LazyLock<usize> = LazyLock::new(|| {
        let function = |place: *mut c_void, name: &CStr| {
            // SAFETY: a NUL-terminated name.
            unsafe { libc::dlsym(place, name.as_ptr()) }.addr()
        };
        // A sanitizer wants to know of all threads. It is part of this executable, in which its
        // pthread_create gives way to this one.
        match function(libc::RTLD_DEFAULT, c"___interceptor_pthread_create") {
            0 => function(libc::RTLD_NEXT, c"pthread_create"),
            sanitizer => sanitizer,
        }
    });
    if REFUSED.get() {
        return libc::EAGAIN;
    }
    // SAFETY: the type of this function.
    let create = unsafe { std::mem::transmute::<usize, Create>(*REAL) };
    // SAFETY: the caller's arguments, passed on.
    unsafe { create(thread, attributes, start, argument) }
}
