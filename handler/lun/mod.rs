//! What a LUN does with its commands. Knows SCSI and the runner's safe types; knows nothing of who stores the bytes
//! ([`backend`]), has no `unsafe`, and sees no status number.

pub mod backend;
mod compare_and_write;
pub mod config;
mod deferred;
mod error;
mod fill;
mod flush;
mod geometry;
mod outage;
mod rw;
mod screen;
mod watch;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use nix::errno::Errno;

use self::backend::Backend;
use self::config::Config;
use self::deferred::Deferred;
use self::error::Op;
use self::fill::Missing;
use self::flush::Flushes;
use self::geometry::{BadGeometry, BlockSize, fits};
use self::outage::Outage;
use self::watch::Watched;
use crate::report;
use crate::runner::{self, Command, Device, Limits, Rejected, Resizer, Sense, Status};

pub use self::screen::{is_answered_in_part, screen};

/// One exported disk, open.
#[derive(Debug)]
pub struct Lun<B: Backend> {
    /// Its name in log lines.
    label: String,
    backend: B,
    /// Whether the image was opened for writing.
    writable: bool,
    block_size: BlockSize,
    /// Size of the LUN: the whole blocks of its image, unless the admin has it smaller.
    bytes: AtomicU64,
    resizer: Resizer,
    /// The image was found smaller than the LUN, and that has been reported.
    cut_off: AtomicBool,
    outage: Outage,
    /// An error that its own command could not carry.
    deferred: Deferred,
    missing: Missing,
    flushes: Flushes,
}

/// Bytes of the largest READ or WRITE that initiators are told of. tcmu-runner's own default is 64 KiB, which cuts large transfers
/// into pieces that each pay the way to the bricks.
const MAX_TRANSFER: u32 = 1 << 20;
/// Bytes of the largest UNMAP descriptor.
const MAX_UNMAP: u32 = 512 << 20;

impl<B: Backend> Lun<B> {
    /// Makes a LUN of an open image, and tells the core its size and limits. From then on the image is watched: its growth
    /// becomes the LUN's.
    ///
    /// The image decides: if the size the kernel was told at creation differs, the kernel is told the image's.
    ///
    /// # Errors
    /// The image is unfit; the reason is logged.
    pub fn open(device: &Device<'_>, config: &Config, backend: B, writable: bool) -> Result<Arc<Self>, Errno> {
        let label = config.label();
        let image = backend.size().inspect_err(|errno| report::error_always!("{label}: no size: {errno}"))?;
        let (block_size, bytes) = shape(device.block_size(), image).map_err(|why| {
            report::error_always!("{label}: {why}");
            Errno::EINVAL
        })?;
        let resizer = device.resizer();
        let told = u128::from(device.blocks()) * u128::from(device.block_size());
        if told != u128::from(bytes) {
            report::warning_always!(
                "{label}: created with {told} bytes, but the image holds {bytes}: the LUN has {bytes}"
            );
            resizer.resize(bytes).inspect_err(|errno| {
                report::error_always!("{label}: the kernel did not take the size of {bytes} bytes: {errno}");
            })?;
        }
        let max_transfer = block_size.blocks_in(MAX_TRANSFER);
        device.set_limits(Limits {
            max_transfer: device.max_transfer().max(max_transfer),
            max_unmap: block_size.blocks_in(MAX_UNMAP),
            xcopy: max_transfer,
        });
        device.set_solid_state();
        if !writable {
            device.set_write_protect();
        }
        // Even without a cache on our side the bricks have one (their page cache): initiators must flush.
        device.set_write_cache(true);
        let mode = if writable { "" } else { ", read-only" };
        report::info_always!("{label}: open, {bytes} bytes{mode}");
        let lun = Arc::new(Self {
            label,
            backend,
            writable,
            block_size,
            bytes: AtomicU64::new(bytes),
            resizer,
            cut_off: AtomicBool::new(false),
            outage: Outage::new(config.outage),
            deferred: Deferred::default(),
            missing: Missing::default(),
            flushes: Flushes::default(),
        });
        let watched: Weak<Self> = Arc::downgrade(&lun);
        watch::add(watched);
        Ok(lun)
    }

    /// Lets a command over `len` bytes at `offset` begin, or says why not.
    fn admit(&self, command: Command, op: Op, offset: u64, len: u64) -> Result<Command, Rejected> {
        if let Some(sense) = self.deferred.take() {
            return Err(Rejected(command, Status::Sense(sense.deferred())));
        }
        if !fits(self.bytes.load(Ordering::Relaxed), offset, len) {
            return Err(Rejected(command, Status::OutOfRange));
        }
        if !self.writable && !matches!(op, Op::Read | Op::Flush) {
            return Err(Rejected(command, Status::Sense(Sense::WRITE_PROTECTED)));
        }
        Ok(command)
    }
}

