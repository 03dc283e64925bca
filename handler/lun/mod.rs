//! What a LUN does with its commands. Knows SCSI and the runner's safe types; knows nothing of who stores the bytes
//! ([`backend`]), has no `unsafe`, and sees no status number.

mod attention;
pub mod backend;
mod compare_and_write;
pub mod config;
mod contest;
mod error;
mod fence;
mod fill;
mod flush;
mod gathering;
mod geometry;
mod image;
mod numbers;
mod outage;
mod restore;
mod rw;
mod screen;
mod size;
mod upkeep;
mod watch;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use nix::errno::Errno;

use self::attention::Attention;
use self::backend::{Backend, Opened, Source};
use self::config::{Config, OnUnreachable};
use self::error::{Op, kind, status};
use self::fence::Fence;
use self::fill::Missing;
use self::flush::Flushes;
use self::geometry::{BlockSize, fits};
use self::image::Image;
use self::outage::Outage;
use crate::metrics::{self, Meter, Span, Work};
use crate::report::{self, Log};
use crate::runner::{
    self, Cdb, Command, Device, DeviceHandle, Limits, LockOutcome, LockState, Rejected, Sense, Status,
};

pub use self::screen::{is_answered_in_part, screen};

/// One exported disk.
pub struct Lun<B: Backend> {
    /// What it says of itself. The label is the place of its image.
    log: Arc<Log>,
    /// What it was opened with: the site file may change what that means.
    cfgstring: String,
    image: Image<B>,
    /// Where the image comes from, at first and again.
    source: Box<dyn Source<Backend = B>>,
    open_timeout: Duration,
    block_size: BlockSize,
    /// Size of the LUN: the whole blocks of its image, unless the admin has it smaller.
    bytes: AtomicU64,
    device: DeviceHandle,
    /// The image was found smaller than the LUN, and that has been reported.
    cut_off: AtomicBool,
    outage: Outage,
    fence: Fence,
    /// A thread is at work on getting the image back.
    restoring: AtomicBool,
    /// A thread waits for the bricks to come together.
    gathering: AtomicBool,
    /// What the next command tells in place of its own outcome.
    attention: Attention,
    missing: Missing,
    flushes: Flushes,
    meter: Arc<Meter>,
}

impl<B: Backend> fmt::Debug for Lun<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lun").field("log", &self.log).field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

/// Bytes of the largest READ or WRITE that initiators are told of. tcmu-runner's own default is 64 KiB, which cuts large transfers
/// into pieces that each pay the way to the bricks.
const MAX_TRANSFER: u32 = 1 << 20;
/// Bytes of the largest UNMAP descriptor.
const MAX_UNMAP: u32 = 512 << 20;

/// How long the daemon waits for an image of which it may also hear later: until then it can neither open nor close another LUN.
const COURTESY: Duration = Duration::from_secs(5);

impl<B: Backend> Lun<B> {
    /// Opens the image, and makes a LUN of it. From then on the image is watched: its growth becomes the LUN's.
    ///
    /// If the cluster cannot be reached now, and the configuration allows it, the LUN comes up all the same, is not ready, and goes
    /// on trying. The image decides: if the size the kernel was told at creation differs, the kernel is told the image's.
    ///
    /// # Errors
    /// The image cannot be opened, or is unfit; the reason is logged.
    pub fn open(device: &Device<'_>, config: &Config, source: impl Source<Backend = B>) -> Result<Arc<Self>, Errno> {
        let log = Arc::new(Log::new(config.label()));
        log.set_detail(upkeep::detail(config.log_level));
        let meter = metrics::meter(&numbers::name(device, config), &log);
        let block_size = BlockSize::new(device.block_size()).map_err(|why| {
            report::error_always!(log, "not opened: {why}");
            Errno::EINVAL
        })?;
        let deferrable = config.open == OnUnreachable::Defer;
        let patience = if deferrable { config.open_timeout.min(COURTESY) } else { config.open_timeout };
        let opened = match source.open(patience, None) {
            Ok(opened) => Some(opened),
            Err(not) if deferrable && not.passes => {
                report::warning_always!(log, "not ready yet, tries on: {}", not.why);
                None
            }
            Err(not) => {
                report::error_always!(log, "not opened: {}", not.why);
                return Err(not.errno);
            }
        };
        let max_transfer = block_size.blocks_in(MAX_TRANSFER);
        device.set_limits(Limits {
            max_transfer: device.max_transfer().max(max_transfer),
            max_unmap: block_size.blocks_in(MAX_UNMAP),
            xcopy: max_transfer,
        });
        device.set_solid_state();
        // Even without a cache on our side the bricks have one (their page cache): initiators must flush.
        device.set_write_cache(true);
        let lun = Arc::new(Self {
            image: Image::new(),
            source: Box::new(source),
            open_timeout: config.open_timeout,
            block_size,
            bytes: AtomicU64::new(device.blocks().saturating_mul(device.block_size().into())),
            device: device.handle(),
            cut_off: AtomicBool::new(false),
            outage: Outage::new(config, &log, &meter),
            fence: Fence::new(config, &meter),
            restoring: AtomicBool::new(false),
            gathering: AtomicBool::new(false),
            attention: Attention::default(),
            missing: Missing::default(),
            flushes: Flushes::default(),
            meter,
            cfgstring: device.cfgstring().unwrap_or_default().to_owned(),
            log,
        });
        match opened {
            Some(opened) => lun.attach(opened, Some(device))?,
            None => restore::start(&lun),
        }
        let watched: Weak<Self> = Arc::downgrade(&lun);
        watch::add(watched);
        numbers::show(&lun, config);
        Ok(lun)
    }

