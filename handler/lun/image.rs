// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Replaces the image under a LUN that serves: reopened after an outage, or moved to the connection
//! of the volume's current graph.
//!
//! A connection has one graph for its life. When the volume gets another one, its source opens
//! images on a new connection, and each LUN moves: the new image is complete, with its bricks
//! connected, before anything is held back. Commands in flight at the same time have no order in
//! SCSI, so new ones may take the new image while old ones end on the old one. Not with writes held
//! back, which might land over newer ones: there the old image is flushed first. Nor with the lock
//! held, which only one of the two can hold: there the old one's commands end first. Commands that
//! come meanwhile wait.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::backend::{AcquireError, Backend, Opened, Preempt};
use super::gate::{Lock, Replaced, Storage};
use super::{Lun, flush, lock, recovery};
use crate::log;
use crate::threads;

/// Bounds the close of an image that commands wait for.
pub(super) const CLOSE_TIMEOUT: Duration =
    if cfg!(test) { Duration::from_millis(500) } else { Duration::from_secs(30) };
/// Bounds the wait for calls in flight in an image that the LUN has left: longer than the
/// frame-timeout (60 s).
const IN_FLIGHT_TIMEOUT: Duration = Duration::from_secs(90);
/// Bounds the wait of commands for those before them, and then for a flush. With the calls of the
/// lock, which take 5 s each at most, it is less than 15 s.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(4);
const DRAIN_INTERVAL: Duration = Duration::from_millis(1);
/// Between two attempts to move.
const MOVE_INTERVAL: Duration = Duration::from_secs(10);

/// Puts an image in place of one that has gone bad. With writes held back the old one must have
/// been closed before; until it is, the new one is given back.
pub(super) fn replace<B: Backend>(lun: &Arc<Lun<B>>, opened: Opened<B>) -> Result<(), Opened<B>> {
    let _exclusive = lun.locking.exclusive();
    let Some(old) = lun.gate.image() else { return Ok(()) };
    if lun.holds_writes_back
        && let Err(errno) = old.close(CLOSE_TIMEOUT)
    {
        if matches!(errno, Errno::ETIMEDOUT | Errno::EBUSY) {
            return Err(opened);
        }
        lun.unflushed.writes_lost();
        log::error!(lun.log, "writes that were held back are lost: {errno}; the next flush fails");
    }
    let new = Arc::new(opened.image);
    // Until its last calls have ended: the lock must not be acquired while a command from before it
    // may still be executed.
    let loan = lun.gate.loan(Arc::clone(&old));
    if let Replaced::Old { lock_lost } = swap(lun, &old, &new, opened.writable, false) {
        if lock_lost {
            lun.device.lock_lost();
        }
        // Closing it drops the lock of its connection, which may be that of the new one.
        if !close(lun, &*old, CLOSE_TIMEOUT) {
            threads::spawn("glfs-call", move || {
                old.drain(IN_FLIGHT_TIMEOUT);
                drop(loan);
            });
        }
    }
    Ok(())
}

/// Closes an image that is not in use any more. Whether it is closed.
fn close<B: Backend>(lun: &Lun<B>, image: &B, patience: Duration) -> bool {
    let closed = image.close(patience);
    if let Err(errno) = closed {
        log::warning!(lun.log, "an image that is not in use any more could not be closed: {errno}");
    }
    closed.is_ok()
}

/// Closes an image when its last commands have been answered, while the LUN goes on.
fn close_later<B: Backend>(lun: &Arc<Lun<B>>, image: Arc<B>) {
    let lun = Arc::clone(lun);
    // Without a thread it is closed when it is dropped.
    threads::spawn("glfs-call", move || {
        // What does not end until then is told by the close.
        wait_for_calls(&image, 1, IN_FLIGHT_TIMEOUT);
        close(&lun, &*image, IN_FLIGHT_TIMEOUT);
    });
}

