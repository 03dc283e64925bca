// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Writes that were acknowledged and may be lost before a flush has made them durable.
//!
//! A brick acknowledges a write that is in the page cache of its host. If that host loses power,
//! and the brick returns, a flush finds nothing left to write, and is good. Where another brick has
//! the bytes too, they are healed from there. Where none has, the next flush must not be good in
//! silence: it fails, so that the initiator recovers (a file system goes read-only, a database
//! replays its log). Whether it was a host that went, or only a connection, cannot be seen from
//! here.

use std::mem;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::backend::Backend;
use super::gate::Gate;
use crate::threads;

/// Writes of one LUN that its storage has acknowledged and not flushed.
#[derive(Debug, Default)]
pub(super) struct UnflushedWrites {
    /// Something has been written since the last flush began.
    dirty: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Number of brick losses when the first of these writes was acknowledged.
    losses: u64,
    /// Like `losses`, of the writes that the flush at the backend covers; `None` if it covers none.
    flushing: Option<u64>,
    /// The next flush fails.
    lost: bool,
}

/// What a closed LUN leaves to the one that is opened in its place.
struct Unreported {
    lun: String,
    closed: Instant,
    lost: bool,
}

/// The core closes and opens a LUN that has lost its lock, which the restart of a brick
/// without replicas takes away: its initiators know of no change.
static UNREPORTED: Mutex<Vec<Unreported>> = Mutex::new(Vec::new());
/// For how long: the core opens it within seconds. Later it is another LUN of this name.
const REMEMBERED: Duration = Duration::from_secs(60);

impl UnflushedWrites {
    /// Those of a LUN that is opened now, from before it was closed. Its name is that of its log.
    pub(super) fn of(lun: &str) -> Self {
        let mut all = threads::lock(&UNREPORTED);
        all.retain(|closed| closed.closed.elapsed() < REMEMBERED);
        let unflushed = Self::default();
        if let Some(index) = all.iter().position(|closed| closed.lun == lun) {
            threads::lock(&unflushed.state).lost = all.swap_remove(index).lost;
            unflushed.dirty.store(true, Ordering::Release);
        }
        unflushed
    }

    /// The first image is there: what it counts begins here.
    pub(super) fn opened(&self, image: &impl Backend) {
        threads::lock(&self.state).losses = image.brick_losses();
    }

    /// The LUN is closed, with this image.
    pub(super) fn closed(&self, lun: &str, image: &impl Backend) {
        let state = threads::lock(&self.state);
        let lost = state.lost || self.lost_with(&state, image);
        if lost || self.dirty.load(Ordering::Relaxed) {
            let lun = lun.to_owned();
            threads::lock(&UNREPORTED).push(Unreported { lun, closed: Instant::now(), lost });
        }
    }

    /// A write is about to be acknowledged.
    pub(super) fn wrote<B: Backend>(&self, gate: &Gate<B>) {
        if self.dirty.load(Ordering::Acquire) {
            return;
        }
        let mut state = threads::lock(&self.state);
        if !self.dirty.load(Ordering::Relaxed) {
            state.losses = gate.image().map_or(0, |image| image.brick_losses());
            self.dirty.store(true, Ordering::Release);
        }
    }

    /// Commands have met with storage that is away.
    pub(super) fn storage_failed<B: Backend>(&self, gate: &Gate<B>) {
        let mut state = threads::lock(&self.state);
        let unflushed = self.dirty.load(Ordering::Relaxed) || state.flushing.is_some();
        if unflushed && gate.image().is_some_and(|image| !image.is_replicated()) {
            state.lost = true;
        }
    }

    /// What the client has held back is lost.
    pub(super) fn writes_lost(&self) {
        threads::lock(&self.state).lost = true;
    }

    /// A flush is about to begin.
    pub(super) fn flush_begins(&self) {
        let mut state = threads::lock(&self.state);
        let dirty = self.dirty.swap(false, Ordering::AcqRel);
        state.flushing = dirty.then_some(state.losses);
    }

    /// The flush has ended well: whether what it was for is durable.
    pub(super) fn flush_ended<B: Backend>(&self, gate: &Gate<B>) -> bool {
        let mut state = threads::lock(&self.state);
        let flushed = state.flushing.take();
        let image = gate.image().filter(|image| !image.is_replicated());
        let away = image.zip(flushed).is_some_and(|(image, losses)| image.brick_losses() != losses);
        !(mem::take(&mut state.lost) || away)
    }

