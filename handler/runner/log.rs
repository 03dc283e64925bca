// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The plugin's log lines, into the daemon's log.
//!
//! The daemon writes a line to its file while the caller waits, one caller at a time: a disk that
//! is slow, or full, or gone would stop every LUN that has something to say. So lines go into a
//! queue, and a thread of ours writes them. What does not fit is counted, and the count is a line
//! of its own, in its place.

use std::collections::VecDeque;
use std::ffi::CString;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use log::{Level, LevelFilter, Log, Metadata, Record};

use super::symbols::{self, Symbols};

/// Bytes of text a line has room for: the daemon formats into 255, after a prefix `glfs:0: ` and
/// with our newline.
const ROOM: usize = 240;
/// Stand where a text was cut.
const END: &str = " ...";
const BEGIN: &str = "... ";
/// Texts that may wait.
const DEPTH: usize = 1000;
/// How long the daemon's exit waits for the last lines.
const FAREWELL: Duration = Duration::from_secs(2);

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
        // The daemon's internal numbers: CRIT 2, ERROR 3, WARN 4, INFO 6, DEBUG 7, DEBUG_SCSI_CMD
        // 8.
        let needed = match metadata.level() {
            Level::Error => 3,
            Level::Warn => 4,
            Level::Info => 6,
            Level::Debug => 7,
            Level::Trace => 8,
        };
        // SAFETY: a plain getter.
        symbols::loaded().is_some_and(|symbols| unsafe { (symbols.tcmu_get_log_level)() } >= needed)
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            push((record.level(), record.args().to_string()));
        }
    }

    fn flush(&self) {}
}

type Line = (Level, String);

/// What is to be written.
struct Queue {
    waiting: VecDeque<Line>,
    /// Lines that did not fit, after those that wait.
    lost: u64,
    /// The thread that writes them is there.
    writer: bool,
    /// A line is being written.
    busy: bool,
    /// The daemon's log is about to go.
    closed: bool,
}

static QUEUE: Mutex<Queue> = Mutex::new(Queue {
    waiting: VecDeque::new(),
    lost: 0,
    writer: false,
    busy: false,
    closed: false,
});
/// There is something to write.
static MORE: Condvar = Condvar::new();
/// There is nothing left to write.
static DONE: Condvar = Condvar::new();

/// Never held while the daemon writes.
fn queue() -> MutexGuard<'static, Queue> {
    QUEUE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Queue {
    /// Puts a line at the end. The count of those that did not fit comes before it.
    fn push(&mut self, line: Line) {
        if self.closed {
            return;
        }
        if self.waiting.len() >= DEPTH {
            self.lost += 1;
            return;
        }
        let count = self.count();
        self.waiting.extend(count);
        self.waiting.push_back(line);
    }

    fn next(&mut self) -> Option<Line> {
        self.waiting.pop_front().or_else(|| self.count())
    }

    fn count(&mut self) -> Option<Line> {
        let lost = std::mem::take(&mut self.lost);
        (lost > 0).then(|| {
            (
                Level::Warn,
                format!("{lost} lines are missing here: tcmu-runner's log did not take them"),
            )
        })
    }
}

fn push(line: Line) {
    let mut queue = queue();
    queue.push(line);
    if queue.writer {
        MORE.notify_one();
        return;
    }
    queue.writer = true;
    drop(queue);
    // At the first line, and not in handler_init: a daemon that goes into the background afterwards
    // would leave the thread behind.
    let thread = thread::Builder::new().name(String::from("glfs-log")).spawn(|| write(true));
    if thread.is_err() {
        write(false);
    }
}

/// Writes what there is, and what there will be if it is to `stay`.
fn write(stay: bool) {
    let Some(symbols) = symbols::loaded() else { return };
    let mut queue = queue();
    loop {
        while let Some((level, text)) = queue.next() {
            queue.busy = true;
            drop(queue);
            // A panic would cost this line, and must not cost all that come after.
            let write = || write_line(symbols, level, &text);
            let _panicked = catch_unwind(AssertUnwindSafe(write)).is_err();
            queue = self::queue();
            queue.busy = false;
        }
        DONE.notify_all();
        if !stay {
            queue.writer = false;
            return;
        }
        queue = MORE.wait(queue).unwrap_or_else(PoisonError::into_inner);
    }
}

