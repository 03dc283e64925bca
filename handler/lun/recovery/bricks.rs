// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! After an outage: nothing is served before the copies of the image have come together.
//!
//! When most bricks have been away, they come back one after the other, and Gluster serves as soon
//! as there is a quorum. But it heals at the same time, from the copy that its healing daemon
//! takes for a good one; and the daemon may have reached a brick that this gateway has not. What is
//! written in that moment does not reach that brick, and what is healed from there goes over it: an
//! acknowledged write is lost, and until then it may be read or not (10.3; `tests/cluster/soak.rs`
//! sees it with any client). So a gateway that was cut off from the storage waits until it is
//! connected to all bricks, or until the grace of those that are away is over. libgfapi does
//! likewise when it connects for the first time.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::super::Lun;
use super::super::backend::{Backend, Bricks};

/// Interval between two queries of the connections.
pub(super) const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// How long all bricks must have been connected: a connection is used a moment after it is made.
const STABLE_FOR: Duration = Duration::from_millis(500);
/// Bounds the wait for another brick. libgfapi tries to reach each of them every three seconds.
const BRICK_GRACE: Duration = Duration::from_secs(4);
/// Bounds the wait where the number of connected bricks is unknown.
const UNKNOWN_GRACE: Duration = Duration::from_secs(10);

/// The bricks as they were seen last.
#[derive(Debug, Default)]
pub(super) struct BrickWait {
    /// And since when they have been so.
    seen: Option<(Bricks, Instant)>,
    /// Since when it has not been known.
    unknown: Option<Instant>,
}

impl BrickWait {
    /// Looks at the bricks; holds commands back whenever they have changed, and lets them pass when
    /// it is time.
    pub(super) fn wait_for_bricks<B: Backend>(&mut self, lun: &Lun<B>, image: &B, settling: bool) {
        let now = Instant::now();
        let answers = |image: &B| settling && image.size().is_ok();
        let may_serve = if let Ok(bricks) = image.bricks() {
            self.unknown = None;
            let since = self.seen.filter(|(seen, _)| *seen == bricks).map(|(_, since)| since);
            let Some(since) = since else {
                self.seen = Some((bricks, now));
                return lun.gate.set_settling(true);
            };
            let unchanged_for = now.duration_since(since);
            if bricks.connected == bricks.all {
                unchanged_for >= STABLE_FOR
            } else {
                unchanged_for >= BRICK_GRACE && answers(image)
            }
        } else {
            // No answer is not "all of them", nor "none".
            let unknown = *self.unknown.get_or_insert(now);
            now.duration_since(unknown) >= UNKNOWN_GRACE && answers(image)
        };
        if settling && may_serve {
            lun.gate.set_settling(false);
        }
    }
}

/// Before an image is served for the first time that could not be opened at first, or on another
/// connection. Blocks.
pub(in crate::lun) fn wait_until_connected(image: &impl Backend) {
    let begin = Instant::now();
    let is_complete = || image.bricks().is_ok_and(|bricks| bricks.connected >= bricks.all);
    while image.is_replicated() && begin.elapsed() < BRICK_GRACE && !is_complete() {
        thread::sleep(POLL_INTERVAL);
    }
}

/// Bricks have been away. If most of them are, an idle LUN is in an outage, too: its first command
/// must not find them half back.
pub(super) fn check_quorum<B: Backend>(lun: &Arc<Lun<B>>) {
    let Some(image) = lun.gate.image() else { return };
    let Ok(bricks) = image.bricks() else { return };
    if image.is_replicated()
        && bricks.connected.saturating_mul(2) <= bricks.all
        && lun.gate.outage().is_none()
    {
        lun.gate.storage_failed();
    }
}
