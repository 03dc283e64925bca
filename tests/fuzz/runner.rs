// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The daemon: loads the plugin that is linked in, and takes its answers and log lines.

use std::collections::HashMap;
use std::ffi::{c_char, c_int, c_void};
use std::sync::atomic::Ordering;
use std::sync::{Condvar, LazyLock, Mutex};
use std::time::Duration;

use testbed::c_abi::{FakeDevice, Table};
use testbed::symbols::{ON_COMPLETION, TABLE};

/// Statuses of commands that have been answered, by their addresses.
static ANSWERS: Mutex<Option<HashMap<usize, c_int>>> = Mutex::new(None);
static ANSWERED: Condvar = Condvar::new();

fn completed(_: *mut FakeDevice, cmd: *mut c_void, status: c_int) {
    let mut answers = ANSWERS.lock().unwrap();
    let twice = answers.get_or_insert_default().insert(cmd.addr(), status);
    assert!(twice.is_none(), "a command was answered twice");
    ANSWERED.notify_all();
}

/// The status of a command that was queued, if it is answered by now.
pub fn answer(cmd: *mut c_void) -> Option<c_int> {
    ANSWERS.lock().unwrap().get_or_insert_default().remove(&cmd.addr())
}

/// Waits for an answer, to any command.
pub fn wait(time: Duration) {
    let answers = ANSWERS.lock().unwrap();
    if answers.as_ref().is_none_or(HashMap::is_empty) {
        drop(ANSWERED.wait_timeout(answers, time).unwrap());
    }
}

/// The plugin's table of callbacks.
pub fn table() -> &'static Table {
    static LOADED: LazyLock<()> = LazyLock::new(|| {
        // SAFETY: nothing else reads the environment yet.
        unsafe {
            std::env::set_var("TCMU_GLFS_METRICS_SOCKET", "");
            std::env::set_var("TCMU_GLFS_CONFIG", "/nonexistent/glfs.toml");
        }
        ON_COMPLETION.set(completed).expect("loaded once");
        assert_eq!(handler_glfs::handler_init(), 0, "handler_init failed");
    });
    LazyLock::force(&LOADED);
    // SAFETY: registered by handler_init, with a table that lives for ever.
    unsafe { &*TABLE.load(Ordering::SeqCst) }
}

macro_rules! messages {
    ($($name:ident)*) => { $(
        #[unsafe(no_mangle)]
        extern "C" fn $name(
            _: *mut FakeDevice, _: *const c_char, _: c_int, _: *const c_char, text: *const c_char,
        ) {
            if std::env::var_os("FUZZ_LOG").is_some() {
                // SAFETY: a NUL-terminated string of the caller's.
                eprintln!("{:?}", unsafe { std::ffi::CStr::from_ptr(text) });
            }
        }
    )* };
}

messages! {
    tcmu_err_message tcmu_warn_message tcmu_info_message tcmu_dbg_message tcmu_dbg_scsi_cmd_message
}