/// Why an image was not moved.
#[derive(Debug, thiserror::Error)]
enum NotMoved {
    #[error("it cannot be opened there: {0}")]
    NotOpened(String),
    #[error("its bricks are not connected there ({0})")]
    NoBricks(Errno),
    #[error("it has {there} bytes there, the LUN {here}")]
    Smaller { here: u64, there: u64 },
    #[error("its commands do not end")]
    InFlight,
    #[error("it could not be flushed: {0}")]
    NotFlushed(Errno),
    #[error("its lock could not be taken along: {0}")]
    Locked(AcquireError),
    #[error("the LUN has changed meanwhile")]
    Changed,
}

/// Moves the LUN to an image on the connection of the volume's current graph, if it has been
/// superseded. What goes wrong leaves it where it is, or without the lock; it is tried again later.
pub(super) fn move_to_current_graph<B: Backend>(lun: &Arc<Lun<B>>) {
    let Some(old) = lun.gate.image().filter(|image| image.is_superseded()) else { return };
    if lun.gate.storage() != Storage::Up {
        return;
    }
    let begin = Instant::now();
    match open_there(lun).and_then(|opened| move_over(lun, &old, opened)) {
        Ok(pause) => {
            lun.moves.done();
            lun.meter.moved(pause);
            let (took, pause) = (begin.elapsed().as_secs_f64(), pause.as_secs_f64() * 1000.0);
            log::info_always!(
                lun.log,
                "moved to the volume's new graph in {took:.1} s; commands waited {pause:.0} ms"
            );
        }
        Err(why) => {
            if lun.moves.failed() {
                log::warning_always!(lun.log, "stays on the volume's old graph, tries on: {why}");
            }
        }
    }
}

/// The image on the new connection, with its bricks.
fn open_there<B: Backend>(lun: &Arc<Lun<B>>) -> Result<Opened<B>, NotMoved> {
    let opened =
        lun.source.open(lun.open_timeout, None).map_err(|not| NotMoved::NotOpened(not.why))?;
    recovery::wait_until_connected(&opened.image);
    let (here, there) = (lun.size.bytes(), opened.image.size().map_err(NotMoved::NoBricks)?);
    if opened.image.is_superseded() {
        return Err(NotMoved::Changed);
    }
    if there < here { Err(NotMoved::Smaller { here, there }) } else { Ok(opened) }
}

/// Commands wait until this is dropped.
struct Paused<'a, B: Backend>(&'a Lun<B>, Instant);

impl<B: Backend> Drop for Paused<'_, B> {
    fn drop(&mut self) {
        self.0.gate.resume();
    }
}

/// Puts the new image in place. For how long commands had to wait.
fn move_over<B: Backend>(
    lun: &Arc<Lun<B>>,
    old: &Arc<B>,
    new: Opened<B>,
) -> Result<Duration, NotMoved> {
    let _exclusive = lun.locking.exclusive();
    let held = lun.gate.lock() == Lock::Held;
    if !held && !lun.holds_writes_back {
        swap_over(lun, old, &Arc::new(new.image), new.writable, false)?;
        return Ok(Duration::ZERO);
    }
    // Outlives the pause: if it is not needed, it is closed after commands pass again.
    let image = Arc::new(new.image);
    // Needs no lock: on its way, it could come after that of another gateway, and hide it.
    let _no_heartbeat = lock::hold_heartbeats(lun, DRAIN_TIMEOUT).ok_or(NotMoved::InFlight)?;
    // They last for seconds, in which commands need not wait.
    if lun.gate.loans() > 0 {
        return Err(NotMoved::InFlight);
    }
    if !lun.gate.pause(old) {
        return Err(NotMoved::Changed);
    }
    let paused = Paused(lun, Instant::now());
    // The caller has one reference, and the gate another.
    if !wait_for_calls(old, 2, DRAIN_TIMEOUT) {
        return Err(NotMoved::InFlight);
    }
    if lun.holds_writes_back {
        // When this is done nothing is held back any more, and closing the old image has nothing
        // left to lose.
        match flush::flush_now(&**old, DRAIN_TIMEOUT) {
            Some(Ok(())) => {}
            Some(Err(errno)) => {
                lun.unflushed.writes_lost();
                return Err(NotMoved::NotFlushed(errno));
            }
            None => return Err(NotMoved::InFlight),
        }
    }
    if held {
        hand_over(lun, old, &image)?;
    }
    swap_over(lun, old, &image, new.writable, held)?;
    Ok(paused.1.elapsed())
}

