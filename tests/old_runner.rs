// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The plugin in a process that looks like tcmu-runner 1.5.3: refused with a sentence, and nothing
//! is registered.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::sync::Mutex;

static LOG: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// The symbols by which 1.5.3 is known.
#[unsafe(no_mangle)]
extern "C" fn tcmur_cmd_complete() {}
/// As above.
#[unsafe(no_mangle)]
extern "C" fn tcmu_notify_cmd_timed_out() {}
/// As above: gone in 1.5.4.
#[unsafe(no_mangle)]
extern "C" fn tcmur_handle_writesame() {}

#[unsafe(no_mangle)]
extern "C" fn tcmur_register_handler(_: *mut c_void) -> c_int {
    panic!("registered with a runner whose table is laid out differently");
}

/// Variadic in the original; the plugin passes one string.
#[unsafe(no_mangle)]
extern "C" fn tcmu_err_message(
    _: *mut c_void,
    _: *const c_char,
    _: c_int,
    _: *const c_char,
    text: *const c_char,
) {
    // SAFETY: a NUL-terminated string of the caller's.
    LOG.lock().unwrap().push(unsafe { CStr::from_ptr(text) }.to_str().unwrap().to_owned());
}

#[test]
fn an_older_runner_is_refused_with_a_log_line() {
    let so = std::env::current_exe().unwrap().with_file_name("libhandler_glfs.so");
    let so = CString::new(so.to_str().unwrap()).unwrap();
    // SAFETY: a library made to be loaded so.
    let handle = unsafe { libc::dlopen(so.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
    assert!(!handle.is_null());
    // SAFETY: the handle is open.
    let init = unsafe { libc::dlsym(handle, c"handler_init".as_ptr()) };
    // SAFETY: the type of handler_init.
    let init = unsafe { std::mem::transmute::<*mut c_void, unsafe extern "C" fn() -> c_int>(init) };
    // SAFETY: as the daemon does.
    assert_ne!(unsafe { init() }, 0);
    let log = LOG.lock().unwrap();
    assert_eq!(log.len(), 1, "{log:?}");
    assert!(
        log[0].contains("tcmu-runner 1.5.3 is not supported") && log[0].contains("1.5.4"),
        "{log:?}"
    );
}