    /// Begins to serve an image that has just been opened, for the first time.
    /// `device` is there on the thread of the core's `open`.
    fn attach(&self, opened: Opened<B>, device: Option<&Device<'_>>) -> Result<(), Errno> {
        let (log, told) = (&self.log, self.bytes.load(Ordering::Relaxed));
        let size = opened.image.size().inspect_err(|errno| {
            report::error!(log, "not opened: no size: {errno}; are the bricks up? (gluster volume status)");
        })?;
        let bytes = self.block_size.lun_in(size).map_err(|why| {
            report::error!(log, "not opened: {why}");
            Errno::EINVAL
        })?;
        if told != bytes {
            report::warning!(log, "created with {told} bytes, but the image holds {size}: the LUN has {bytes}");
            // First our own limit, so that no initiator finds a LUN larger than what is served.
            self.bytes.store(bytes, Ordering::Relaxed);
            match device.filter(|device| !device.is_reopened()) {
                Some(device) => device.set_size(bytes).inspect_err(|errno| {
                    report::error!(log, "not opened: the kernel refused a size of {bytes} bytes: {errno}; see dmesg");
                })?,
                None => size::announce(self, bytes),
            }
        }
        self.fence.engage(&opened.image, log).map_err(|why| {
            report::error!(log, "not served: {why}");
            Errno::EOPNOTSUPP
        })?;
        if !opened.writable {
            self.device.set_write_protect();
        }
        let mode = if opened.writable { "" } else { ", read-only" };
        report::info_always!(log, "open, {bytes} bytes{mode}");
        restore::discard(self, self.image.replace(opened));
        Ok(())
    }

    /// Lets a command over `len` bytes at `offset` begin, or says why not.
    fn admit(self: &Arc<Self>, command: Command, op: Op, offset: u64, len: u64) -> Result<(Command, Arc<B>), Rejected> {
        if let Some(status) = self.attention.take() {
            return Err(Rejected(command, status));
        }
        let Some(image) = self.image.get() else {
            return Err(Rejected(command, Status::Sense(Sense::BECOMING_READY)));
        };
        if !self.fence.passes() {
            return Err(Rejected(command, fence::refuse(self)));
        }
        if let Some(status) = self.outage.held() {
            return Err(Rejected(command, status));
        }
        if !fits(self.bytes.load(Ordering::Relaxed), offset, len) {
            return Err(Rejected(command, Status::OutOfRange));
        }
        if !self.image.is_writable() && !matches!(op, Op::Read | Op::Flush) {
            return Err(Rejected(command, Status::Sense(Sense::WRITE_PROTECTED)));
        }
        Ok((command, image))
    }

    /// The storage has done something for a command.
    fn served(&self, op: Op) {
        self.log.succeeded(kind(op));
        self.outage.end();
        self.fence.served();
    }

    /// The storage has not. What the initiator is told.
    fn failed(self: &Arc<Self>, op: Op, errno: Errno) -> Status {
        fence::failed(self, op, errno);
        let status = status(op, errno, &self.outage);
        if self.outage.lasting().is_some() {
            gathering::start(self);
        }
        status
    }
}

/// Bytes of a command's data.
fn length(command: &Command) -> u64 {
    u64::try_from(command.data().len()).unwrap_or(u64::MAX)
}

