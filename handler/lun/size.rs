// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Size of a LUN, and how it follows that of its image.
//!
//! | image, in whole blocks | `dev_size` is set | otherwise |
//! |---|---|---|
//! | as large as the LUN | larger: ENOSPC; smaller: EINVAL, see below | nothing |
//! | larger | up to the image: at once | `grow=auto`: announced when the image is at rest |
//! | smaller ("cut off") | the LUN shrinks to the image | writes past it fail; later an ERROR |
//! | cannot be looked at | accepted, and settled by the next look that succeeds | nothing |
//!
//! A LUN is not shrunk while its image still has the bytes: initiators would lose data. After a
//! minute an image that stays cut off is an ERROR in the log.
//!
//! The size changes where the core asks for it ([`resize`], on the daemon's main thread), and when
//! a LUN is opened. The monitor only has the kernel ask ([`announce`]): the image is
//! queried again by then.
//!
//! An image is *at rest* ([`Filling`](image_size::Filling)) when for 10 s its size and its
//! allocated blocks have not changed, and its time of modification as well unless initiators
//! may have written. Tools that fill what they have added before they announce it (gluster-block
//! 0.5.1: truncate, zeros, `dev_size`) allocate blocks, or on an idle LUN change the time, all the
//! while: a LUN that grew under them would lose what is written where the zeros have not come yet.
//! What this does not see is a tool that does nothing for 10 s between two steps, or that fills
//! blocks which are allocated already while initiators write. Such tools need `grow=manual`.

mod image_size;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::errno::Errno;

use self::image_size::{Image, SizeChange, SizeMonitor};
use super::Lun;
use super::admission::{Admission, Admissions};
use super::backend::Backend;
use super::gate::Lock;
use super::geometry::fits;
use crate::config::Grow;
use crate::log;
use crate::runner::Device;
use crate::scsi::{Op, Status};
use crate::threads;

/// How long the writes of a LUN that is to shrink may take. The daemon's main thread waits.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);
/// No end.
const UNLIMITED: u64 = u64::MAX;

/// Size of one LUN.
#[derive(Debug)]
pub(super) struct Size {
    /// Bytes that are served: the kernel's number, or less.
    bytes: AtomicU64,
    /// Where writes must end: before `bytes` while the image is cut off. They would extend the
    /// image, and be lost when it is cut off there again.
    writes_end: AtomicU64,
    /// A command has changed the image since the monitor's last look.
    has_written: AtomicBool,
    admissions: Admissions,
    /// Held for moments: never while the image is looked at.
    monitor: Mutex<SizeMonitor>,
}

