// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Log lines that cannot flood, and whose they are.
//!
//! `error!` and `warning!` are for whatever an initiator or a sick volume can trigger: each place
//! in the code has an allowance for each LUN ([`storm`]), so that a storm on one silences no other.
//! What is held back is counted, and told with the next line, or by [`Log::settle`] when the storm
//! is over. Commands that fail are told through [`Log::failed`], which also tells the first one of
//! its kind that succeeds again. The `_always` forms are for opening, closing and configuring,
//! which an admin triggers.
//!
//! Levels, by audience: *error*: an initiator saw a failure or a LUN is unusable. *warn*: degraded,
//! or an oddity that was mended. *info*: open, close, resize, connection changes. *debug*: each
//! failed command.

mod storm;

use std::fmt::Arguments;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use log::{Level, LevelFilter};

use self::storm::Storm;

/// The lines of one LUN, or of the plugin.
#[derive(Debug)]
pub(crate) struct Log {
    /// Begins every line, unless it is empty.
    label: String,
    /// How detailed they are, as a [`LevelFilter`].
    detail: AtomicUsize,
    /// A bit for each kind of command that fails at present.
    failing: AtomicU32,
    storms: Mutex<Vec<Told>>,
}

/// What is going on.
#[derive(Debug)]
struct Told {
    /// Where: a place in the code, or a kind of command.
    place: &'static str,
    storm: Storm,
    /// The last line about it.
    line: String,
}

/// For lines about no LUN.
pub(crate) static PLUGIN: Log = Log::new(String::new());

/// A kind of command.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    /// Which bit of a mask.
    pub(crate) number: u32,
    /// What it is called.
    pub(crate) name: &'static str,
}

impl Log {
    pub(crate) const fn new(label: String) -> Self {
        Self {
            label,
            detail: AtomicUsize::new(LevelFilter::Info as usize),
            failing: AtomicU32::new(0),
            storms: Mutex::new(Vec::new()),
        }
    }

    /// Writes nothing of more detail from now on. At [`LevelFilter::Debug`] debug lines are written
    /// even if the daemon has no interest in any: as info lines.
    pub(crate) fn set_detail(&self, detail: LevelFilter) {
        self.detail.store(detail as usize, Ordering::Relaxed);
    }

    fn wants(&self, level: Level) -> bool {
        level as usize <= self.detail.load(Ordering::Relaxed)
    }

    /// Writes a line, whatever there has been before it.
    pub(crate) fn always(&self, level: Level, text: Arguments<'_>) {
        if !self.wants(level) {
            return;
        }
        match self.label.as_str() {
            "" => log::log!(level, "{text}"),
            label => log::log!(level, "{label}: {text}"),
        }
    }

    /// Writes a line, unless there are too many from `place`.
    pub(crate) fn limited(&self, level: Level, place: &'static str, text: Arguments<'_>) {
        if self.wants(level) {
            self.tell(level, place, text);
        }
    }

    /// Writes that a command of this kind has failed, unless there are too many.
    pub(crate) fn failed(&self, kind: Kind, text: Arguments<'_>) {
        if !self.tell(Level::Error, kind.name, text) {
            self.debug(text);
        }
        // After the storm is there to be ended.
        self.failing.fetch_or(1 << kind.number, Ordering::Relaxed);
    }

    /// A command of this kind has succeeded. Nearly always that is all there is to it.
    pub(crate) fn succeeded(&self, kind: Kind) {
        if self.failing.load(Ordering::Relaxed) & (1 << kind.number) != 0 {
            self.works_again(kind);
        }
    }

    #[cold]
    fn works_again(&self, kind: Kind) {
        self.failing.fetch_and(!(1 << kind.number), Ordering::Relaxed);
        let now = Instant::now();
        let mut storms = self.storms();
        let told = storms
            .iter_mut()
            .find(|told| told.place == kind.name)
            .and_then(|told| told.storm.success(now));
        drop(storms);
        if let Some((failures, lasted)) = told {
            let (name, s) = (kind.name, if failures == 1 { "" } else { "s" });
            let lasted = lasted.as_secs_f64();
            self.always(
                Level::Warn,
                format_args!("{name} serves again after {failures} failure{s} in {lasted:.1} s"),
            );
        }
    }

    fn debug(&self, text: Arguments<'_>) {
        let level = match (log::log_enabled!(Level::Debug), self.wants(Level::Debug)) {
            (true, _) => Level::Debug,
            (false, true) => Level::Info,
            (false, false) => return,
        };
        log::log!(level, "{}: {text}", self.label);
    }

    /// Whether the line has been written.
    fn tell(&self, level: Level, place: &'static str, text: Arguments<'_>) -> bool {
        let now = Instant::now();
        let mut storms = self.storms();
        let known = storms.iter().position(|told| told.place == place);
        let index = known.unwrap_or_else(|| {
            storms.push(Told { place, storm: Storm::new(now), line: String::new() });
            storms.len() - 1
        });
        let Some(told) = storms.get_mut(index) else { return false };
        let Some(held_back) = told.storm.failure(now) else { return false };
        told.line = text.to_string();
        drop(storms);
        match held_back {
            0 => self.always(level, text),
            n => {
                self.always(level, format_args!("{text} ({n} like this before it were held back)"))
            }
        }
        true
    }

    /// Tells what storms that are over have held back; at the end of a LUN, all of them.
    pub(crate) fn settle(&self, at_last: bool) {
        let now = Instant::now();
        let mut untold = Vec::new();
        self.storms().retain_mut(|told| {
            let over = at_last || told.storm.is_over(now);
            if over && let Some((count, last)) = told.storm.untold() {
                untold.push((
                    count,
                    now.duration_since(last).as_secs(),
                    std::mem::take(&mut told.line),
                ));
            }
            !over
        });
        for (count, ago, line) in untold {
            let level = Level::Warn;
            self.always(
                level,
                format_args!("{count} more like this were held back, the last {ago} s ago: {line}"),
            );
        }
    }

    fn storms(&self) -> MutexGuard<'_, Vec<Told>> {
        self.storms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

macro_rules! place {
    () => {
        concat!(file!(), ":", line!())
    };
}
macro_rules! error {
    ($log:expr, $($text:tt)+) => { $log.limited(::log::Level::Error, $crate::report::place!(), format_args!($($text)+)) };
}
macro_rules! warning {
    ($log:expr, $($text:tt)+) => { $log.limited(::log::Level::Warn, $crate::report::place!(), format_args!($($text)+)) };
}
macro_rules! error_always { ($log:expr, $($text:tt)+) => { $log.always(::log::Level::Error, format_args!($($text)+)) }; }
macro_rules! warning_always { ($log:expr, $($text:tt)+) => { $log.always(::log::Level::Warn, format_args!($($text)+)) }; }
macro_rules! info_always { ($log:expr, $($text:tt)+) => { $log.always(::log::Level::Info, format_args!($($text)+)) }; }

pub(crate) use {error, error_always, info_always, place, warning, warning_always};
