// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The rest of tcmu-runner's functions, beside [`testbed::symbols`]: logging, and those that only
//! the C handler calls.

use std::ffi::{CStr, c_char, c_int, c_void};

use libc::iovec;
use testbed::c_abi::FakeDevice;

#[unsafe(no_mangle)]
extern "C" fn tcmu_notify_conn_lost(_: *mut FakeDevice) {}

#[unsafe(no_mangle)]
extern "C" fn tcmu_iovec_zeroed(_: *const iovec, _: usize) -> bool {
    false
}

macro_rules! messages {
    ($($name:ident)*) => { $(
        /// The format alone: the arguments of a variadic call cannot be had here.
        #[unsafe(no_mangle)]
        extern "C" fn $name(
            _: *mut c_void,
            _: *const c_char,
            _: c_int,
            format: *const c_char,
            text: *const c_char,
        ) {
            print_message(stringify!($name), format, text);
        }
    )* };
}

messages! {
    tcmu_err_message tcmu_warn_message tcmu_info_message tcmu_dbg_message tcmu_dbg_scsi_cmd_message
}

/// Shows errors and warnings of the handler on standard error.
fn print_message(function: &str, format: *const c_char, text: *const c_char) {
    if !function.contains("err") && !function.contains("warn") {
        return;
    }
    // SAFETY: NUL-terminated, both: a handler's format is a literal; its argument is read only
    // where it must be a string.
    let format = unsafe { CStr::from_ptr(format) };
    let text = if format == c"%s\n" {
        // SAFETY: as above.
        unsafe { CStr::from_ptr(text) }
    } else {
        c""
    };
    eprintln!(
        "{function}: {} {}",
        format.to_string_lossy().trim_end(),
        text.to_string_lossy().trim_end()
    );
}
