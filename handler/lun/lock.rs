// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The lock of a LUN's image. One gateway holds it; the bricks refuse all others (docs/fencing.md).
//!
//! With an implicit ALUA group the core asks for the lock before it passes on the first WRITE, with
//! no command in flight; the initiator decides which gateway that is, by where it sends its
//! commands. READs come without, and say less: a standby path is read from by every scan of the
//! bus. So a READ acquires the lock only if it is free, or if its holder does not serve. Until
//! that is known it gets BUSY, which fails no path.
//!
//! An owner that is alive is not preempted at the first request either. A gateway that was frozen,
//! and wakes up with old commands in its ring, asks for the lock too; it asks once, while an
//! initiator that means it asks again.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::Lun;
use super::backend::{AcquireError, Backend, Enforcement, Preempt};
use super::gate::Lock;
use super::heartbeat::{ABSENT_OWNER_TIMEOUT, OWNER_TIMEOUT, OwnerHeartbeat};
use super::recovery::Task;
use super::slot::Taken;
use crate::config::Fence as Mode;
use crate::log;
use crate::runner::LockOutcome;
use crate::scsi::Op;

/// An initiator that wants the image from an owner that seems alive must have asked for this long,
/// by WRITEs.
const PREEMPT_DELAY: Duration = Duration::from_millis(1500);
/// Between two requests by WRITEs.
const RETRY_DELAY: Duration = Duration::from_millis(300);

/// The core wants the image for WRITEs. No command is in flight. Blocks, within bounds.
pub(super) fn core_lock<B: Backend>(lun: &Lun<B>) -> LockOutcome {
    let (log, locking) = (&lun.log, &lun.locking);
    if locking.mode == Mode::Off {
        return LockOutcome::Locked;
    }
    let exclusive = locking.exclusive();
    if lun.gate.lock() == Lock::Held {
        return LockOutcome::Locked;
    }
    let Some(image) = lun.gate.image() else { return LockOutcome::NotNow };
    if !matches!(locking.last_enforcement(), Some(Enforcement::Possible | Enforcement::Active)) {
        // It could not be asked when the image was opened, or its admin may have changed it since.
        match locking.query_enforcement(&*image) {
            Ok(Enforcement::Impossible(why)) => {
                log::warning!(log, "fencing is off: {why}; a gateway that hangs may write late");
                lun.gate.unfence();
                return LockOutcome::Locked;
            }
            Ok(_) => {}
            Err(errno) => {
                log::warning!(
                    log,
                    "not locked: whether the image is fenced could not be asked: {errno}"
                );
                return LockOutcome::NotNow;
            }
        }
    }
    let outcome = match acquire_free(lun, &image) {
        // The initiator has decided, and no holder is seen: a dead owner must not cost time.
        Err(AcquireError::Unconfirmed(_)) => acquire(lun, &image, Preempt::Silent),
        Err(AcquireError::Held) => {
            let asked_for =
                lun.gate.with_heartbeat(|owner| owner.record_write_attempt(Instant::now()));
            if asked_for < PREEMPT_DELAY {
                drop(exclusive);
                // The core asks again with the next command, which comes at once.
                thread::sleep(RETRY_DELAY);
                return LockOutcome::NotNow;
            }
            acquire(lun, &image, Preempt::Always)
        }
        outcome => outcome,
    };
    match outcome {
        Ok(()) => LockOutcome::Locked,
        Err(AcquireError::Reopen) => LockOutcome::Reopen,
        // The volume does not enforce it any more: it is asked before the next attempt.
        Err(AcquireError::Storage(Errno::EINVAL)) => {
            locking.forget_enforcement();
            LockOutcome::NotNow
        }
        Err(_) => LockOutcome::NotNow,
    }
}