impl<B: Backend> runner::Lun for Lun<B> {
    fn begin(&self, work: Work) -> Option<Span> {
        self.meter.begin(work)
    }

    fn read(self: Arc<Self>, command: Command, offset: u64) -> Result<(), Rejected> {
        let len = length(&command);
        let (command, image) = self.admit(command, Op::Read, offset, len)?;
        rw::transfer(self, &*image, command, Op::Read, offset);
        Ok(())
    }

    fn write(self: Arc<Self>, command: Command, offset: u64) -> Result<(), Rejected> {
        let len = length(&command);
        let (command, image) = self.admit(command, Op::Write, offset, len)?;
        rw::transfer(self, &*image, command, Op::Write, offset);
        Ok(())
    }

    fn unmap(self: Arc<Self>, command: Command, offset: u64, len: u64) -> Result<(), Rejected> {
        let (command, image) = self.admit(command, Op::Unmap, offset, len)?;
        // Once it is taken on, its failure could not be told.
        if let Some(status) = self.outage.going_on() {
            return Err(Rejected(command, status));
        }
        // The core frees the range of a WRITE SAME with the UNMAP bit whatever its block says; only zeros may be freed.
        let write_same = command.cdb().is_some_and(|cdb| screen::is_write_same(&cdb));
        let block = if write_same { command.data().load() } else { vec![0; self.block_size.bytes()] };
        fill::start(self, &*image, command, Op::Unmap, block, (offset, len));
        Ok(())
    }

    fn write_same(self: Arc<Self>, command: Command, offset: u64, len: u64) -> Result<(), Rejected> {
        let (command, image) = self.admit(command, Op::WriteSame, offset, len)?;
        let block = command.data().load();
        if block.len() != self.block_size.bytes() {
            return Err(Rejected(command, Status::InvalidCdb));
        }
        fill::start(self, &*image, command, Op::WriteSame, block, (offset, len));
        Ok(())
    }

    fn compare_and_write(self: Arc<Self>, command: Command, offset: u64) -> Result<(), Rejected> {
        let len = length(&command) / 2;
        let (command, image) = self.admit(command, Op::CompareAndWrite, offset, len)?;
        compare_and_write::start(self, &*image, command, offset);
        Ok(())
    }

    fn flush(self: Arc<Self>, command: Command) -> Result<(), Rejected> {
        let (command, image) = self.admit(command, Op::Flush, 0, 0)?;
        flush::start(self, &*image, command);
        Ok(())
    }

    fn prior(self: Arc<Self>, cdb: &Cdb) -> Option<Status> {
        const TEST_UNIT_READY: u8 = 0;
        if self.image.get().is_none() {
            return Some(Status::Sense(Sense::BECOMING_READY));
        }
        if cdb.opcode() == TEST_UNIT_READY {
            return self.attention.take().or_else(|| self.outage.exhausted());
        }
        // A disk that is removed is flushed through all of its paths. That must not move the lock to the last one.
        if self.fence.passes() {
            return None;
        }
        let span = self.begin(Work { op: Op::Flush, offset: 0, bytes: 0 });
        let status = fence::refuse(&self);
        if let Some(span) = span {
            span.end(status.class());
        }
        Some(status)
    }

    fn lock(&self) -> LockOutcome {
        fence::lock(self)
    }

    fn unlock(&self) {
        if let Err(errno) = fence::unlock(self) {
            report::warning!(self.log, "fencing: not given up, until the LUN is closed: {errno}");
        }
    }

    fn lock_state(&self) -> LockState {
        if self.fence.passes() { LockState::Locked } else { LockState::Unlocked }
    }

    fn resize(&self, bytes: u64) -> Result<(), Errno> {
        size::resize(self, bytes)
    }

    fn set_write_cache(&self, enabled: bool) -> Result<(), Errno> {
        if enabled {
            return Ok(());
        }
        // Twice for every LUN of a restored configuration, which says that there is no cache.
        report::info_always!(self.log, "the write cache bit stays set: the bricks cache, so initiators must flush");
        Err(Errno::EOPNOTSUPP)
    }

    fn close(self: Arc<Self>) {
        self.device.detach();
        self.meter.detach();
        self.log.settle(true);
        match self.image.close().map(|image| image.close()) {
            None | Some(Ok(())) => report::info_always!(self.log, "closed"),
            Some(Err(errno)) => {
                report::error_always!(self.log, "closing failed, cached writes may be lost: {errno}");
            }
        }
    }
}