/// Waits, within bounds, until everything is written; nothing is written afterwards. For the end of
/// the daemon: it takes its log down.
pub(super) fn close() {
    let mut queue = queue();
    queue.closed = true;
    let unwritten = |queue: &mut Queue| queue.busy || queue.lost > 0 || !queue.waiting.is_empty();
    drop(DONE.wait_timeout_while(queue, FAREWELL, unwritten));
}

fn write_line(symbols: &Symbols, level: Level, text: &str) {
    let say = match level {
        Level::Error => symbols.tcmu_err_message,
        Level::Warn => symbols.tcmu_warn_message,
        Level::Info => symbols.tcmu_info_message,
        Level::Debug => symbols.tcmu_dbg_message,
        Level::Trace => symbols.tcmu_dbg_scsi_cmd_message,
    };
    for line in lines(&text.replace(['\n', '\0'], " ")) {
        let line = CString::new(line).unwrap_or_default();
        // No device: the daemon would read its name from it, and a LUN's last lines are said when
        // its device is gone. The function name is short because the daemon prints it into a fixed
        // buffer without looking at its length. SAFETY: all strings are NUL-terminated and outlive
        // the call; the format takes one string.
        unsafe { say(ptr::null_mut(), c"glfs".as_ptr(), 0, c"%s\n".as_ptr(), line.as_ptr()) };
    }
}

/// Cuts a text into lines that fit, at blanks where there are any, and marks where it was cut.
fn lines(text: &str) -> Vec<String> {
    let (mut lines, mut begin, mut rest) = (Vec::new(), "", text);
    while begin.len() + rest.len() > ROOM {
        let room = ROOM - begin.len() - END.len();
        let end = (0..=room).rev().find(|&end| rest.is_char_boundary(end)).unwrap_or(room);
        let blank = rest.get(..=end).and_then(|head| head.rfind(' ')).filter(|&blank| blank > 0);
        let (line, tail) = rest.split_at(blank.unwrap_or(end));
        lines.push(format!("{begin}{line}{END}"));
        (begin, rest) = (BEGIN, tail.trim_start());
    }
    lines.push(format!("{begin}{rest}"));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_counted_in_its_place() {
        let mut queue =
            Queue { waiting: VecDeque::new(), lost: 0, writer: false, busy: false, closed: false };
        let line = |n: usize| (Level::Info, n.to_string());
        (0..DEPTH + 7).for_each(|n| queue.push(line(n)));
        assert_eq!(queue.next(), Some(line(0)));
        queue.push(line(DEPTH + 7));
        for n in 1..DEPTH {
            assert_eq!(queue.next(), Some(line(n)));
        }
        assert!(queue.next().unwrap().1.starts_with("7 lines are missing here"));
        assert_eq!((queue.next(), queue.next()), (Some(line(DEPTH + 7)), None));
        (0..=DEPTH).for_each(|n| queue.push(line(n)));
        let last = std::iter::from_fn(|| queue.next()).last();
        assert!(
            last.unwrap().1.starts_with("1 lines are missing here"),
            "also when nothing follows"
        );
        queue.closed = true;
        queue.push(line(0));
        assert_eq!(queue.next(), None);
    }

    /// The text again, from its lines.
    fn joined(lines: &[String], between: &str) -> String {
        let (last, cut) = lines.split_last().unwrap();
        let bare = |line: &str| line.strip_prefix(BEGIN).unwrap_or(line).to_owned();
        let cut = cut.iter().map(|line| bare(line.strip_suffix(END).unwrap()) + between);
        cut.collect::<String>() + &bare(last)
    }

    #[test]
    fn long_text_is_cut_at_blanks_or_between_characters_and_nothing_is_lost() {
        for (word, between) in [("word ", " "), ("\u{e4}", "")] {
            let text = word.repeat(500);
            let cut = lines(text.trim_end());
            assert!(cut.len() > 1 && cut.iter().all(|line| line.len() <= ROOM), "{cut:?}");
            assert_eq!(joined(&cut, between), text.trim_end());
        }
    }

    #[test]
    fn what_fits_is_one_line() {
        for length in [0, 1, ROOM] {
            assert_eq!(lines(&"x".repeat(length)), ["x".repeat(length)]);
        }
        assert_eq!(lines(&"x".repeat(ROOM + 1)).len(), 2);
    }
}
