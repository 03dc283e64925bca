// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Rate-limited log lines, each with the label of its LUN.
//!
//! `error!` and `warning!` are for events that an initiator or a failing volume can trigger at any
//! rate: each call site has a rate limit per LUN ([`rate_limit`]), so that a flood on one LUN
//! silences no other. Suppressed lines are counted; the count goes into the next line, or is
//! written by [`Log::flush_suppressed`] once the failures have ended. Failed commands go through
//! [`Log::failed`]; [`Log::succeeded`] then logs the first success of that kind. The `_always`
//! forms are for opening, closing and configuring, which an admin triggers.
//!
//! Levels, by audience: *error*: an initiator saw a failure or a LUN is unusable. *warn*: degraded,
//! or an irregularity that was repaired. *info*: open, close, resize, connection changes. *debug*:
//! each failed command.

mod rate_limit;

use std::fmt::Arguments;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use ::log::{Level, LevelFilter};

use self::rate_limit::RateLimiter;

/// Logger of one LUN, or of the plugin.
#[derive(Debug)]
pub(crate) struct Log {
    /// Prefix of every line, unless empty.
    label: String,
    /// Most detailed level that is written, as a [`LevelFilter`].
    max_level: AtomicUsize,
    /// A bit for each kind of command that fails at present.
    failing: AtomicU32,
    call_sites: Mutex<Vec<CallSite>>,
}

/// Rate limit of one source of lines.
#[derive(Debug)]
struct CallSite {
    /// `FILE:LINE` of the macro, or the name of a kind of command.
    name: &'static str,
    limiter: RateLimiter,
    /// The last line written.
    line: String,
}

/// Logger of the plugin, for lines about no LUN.
pub(crate) static PLUGIN: Log = Log::new(String::new());

/// A kind of command whose failures and recovery are logged together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    /// Bit number in a mask of 32.
    pub(crate) number: u32,
    /// Name in log lines.
    pub(crate) name: &'static str,
}

impl Log {
    pub(crate) const fn new(label: String) -> Self {
        Self {
            label,
            max_level: AtomicUsize::new(LevelFilter::Info as usize),
            failing: AtomicU32::new(0),
            call_sites: Mutex::new(Vec::new()),
        }
    }

    /// What stands before its lines; empty for those about no LUN.
    pub(crate) fn label(&self) -> &str {
        &self.label
    }

    /// Sets the most detailed level that is written. At [`LevelFilter::Debug`] debug lines are
    /// written even if the daemon's log level excludes them: as info lines.
    pub(crate) fn set_max_level(&self, level: LevelFilter) {
        self.max_level.store(level as usize, Ordering::Relaxed);
    }

    fn enabled(&self, level: Level) -> bool {
        level as usize <= self.max_level.load(Ordering::Relaxed)
    }

    /// Writes a line without a rate limit.
    pub(crate) fn always(&self, level: Level, text: Arguments<'_>) {
        if !self.enabled(level) {
            return;
        }
        match self.label.as_str() {
            "" => ::log::log!(level, "{text}"),
            label => ::log::log!(level, "{label}: {text}"),
        }
    }

    /// Writes a line within the rate limit of `call_site`.
    pub(crate) fn limited(&self, level: Level, call_site: &'static str, text: Arguments<'_>) {
        if self.enabled(level) {
            self.write_limited(level, call_site, text);
        }
    }

    /// Logs the failure of a command, within the rate limit of its kind.
    pub(crate) fn failed(&self, kind: Kind, text: Arguments<'_>) {
        if !self.write_limited(Level::Error, kind.name, text) {
            self.debug(text);
        }
        // After its call site exists: `log_recovery` looks it up.
        self.failing.fetch_or(1 << kind.number, Ordering::Relaxed);
    }

    /// Records the success of a command: logged if the kind has been failing.
    pub(crate) fn succeeded(&self, kind: Kind) {
        if self.failing.load(Ordering::Relaxed) & (1 << kind.number) != 0 {
            self.log_recovery(kind);
        }
    }

