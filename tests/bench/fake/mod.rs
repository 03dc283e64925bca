// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! tcmu-runner, as far as a handler under load sees it. The same as in the tests, but answers take
//! the shortest way.

#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    reason = "shared with the tests, which use the rest"
)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::multiple_unsafe_ops_per_block,
    reason = "as the tests"
)]

#[path = "../../support/symbols.rs"]
pub(crate) mod symbols;
#[path = "../../support/wire.rs"]
pub(crate) mod wire;

/// Where the symbols look for what is done with an answer.
pub(crate) mod runner {
    pub(crate) use crate::target::handler::completed;
}

/// Functions that only the C handler calls.
mod peer {
    use std::ffi::{c_char, c_int, c_void};

    use libc::iovec;

    use super::wire::FakeDevice;

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
            extern "C" fn $name(_: *mut c_void, _: *const c_char, _: c_int, format: *const c_char, text: *const c_char) {
                super::say(stringify!($name), format, text);
            }
        )* };
    }

    messages! { tcmu_err_message tcmu_warn_message tcmu_info_message tcmu_dbg_message tcmu_dbg_scsi_cmd_message }
}

/// Shows errors and warnings of the handler on standard error.
fn say(function: &str, format: *const std::ffi::c_char, text: *const std::ffi::c_char) {
    if !function.contains("err") && !function.contains("warn") {
        return;
    }
    // SAFETY: NUL-terminated, both: a handler's format is a literal; its argument is read only
    // where it must be a string.
    let format = unsafe { std::ffi::CStr::from_ptr(format) };
    let text = if format == c"%s\n" {
        // SAFETY: as above.
        unsafe { std::ffi::CStr::from_ptr(text) }
    } else {
        c""
    };
    eprintln!(
        "{function}: {} {}",
        format.to_string_lossy().trim_end(),
        text.to_string_lossy().trim_end()
    );
}
