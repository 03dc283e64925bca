// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! A file on a FUSE mount, as targets without libgfapi use it.

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use io_uring::{IoUring, opcode, types};

use super::Disk;
use crate::cell::{Cell, Durability, Tally};
use crate::load::{Choice, DEEPEST, Op};

/// How commands reach the file.
pub(crate) enum Way {
    /// A thread for each command in flight.
    Threads,
    /// One thread and a ring.
    Uring,
}

/// An image on a FUSE mount. Opened `O_DIRECT`: the kernel's cache would answer reads that the
/// others must send to the bricks.
pub(crate) struct File {
    open: fs::File,
    bytes: u64,
    way: Way,
}

/// Memory that `O_DIRECT` takes.
#[derive(Clone)]
#[repr(align(4096))]
struct Page(#[expect(dead_code, reason = "seen as bytes")] [u8; 4096]);

fn pages(bytes: usize) -> Vec<Page> {
    vec![Page([0x5a; 4096]); bytes / 4096]
}

impl File {
    pub(crate) fn open(path: &Path, bytes: u64, way: Way) -> anyhow::Result<Self> {
        let file =
            fs::File::options().read(true).write(true).custom_flags(libc::O_DIRECT).open(path);
        Ok(Self { open: file.with_context(|| path.display().to_string())?, bytes, way })
    }

    /// One thread of those that a target has.
    fn alone(&self, cell: &Cell, time: Duration, seed: u64) -> Tally {
        let mut tally = Tally::new();
        let mut choice = Choice::new(*cell, self.bytes, seed);
        let mut data = pages(cell.block);
        // SAFETY: pages are plain bytes, one behind the other.
        let data =
            unsafe { std::slice::from_raw_parts_mut(data.as_mut_ptr().cast::<u8>(), cell.block) };
        let begin = Instant::now();
        while begin.elapsed() < time {
            let (op, offset) = choice.command();
            let since = Instant::now();
            let result = match op {
                Op::Read => self.open.read_exact_at(data, offset),
                _ => self.open.write_all_at(data, offset),
            };
            let result = if cell.durability == Durability::Flush && op == Op::Write {
                result.and_then(|()| self.open.sync_data())
            } else {
                result
            };
            tally.count(since.elapsed(), result.is_ok());
        }
        tally
    }

    fn threads(&self, cell: &Cell, time: Duration, seed: u64) -> Tally {
        thread::scope(|scope| {
            let depth = cell.depth as u64;
            let threads: Vec<_> = (0..depth)
                .map(|n| scope.spawn(move || self.alone(cell, time, seed * depth + n)))
                .collect();
            let mut all = Tally::new();
            for thread in threads {
                all.add(&thread.join().expect("no panic"));
            }
            all
        })
    }

    fn uring(&self, cell: &Cell, time: Duration, seed: u64) -> anyhow::Result<Tally> {
        let mut ring = IoUring::new(u32::try_from(DEEPEST)?)?;
        let mut buffers: Vec<Vec<Page>> = (0..cell.depth).map(|_| pages(cell.block)).collect();
        let (fd, len) = (types::Fd(self.open.as_raw_fd()), u32::try_from(cell.block)?);
        let mut choice = Choice::new(*cell, self.bytes, seed);
        let mut running = vec![(Op::Flush, Instant::now()); cell.depth];
        let mut tally = Tally::new();
        let begin = Instant::now();
        let mut start = |ring: &mut IoUring, slot: usize, op, offset| {
            let data = buffers[slot].as_mut_ptr().cast();
            let entry = match op {
                Op::Read => opcode::Read::new(fd, data, len).offset(offset).build(),
                Op::Write => opcode::Write::new(fd, data, len).offset(offset).build(),
                Op::Flush => opcode::Fsync::new(fd).flags(types::FsyncFlags::DATASYNC).build(),
            };
            // SAFETY: the buffer lives until the entry is completed: the loop below waits for all.
            unsafe { ring.submission().push(&entry.user_data(slot as u64)) }
                .context("the ring is full")
        };
        let mut free: Vec<usize> = (0..cell.depth).collect();
        let mut in_flight = 0;
        loop {
            for slot in free.drain(..) {
                let (op, offset) = choice.command();
                running[slot] = (op, Instant::now());
                start(&mut ring, slot, op, offset)?;
                in_flight += 1;
            }
            if in_flight == 0 {
                return Ok(tally);
            }
            ring.submit_and_wait(1)?;
            let done: Vec<_> =
                ring.completion().map(|entry| (entry.user_data(), entry.result() >= 0)).collect();
            for (slot, good) in done {
                let slot = usize::try_from(slot)?;
                let (op, since) = running[slot];
                if cell.durability == Durability::Flush && op == Op::Write && good {
                    running[slot].0 = Op::Flush;
                    start(&mut ring, slot, Op::Flush, 0)?;
                    continue;
                }
                tally.count(since.elapsed(), good);
                in_flight -= 1;
                if begin.elapsed() < time {
                    free.push(slot);
                }
            }
        }
    }
}

impl Disk for File {
    fn run(&self, cell: &Cell, time: Duration, seed: u64) -> anyhow::Result<Tally> {
        match self.way {
            Way::Threads => Ok(self.threads(cell, time, seed)),
            Way::Uring => self.uring(cell, time, seed),
        }
    }
}