    #[cold]
    fn log_recovery(&self, kind: Kind) {
        self.failing.fetch_and(!(1 << kind.number), Ordering::Relaxed);
        let now = Instant::now();
        let mut call_sites = self.call_sites();
        let ended = call_sites
            .iter_mut()
            .find(|site| site.name == kind.name)
            .and_then(|site| site.limiter.success(now));
        drop(call_sites);
        if let Some((failures, lasted)) = ended {
            let (name, s) = (kind.name, if failures == 1 { "" } else { "s" });
            let lasted = lasted.as_secs_f64();
            self.always(
                Level::Warn,
                format_args!("{name} serves again after {failures} failure{s} in {lasted:.1} s"),
            );
        }
    }

    fn debug(&self, text: Arguments<'_>) {
        let level = match (::log::log_enabled!(Level::Debug), self.enabled(Level::Debug)) {
            (true, _) => Level::Debug,
            (false, true) => Level::Info,
            (false, false) => return,
        };
        ::log::log!(level, "{}: {text}", self.label);
    }

    /// Whether the line has been written, rather than suppressed.
    fn write_limited(&self, level: Level, name: &'static str, text: Arguments<'_>) -> bool {
        let now = Instant::now();
        let mut call_sites = self.call_sites();
        let known = call_sites.iter().position(|site| site.name == name);
        let index = known.unwrap_or_else(|| {
            let limiter = RateLimiter::new(now);
            call_sites.push(CallSite { name, limiter, line: String::new() });
            call_sites.len() - 1
        });
        let Some(site) = call_sites.get_mut(index) else { return false };
        let Some(suppressed) = site.limiter.failure(now) else { return false };
        site.line = text.to_string();
        drop(call_sites);
        match suppressed {
            0 => self.always(level, text),
            n => {
                self.always(level, format_args!("{text} ({n} like this before it were held back)"));
            }
        }
        true
    }

    /// Writes the counts of suppressed lines whose failures have ended; with `all`, as a LUN is
    /// closed, every count.
    pub(crate) fn flush_suppressed(&self, all: bool) {
        let now = Instant::now();
        let mut pending = Vec::new();
        self.call_sites().retain_mut(|site| {
            let over = all || site.limiter.is_over(now);
            if over && let Some((count, last)) = site.limiter.suppressed() {
                let ago = now.duration_since(last).as_secs();
                pending.push((count, ago, std::mem::take(&mut site.line)));
            }
            !over
        });
        for (count, ago, line) in pending {
            let level = Level::Warn;
            self.always(
                level,
                format_args!("{count} more like this were held back, the last {ago} s ago: {line}"),
            );
        }
    }

    fn call_sites(&self) -> MutexGuard<'_, Vec<CallSite>> {
        self.call_sites.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `FILE:LINE` of the line, as the name of its call site.
macro_rules! call_site {
    () => {
        concat!(file!(), ":", line!())
    };
}
macro_rules! error {
    ($log:expr, $($text:tt)+) => {
        $log.limited(::log::Level::Error, $crate::log::call_site!(), format_args!($($text)+))
    };
}
macro_rules! warning {
    ($log:expr, $($text:tt)+) => {
        $log.limited(::log::Level::Warn, $crate::log::call_site!(), format_args!($($text)+))
    };
}
macro_rules! error_always {
    ($log:expr, $($text:tt)+) => {
        $log.always(::log::Level::Error, format_args!($($text)+))
    };
}
macro_rules! warning_always {
    ($log:expr, $($text:tt)+) => {
        $log.always(::log::Level::Warn, format_args!($($text)+))
    };
}
macro_rules! info_always {
    ($log:expr, $($text:tt)+) => {
        $log.always(::log::Level::Info, format_args!($($text)+))
    };
}

pub(crate) use {call_site, error, error_always, info_always, warning, warning_always};
