// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! One failure after another, at one place of one LUN: what of it is told.

use std::time::{Duration, Instant};

/// Lines before anything is held back.
const BURST: u32 = 5;
/// Then one line after so long, and after each line four times as long: a storm of a year has a
/// dozen more.
const FIRST_WINDOW: Duration = Duration::from_secs(5);
const GROWTH: u32 = 4;
/// After so long without a failure a storm is over: as long as the window, within these bounds.
const CALM: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(60));
/// Work that fails for so long is told when it works again, however often that has been told
/// before.
const WORTH_TELLING: Duration = Duration::from_secs(1);

/// A storm that is going on.
#[derive(Debug)]
pub(super) struct Storm {
    last: Instant,
    lines: u32,
    /// Not told of since the last line.
    held_back: u64,
    window: Duration,
    /// When the next line may be written, after the burst.
    due: Instant,
    run: Option<Run>,
}

/// Failures without a success between them.
#[derive(Debug, Clone, Copy)]
struct Run {
    began: Instant,
    failures: u64,
    /// One of them has been told of.
    told: bool,
}

impl Storm {
    pub(super) fn new(now: Instant) -> Self {
        Self { last: now, lines: 0, held_back: 0, window: FIRST_WINDOW, due: now, run: None }
    }

    /// There has been a failure. Some(n): it is told, and that n before it were not.
    pub(super) fn failure(&mut self, now: Instant) -> Option<u64> {
        self.last = now;
        let run = self.run.get_or_insert(Run { began: now, failures: 0, told: false });
        run.failures += 1;
        if self.lines >= BURST && now < self.due {
            self.held_back += 1;
            return None;
        }
        run.told = true;
        self.lines += 1;
        if self.lines > BURST {
            self.window = self.window.saturating_mul(GROWTH);
        }
        self.due = now.checked_add(self.window).unwrap_or(now);
        Some(std::mem::take(&mut self.held_back))
    }

    /// There has been a success. Some: it is told, as the end of so many failures in so long.
    pub(super) fn success(&mut self, now: Instant) -> Option<(u64, Duration)> {
        let run = self.run.take()?;
        let lasted = now.duration_since(run.began);
        if !run.told || (self.lines > BURST && lasted < WORTH_TELLING) {
            return None;
        }
        self.held_back = self.held_back.saturating_sub(run.failures);
        Some((run.failures, lasted))
    }

    /// Whether it is over.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        now.duration_since(self.last) >= self.window.clamp(CALM.0, CALM.1)
    }

    /// How many failures have not been told of, and when the last one was.
    pub(super) fn untold(&self) -> Option<(u64, Instant)> {
        (self.held_back > 0).then_some((self.held_back, self.last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// The lines of a failure every `pace` for `length`, and the storm.
    fn lines(pace: Duration, length: Duration) -> (usize, Storm) {
        let begin = Instant::now();
        let mut storm = Storm::new(begin);
        let times =
            (0..).map(|n| begin + pace * n).take_while(|now| now.duration_since(begin) < length);
        (times.filter(|&now| storm.failure(now).is_some()).count(), storm)
    }

    #[test]
    fn a_million_failures_have_a_handful_of_lines_however_long_they_take() {
        assert_eq!(lines(Duration::from_micros(1), SECOND).0, 5);
        assert_eq!(lines(Duration::from_millis(1), SECOND * 1000).0, 9);
        let (year, _) = lines(SECOND * 59, SECOND * 86400 * 365);
        assert!(year <= 17, "{year} lines");
    }

    #[test]
    fn what_is_held_back_is_told_with_the_next_line_or_when_it_is_over() {
        let (_, mut storm) = lines(Duration::from_millis(1), SECOND);
        assert_eq!(storm.untold().map(|(count, _)| count), Some(995));
        let later = storm.last + SECOND * 5;
        assert!(!storm.is_over(later));
        assert_eq!(storm.failure(later), Some(995));
        assert_eq!(storm.untold(), None);
        assert!(!storm.is_over(later + SECOND * 19) && storm.is_over(later + SECOND * 20));
    }

    #[test]
    fn the_first_success_is_told_with_what_it_ends() {
        let (_, mut storm) = lines(Duration::from_millis(1), SECOND);
        let begin = storm.run.unwrap().began;
        assert_eq!(storm.success(begin + SECOND), Some((1000, SECOND)));
        assert_eq!((storm.success(begin + SECOND), storm.untold()), (None, None));
    }

    #[test]
    fn failures_and_successes_in_turn_do_not_flood_either() {
        let begin = Instant::now();
        let mut storm = Storm::new(begin);
        let mut lines = 0;
        for n in 0..100_000 {
            let now = begin + Duration::from_millis(1) * n;
            lines += usize::from(storm.failure(now).is_some())
                + usize::from(storm.success(now).is_some());
        }
        assert!(lines <= 20, "{lines} lines");
        assert!(storm.untold().is_some());
    }
}
