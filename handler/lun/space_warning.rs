// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Soft threshold of thin provisioning (SBC-4, "thin provisioning threshold"): warns initiators,
//! and the log, before the volume is full.
//!
//! When more of the volume's space than `space-warning=` percent is in use, quota included, the
//! next command gets UNIT ATTENTION 38/07. It is repeated every hour as long as the space is short:
//! Linux only turns it into a uevent. The warning ends [`HYSTERESIS`] points below the threshold,
//! so that space that comes and goes around it warns once.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::Lun;
use super::backend::{Backend, Space};
use crate::log;
use crate::metrics::SpaceState;
use crate::scsi::Sense;
use crate::threads;

/// Between two queries of the volume. A query is a statfs on every brick.
const QUERY_INTERVAL: Duration = Duration::from_secs(30);
/// Between two warnings while space is short.
const REPEAT_INTERVAL: Duration = Duration::from_secs(3600);
/// Percentage points below the threshold at which the warning ends.
const HYSTERESIS: u8 = 2;

/// Space of the volume as one LUN sees it.
#[derive(Debug)]
pub(super) struct SpaceWarning {
    /// Percent in use from which on initiators are warned; 0 for never.
    threshold: u8,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    queried: Option<Instant>,
    space: Option<Space>,
    /// Time of the last warning, while space is short.
    warned: Option<Instant>,
}

/// Change that a query has brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    None,
    /// Space is short, or still is: warn.
    Short,
    /// There is enough space again.
    Enough,
}

impl State {
    /// Whether a query is due; it is taken for made.
    fn is_due(&mut self, now: Instant) -> bool {
        let due = self.queried.is_none_or(|at| now.duration_since(at) >= QUERY_INTERVAL);
        if due {
            self.queried = Some(now);
        }
        due
    }

    /// Judges the space against the threshold.
    fn update(&mut self, space: Space, threshold: u8, now: Instant) -> Change {
        self.space = Some(space);
        let used = used_percent(space);
        match self.warned {
            _ if threshold == 0 => Change::None,
            None if used >= threshold => {
                self.warned = Some(now);
                Change::Short
            }
            Some(_) if used < threshold.saturating_sub(HYSTERESIS) => {
                self.warned = None;
                Change::Enough
            }
            Some(at) if now.duration_since(at) >= REPEAT_INTERVAL => {
                self.warned = Some(now);
                Change::Short
            }
            _ => Change::None,
        }
    }
}

/// Whole percent of the space that is in use.
fn used_percent(Space { total, free }: Space) -> u8 {
    let used = u128::from(total.saturating_sub(free)).saturating_mul(100);
    used.checked_div(total.into()).and_then(|percent| u8::try_from(percent).ok()).unwrap_or(0)
}

impl SpaceWarning {
    pub(super) fn new(threshold: u8) -> Self {
        Self { threshold, state: Mutex::default() }
    }

    /// For the metrics; `None` before the first query.
    pub(super) fn observe(&self) -> Option<SpaceState> {
        let state = threads::lock(&self.state);
        let Space { total, free } = state.space?;
        Some(SpaceState { total, free, short: state.warned.is_some() })
    }
}

/// Queries the volume, if that is due, and warns. Blocks as long as the storage does.
pub(super) fn check<B: Backend>(lun: &Lun<B>) {
    let Some(image) =
        lun.gate.image().filter(|_| threads::lock(&lun.space_warning.state).is_due(Instant::now()))
    else {
        return;
    };
    // A volume that cannot be queried now is queried later.
    let Ok(space) = image.space() else { return };
    let threshold = lun.space_warning.threshold;
    let change = threads::lock(&lun.space_warning.state).update(space, threshold, Instant::now());
    let (log, used, free) = (&lun.log, used_percent(space), space.free >> 20);
    match change {
        Change::None => {}
        Change::Short => {
            lun.gate.offer_pending(Sense::SPACE_THRESHOLD_REACHED);
            log::warning!(
                log,
                "{used} % of the volume's space is in use, {free} MiB are left \
                 (space-warning={threshold}): add bricks, raise the quota or free space, or writes \
                 will fail"
            );
        }
        Change::Enough => {
            log::info_always!(log, "{used} % of the volume's space is in use, the warning ends");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{GOOD, Seen, Volume, image, lun_of, read, write};
    use super::*;
    use crate::runner::Lun as _;
    use crate::scsi::Status;

    fn space(used: u64) -> Space {
        Space { total: 100 << 30, free: (100 - used) << 30 }
    }

    /// What queries with this much in use bring, one a minute.
    fn changes(threshold: u8, used: &[u64]) -> Vec<Change> {
        let (mut state, begin) = (State::default(), Instant::now());
        let queries = used.iter().zip(0..);
        let change = |(used, minute): (&u64, u64)| {
            let now = begin + Duration::from_secs(minute * 60);
            assert!(state.is_due(now));
            state.update(space(*used), threshold, now)
        };
        queries.map(change).collect()
    }

    #[test]
    fn space_around_the_threshold_warns_once() {
        use Change::{Enough, None, Short};
        assert_eq!(changes(80, &[79, 80, 79, 80, 78]), [None, Short, None, None, None]);
        assert_eq!(changes(80, &[85, 77, 79, 80]), [Short, Enough, None, Short]);
        assert_eq!(changes(1, &[1, 0, 0]), [Short, None, None], "a threshold below the hysteresis");
    }

    #[test]
    fn space_that_stays_short_warns_every_hour() {
        let warnings = changes(80, &[90; 200]);
        let at: Vec<_> = (0..200).filter(|minute| warnings[*minute] == Change::Short).collect();
        assert_eq!(at, [0, 60, 120, 180]);
    }

    #[test]
    fn without_a_threshold_a_full_volume_warns_of_nothing() {
        assert_eq!(changes(0, &[100; 3]), [Change::None; 3]);
    }

    #[test]
    fn the_percentage_is_right_at_the_ends() {
        for (total, free, percent) in [
            (0, 0, 0),
            (100, 0, 100),
            (100, 100, 0),
            (100, 200, 0),
            (1000, 201, 79),
            (u64::MAX, 0, 100),
            (u64::MAX, u64::MAX, 0),
        ] {
            assert_eq!(used_percent(Space { total, free }), percent, "{free} of {total}");
        }
    }

    #[test]
    fn initiators_are_told_once_that_space_is_short_and_metrics_as_long_as_it_is() {
        let lun = lun_of(&Volume::new(), "");
        *image(&lun).space.lock().unwrap() = Ok(space(81));
        check(&lun);
        let attention = Seen::Refused(Status::Sense(Sense::SPACE_THRESHOLD_REACHED));
        assert_eq!((read(&lun), read(&lun)), (attention, GOOD));
        let observed = lun.space_warning.observe().unwrap();
        assert!(observed.short && observed.free == 19 << 30, "{observed:?}");
        check(&lun);
        assert_eq!(read(&lun), GOOD, "queried again at once");
        lun.close();
    }

    #[test]
    fn a_warning_does_not_take_the_place_of_a_sense_that_is_pending() {
        let lun = lun_of(&Volume::new(), ";space-warning=50");
        lun.gate.set_pending(Sense::BECAME_READY);
        *image(&lun).space.lock().unwrap() = Ok(space(50));
        check(&lun);
        assert_eq!(write(&lun), Seen::Refused(Status::Sense(Sense::BECAME_READY)));
    }
}
