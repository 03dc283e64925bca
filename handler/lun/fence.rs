//! Which gateway may use the image. One owns it; the bricks refuse all others (docs/fencing.md).
//!
//! With an implicit ALUA group the core asks for the lock before it passes on the first WRITE, with no command in flight; the
//! initiator decides which gateway that is, by where it sends its commands. READs come without, and say less: a standby path is read
//! from by every scan of the bus. So a READ takes the image only if nobody has it, or if its owner serves nobody. Until that is known
//! it gets BUSY, which fails no path.
//!
//! An owner that is alive is not robbed at the first request either. A gateway that was frozen, and wakes up with old commands in its
//! ring, asks for the lock too; it asks once, while an initiator that means it asks again.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::Lun;
use super::backend::{Backend, Enforcement};
use super::config::{Cache, Config, Fence as Mode};
use super::contest::Contest;
use super::error::Op;
use crate::metrics::{Event, FenceState, Meter};
use crate::report::{self, Log};
use crate::runner::{LockOutcome, Sense, Status};

/// An initiator that wants the image from an owner that seems alive must have asked for this long, by WRITEs.
const INSISTENCE: Duration = Duration::from_millis(1500);
/// Between two requests by WRITEs.
const RESPITE: Duration = Duration::from_millis(300);
/// Between two looks at who owns the image, while commands are refused.
const ROUND: Duration = Duration::from_millis(500);

/// Commands pass. The bricks refuse nobody, as far as is known.
const OPEN: u8 = 0;
/// Commands pass. The image is ours.
const OWNED: u8 = 1;
/// Commands are refused. The image is another gateway's, or nobody's.
const STANDBY: u8 = 2;

/// The fence of one LUN, on this gateway.
#[derive(Debug)]
pub(super) struct Fence {
    mode: Mode,
    state: AtomicU8,
    /// The volume has been found to enforce.
    enforces: AtomicBool,
    /// A thread is trying to own the image, for commands that the core did not ask for.
    claiming: AtomicBool,
    /// A command has been served since the last sign of life.
    active: AtomicBool,
    contest: Mutex<Contest>,
    meter: Arc<Meter>,
}

impl Fence {
    /// Of a LUN that is not open yet. With a cache of writes there is nothing to enforce: they are acknowledged before a brick could
    /// refuse them.
    pub(super) fn new(config: &Config, meter: &Arc<Meter>) -> Self {
        let mode = if config.cache == Cache::Writeback { Mode::Off } else { config.fence };
        let state = if mode == Mode::Required { STANDBY } else { OPEN };
        Self {
            mode,
            state: AtomicU8::new(state),
            enforces: AtomicBool::new(false),
            claiming: AtomicBool::new(false),
            active: AtomicBool::new(false),
            contest: Mutex::default(),
            meter: Arc::clone(meter),
        }
    }

    /// Looks at an image that has just been opened. An error is a sentence for the admin: it must not be served.
    pub(super) fn engage(&self, image: &impl Backend, log: &Log) -> Result<(), String> {
        if self.mode == Mode::Off {
            return Ok(());
        }
        match image.enforcement() {
            Ok(Enforcement::Impossible(why)) if self.mode == Mode::Required => {
                return Err(format!("fence=required, but the volume cannot enforce it: {why}"));
            }
            Ok(Enforcement::Impossible(_)) => {}
            Ok(found) => {
                self.enforces.store(true, Ordering::Relaxed);
                let standby = found == Enforcement::Active || self.mode == Mode::Required;
                self.set(if standby { STANDBY } else { OPEN });
            }
            Err(errno) if self.mode == Mode::Required => {
                return Err(format!("fence=required, but the volume does not say whether it can enforce it: {errno}"));
            }
            Err(errno) => report::warning!(log, "whether the image is fenced could not be asked: {errno}"),
        }
        Ok(())
    }

    fn set(&self, state: u8) {
        self.state.store(state, Ordering::Release);
    }

