//! Gets a LUN its image back: opens it when the first open did not reach the cluster, and opens it anew when an outage does not
//! end by itself.
//!
//! libgfapi reconnects to bricks on its own, within three seconds of their return, and most outages end so. What it does not get
//! over: a descriptor that a graph switch could not take along, a graph whose bricks have moved while no glusterd could say so.

use std::cmp::min;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use super::Lun;
use super::backend::{Backend, Opened};
use super::fence;
use super::gathering;
use super::image::Replaced;
use crate::metrics::Event;
use crate::report;
use crate::runner::Sense;

/// Between two attempts to open an image for the first time. Cheap: the connection, once made, is kept.
const ROUND: Duration = Duration::from_secs(2);
/// How long an outage may last before another connection is tried; twice as long after each that did not help.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
const MOST_PATIENCE: Duration = Duration::from_secs(300);

/// Gets to work on a thread of its own, unless it is at work already.
pub(super) fn start<B: Backend>(lun: &Arc<Lun<B>>) {
    if lun.restoring.swap(true, Ordering::AcqRel) {
        return;
    }
    let weak = Arc::downgrade(lun);
    let thread = thread::Builder::new().name(String::from("glfs-restore"));
    if thread.spawn(move || run(&weak)).is_err() {
        // The watch asks again.
        lun.restoring.store(false, Ordering::Release);
    }
}

/// The thread. Holds no reference while it waits: a LUN that is closed meanwhile goes.
fn run<B: Backend>(lun: &Weak<Lun<B>>) {
    let mut patience = PATIENCE;
    let mut tried = Instant::now();
    let mut complained = false;
    while let Some(lun) = lun.upgrade() {
        let after = (tried.elapsed() >= patience).then_some(tried);
        let over = match lun.image.get() {
            _ if lun.image.is_closed() => true,
            None => first(&lun, after, &mut complained),
            Some(image) => again(&lun, &*image, after),
        };
        if over {
            lun.restoring.store(false, Ordering::Release);
            return;
        }
        if after.is_some() {
            tried = Instant::now();
            patience = min(patience * 2, MOST_PATIENCE);
        }
        drop(lun);
        thread::sleep(ROUND);
    }
}

/// Tries to open the image for the first time. True when there is nothing left to do.
fn first<B: Backend>(lun: &Arc<Lun<B>>, after: Option<Instant>, complained: &mut bool) -> bool {
    match lun.source.open(lun.open_timeout, after) {
        Ok(opened) => {
            gathering::wait(&opened.image);
            // If it does not fit, an admin may make it fit.
            let fits = lun.attach(opened, None).is_ok();
            if fits {
                lun.attention.set(Sense::BECAME_READY);
            }
            fits
        }
        Err(not) => {
            // An outage has been reported when it began; that nothing will come of it when it ends has not.
            if !not.passes && !std::mem::replace(complained, true) {
                report::error_always!(lun.log, "cannot be opened: {}", not.why);
            }
            false
        }
    }
}

/// Looks after an image in an outage. True when that is over.
fn again<B: Backend>(lun: &Arc<Lun<B>>, image: &B, after: Option<Instant>) -> bool {
    let Some(lasting) = lun.outage.lasting() else { return true };
    let answers = image.size().is_ok();
    if answers && lun.outage.is_quiet() {
        // Nobody has asked since. Nobody will where the LUN is not ready, and the initiator's driver only checks that.
        lun.outage.end();
        return lun.outage.lasting().is_none();
    }
    // One that answers gets more time: a volume that has lost its quorum for writes does.
    let due = if answers { PATIENCE * 6 } else { PATIENCE };
    if lasting < due {
        return false;
    }
    // At first with the connection that there is: perhaps only the descriptor has gone bad.
    if let Ok(Opened { image, writable }) = lun.source.open(lun.open_timeout, after)
        && (!answers || after.is_some())
        && image.size().is_ok()
    {
        lun.meter.count(Event::Reopened);
        report::warning_always!(lun.log, "opened anew after an outage of {} s", lasting.as_secs());
        discard(lun, lun.image.replace(Opened { image, writable }));
        fence::reopened(lun);
    }
    false
}

/// Closes what is not in use any more. Commands in flight in it are answered first, within bounds.
pub(super) fn discard<B: Backend>(lun: &Lun<B>, replaced: Replaced<B>) {
    let (Replaced::Another(image) | Replaced::TooLate(image)) = replaced else { return };
    if let Err(errno) = image.close() {
        report::warning!(lun.log, "an image that had gone bad could not be closed: {errno}");
    }
}