/// Acquires the lock for commands that the core did not ask for, if no other gateway is using the
/// image. Blocks, within bounds.
pub(super) fn acquire_for_io<B: Backend>(lun: &Lun<B>) {
    let (log, locking) = (&lun.log, &lun.locking);
    let _exclusive = locking.exclusive();
    // The core may have been faster.
    let Some(image) = lun.gate.image().filter(|_| lun.gate.lock() == Lock::Standby) else { return };
    if locking.mode == Mode::Auto {
        match locking.query_enforcement(&*image) {
            // The bricks had another reason.
            Ok(Enforcement::Possible | Enforcement::Impossible(_)) => return lun.gate.unfence(),
            Ok(Enforcement::Active) => {}
            Err(errno) => {
                return log::warning!(
                    log,
                    "whether the image is fenced could not be asked: {errno}"
                );
            }
        }
    }
    let timed_out = |heartbeat, timeout| {
        lun.gate.with_heartbeat(|owner| owner.owner_timed_out(heartbeat, timeout, Instant::now()))
    };
    let outcome = match acquire_free(lun, &image) {
        Err(AcquireError::Held) => {
            // Where it cannot be read, the holder's translators are frozen as well (disperse).
            if !timed_out(image.heartbeat().unwrap_or_default(), OWNER_TIMEOUT) {
                return;
            }
            acquire(lun, &image, Preempt::Always)
        }
        Err(AcquireError::Unconfirmed(heartbeat)) => {
            if !timed_out(heartbeat, ABSENT_OWNER_TIMEOUT) {
                return;
            }
            acquire(lun, &image, Preempt::Silent)
        }
        outcome => outcome,
    };
    match outcome {
        Ok(()) => log::warning!(log, "owned, for commands that came without a lock"),
        // There may be no core that does it: without an ALUA group it never asks for the lock.
        Err(AcquireError::Reopen) => lun.recovery.request(Task::Reopen),
        Err(_) => {}
    }
}

/// Acquires the lock if it is free. A heartbeat of this LUN itself does not count as an owner's.
fn acquire_free<B: Backend>(lun: &Lun<B>, image: &Arc<B>) -> Result<(), AcquireError> {
    match acquire(lun, image, Preempt::Never) {
        Err(AcquireError::Unconfirmed(heartbeat))
            if heartbeat.starts_with(&lun.gate.with_heartbeat(OwnerHeartbeat::prefix)) =>
        {
            acquire(lun, image, Preempt::Silent)
        }
        outcome => outcome,
    }
}

/// Acquires the lock on `image`, and logs it. The caller holds
/// [`exclusive`](super::image_locking::ImageLocking::exclusive).
pub(super) fn acquire<B: Backend>(
    lun: &Lun<B>,
    image: &Arc<B>,
    preempt: Preempt,
) -> Result<(), AcquireError> {
    let log = &lun.log;
    let heartbeat = lun.gate.with_heartbeat(OwnerHeartbeat::next);
    let acquired = match lun.gate.loans() {
        0 => image.acquire(&heartbeat, preempt),
        _ => Err(AcquireError::InFlight),
    };
    let acquired = acquired.inspect_err(|why| match why {
        AcquireError::InFlight => log::warning!(log, "not locked: commands are in flight"),
        AcquireError::Storage(errno) => log::warning!(log, "not locked: {errno}"),
        AcquireError::Held
        | AcquireError::Lost
        | AcquireError::Unconfirmed(_)
        | AcquireError::Foreign(_)
        | AcquireError::Reopen => {}
    })?;
    if !lun.gate.lock_held(image) {
        release(lun, &**image);
        return Err(AcquireError::Storage(Errno::EBADF));
    }
    match acquired.previous {
        Some(owner) => log::warning!(log, "fencing: owned, taken from {owner}"),
        None => log::info_always!(log, "fencing: owned"),
    }
    Ok(())
}

/// Whether a COMPARE AND WRITE needs no lock of its own, as the image is this gateway's.
///
/// # Errors
/// EBUSY: the lock was lost since the gate let the command pass. A lock of its own would take the
/// image from its owner.
pub(super) fn owns<B: Backend>(lun: &Lun<B>) -> Result<bool, Errno> {
    match lun.gate.lock() {
        Lock::Held => Ok(true),
        Lock::Unfenced => Ok(false),
        Lock::Standby => Err(Errno::EBUSY),
    }
}

