//! The plugin's log lines, into the daemon's log.

use std::ffi::CString;
use std::ptr;

use log::{Level, LevelFilter, Log, Metadata, Record};

use super::entry::RUNNER;
use super::symbols::Message;

/// Bytes of text a line has room for: the daemon formats into 255, after a prefix `glfs:0: ` and with our newline.
const ROOM: usize = 240;

/// Sends every record to `tcmu_*_message`.
pub(super) struct RunnerLog;

/// Directs the `log` facade, and with it all of the plugin's lines, into the daemon's log.
pub(super) fn install() {
    // A second call (another handler_init in one process) finds the logger in place.
    if log::set_logger(&RunnerLog).is_ok() {
        log::set_max_level(LevelFilter::Trace);
    }
}

impl Log for RunnerLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // The daemon's internal numbers: CRIT 2, ERROR 3, WARN 4, INFO 6, DEBUG 7, DEBUG_SCSI_CMD 8.
        let needed = match metadata.level() {
            Level::Error => 3,
            Level::Warn => 4,
            Level::Info => 6,
            Level::Debug => 7,
            Level::Trace => 8,
        };
        // SAFETY: a plain getter.
        RUNNER.get().is_some_and(|runner| unsafe { (runner.symbols.tcmu_get_log_level)() } >= needed)
    }

    fn log(&self, record: &Record<'_>) {
        let Some(runner) = RUNNER.get() else { return };
        if !self.enabled(record.metadata()) {
            return;
        }
        let say = match record.level() {
            Level::Error => runner.symbols.tcmu_err_message,
            Level::Warn => runner.symbols.tcmu_warn_message,
            Level::Info => runner.symbols.tcmu_info_message,
            Level::Debug => runner.symbols.tcmu_dbg_message,
            Level::Trace => runner.symbols.tcmu_dbg_scsi_cmd_message,
        };
        let text = record.args().to_string().replace(['\n', '\0'], " ");
        for line in lines(&text) {
            line_out(say, line);
        }
    }

    fn flush(&self) {}
}

fn line_out(say: Message, line: &str) {
    let Ok(line) = CString::new(line) else { return };
    // No device: the daemon would read its name from it, and a LUN's last lines are said when its device is gone. The function
    // name is short because the daemon prints it into a fixed buffer without looking at its length.
    // SAFETY: all strings are NUL-terminated and outlive the call; the format takes one string.
    unsafe { say(ptr::null_mut(), c"glfs".as_ptr(), 0, c"%s\n".as_ptr(), line.as_ptr()) };
}

/// Cuts a text into lines that fit, at blanks where there are any.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let mut end = rest.len();
        if end > ROOM {
            end = (0..=ROOM).rev().find(|&end| rest.is_char_boundary(end)).unwrap_or(ROOM);
            end = rest.get(..end).and_then(|head| head.rfind(' ')).filter(|&blank| blank > 0).unwrap_or(end);
        }
        let (line, tail) = rest.split_at(end);
        rest = tail.trim_start();
        Some(line)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_is_cut_at_blanks_and_nothing_is_lost() {
        let text = "word ".repeat(200);
        let cut: Vec<&str> = lines(text.trim_end()).collect();
        assert!(cut.iter().all(|line| line.len() <= ROOM && line.ends_with("word")));
        assert_eq!(cut.join(" "), text.trim_end());
    }

    #[test]
    fn text_without_blanks_is_cut_between_characters() {
        let text = "\u{e4}".repeat(500);
        assert_eq!(lines(&text).collect::<String>(), text);
    }
}
