// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The lines that the plugin has written to the daemon's log.

use std::ffi::{CStr, c_char, c_int};
use std::fs;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use super::c_abi::FakeDevice;

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());
/// Held by a test: the daemon's log takes no line meanwhile, and whoever writes one waits.
pub static STUCK: Mutex<()> = Mutex::new(());

fn push(level: &str, line: &str) {
    drop(STUCK.lock());
    LINES.lock().unwrap().push(format!("{level}: {}", line.trim_end()));
}

/// All lines so far that contain `text` (a path that only this test uses).
pub fn lines(text: &str) -> Vec<String> {
    settle();
    LINES.lock().unwrap().iter().filter(|line| line.contains(text)).cloned().collect()
}

/// All lines that have been written by now.
pub fn so_far() -> Vec<String> {
    LINES.lock().unwrap().clone()
}

/// As if none had been written.
pub fn forget() {
    *LINES.lock().unwrap() = Vec::new();
}

/// Waits until the plugin's thread has written what there is: it sleeps then, and not for a moment.
fn settle() {
    let mut asleep = 0;
    while asleep < 3 {
        asleep = if writers().all(|state| state == "S") { asleep + 1 } else { 0 };
        thread::sleep(Duration::from_millis(1));
    }
}

/// The states of the threads that write lines: at most one.
fn writers() -> impl Iterator<Item = String> {
    let tasks = fs::read_dir("/proc/self/task").unwrap().flatten();
    tasks.filter_map(|task| fs::read_to_string(task.path().join("stat")).ok()).filter_map(|stat| {
        let state = stat.split_once("(glfs-log) ")?.1.split(' ').next()?;
        Some(state.to_owned())
    })
}

macro_rules! messages {
    ($($name:ident: $level:literal,)*) => { $(
        /// The original is variadic. The plugin always passes one string, which on Linux' 64-bit
        /// ABIs arrives just so.
        #[unsafe(no_mangle)]
        extern "C" fn $name(
            _: *mut FakeDevice,
            _: *const c_char,
            _: c_int,
            format: *const c_char,
            text: *const c_char,
        ) {
            // SAFETY: NUL-terminated strings of the caller's.
            let (format, text) = unsafe { (CStr::from_ptr(format), CStr::from_ptr(text)) };
            assert_eq!(format, c"%s\n");
            assert!(text.to_bytes().len() <= 245, "cut by the daemon: {text:?}");
            push($level, &text.to_string_lossy());
        }
    )* };
}

messages! {
    tcmu_err_message: "error",
    tcmu_warn_message: "warn",
    tcmu_info_message: "info",
    tcmu_dbg_message: "debug",
    tcmu_dbg_scsi_cmd_message: "trace",
}