pub(super) fn release<B: Backend>(lun: &Lun<B>, image: &B) {
    if let Err(errno) = image.release() {
        log::warning!(lun.log, "fencing: not given up, until the LUN is closed: {errno}");
    }
}

/// The core, or the end of the LUN, gives the image up.
pub(super) fn unlock<B: Backend>(lun: &Lun<B>) {
    let _exclusive = lun.locking.exclusive();
    if lun.gate.lock() != Lock::Held {
        return;
    }
    lun.gate.stand_by();
    if let Some(image) = lun.gate.image() {
        release(lun, &*image);
    }
}

/// Leaves a heartbeat, if commands have been served since the last one. Does not block.
pub(super) fn send_heartbeat<B: Backend>(lun: &Arc<Lun<B>>) {
    let locking = &lun.locking;
    if !locking.active.load(Ordering::Relaxed) {
        return;
    }
    let Some(slot) = locking.heartbeat.take() else { return };
    let Some(image) = lun.gate.image().filter(|_| lun.gate.lock() == Lock::Held) else { return };
    locking.active.store(false, Ordering::Relaxed);
    let heartbeat = lun.gate.with_heartbeat(OwnerHeartbeat::next);
    let lun = Arc::downgrade(lun);
    image.send_heartbeat(heartbeat, move |sent| {
        // In an outage no other gateway could see it either.
        if let (Err(errno), Some(lun)) = (sent, lun.upgrade()) {
            log::warning!(lun.log, "the owner's heartbeat could not be left: {errno}");
        }
        drop(slot);
    });
}

/// Waits until no heartbeat is in flight; none is sent before the slot is dropped.
pub(super) fn hold_heartbeats<B: Backend>(lun: &Lun<B>, patience: Duration) -> Option<Taken> {
    const INTERVAL: Duration = Duration::from_millis(5);
    let begin = Instant::now();
    loop {
        let slot = lun.locking.heartbeat.take();
        if slot.is_some() || begin.elapsed() >= patience {
            return slot;
        }
        thread::sleep(INTERVAL);
    }
}

/// Handles the failure of a command: if it says that the lock is not held any more, the core is
/// told, or the lock requested. The caller starts recovery.
pub(super) fn command_failed<B: Backend>(lun: &Arc<Lun<B>>, op: Op, errno: Errno) {
    let refused = match errno {
        Errno::EBUSY => true,
        Errno::EAGAIN => matches!(op, Op::Read | Op::Unmap | Op::WriteSame | Op::CompareAndWrite),
        // The descriptor has lost its lock with its brick.
        Errno::EBADFD | Errno::EBADF => lun.gate.lock() == Lock::Held,
        _ => false,
    };
    if !refused {
        return;
    }
    if lun.locking.mode == Mode::Off {
        log::error!(
            lun.log,
            "refused by the bricks ({errno}): the image is fenced, and fence=off; see \
             docs/fencing.md"
        );
        return;
    }
    // Not known: it could not be asked when the image was opened, and is asked before the lock is
    // acquired.
    if matches!(lun.locking.last_enforcement(), Some(Enforcement::Impossible(_))) {
        return;
    }
    match lun.gate.stand_by() {
        Lock::Held => {
            log::warning!(lun.log, "fencing: not owned any more ({errno})");
            // Before the command is answered; and once, for all that fail alike.
            lun.device.lock_lost();
            // Good for nothing more, with the lock or without: a write has reached too few bricks
            // (10.3, `ec_validate_fd`).
            if errno == Errno::EBADF {
                lun.recovery.request(Task::Reopen);
            }
        }
        Lock::Unfenced => lun.recovery.request(Task::Acquire),
        Lock::Standby => {}
    }
}

#[cfg(test)]
mod tests;
