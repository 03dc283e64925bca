//! What a LUN does with its commands. Knows SCSI and the runner's safe types; knows nothing of who stores the bytes
//! ([`backend`]), has no `unsafe`, and sees no status number.

pub mod backend;
pub mod config;
mod error;
mod geometry;
mod rw;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::errno::Errno;

use self::backend::Backend;
use self::error::Op;
use self::geometry::{BadGeometry, BlockSize};
use crate::report;
use crate::runner::{self, Command, Device, Limits, Rejected};

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
}

/// Bytes of the largest READ or WRITE that initiators are told of. tcmu-runner's own default is 64 KiB, which cuts large transfers
/// into pieces that each pay the way to the bricks.
const MAX_TRANSFER: u32 = 1 << 20;
/// Bytes of the largest UNMAP descriptor.
const MAX_UNMAP: u32 = 1 << 30;

impl<B: Backend> Lun<B> {
    /// Makes a LUN of an open image, and tells the core its size and limits.
    ///
    /// The image decides: if the size the kernel was told at creation differs, the kernel is told the image's.
    ///
    /// # Errors
    /// The image is unfit; the reason is logged.
    pub fn new(device: &Device<'_>, label: String, backend: B, writable: bool) -> Result<Self, Errno> {
        let image = backend.size().inspect_err(|errno| report::error_always!("{label}: no size: {errno}"))?;
        let (block_size, bytes) = shape(device.block_size(), image).map_err(|why| {
            report::error_always!("{label}: {why}");
            Errno::EINVAL
        })?;
        let told = u128::from(device.blocks()) * u128::from(device.block_size());
        if told != u128::from(bytes) {
            report::warning_always!(
                "{label}: created with {told} bytes, but the image holds {bytes}: the LUN has {bytes}"
            );
            device.update_size(bytes).inspect_err(|errno| {
                report::error_always!("{label}: the kernel did not take the size of {bytes} bytes: {errno}");
            })?;
        }
        let max_transfer = block_size.blocks_in(MAX_TRANSFER);
        device.set_limits(Limits {
            max_transfer: device.max_transfer().max(max_transfer),
            max_unmap: block_size.blocks_in(MAX_UNMAP),
            xcopy: max_transfer,
        });
        // Even without a cache on our side the bricks have one (their page cache): initiators must flush.
        device.set_write_cache(true);
        let mode = if writable { "" } else { ", read-only" };
        report::info_always!("{label}: open, {bytes} bytes{mode}");
        Ok(Self { label, backend, writable, block_size, bytes: AtomicU64::new(bytes) })
    }
}

fn shape(block_size: u32, image: u64) -> Result<(BlockSize, u64), BadGeometry> {
    let block_size = BlockSize::new(block_size)?;
    Ok((block_size, block_size.lun_in(image)?))
}

impl<B: Backend> runner::Lun for Lun<B> {
    fn read(self: Arc<Self>, command: Command, offset: u64) -> Result<(), Rejected> {
        rw::transfer(self, command, Op::Read, offset)
    }

    fn write(self: Arc<Self>, command: Command, offset: u64) -> Result<(), Rejected> {
        rw::transfer(self, command, Op::Write, offset)
    }

    fn flush(self: Arc<Self>, command: Command) -> Result<(), Rejected> {
        rw::flush(self, command);
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
        match self.backend.close() {
            Ok(()) => report::info_always!("{}: closed", self.label),
            Err(errno) => report::error_always!("{}: closing failed, cached writes may be lost: {errno}", self.label),
        }
    }
}
