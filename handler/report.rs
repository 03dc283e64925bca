//! Log lines that cannot flood.
//!
//! `error!`, `warn!` and `info!` pass [`BURST`] lines per call site and [`WINDOW`], then count what they hold back and say
//! how many it were. Whatever an initiator or a sick volume can trigger uses these. The `_always` forms are for opening,
//! closing and configuring, which an admin triggers.
//!
//! Levels, by audience: *error*: an initiator saw a failure or a LUN is unusable. *warn*: degraded, or an oddity that was
//! mended. *info*: open, close, resize, connection changes. *debug*: each failed command.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Lines a call site may write within a [`WINDOW`].
const BURST: u64 = 10;
const WINDOW: Duration = Duration::from_secs(5);

/// The allowance of one call site.
#[derive(Debug, Default)]
pub(crate) struct Limit {
    /// Milliseconds since the first line of the process at which the current window began.
    since: AtomicU64,
    /// Lines asked for in the window.
    asked: AtomicU64,
}

impl Limit {
    /// A fresh allowance.
    #[must_use]
    pub(crate) const fn new() -> Self {
        Self { since: AtomicU64::new(0), asked: AtomicU64::new(0) }
    }

    /// None: hold the line back. Some(n): write it; n lines were held back before it.
    ///
    /// Races between threads may pass a line more or miscount one: good enough for a log, and free of locks.
    pub(crate) fn pass(&self) -> Option<u64> {
        static START: OnceLock<Instant> = OnceLock::new();
        let elapsed = START.get_or_init(Instant::now).elapsed();
        self.pass_at(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
    }

    fn pass_at(&self, now: u64) -> Option<u64> {
        let since = self.since.load(Ordering::Relaxed);
        let window = u64::try_from(WINDOW.as_millis()).unwrap_or(u64::MAX);
        if now.saturating_sub(since) >= window {
            self.since.store(now, Ordering::Relaxed);
            let asked = self.asked.swap(1, Ordering::Relaxed);
            return Some(asked.saturating_sub(BURST));
        }
        (self.asked.fetch_add(1, Ordering::Relaxed) < BURST).then_some(0)
    }
}

macro_rules! limited {
    ($level:expr, $($text:tt)+) => {{
        static LIMIT: $crate::report::Limit = $crate::report::Limit::new();
        match LIMIT.pass() {
            None => {}
            Some(0) => ::log::log!($level, $($text)+),
            Some(held_back) => ::log::log!($level, "{} ({held_back} lines like this were held back)", format_args!($($text)+)),
        }
    }};
}

macro_rules! error { ($($text:tt)+) => { $crate::report::limited!(::log::Level::Error, $($text)+) }; }
macro_rules! warning { ($($text:tt)+) => { $crate::report::limited!(::log::Level::Warn, $($text)+) }; }
macro_rules! error_always { ($($text:tt)+) => { ::log::log!(::log::Level::Error, $($text)+) }; }
macro_rules! warning_always { ($($text:tt)+) => { ::log::log!(::log::Level::Warn, $($text)+) }; }
macro_rules! info_always { ($($text:tt)+) => { ::log::log!(::log::Level::Info, $($text)+) }; }

pub(crate) use {error, error_always, info_always, limited, warning, warning_always};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storm_passes_a_burst_and_then_says_how_many_it_held_back() {
        let limit = Limit::new();
        assert_eq!((0..1000).filter_map(|_| limit.pass_at(1)).count(), 10);
        assert_eq!(limit.pass_at(6000), Some(990));
        assert_eq!(limit.pass_at(6001), Some(0));
    }
}