    /// Becomes owned, or standby. What it was before.
    fn change(&self, state: u8) -> u8 {
        let before = self.state.swap(state, Ordering::AcqRel);
        if before != state {
            self.meter.count(if state == OWNED { Event::Owned } else { Event::Standby });
        }
        before
    }

    /// Who may use the image.
    pub(super) fn state(&self) -> FenceState {
        match self.state.load(Ordering::Relaxed) {
            OPEN => FenceState::Open,
            OWNED => FenceState::Owned,
            _ => FenceState::Standby,
        }
    }

    fn is(&self, state: u8) -> bool {
        self.state.load(Ordering::Acquire) == state
    }

    fn contest(&self) -> MutexGuard<'_, Contest> {
        self.contest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether commands pass; the core may count on the lock, then.
    pub(super) fn passes(&self) -> bool {
        !self.is(STANDBY)
    }

    /// Whether the image is ours, and nobody else's commands pass.
    pub(super) fn is_owned(&self) -> bool {
        self.is(OWNED)
    }

    /// A command has been served.
    pub(super) fn served(&self) {
        if !self.active.load(Ordering::Relaxed) {
            self.active.store(true, Ordering::Relaxed);
        }
    }
}

/// What a command is told that is refused because the image is not ours. It makes us look again whether it could be.
pub(super) fn refuse<B: Backend>(lun: &Arc<Lun<B>>) -> Status {
    let fence = &lun.fence;
    let (alive, due) = {
        let contest = fence.contest();
        (contest.is_alive(Instant::now()), !contest.was_looked_at_within(ROUND))
    };
    // Another gateway serves it: that is no outage, but a reason to go there.
    let answer = if alive { Status::Sense(Sense::STANDBY) } else { Status::Busy };
    if !due {
        return answer;
    }
    if !fence.claiming.swap(true, Ordering::AcqRel) {
        let claimant = Arc::clone(lun);
        let thread = thread::Builder::new().name(String::from("glfs-claim"));
        let spawned = thread.spawn(move || {
            claim(&claimant);
            claimant.fence.claiming.store(false, Ordering::Release);
        });
        if spawned.is_err() {
            fence.claiming.store(false, Ordering::Release);
        }
    }
    answer
}

/// Takes the image for commands that the core did not ask for, if nobody else is using it.
fn claim<B: Backend>(lun: &Lun<B>) {
    let (log, fence) = (&lun.log, &lun.fence);
    let Some(image) = lun.image.get() else { return };
    if fence.mode == Mode::Auto && matches!(image.enforcement(), Ok(Enforcement::Possible | Enforcement::Impossible(_)))
    {
        // The bricks had another reason.
        return fence.set(OPEN);
    }
    let taken = match image.is_taken() {
        Ok(taken) => taken,
        Err(errno) => return report::warning!(log, "who owns the image could not be asked: {errno}"),
    };
    if taken {
        // Where it cannot be read, its translators are frozen as well (disperse): no sign.
        let sign = image.note().unwrap_or_default();
        if !fence.contest().is_silent(sign, Instant::now()) {
            return;
        }
    }
    // The core may have been faster.
    if fence.is(STANDBY) && own(lun, &*image, taken).is_ok() {
        report::warning!(log, "owned, for commands that came without a lock");
    }
}

/// The core wants the image for WRITEs. No command is in flight. Blocks, within bounds.
pub(super) fn lock<B: Backend>(lun: &Lun<B>) -> LockOutcome {
    let (log, fence) = (&lun.log, &lun.fence);
    if fence.mode == Mode::Off || fence.is(OWNED) {
        return LockOutcome::Locked;
    }
    let Some(image) = lun.image.get() else { return LockOutcome::NotNow };
    if !fence.enforces.load(Ordering::Relaxed) {
        // It could not be asked when the image was opened, or its admin may have changed it since.
        match image.enforcement() {
            Ok(Enforcement::Impossible(why)) => {
                report::warning!(log, "fencing is off: {why}; a gateway that hangs may write late");
                return LockOutcome::Locked;
            }
            Ok(_) => fence.enforces.store(true, Ordering::Relaxed),
            Err(errno) => {
                report::warning!(log, "not locked: whether the image is fenced could not be asked: {errno}");
                return LockOutcome::NotNow;
            }
        }
    }
    let taken = match image.is_taken() {
        Ok(taken) => taken,
        Err(errno) => {
            report::warning!(log, "not locked: who owns the image could not be asked: {errno}");
            return LockOutcome::NotNow;
        }
    };
    if taken {
        let mut contest = fence.contest();
        let now = Instant::now();
        let since = contest.asked(now);
        if now.duration_since(since) < INSISTENCE {
            drop(contest);
            // The core asks again with the next command, which comes at once.
            thread::sleep(RESPITE);
            return LockOutcome::NotNow;
        }
    }
    match own(lun, &*image, taken) {
        Ok(()) => LockOutcome::Locked,
        Err(Errno::EDEADLK) => LockOutcome::Reopen,
        Err(_) => LockOutcome::NotNow,
    }
}

