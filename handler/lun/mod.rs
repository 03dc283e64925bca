// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! A LUN: serves the commands of one exported disk from an image. Knows SCSI and the runner's safe
//! types, but not the storage behind the port ([`backend`]); has no `unsafe`, and sees no status
//! number.

mod admission;
mod admit;
mod answers;
pub mod backend;
mod commands;
mod compare_and_write;
mod copy;
mod error;
mod filter;
mod flush;
mod gate;
mod geometry;
mod heartbeat;
mod image;
mod image_locking;
mod inquiry;
mod intercept;
mod lba_status;
mod lock;
mod mode_pages;
mod monitor;
mod or_write;
mod outage;
mod parameters;
mod queue;
mod recovery;
mod rw;
mod size;
mod slot;
mod space;
mod space_warning;
mod supported_opcodes;
#[cfg(test)]
mod testing;
mod unflushed;
mod unmap;
mod verify;
mod whole;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use nix::errno::Errno;

use self::backend::{Backend, OpenErrorKind, Opened, Source};
use self::copy::Results;
use self::flush::Flushes;
use self::gate::{Gate, Lock};
use self::geometry::BlockSize;
use self::image::MoveAttempts;
use self::image_locking::ImageLocking;
use self::recovery::Recovery;
use self::size::Size;
use self::slot::Slot;
use self::space_warning::SpaceWarning;
use self::unflushed::UnflushedWrites;
use self::unmap::Fills;
use crate::config::{Cache, Config, CopyRange, OnUnreachable};
use crate::log::{self, Log};
use crate::metrics::{self, FenceState, Identity, LunMetrics, LunState, Observed};
use crate::runner::{Device, DeviceHandle, Limits};
use crate::scsi::Sense;

pub use self::answers::Attributes;
pub use self::filter::filter;

/// One exported disk.
pub struct Lun<B: Backend> {
    /// Its log lines, labelled with the place of the image.
    log: Arc<Log>,
    /// Parsed again when the site file changes.
    cfgstring: String,
    /// State of storage and lock; decides about every command.
    gate: Gate<B>,
    /// Opens the image, and reopens it.
    source: Box<dyn Source<Backend = B>>,
    open_timeout: Duration,
    /// The client may hold writes back (`cache=writeback`).
    holds_writes_back: bool,
    /// Every write is durable when it is acknowledged (`cache=through`).
    write_through: bool,
    block_size: BlockSize,
    size: Size,
    space_warning: SpaceWarning,
    device: DeviceHandle,
    /// A thread is checking the image's size and the volume's space.
    storage_check: Slot,
    /// Number of brick losses at the monitor's last tick.
    brick_losses: AtomicU64,
    locking: ImageLocking,
    recovery: Arc<Recovery>,
    moves: MoveAttempts,
    unflushed: UnflushedWrites,
    fills: Fills<B>,
    flushes: Flushes,
    copies: Results,
    /// EXTENDED COPY also from and to other LUNs (`copy=daemon`).
    copies_with_others: bool,
    /// Place of the backstore in configfs: `user_1/d0`. None if the kernel does not tell.
    backstore: Option<String>,
    /// A thread asks for the volume's space, for LOG SENSE.
    asking_for_space: Slot,
    meter: Arc<LunMetrics>,
}

impl<B: Backend> fmt::Debug for Lun<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lun")
            .field("log", &self.log)
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

/// Bytes of the largest READ or WRITE that initiators are told of. tcmu-runner's own default is 64
/// KiB, which cuts large transfers into pieces that each pay the way to the bricks.
const MAX_TRANSFER: u32 = 1 << 20;
/// Bytes of the largest UNMAP descriptor.
const MAX_UNMAP: u32 = 512 << 20;

/// Bounds an open that may be deferred: meanwhile tcmu-runner's main thread can neither open nor
/// close another LUN.
const DEFERRED_OPEN_TIMEOUT: Duration = Duration::from_secs(5);

