// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The load of a gateway: random blocks written and read, many in flight, each told to the journal.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::journal::{self, Journal};
use crate::random::Random;
use crate::stamp::{BLOCK, Content, Stamp};
use support::runner::{BUSY, Lun, OK, PASSTHROUGH_ERR, Pending};

/// An initiator's pause before it repeats a command.
const PAUSE: Duration = Duration::from_millis(50);

/// How long a command is repeated after the load was told to stop.
const RETRY_FOR: Duration = Duration::from_secs(30);

/// The blocks of a load, and how many of them are in flight.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Region {
    pub(crate) first: u64,
    pub(crate) blocks: u64,
    pub(crate) depth: u64,
}

/// What has been counted. Kept by all workers together.
#[derive(Debug, Default)]
struct Counts {
    acknowledged: AtomicU64,
    read: AtomicU64,
    flushed: AtomicU64,
    /// Answers that ask for a repetition.
    repeated: AtomicU64,
    /// Answers that no initiator would repeat, and commands given up.
    errors: AtomicU64,
    /// Milliseconds of the slowest command, from its first submission to its last answer.
    slowest: AtomicU64,
}

#[derive(Debug)]
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    abandon: Arc<AtomicBool>,
    counts: Arc<Counts>,
    workers: Vec<JoinHandle<()>>,
}

/// How a command was answered, as its initiator sees it.
pub(crate) fn answer(pending: Pending) -> Answer {
    let (status, command) = pending.wait();
    match status {
        OK => Answer::Good(command.data.clone()),
        BUSY => Answer::Repeat,
        // NOT READY.
        PASSTHROUGH_ERR if command.sense().0 == 2 => Answer::Repeat,
        PASSTHROUGH_ERR => Answer::Failed(format!("sense {:x?}", command.sense())),
        status => Answer::Failed(format!("status {status}")),
    }
}

pub(crate) enum Answer {
    /// Done: the data of a READ.
    Good(Vec<u8>),
    Repeat,
    Failed(String),
}

/// What a load can be put on.
pub(crate) trait Disk: Send + Sync {
    fn write(&self, offset: i64, data: &[u8]) -> Answer;
    fn read(&self, offset: i64, len: usize) -> Answer;
    fn flush(&self) -> Answer;
}

impl Disk for Lun {
    fn write(&self, offset: i64, data: &[u8]) -> Answer {
        answer(self.submit_write(offset, data))
    }

    fn read(&self, offset: i64, len: usize) -> Answer {
        answer(self.submit_read(offset, len))
    }

    fn flush(&self) -> Answer {
        answer(self.submit_flush())
    }
}

/// One initiator's thread.
struct Worker {
    disk: Arc<dyn Disk>,
    gateway: u64,
    next: Arc<AtomicU64>,
    region: Region,
    journal: Arc<Journal>,
    counts: Arc<Counts>,
    stop: Arc<AtomicBool>,
    /// Stopped, and what is refused is given up.
    abandon: Arc<AtomicBool>,
    random: Random,
}

impl Load {
    /// `next` numbers the writes of this gateway, from load to load.
    pub(crate) fn start(
        disk: &Arc<dyn Disk>,
        gateway: u64,
        next: &Arc<AtomicU64>,
        region: Region,
        journal: &Path,
    ) -> Self {
        let journal = Arc::new(Journal::create(journal));
        let (stop, abandon) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let counts = Arc::new(Counts::default());
        let start = |seed: u64| {
            let mut worker = Worker {
                disk: Arc::clone(disk),
                gateway,
                next: Arc::clone(next),
                region,
                journal: Arc::clone(&journal),
                counts: Arc::clone(&counts),
                stop: Arc::clone(&stop),
                abandon: Arc::clone(&abandon),
                random: Random::new(gateway << 32 | seed),
            };
            thread::spawn(move || worker.work())
        };
        let workers = (0..region.depth).map(start).collect();
        Self { stop, abandon, counts, workers }
    }

    /// Ends the load of an initiator that has turned to another gateway: nothing is repeated any
    /// more.
    pub(crate) fn abandon(self) -> [u64; 6] {
        self.abandon.store(true, Ordering::SeqCst);
        self.stop()
    }

    /// Ends the load: how many were acknowledged, read, flushed, repeated, and failed; milliseconds
    /// of the slowest.
    pub(crate) fn stop(self) -> [u64; 6] {
        self.stop.store(true, Ordering::SeqCst);
        self.workers.into_iter().for_each(|worker| worker.join().unwrap());
        let counts = &self.counts;
        [
            &counts.acknowledged,
            &counts.read,
            &counts.flushed,
            &counts.repeated,
            &counts.errors,
            &counts.slowest,
        ]
        .map(|count| count.load(Ordering::SeqCst))
    }
}

impl Worker {
    /// Two writes to one read, and a flush now and then.
    fn work(&mut self) {
        while !self.stop.load(Ordering::SeqCst) {
            let block = self.region.first + self.random.below(self.region.blocks);
            match self.random.below(64) {
                0 => {
                    let flushed = self.persist(|disk| disk.flush()).is_some();
                    self.counts.flushed.fetch_add(u64::from(flushed), Ordering::SeqCst);
                }
                1..=20 => self.read(block),
                _ => self.write(block),
            }
        }
    }

    fn write(&self, block: u64) {
        let stamp =
            Stamp { gateway: self.gateway, number: self.next.fetch_add(1, Ordering::SeqCst) };
        let data = stamp.fill(block);
        self.journal.begin(stamp, block);
        let acknowledged = self.persist(|disk| disk.write(offset(block), &data)).is_some();
        self.journal.end(stamp, acknowledged);
        self.counts.acknowledged.fetch_add(u64::from(acknowledged), Ordering::SeqCst);
    }

    fn read(&self, block: u64) {
        let begin = journal::now();
        if let Some(data) = self.persist(|disk| disk.read(offset(block), BLOCK)) {
            self.journal.read(self.gateway, block, begin, Content::of(&data, block));
            self.counts.read.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Repeats a command until it is done, as an initiator does; None if it failed.
    fn persist(&self, submit: impl Fn(&dyn Disk) -> Answer) -> Option<Vec<u8>> {
        let begin = Instant::now();
        let data = self.repeat(submit);
        let took = u64::try_from(begin.elapsed().as_millis()).unwrap();
        self.counts.slowest.fetch_max(took, Ordering::SeqCst);
        data
    }

    fn repeat(&self, submit: impl Fn(&dyn Disk) -> Answer) -> Option<Vec<u8>> {
        let mut stopped = None;
        loop {
            match submit(&*self.disk) {
                Answer::Good(data) => return Some(data),
                Answer::Failed(why) => {
                    eprintln!("gateway {}: {why}", self.gateway);
                    break;
                }
                Answer::Repeat => {
                    self.counts.repeated.fetch_add(1, Ordering::SeqCst);
                    if self.stop.load(Ordering::SeqCst) {
                        let since = *stopped.get_or_insert_with(Instant::now);
                        if self.abandon.load(Ordering::SeqCst) {
                            return None;
                        }
                        if since.elapsed() > RETRY_FOR {
                            eprintln!("gateway {}: a command was given up", self.gateway);
                            break;
                        }
                    }
                    thread::sleep(PAUSE);
                }
            }
        }
        self.counts.errors.fetch_add(1, Ordering::SeqCst);
        None
    }
}

pub(crate) fn offset(block: u64) -> i64 {
    i64::try_from(block * 4096).unwrap()
}
