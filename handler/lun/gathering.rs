//! After an outage: nothing is served before the copies of the image have come together.
//!
//! When most bricks have been away, they come back one after the other, and Gluster serves as soon as there is a quorum. But it heals
//! at the same time, from whichever copy its healing daemon takes for a good one; and the daemon may have reached a brick that this
//! gateway has not. What is written in that moment does not reach that brick, and what is healed from there goes over it: an
//! acknowledged write is lost, and until then it may be read or not (10.3; `tests/cluster/soak.rs` sees it with any client). So
//! whoever was cut off from the storage waits until it is connected to all bricks, or until the others have had their chance.
//! libgfapi does the same when it connects for the first time.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use super::Lun;
use super::backend::{Backend, Bricks};

/// Between two looks at the connections.
const ROUND: Duration = Duration::from_millis(250);
/// How long all bricks must have been connected: a connection is used a moment after it is made.
const SETTLED: Duration = Duration::from_millis(500);
/// How long to wait for another brick. libgfapi tries to reach each of them every three seconds.
const CHANCE: Duration = Duration::from_secs(4);

/// Holds commands back, unless that is being done already. The outage has begun.
pub(super) fn start<B: Backend>(lun: &Arc<Lun<B>>) {
    let replicated = lun.image.get().is_some_and(|image| image.is_replicated());
    if !replicated || lun.gathering.swap(true, Ordering::AcqRel) {
        return;
    }
    lun.outage.hold(true);
    let weak = Arc::downgrade(lun);
    let thread = thread::Builder::new().name(String::from("glfs-gather"));
    if thread.spawn(move || run(&weak)).is_err() {
        over(lun);
    }
}

fn over<B: Backend>(lun: &Lun<B>) {
    lun.outage.hold(false);
    lun.gathering.store(false, Ordering::Release);
}

/// The thread: until the outage is over, or the LUN.
fn run<B: Backend>(lun: &Weak<Lun<B>>) {
    let mut seen = None;
    let mut since = Instant::now();
    while let Some(lun) = lun.upgrade() {
        let Some(image) = lun.image.get().filter(|_| lun.outage.lasting().is_some()) else {
            return over(&lun);
        };
        // One copy of each byte, or nothing can be said: what comes back is all there is.
        let Some(bricks) = image.bricks() else {
            return over(&lun);
        };
        if seen != Some(bricks) {
            seen = Some(bricks);
            since = Instant::now();
            lun.outage.hold(true);
        } else if lun.outage.held().is_some() && is_time(&*image, bricks, since) {
            lun.outage.hold(false);
        }
        drop(image);
        drop(lun);
        thread::sleep(ROUND);
    }
}

/// The same, before an image is served for the first time that could not be opened at first. Blocks.
pub(super) fn wait(image: &impl Backend) {
    let begin = Instant::now();
    while begin.elapsed() < CHANCE && image.bricks().is_some_and(|bricks| bricks.connected < bricks.all) {
        thread::sleep(ROUND);
    }
}

/// Whether commands may pass to an image whose bricks have been connected like this for a while.
fn is_time(image: &impl Backend, bricks: Bricks, since: Instant) -> bool {
    let lasting = since.elapsed();
    if bricks.connected == bricks.all { lasting >= SETTLED } else { lasting >= CHANCE && image.size().is_ok() }
}
