// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Rate limit of log lines: of repeated failures at one call site of one LUN, which are logged.

use std::time::{Duration, Instant};

/// Lines before the first is suppressed.
const BURST: u32 = 5;
/// Then one line per window, which grows fourfold with each line: failures that last a year have a
/// dozen more lines.
const FIRST_WINDOW: Duration = Duration::from_secs(5);
const GROWTH: u32 = 4;
/// A series of failures is over after one window without a failure, within these bounds.
const QUIET_TIME: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(60));
/// Recovery from failures that lasted this long is always logged, however often it has been before.
const LONG_FAILURE: Duration = Duration::from_secs(1);

/// State of one call site: a series of failures, perhaps with successes between them.
#[derive(Debug)]
pub(super) struct RateLimiter {
    last: Instant,
    lines: u32,
    /// Failures without a line, since the last line.
    suppressed: u64,
    window: Duration,
    /// Time of the next line, after the burst.
    due: Instant,
    /// Failures since the last success.
    run: Option<Run>,
}

/// Failures without a success between them.
#[derive(Debug, Clone, Copy)]
struct Run {
    began: Instant,
    failures: u64,
    /// At least one of them has a line.
    logged: bool,
}

impl RateLimiter {
    pub(super) fn new(now: Instant) -> Self {
        Self { last: now, lines: 0, suppressed: 0, window: FIRST_WINDOW, due: now, run: None }
    }

    /// Records a failure. `Some(n)`: log it, and that `n` before it were suppressed.
    pub(super) fn failure(&mut self, now: Instant) -> Option<u64> {
        self.last = now;
        let run = self.run.get_or_insert(Run { began: now, failures: 0, logged: false });
        run.failures += 1;
        if self.lines >= BURST && now < self.due {
            self.suppressed += 1;
            return None;
        }
        run.logged = true;
        self.lines += 1;
        if self.lines > BURST {
            self.window = self.window.saturating_mul(GROWTH);
        }
        self.due = now.checked_add(self.window).unwrap_or(now);
        Some(std::mem::take(&mut self.suppressed))
    }

    /// Records a success. `Some`: log it, as the end of that many failures in that time.
    pub(super) fn success(&mut self, now: Instant) -> Option<(u64, Duration)> {
        let run = self.run.take()?;
        let lasted = now.duration_since(run.began);
        if !run.logged || (self.lines > BURST && lasted < LONG_FAILURE) {
            return None;
        }
        self.suppressed = self.suppressed.saturating_sub(run.failures);
        Some((run.failures, lasted))
    }

    /// Whether the series of failures is over.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        now.duration_since(self.last) >= self.window.clamp(QUIET_TIME.0, QUIET_TIME.1)
    }

    /// Number of failures without a line, and the time of the last one.
    pub(super) fn suppressed(&self) -> Option<(u64, Instant)> {
        (self.suppressed > 0).then_some((self.suppressed, self.last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// The lines of a failure every `pace` for `length`, and the limiter.
    fn lines(pace: Duration, length: Duration) -> (usize, RateLimiter) {
        let begin = Instant::now();
        let mut limiter = RateLimiter::new(begin);
        let times =
            (0..).map(|n| begin + pace * n).take_while(|now| now.duration_since(begin) < length);
        (times.filter(|&now| limiter.failure(now).is_some()).count(), limiter)
    }

    #[test]
    fn a_million_failures_have_a_handful_of_lines_however_long_they_take() {
        assert_eq!(lines(Duration::from_micros(1), SECOND).0, 5);
        assert_eq!(lines(Duration::from_millis(1), SECOND * 1000).0, 9);
        let (year, _) = lines(SECOND * 59, SECOND * 86400 * 365);
        assert!(year <= 17, "{year} lines");
    }

    #[test]
    fn suppressed_failures_are_reported_with_the_next_line_or_at_the_end() {
        let (_, mut limiter) = lines(Duration::from_millis(1), SECOND);
        assert_eq!(limiter.suppressed().map(|(count, _)| count), Some(995));
        let later = limiter.last + SECOND * 5;
        assert!(!limiter.is_over(later));
        assert_eq!(limiter.failure(later), Some(995));
        assert_eq!(limiter.suppressed(), None);
        assert!(!limiter.is_over(later + SECOND * 19) && limiter.is_over(later + SECOND * 20));
    }

    #[test]
    fn the_first_success_reports_the_failures_before_it() {
        let (_, mut limiter) = lines(Duration::from_millis(1), SECOND);
        let begin = limiter.run.unwrap().began;
        assert_eq!(limiter.success(begin + SECOND), Some((1000, SECOND)));
        assert_eq!((limiter.success(begin + SECOND), limiter.suppressed()), (None, None));
    }

    #[test]
    fn alternating_failures_and_successes_are_limited_too() {
        let begin = Instant::now();
        let mut limiter = RateLimiter::new(begin);
        let mut lines = 0;
        for n in 0..100_000 {
            let now = begin + Duration::from_millis(1) * n;
            lines += usize::from(limiter.failure(now).is_some())
                + usize::from(limiter.success(now).is_some());
        }
        assert!(lines <= 20, "{lines} lines");
        assert!(limiter.suppressed().is_some());
    }
}