impl<B: Backend> Lun<B> {
    /// Opens the image, and makes a LUN of it. From then on the image is watched: its growth
    /// becomes the LUN's.
    ///
    /// If the cluster cannot be reached now, and the configuration allows it, the LUN comes up
    /// anyway, is not ready, and keeps trying. The image decides: if the size the kernel was told
    /// at creation differs, the kernel is told the image's.
    ///
    /// # Errors
    /// The image cannot be opened, or is unfit; the reason is logged.
    pub fn open(
        device: &Device<'_>,
        config: &Config,
        source: impl Source<Backend = B>,
    ) -> Result<Arc<Self>, Errno> {
        let log = Arc::new(Log::new(config.label()));
        log.set_max_level(monitor::max_level(config.log_level));
        let name = name(device, config);
        let meter = metrics::register(&name, &log);
        let block_size = BlockSize::new(device.block_size()).map_err(|why| {
            log::error_always!(log, "not opened: {why}");
            Errno::EINVAL
        })?;
        let deferrable = config.open == OnUnreachable::Defer;
        let patience = if deferrable {
            config.open_timeout.min(DEFERRED_OPEN_TIMEOUT)
        } else {
            config.open_timeout
        };
        let opened = match source.open(patience, None) {
            Ok(opened) => Some(opened),
            Err(not) if deferrable && not.kind == OpenErrorKind::Transient => {
                log::warning_always!(log, "not ready yet, keeps trying: {}", not.why);
                meter.set_last_error(not.why);
                None
            }
            Err(not) => {
                log::error_always!(log, "not opened: {}", not.why);
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
        // Even without a cache on our side the bricks have one (their page cache): initiators must
        // flush, unless each write is durable.
        device.set_write_cache(config.cache != Cache::Through);
        let bytes = device.blocks().saturating_mul(device.block_size().into());
        let (source, handle) = (Box::new(source), device.handle());
        let lun = Arc::new(Self {
            backstore: device.backstore(),
            cfgstring: device.cfgstring().unwrap_or_default().to_owned(),
            ..Self::new(config, source, block_size, bytes, handle, log, meter)
        });
        match opened {
            Some(opened) => lun.attach(opened, Some(device), None)?,
            None => recovery::start(&lun),
        }
        let monitored: Weak<Self> = Arc::downgrade(&lun);
        if !monitor::add(monitored) {
            log::error_always!(lun.log, "not opened: no thread could be had to monitor it");
            crate::runner::Lun::close(lun);
            return Err(Errno::EAGAIN);
        }
        copy::add(&lun);
        show(&lun, config, &name);
        Ok(lun)
    }

    /// A LUN of `bytes` whose image is not open yet.
    fn new(
        config: &Config,
        source: Box<dyn Source<Backend = B>>,
        block_size: BlockSize,
        bytes: u64,
        device: DeviceHandle,
        log: Arc<Log>,
        meter: Arc<LunMetrics>,
    ) -> Self {
        Self {
            gate: Gate::new(config, image_locking::before_open(config), &log, &meter),
            source,
            open_timeout: config.open_timeout,
            holds_writes_back: config.cache == Cache::Writeback,
            write_through: config.cache == Cache::Through,
            block_size,
            size: Size::new(bytes, config.grow),
            space_warning: SpaceWarning::new(config.space_warning),
            device,
            storage_check: Slot::default(),
            brick_losses: AtomicU64::new(0),
            locking: ImageLocking::new(config),
            recovery: Arc::default(),
            moves: MoveAttempts::default(),
            unflushed: UnflushedWrites::of(log.label()),
            fills: Fills::new(),
            flushes: Flushes::default(),
            copies: Results::default(),
            copies_with_others: config.copy == CopyRange::Daemon,
            backstore: None,
            asking_for_space: Slot::default(),
            meter,
            cfgstring: String::new(),
            log,
        }
    }

    /// Begins to serve an image that has just been opened, for the first time; initiators are told
    /// `pending` first. `device` is there on the thread of the core's `open`.
    fn attach(
        &self,
        opened: Opened<B>,
        device: Option<&Device<'_>>,
        pending: Option<Sense>,
    ) -> Result<(), Errno> {
        let log = &self.log;
        let size = opened.image.size().inspect_err(|errno| {
            log::error!(
                log,
                "not opened: no size: {errno}; are the bricks up? (gluster volume status)"
            );
        })?;
        size::open(self, size, device)?;
        let lock = self.locking.initial_lock(&opened.image, log).map_err(|why| {
            log::error!(log, "not served: {why}");
            Errno::EOPNOTSUPP
        })?;
        if !opened.writable {
            self.device.set_write_protect();
        }
        let mode = if opened.writable { "" } else { ", read-only" };
        self.brick_losses.store(opened.image.brick_losses(), Ordering::Relaxed);
        self.unflushed.opened(&opened.image);
        match self.gate.open(opened, lock, pending) {
            Ok(()) => log::info_always!(log, "open, {} bytes{mode}", self.size.bytes()),
            // The LUN has been closed meanwhile.
            Err(image) => drop(image.close(image::CLOSE_TIMEOUT)),
        }
        Ok(())
    }
}

/// Name of the LUN in metrics: as in targetcli, or of its image where that is not known.
fn name(device: &Device<'_>, config: &Config) -> String {
    device.name().unwrap_or_else(|| format!("{}/{}", config.volume, config.path))
}

/// Shows the LUN in the metrics from now on.
fn show<B: Backend>(lun: &Arc<Lun<B>>, config: &Config, name: &str) {
    let identity = Identity {
        volume: config.volume.clone(),
        image: config.path.clone(),
        servers: config.hosts.clone(),
        cache: config.cache.text(),
        fence: config.fence.text(),
    };
    let others = metrics::others_on(&identity, name);
    if !others.is_empty() {
        log::warning_always!(
            lun.log,
            "LUN {} of this host serves this image, too: initiators take them for separate disks, \
             and overwrite each other's data; delete one of them",
            others.join(", ")
        );
    }
    let seen: Weak<Lun<B>> = Arc::downgrade(lun);
    lun.meter.attach(identity, seen);
}

impl<B: Backend> Observed for Lun<B> {
    fn observe(&self) -> LunState {
        let image = self.gate.image();
        LunState {
            bytes: self.size.bytes(),
            ready: image.is_some(),
            outage: self.gate.outage().is_some(),
            read_only: !self.gate.is_writable(),
            fence: match self.gate.lock() {
                Lock::Unfenced => FenceState::Open,
                Lock::Held => FenceState::Owned,
                Lock::Standby => FenceState::Standby,
            },
            space: self.space_warning.observe(),
            encrypted: image.and_then(|image| image.encrypted()),
        }
    }
}
