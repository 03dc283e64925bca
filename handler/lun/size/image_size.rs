// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The monitor's judgement of an image's size, query by query.

use std::time::{Duration, Instant};

use super::super::backend::ImageStat;
use crate::config::Grow;

/// An image that has not changed for so long is not being filled.
const REST: Duration = Duration::from_secs(10);
/// Two looks that are further apart say nothing of the time between them. The monitor looks every 3
/// s.
const LOOK_GAP: Duration = Duration::from_secs(8);
/// Who cuts an image off on purpose sets `dev_size` soon: gluster-block asks all gateways of the
/// block in turn.
const CUT_OFF_GRACE: Duration = Duration::from_secs(60);

/// The monitor's state of one image.
#[derive(Debug)]
pub(super) struct SizeMonitor {
    /// `Manual` also after a shrink: the LUN must not grow back by what another gateway's late
    /// write makes of the image.
    pub(super) grow: Grow,
    pub(super) image: Image,
    /// A larger size that was accepted although the image could not be queried at: the kernel has
    /// it already.
    pub(super) accepted: Option<u64>,
    /// The kernel has another size than the LUN.
    pub(super) kernel_differs: bool,
}

/// The image, beside the LUN.
#[derive(Debug)]
pub(super) enum Image {
    Fits,
    Larger(Filling),
    CutOff { since: Instant, reported: bool },
}

/// A larger image that may still be being filled.
#[derive(Debug, Clone, Copy)]
pub(super) struct Filling {
    last: ImageStat,
    queried: Instant,
    /// Start of the time in which it has not changed.
    since: Instant,
}

/// Action that a query of the image calls for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum SizeChange {
    Nothing,
    /// Have the kernel take this size.
    Announce(u64),
    CutOff,
    StaysCutOff,
}

impl SizeMonitor {
    pub(super) fn new(grow: Grow) -> Self {
        Self { grow, image: Image::Fits, accepted: None, kernel_differs: false }
    }

    /// Judges an image of `whole` bytes in blocks, beside a LUN of `lun` bytes. `written`:
    /// initiators may have changed it since the last look.
    pub(super) fn judge(
        &mut self,
        lun: u64,
        whole: u64,
        stat: ImageStat,
        written: bool,
        now: Instant,
    ) -> SizeChange {
        if whole < lun {
            return match &mut self.image {
                Image::CutOff { since, reported }
                    if !*reported && now.duration_since(*since) >= CUT_OFF_GRACE =>
                {
                    *reported = true;
                    SizeChange::StaysCutOff
                }
                Image::CutOff { .. } => SizeChange::Nothing,
                Image::Fits | Image::Larger(_) => {
                    self.image = Image::CutOff { since: now, reported: false };
                    SizeChange::CutOff
                }
            };
        }
        if whole > lun && self.grow == Grow::Auto {
            let before = if let Image::Larger(before) = &self.image { Some(before) } else { None };
            let since = before
                .filter(|before| before.continues(stat, written, now))
                .map_or(now, |before| before.since);
            self.image = Image::Larger(Filling { last: stat, queried: now, since });
            if now.duration_since(since) >= REST {
                return SizeChange::Announce(whole);
            }
        } else {
            self.image = Image::Fits;
        }
        if self.kernel_differs { SizeChange::Announce(lun) } else { SizeChange::Nothing }
    }
}

impl Filling {
    /// Whether only initiators have changed the image since the last look.
    fn continues(&self, stat: ImageStat, written: bool, now: Instant) -> bool {
        let ImageStat { bytes, allocated, modified } = self.last;
        (bytes, allocated) == (stat.bytes, stat.allocated)
            && (modified == stat.modified || written)
            && now.duration_since(self.queried) < LOOK_GAP
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(bytes: u64, allocated: u64, modified: i64) -> ImageStat {
        ImageStat { bytes, allocated, modified: (modified, 0) }
    }

    /// What an image that has grown from 8 to 64 asks for, by its looks, one every three seconds.
    fn announced(looks: impl IntoIterator<Item = (ImageStat, bool)>) -> Option<u64> {
        let (mut monitor, begin) = (SizeMonitor::new(Grow::Auto), Instant::now());
        (0..).step_by(3).zip(looks).find_map(|(second, (stat, written))| {
            match monitor.judge(8, stat.bytes, stat, written, begin + Duration::from_secs(second)) {
                SizeChange::Nothing => None,
                SizeChange::Announce(64) => Some(second),
                other => panic!("{other:?}"),
            }
        })
    }

    #[test]
    fn an_image_that_is_being_filled_is_announced_after_it_is_full() {
        let filling = (0..20).map(|look| (stat(64, 8 + look, 0), true));
        assert_eq!(announced(filling.chain([(stat(64, 27, 0), true); 9])), Some(19 * 3 + 12));
    }

    #[test]
    fn a_fill_of_allocated_blocks_is_seen_on_an_idle_lun() {
        assert_eq!(announced((0..20).map(|look| (stat(64, 64, look), false))), None);
    }

    #[test]
    fn initiators_who_overwrite_do_not_hold_up_growth() {
        assert_eq!(announced((0..20).map(|look| (stat(64, 8, look), true))), Some(12));
    }

    #[test]
    fn an_image_that_grows_again_is_waited_for_again() {
        let looks = [(stat(32, 8, 0), false); 3].into_iter().chain([(stat(64, 8, 1), false); 9]);
        assert_eq!(announced(looks), Some(3 * 3 + 12));
    }

    #[test]
    fn looks_that_are_far_apart_prove_nothing() {
        let (mut monitor, begin) = (SizeMonitor::new(Grow::Auto), Instant::now());
        for second in [0, 30, 60, 90] {
            let now = begin + Duration::from_secs(second);
            assert_eq!(monitor.judge(8, 64, stat(64, 8, 0), false, now), SizeChange::Nothing);
        }
    }

    #[test]
    fn an_image_that_stays_cut_off_is_an_error_after_a_minute_and_once() {
        let (mut monitor, begin) = (SizeMonitor::new(Grow::Auto), Instant::now());
        let findings: Vec<_> = (0..70)
            .map(|second| {
                monitor.judge(64, 8, stat(8, 8, 0), true, begin + Duration::from_secs(second))
            })
            .collect();
        let expected = |second| match second {
            0 => SizeChange::CutOff,
            60 => SizeChange::StaysCutOff,
            _ => SizeChange::Nothing,
        };
        assert!(
            findings.into_iter().enumerate().all(|(second, finding)| finding == expected(second))
        );
        let later = begin + Duration::from_secs(80);
        assert_eq!(monitor.judge(64, 64, stat(64, 8, 0), true, later), SizeChange::Nothing);
        assert_eq!(
            monitor.judge(64, 8, stat(8, 8, 0), true, later),
            SizeChange::CutOff,
            "another time"
        );
    }
}