/// Takes the image, and says so.
fn own<B: Backend>(lun: &Lun<B>, image: &B, from_another: bool) -> Result<(), Errno> {
    let (log, fence) = (&lun.log, &lun.fence);
    image.take().inspect_err(|errno| {
        if *errno != Errno::EDEADLK {
            report::warning!(log, "not locked: {errno}");
        }
    })?;
    if from_another {
        thread::sleep(image.settling());
    }
    let before = image.note();
    let sign = {
        let mut contest = fence.contest();
        contest.end();
        contest.sign()
    };
    if let Err(errno) = image.set_note(&sign) {
        report::warning!(log, "the owner's note could not be left: {errno}");
    }
    fence.change(OWNED);
    match before {
        Ok(note) if from_another => report::warning!(log, "fencing: owned, taken from {note}"),
        _ => report::info_always!(log, "fencing: owned"),
    }
    Ok(())
}

/// The core, or the end of the LUN, gives the image up.
pub(super) fn unlock<B: Backend>(lun: &Lun<B>) -> Result<(), Errno> {
    if !lun.fence.is(OWNED) {
        return Ok(());
    }
    lun.fence.change(STANDBY);
    lun.image.get().map_or(Ok(()), |image| image.release())
}

/// Leaves a sign of life, if commands have been served since the last one.
pub(super) fn beat<B: Backend>(lun: &Lun<B>) {
    let fence = &lun.fence;
    if !fence.is(OWNED) || !fence.active.swap(false, Ordering::Relaxed) {
        return;
    }
    let sign = fence.contest().sign();
    // In an outage there is nobody to see it either.
    if let Some(Err(errno)) = lun.image.get().map(|image| image.set_note(&sign)) {
        report::warning!(lun.log, "the owner's note could not be left: {errno}");
    }
}

/// A command has failed. If that says that the image is not ours any more, the core is told.
pub(super) fn failed<B: Backend>(lun: &Lun<B>, op: Op, errno: Errno) {
    let fence = &lun.fence;
    let refused = match errno {
        Errno::EBUSY => true,
        Errno::EAGAIN => matches!(op, Op::Read | Op::Unmap | Op::WriteSame | Op::CompareAndWrite),
        // The descriptor has lost its lock with its brick.
        Errno::EBADFD | Errno::EBADF => fence.is(OWNED),
        _ => false,
    };
    if !refused {
        return;
    }
    if fence.mode == Mode::Off {
        report::error!(
            lun.log,
            "refused by the bricks ({errno}): the image is fenced, and fence=off; see docs/fencing.md"
        );
        return;
    }
    if !fence.enforces.load(Ordering::Relaxed) {
        return;
    }
    if fence.change(STANDBY) == OWNED {
        report::warning!(lun.log, "fencing: not owned any more ({errno})");
        // Before the command is answered; and once, for all that fail alike.
        lun.device.lock_lost();
    }
}

/// The image has been opened anew: what was owned was the old one.
pub(super) fn reopened<B: Backend>(lun: &Lun<B>) {
    let fence = &lun.fence;
    if fence.state.compare_exchange(OWNED, STANDBY, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
        fence.meter.count(Event::Standby);
        lun.device.lock_lost();
    }
}