impl<B: Backend> Watched for Lun<B> {
    /// An image that has grown makes the LUN grow; one that was cut off is reported, once, and the LUN stays as it is.
    fn look(&self) {
        let (label, now) = (&self.label, self.bytes.load(Ordering::Relaxed));
        // An image that cannot be looked at now is looked at later.
        let Ok(image) = self.backend.size() else { return };
        if image < now {
            if !self.cut_off.swap(true, Ordering::Relaxed) {
                report::error_always!(
                    "{label}: the image has been cut off: {image} bytes of {now}; reads past them fail"
                );
            }
            return;
        }
        self.cut_off.store(false, Ordering::Relaxed);
        let grown = self.block_size.lun_in(image).unwrap_or(0);
        if grown <= now {
            return;
        }
        // First our own limit, so that no initiator finds a LUN larger than what is served.
        self.bytes.store(grown, Ordering::Relaxed);
        match self.resizer.resize(grown) {
            Ok(()) => report::info_always!("{label}: the image has grown: {now} -> {grown} bytes"),
            // Closed meanwhile.
            Err(Errno::ENODEV) => {}
            Err(errno) => {
                self.bytes.store(now, Ordering::Relaxed);
                report::warning!("{label}: the image has grown to {grown} bytes, but the kernel refused: {errno}");
            }
        }
    }
}

/// Bytes of a command's data.
fn length(command: &Command) -> u64 {
    u64::try_from(command.data().len()).unwrap_or(u64::MAX)
}

fn shape(block_size: u32, image: u64) -> Result<(BlockSize, u64), BadGeometry> {
    let block_size = BlockSize::new(block_size)?;
    Ok((block_size, block_size.lun_in(image)?))
}

impl<B: Backend> runner::Lun for Lun<B> {
    fn read(self: Arc<Self>, command: Command, offset: u64) -> Result<(), Rejected> {
        let len = length(&command);
        let command = self.admit(command, Op::Read, offset, len)?;
        rw::transfer(self, command, Op::Read, offset);
        Ok(())
    }

    fn write(self: Arc<Self>, command: Command, offset: u64) -> Result<(), Rejected> {
        let len = length(&command);
        let command = self.admit(command, Op::Write, offset, len)?;
        rw::transfer(self, command, Op::Write, offset);
        Ok(())
    }

    fn unmap(self: Arc<Self>, command: Command, offset: u64, len: u64) -> Result<(), Rejected> {
        let command = self.admit(command, Op::Unmap, offset, len)?;
        // Once it is taken on, its failure could not be told.
        if let Some(status) = self.outage.going_on() {
            return Err(Rejected(command, status));
        }
        // The core frees the range of a WRITE SAME with the UNMAP bit whatever its block says; only zeros may be freed.
        let write_same = command.cdb().is_some_and(|cdb| screen::is_write_same(&cdb));
        let block = if write_same { command.data().load() } else { vec![0; self.block_size.bytes()] };
        fill::start(self, command, Op::Unmap, block, (offset, len));
        Ok(())
    }

    fn write_same(self: Arc<Self>, command: Command, offset: u64, len: u64) -> Result<(), Rejected> {
        let command = self.admit(command, Op::WriteSame, offset, len)?;
        let block = command.data().load();
        if block.len() != self.block_size.bytes() {
            return Err(Rejected(command, Status::InvalidCdb));
        }
        fill::start(self, command, Op::WriteSame, block, (offset, len));
        Ok(())
    }

    fn compare_and_write(self: Arc<Self>, command: Command, offset: u64) -> Result<(), Rejected> {
        let len = length(&command) / 2;
        let command = self.admit(command, Op::CompareAndWrite, offset, len)?;
        compare_and_write::start(self, command, offset);
        Ok(())
    }

    fn flush(self: Arc<Self>, command: Command) -> Result<(), Rejected> {
        let command = self.admit(command, Op::Flush, 0, 0)?;
        flush::start(self, command);
        Ok(())
    }

    fn resize(&self, bytes: u64) -> Result<(), Errno> {
        let (label, now) = (&self.label, self.bytes.load(Ordering::Relaxed));
        let image =
            self.backend.size().inspect_err(|e| report::error_always!("{label}: resize to {bytes}: no size: {e}"))?;
        let wanted = self.block_size.lun_in(bytes).unwrap_or(0);
        if wanted < now {
            report::error_always!("{label}: a LUN of {now} bytes is not shrunk to {bytes}: initiators would lose data");
            return Err(Errno::EINVAL);
        }
        if wanted > image {
            report::error_always!(
                "{label}: {bytes} bytes do not fit, the image has {image}: grow it first (truncate -s SIZE)"
            );
            return Err(Errno::ENOSPC);
        }
        self.bytes.store(wanted, Ordering::Relaxed);
        report::info_always!("{label}: resized from {now} to {wanted} bytes");
        Ok(())
    }

    fn set_write_cache(&self, enabled: bool) -> Result<(), Errno> {
        if enabled {
            return Ok(());
        }
        report::warning_always!(
            "{}: the write cache bit stays set: the bricks cache, so initiators must flush",
            self.label
        );
        Err(Errno::EOPNOTSUPP)
    }

    fn close(self: Arc<Self>) {
        self.resizer.retire();
        match self.backend.close() {
            Ok(()) => report::info_always!("{}: closed", self.label),
            Err(errno) => report::error_always!("{}: closing failed, cached writes may be lost: {errno}", self.label),
        }
    }
}