fn swap<B: Backend>(
    lun: &Lun<B>,
    old: &Arc<B>,
    new: &Arc<B>,
    writable: bool,
    handed_over: bool,
) -> Replaced {
    // If it is not needed it is closed when the caller's goes, and not under a lock.
    let opened = Opened { image: Arc::clone(new), writable };
    lun.unflushed
        .replacing(&**old, new.brick_losses(), || lun.gate.replace(old, opened, handed_over))
}

/// Lets commands take the new image, while old ones end on the old one.
fn swap_over<B: Backend>(
    lun: &Arc<Lun<B>>,
    old: &Arc<B>,
    new: &Arc<B>,
    writable: bool,
    held: bool,
) -> Result<(), NotMoved> {
    match swap(lun, old, new, writable, held) {
        Replaced::Old { .. } => {
            close_later(lun, Arc::clone(old));
            Ok(())
        }
        Replaced::Nothing => Err(NotMoved::Changed),
    }
}

/// Waits until no command is in flight in `image`, which has so many `references` without them, at
/// most for `patience`. Whether that is so. Commands pass no more; one that has passed before, and
/// is on its way to be submitted, has a reference too. The second look at the calls is for a call
/// that was submitted between the first one and the count.
fn wait_for_calls<B: Backend>(image: &Arc<B>, references: usize, patience: Duration) -> bool {
    let begin = Instant::now();
    loop {
        let left = patience.saturating_sub(begin.elapsed());
        let is_quiet = image.drain(left) && Arc::strong_count(image) <= references;
        if is_quiet && image.drain(Duration::ZERO) {
            return true;
        }
        if left.is_zero() {
            return false;
        }
        thread::sleep(DRAIN_INTERVAL);
    }
}

/// Acquires the lock on the new image if it is still held on the old one, where nothing is in
/// flight any more. A gateway leaves its heartbeat before its first command: if the last heartbeat
/// is one of this LUN then, no other gateway has served since.
fn hand_over<B: Backend>(lun: &Lun<B>, old: &B, new: &Arc<B>) -> Result<(), NotMoved> {
    if !old.holds_lock().map_err(|errno| NotMoved::Locked(AcquireError::Storage(errno)))? {
        return Err(lock_lost(lun, AcquireError::Lost));
    }
    let (prefix, heartbeat) = lun.gate.with_heartbeat(|own| (own.prefix(), own.next()));
    match new.acquire(&heartbeat, Preempt::Own(prefix)) {
        Ok(_) => Ok(()),
        Err(why @ AcquireError::Foreign(_)) => Err(lock_lost(lun, why)),
        // The bricks have the last word: if the lock is not held on the old image any more either,
        // its commands are refused.
        Err(why) => Err(NotMoved::Locked(why)),
    }
}

/// Another gateway has the lock, or has had it. The core is told before the commands that wait are
/// answered.
fn lock_lost<B: Backend>(lun: &Lun<B>, why: AcquireError) -> NotMoved {
    if lun.gate.stand_by() == Lock::Held {
        lun.device.lock_lost();
    }
    NotMoved::Locked(why)
}

/// When the move of a LUN's image was tried last, in vain; then that has been reported.
#[derive(Debug, Default)]
pub(super) struct MoveAttempts(Mutex<Option<Instant>>);

impl MoveAttempts {
    /// Whether it is time to try.
    pub(super) fn is_due(&self) -> bool {
        threads::lock(&self.0).is_none_or(|failed| failed.elapsed() >= MOVE_INTERVAL)
    }

    fn done(&self) {
        *threads::lock(&self.0) = None;
    }

    /// True the first time.
    fn failed(&self) -> bool {
        threads::lock(&self.0).replace(Instant::now()).is_none()
    }
}

#[cfg(test)]
mod tests;
