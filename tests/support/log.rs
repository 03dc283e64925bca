//! The lines that the plugin has written to the daemon's log.

use std::sync::Mutex;

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

pub fn push(level: &str, line: &str) {
    LINES.lock().unwrap().push(format!("{level}: {}", line.trim_end()));
}

/// All lines so far that contain `text` (a path that only this test uses).
pub fn lines(text: &str) -> Vec<String> {
    LINES.lock().unwrap().iter().filter(|line| line.contains(text)).cloned().collect()
}