    /// The flush has failed: what it was for is as it was before.
    pub(super) fn flush_failed(&self) {
        let mut state = threads::lock(&self.state);
        if let Some(losses) = state.flushing.take() {
            // They only grow.
            state.losses =
                if self.dirty.load(Ordering::Relaxed) { state.losses.min(losses) } else { losses };
            self.dirty.store(true, Ordering::Release);
        }
    }

    /// Whether some of these writes may be lost with bricks of this image.
    fn lost_with(&self, state: &State, image: &impl Backend) -> bool {
        let counted = image.brick_losses();
        let dirty = self.dirty.load(Ordering::Relaxed) && state.losses != counted;
        let flushing = state.flushing.is_some_and(|losses| losses != counted);
        (dirty || flushing) && !image.is_replicated()
    }

    /// Another image takes the place of `old`, by `replace`; what it counts begins at `losses`.
    pub(super) fn replacing<B: Backend, R>(
        &self,
        old: &B,
        losses: u64,
        replace: impl FnOnce() -> R,
    ) -> R {
        let mut state = threads::lock(&self.state);
        state.lost |= self.lost_with(&state, old);
        state.losses = losses;
        state.flushing = state.flushing.map(|_| losses);
        replace()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::Ordering;

    use nix::errno::Errno;

    use super::super::Lun;
    use super::super::testing::{Fault, GOOD, Memory, Seen, flush, image, lun, lun_again, write};

    const WRITE_ERROR: Seen = Seen::Answered(4);
    const BUSY: Seen = Seen::Answered(3);

    /// A LUN that something was written to, and not flushed.
    fn written() -> Arc<Lun<Memory>> {
        let lun = lun(Vec::new());
        assert_eq!(write(&lun), GOOD);
        lun
    }

    #[test]
    fn a_flush_after_a_brick_was_away_fails_once_if_something_was_written_before() {
        let lun = written();
        image(&lun).losses.fetch_add(1, Ordering::SeqCst);
        assert_eq!((flush(&lun), flush(&lun)), (WRITE_ERROR, GOOD));
        image(&lun).losses.fetch_add(1, Ordering::SeqCst);
        assert_eq!(flush(&lun), GOOD, "nothing was written");
        assert_eq!((write(&lun), flush(&lun)), (GOOD, GOOD), "written when the brick was back");
    }

    #[test]
    fn where_there_are_more_copies_a_brick_may_be_away() {
        let lun = lun(Vec::new());
        image(&lun).replicated.store(true, Ordering::SeqCst);
        assert_eq!(write(&lun), GOOD);
        image(&lun).losses.fetch_add(1, Ordering::SeqCst);
        assert_eq!(flush(&lun), GOOD);
    }

    #[test]
    fn an_outage_that_commands_have_met_with_counts_also_if_it_was_the_flush() {
        for victim in [flush, write] {
            let lun = written();
            image(&lun).faults.lock().unwrap().push(Fault::Fails(Errno::ENOTCONN));
            assert_eq!(victim(&lun), BUSY);
            assert_eq!((flush(&lun), flush(&lun)), (WRITE_ERROR, GOOD));
        }
    }

    /// It closes and opens a LUN that has lost its lock, which a brick's restart takes away.
    #[test]
    fn what_was_lost_before_the_core_opens_the_lun_anew_is_told_after_it() {
        let lun = written();
        image(&lun).losses.fetch_add(1, Ordering::SeqCst);
        let volume = Arc::clone(&image(&lun).volume);
        let again = lun_again(&lun, &volume);
        assert_eq!((flush(&again), flush(&again)), (WRITE_ERROR, GOOD));
        let third = lun_again(&again, &volume);
        assert_eq!(flush(&third), GOOD, "once");
    }

    #[test]
    fn what_was_written_before_the_core_opens_the_lun_anew_can_be_lost_after_it() {
        let lun = written();
        let volume = Arc::clone(&image(&lun).volume);
        let again = lun_again(&lun, &volume);
        image(&again).losses.fetch_add(1, Ordering::SeqCst);
        assert_eq!((flush(&again), flush(&again)), (WRITE_ERROR, GOOD));
    }

    #[test]
    fn what_was_lost_before_the_image_was_opened_anew_is_told_after_it() {
        let lun = written();
        let old = image(&lun);
        old.losses.store(5, Ordering::SeqCst);
        let opened = super::super::backend::Opened { image: old.volume.open(), writable: true };
        assert!(super::super::image::replace(&lun, opened).is_ok());
        assert!(!Arc::ptr_eq(&old, &image(&lun)));
        assert_eq!((flush(&lun), flush(&lun)), (WRITE_ERROR, GOOD));
    }
}