impl Size {
    /// Of a LUN that the kernel knows to have `bytes`.
    pub(super) fn new(bytes: u64, grow: Grow) -> Self {
        Self {
            bytes: AtomicU64::new(bytes),
            writes_end: AtomicU64::new(UNLIMITED),
            has_written: AtomicBool::new(false),
            admissions: Admissions::default(),
            monitor: Mutex::new(SizeMonitor::new(grow)),
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    fn set(&self, bytes: u64) {
        self.bytes.store(bytes, Ordering::Relaxed);
    }

    /// Lets a command over `len` bytes at `offset` begin. A command that writes is to keep what it
    /// is given until it is answered.
    ///
    /// # Errors
    /// What the initiator is told.
    pub(super) fn admit(&self, op: Op, offset: u64, len: u64) -> Result<Option<Admission>, Status> {
        let writes = op.writes();
        // Before the look at the size: `shrink` either sees the command, or the command sees the
        // new size.
        let admission = writes.then(|| self.admissions.begin());
        if !fits(self.bytes(), offset, len) {
            return Err(Status::OutOfRange);
        }
        if writes && !fits(self.writes_end.load(Ordering::Relaxed), offset, len) {
            return Err(Status::WriteError);
        }
        Ok(admission)
    }

    /// Notes that a command has been served.
    pub(super) fn served(&self, op: Op) {
        // A load first: the line is shared by all commands of the LUN.
        if op.writes() && !self.has_written.load(Ordering::Relaxed) {
            self.has_written.store(true, Ordering::Relaxed);
        }
    }
}

/// Decides the size of a LUN whose image has just been opened and has `image` bytes. `device` is
/// there on the thread of the core's `open`.
///
/// # Errors
/// The image is unfit, or the kernel refuses its size; the reason is logged.
pub(super) fn open<B: Backend>(
    lun: &Lun<B>,
    image: u64,
    device: Option<&Device<'_>>,
) -> Result<(), Errno> {
    let (log, told) = (&lun.log, lun.size.bytes());
    let whole = lun.block_size.lun_in(image).map_err(|why| {
        log::error!(log, "not opened: {why}");
        Errno::EINVAL
    })?;
    let is_reopened = device.is_some_and(Device::is_reopened);
    if whole == told || is_reopened {
        // The monitor says what there is to say.
        return Ok(());
    }
    let bytes = if told == 0 { whole } else { whole.min(told) };
    let grows = match threads::lock(&lun.size.monitor).grow {
        _ if bytes == whole => "",
        Grow::Auto => " until the image has been at rest for 10 s",
        Grow::Manual => " until dev_size is set (grow=manual)",
    };
    log::warning!(
        log,
        "created with {told} bytes, but the image holds {image}: the LUN has {bytes}{grows}"
    );
    if bytes == told {
        return Ok(());
    }
    // First our own limit, so that no initiator finds a LUN larger than what is served.
    lun.size.set(bytes);
    let Some(device) = device else {
        threads::lock(&lun.size.monitor).kernel_differs = true;
        announce(lun, bytes);
        return Ok(());
    };
    device.set_size(bytes).inspect_err(|errno| {
        log::error!(
            log,
            "not opened: the kernel refused a size of {bytes} bytes: {errno}; see dmesg"
        );
    })
}

/// Sets the size as the kernel asks, for an admin or because we announced it. On the daemon's main
/// thread: one at a time.
///
/// # Errors
/// The LUN keeps its size; the reason is logged.
pub(super) fn resize<B: Backend>(lun: &Lun<B>, bytes: u64) -> Result<(), Errno> {
    let (log, now) = (&lun.log, lun.size.bytes());
    let wanted = lun.block_size.lun_in(bytes).map_err(|_| {
        log::error_always!(log, "resize to {bytes}: less than a block");
        Errno::EINVAL
    })?;
    {
        let mut monitor = threads::lock(&lun.size.monitor);
        (monitor.kernel_differs, monitor.accepted) = (false, None);
    }
    if wanted == now {
        return Ok(());
    }
    let image = match image_size(lun) {
        Ok(image) => image,
        Err(errno) => {
            accept_unseen(lun, wanted, errno);
            return Ok(());
        }
    };
    if wanted > image {
        log::error_always!(
            log,
            "{bytes} bytes do not fit, the image has {image}: grow it first (tcmu-glfs resize)"
        );
        return Err(Errno::ENOSPC);
    }
    if wanted < now {
        if wanted < image {
            log::error_always!(
                log,
                "a LUN of {now} bytes is not shrunk to {bytes}: initiators would lose data, the \
                 image has {image}"
            );
            return Err(Errno::EINVAL);
        }
        return shrink(lun, now, wanted);
    }
    lun.size.set(wanted);
    log::info_always!(log, "resized from {now} to {wanted} bytes");
    Ok(())
}

/// Size of the image now, in whole blocks. The daemon's main thread does not wait for a storage
/// that is away.
fn image_size<B: Backend>(lun: &Lun<B>) -> Result<u64, Errno> {
    let image = lun.gate.image().ok_or(Errno::EAGAIN)?;
    let stat = if lun.gate.outage().is_some() { Err(Errno::ENOTCONN) } else { image.stat() };
    stat.map(|stat| lun.block_size.lun_in(stat.bytes).unwrap_or(0))
}

/// Accepts a size for an image that cannot be looked at, as tcmu-runner's C handler does (1.5.4,
/// `tcmu_glfs_reconfig`: "Let the targetcli command return success"): the image has been prepared
/// before, and for an error gluster-block gives up the block on this gateway. It costs nothing: no
/// command is admitted beyond the known end of the image.
fn accept_unseen<B: Backend>(lun: &Lun<B>, wanted: u64, errno: Errno) {
    log::warning_always!(
        lun.log,
        "resize to {wanted} bytes: accepted without a look at the image ({errno})"
    );
    let is_open = lun.gate.image().is_some();
    let mut monitor = threads::lock(&lun.size.monitor);
    if is_open && wanted > lun.size.bytes() {
        monitor.accepted = Some(wanted);
        return;
    }
    if is_open {
        monitor.grow = Grow::Manual;
    }
    lun.size.set(wanted);
}

/// Shrinks the LUN to an image that has been cut off. An admin's deliberate act: the data is gone
/// already.
fn shrink<B: Backend>(lun: &Lun<B>, now: u64, wanted: u64) -> Result<(), Errno> {
    let log = &lun.log;
    // Before the kernel knows: what comes from here on stays within the new end; what came before
    // is waited for, and must not have made the image larger again.
    lun.size.set(wanted);
    let image =
        if lun.size.admissions.drain(DRAIN_TIMEOUT) { image_size(lun) } else { Err(Errno::EBUSY) };
    if image != Ok(wanted) {
        lun.size.set(now);
        let why = image
            .map_or_else(|errno| errno.to_string(), |image| format!("the image has {image} again"));
        log::error_always!(
            log,
            "not shrunk to {wanted} bytes: writes past the new end were in flight ({why})"
        );
        return Err(Errno::EBUSY);
    }
    let mut monitor = threads::lock(&lun.size.monitor);
    (monitor.grow, monitor.image) = (Grow::Manual, Image::Fits);
    lun.size.writes_end.store(UNLIMITED, Ordering::Relaxed);
    log::warning_always!(
        log,
        "shrunk from {now} to {wanted} bytes by dev_size: the image had been cut off there; it \
         grows only by dev_size now"
    );
    Ok(())
}

/// Queries the image's size and acts on its change. For the monitor; blocks as long as the storage
/// does.
pub(super) fn check<B: Backend>(lun: &Lun<B>) {
    let size = &lun.size;
    // An image that cannot be looked at now is looked at later.
    let Some(Ok(stat)) = lun.gate.image().map(|image| image.stat()) else { return };
    let whole = lun.block_size.lun_in(stat.bytes).unwrap_or(0);
    // In standby it is another gateway's initiators who write.
    let written =
        size.has_written.swap(false, Ordering::Relaxed) || lun.gate.lock() == Lock::Standby;
    let (finding, bytes) = {
        let mut monitor = threads::lock(&size.monitor);
        if let Some(accepted) = monitor.accepted.take() {
            if whole >= accepted {
                size.set(accepted);
            } else {
                monitor.kernel_differs = true;
            }
        }
        let bytes = size.bytes();
        size.writes_end.store(if whole < bytes { whole } else { UNLIMITED }, Ordering::Relaxed);
        (monitor.judge(bytes, whole, stat, written, Instant::now()), bytes)
    };
    let (log, image) = (&lun.log, stat.bytes);
    match finding {
        SizeChange::Nothing => {}
        SizeChange::Announce(wanted) => announce(lun, wanted),
        SizeChange::CutOff => log::info_always!(
            log,
            "the image has been cut off: {image} bytes of {bytes}; what is past them fails; \
             dev_size={whole} shrinks the LUN"
        ),
        SizeChange::StaysCutOff => log::error_always!(
            log,
            "the image stays cut off: {image} bytes of {bytes}; reads and writes past them fail"
        ),
    }
}

/// Has the kernel ask for a size ([`resize`]), and tell initiators.
fn announce<B: Backend>(lun: &Lun<B>, bytes: u64) {
    let log = Arc::clone(&lun.log);
    let refused = move |errno| {
        log::warning!(log, "the kernel refused a size of {bytes} bytes: {errno}; see dmesg");
    };
    if let Err(errno) = lun.device.announce_size(bytes, refused) {
        log::warning!(lun.log, "the kernel could not be told of a size of {bytes} bytes: {errno}");
    }
}

#[cfg(test)]
mod tests;
