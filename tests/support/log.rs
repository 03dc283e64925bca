//! The lines that the plugin has written to the daemon's log.

use std::ffi::{CStr, c_char, c_int};
use std::sync::Mutex;

use super::wire::FakeDevice;

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn push(level: &str, line: &str) {
    LINES.lock().unwrap().push(format!("{level}: {}", line.trim_end()));
}

/// All lines so far that contain `text` (a path that only this test uses).
pub fn lines(text: &str) -> Vec<String> {
    LINES.lock().unwrap().iter().filter(|line| line.contains(text)).cloned().collect()
}

macro_rules! messages {
    ($($name:ident: $level:literal,)*) => { $(
        /// The original is variadic. The plugin always passes one string, which on Linux' 64-bit ABIs arrives just so.
        #[unsafe(no_mangle)]
        extern "C" fn $name(_: *mut FakeDevice, _: *const c_char, _: c_int, format: *const c_char, text: *const c_char) {
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
