// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Fills an image with allocated space, zeros, or the data of another image: in steps, with
//! progress, interruptible.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use handler_glfs::gluster::File;
use indicatif::{ProgressBar, ProgressStyle};
use nix::errno::Errno;

use crate::interrupt::Interrupt;

/// Bytes of a read or write. Larger ones bring nothing, as Gluster cuts them up.
const STEP: u64 = 1 << 20;
/// Reads or writes at a time: they overlap on the way to the bricks.
const AT_ONCE: usize = 4;
/// Bytes of a call that moves none over the network.
const STRIDE: u64 = 256 << 20;

/// Reason why an image was not filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    /// Ctrl-C.
    #[error("interrupted")]
    Interrupted,
    /// The source.
    #[error("reading at {1} failed: {0}")]
    Read(Errno, u64),
    /// The new image.
    #[error("writing at {1} failed: {0}")]
    Write(Errno, u64),
}

/// Progress of a long operation, and whether to go on.
#[derive(Debug)]
pub(crate) struct Progress {
    interrupt: Interrupt,
    bar: ProgressBar,
}

impl Progress {
    /// Shows progress over `bytes`, if there is a terminal to show it on.
    pub(crate) fn new(interrupt: Interrupt, bytes: u64, what: &'static str) -> Self {
        let template = "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
        Self::shown(interrupt, bytes, what, template)
    }

    /// Shows progress over a number of steps.
    pub(crate) fn steps(interrupt: Interrupt, steps: u64, what: &'static str) -> Self {
        Self::shown(interrupt, steps, what, "{msg} {wide_bar} {pos}/{len} {eta}")
    }

    fn shown(interrupt: Interrupt, len: u64, what: &'static str, template: &str) -> Self {
        let style = ProgressStyle::with_template(template);
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        Self { interrupt, bar: ProgressBar::new(len).with_message(what).with_style(style) }
    }

    /// Counts finished bytes or steps; false once the user has asked for the end.
    pub(crate) fn advance(&self, bytes: u64) -> bool {
        self.bar.inc(bytes);
        !self.interrupt.is_asked()
    }

    /// Goes over `range` in steps of [`STEP`], several at a time, in no order.
    fn spread(
        &self,
        range: Range<u64>,
        step: impl Fn(u64, u64) -> Result<(), Failure> + Sync,
    ) -> Result<(), Failure> {
        let next = AtomicU64::new(range.start);
        let failed: Mutex<Option<Failure>> = Mutex::new(None);
        let worker = || {
            if let Err(why) = self.run_steps(&next, range.end, STEP, &step) {
                // The others stop, too.
                next.store(range.end, Ordering::Relaxed);
                failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why);
            }
        };
        thread::scope(|scope| (0..AT_ONCE).for_each(|_| drop(scope.spawn(worker))));
        failed.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
    }

    /// Goes from `next` to `end` in steps of `size`.
    fn run_steps(
        &self,
        next: &AtomicU64,
        end: u64,
        size: u64,
        step: &impl Fn(u64, u64) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        loop {
            let at = next.fetch_add(size, Ordering::Relaxed);
            if at >= end {
                return Ok(());
            }
            if self.interrupt.is_asked() {
                return Err(Failure::Interrupted);
            }
            let len = size.min(end - at);
            step(at, len)?;
            self.bar.inc(len);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Allocates the first `bytes` of an image on the bricks.
pub(crate) fn allocate(image: &File, bytes: u64, progress: &Progress) -> Result<(), Failure> {
    let failed = |at| move |errno| Failure::Write(errno, at);
    let step = |at, len| image.allocate(at, len).map_err(failed(at));
    match progress.run_steps(&AtomicU64::new(0), bytes, STRIDE, &step) {
        // Disperse volumes.
        Err(Failure::Write(Errno::EOPNOTSUPP | Errno::ENOSYS, at)) => {
            progress.spread(at..bytes, |at, len| {
                let zeros = vec![0; usize::try_from(len).unwrap_or(0)];
                image.write_at(&zeros, at).map_err(failed(at))
            })
        }
        other => other,
    }
}

/// Copies the non-zero data of the first `bytes` of `source`. `image` must have its size, and no
/// data.
///
/// Not by `glfs_copy_file_range`, though a brick could do it alone: replicas, dispersed sets and
/// shards do not know the call and hand it to their first brick, and of one brick it copies every
/// range from the beginning of the source (10.3, measured).
pub(crate) fn clone(
    source: &File,
    image: &File,
    bytes: u64,
    progress: &Progress,
) -> Result<(), Failure> {
    let mut at = 0;
    while at < bytes {
        let data = next_data(source, at, bytes)?;
        progress.bar.inc(data.start.min(bytes) - at);
        at = data.end;
        progress.spread(data, |at, len| copy_step(source, image, at, len))?;
    }
    Ok(())
}

/// The next range at or behind `at` that may hold data; empty at the end. A volume that does not
/// know says so, and all is read.
fn next_data(source: &File, at: u64, end: u64) -> Result<Range<u64>, Failure> {
    let failed = |errno| Failure::Read(errno, at);
    let start = match source.next_data(at) {
        Ok(found) => found.unwrap_or(end).clamp(at, end),
        Err(Errno::EINVAL | Errno::EOPNOTSUPP | Errno::ENOSYS) => return Ok(at..end),
        Err(errno) => return Err(failed(errno)),
    };
    if start >= end {
        return Ok(end..end);
    }
    let hole = source.next_hole(start).map_err(failed)?;
    // Never empty: the loop would not end.
    Ok(start..if hole > start { hole.min(end) } else { end })
}

fn copy_step(source: &File, image: &File, at: u64, len: u64) -> Result<(), Failure> {
    /// Zeros are skipped in whole blocks of the bricks' file systems.
    const GRAIN: usize = 64 << 10;
    let mut buffer = vec![0; usize::try_from(len).unwrap_or(0)];
    let read = source.read_at(&mut buffer, at).map_err(|errno| Failure::Read(errno, at))?;
    if read < buffer.len() {
        // The source was truncated meanwhile.
        return Err(Failure::Read(Errno::ENODATA, at));
    }
    let is_zero = |grain: &&[u8]| grain.iter().all(|&byte| byte == 0);
    let grains: Vec<&[u8]> = buffer.chunks(GRAIN).collect();
    let mut begin = at;
    // Neighbours that hold data are written together.
    for run in grains.chunk_by(|one, next| is_zero(one) == is_zero(next)) {
        let bytes = run.concat();
        if !run.first().is_some_and(is_zero) {
            image.write_at(&bytes, begin).map_err(|errno| Failure::Write(errno, begin))?;
        }
        begin = begin.saturating_add(u64::try_from(bytes.len()).unwrap_or(0));
    }
    Ok(())
}
