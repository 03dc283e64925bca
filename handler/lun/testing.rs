// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! A volume in memory, its images and LUNs: for all tests of LUNs.

mod extent;
mod image_lock;
mod luns;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::backend::{
    Backend, Bricks, CompareAndWrite, Compared, Durability, Enforcement, Extent, ImageLock as _,
    ImageStat, OpenError, Request, Space, Unsupported,
};

use self::extent::extent;
pub(super) use self::luns::{
    GOOD, Seen, away, closed_lun, compare_and_write, eventually, flush, image, lun, lun_again,
    lun_of, numbered, owner, read, submit, submit_write, write,
};

/// Bytes of an image.
pub(super) const SIZE: usize = 8192;

/// A volume with one image.
#[derive(Debug)]
pub(super) struct Volume {
    state: Mutex<VolumeState>,
}

#[derive(Debug)]
pub(super) struct VolumeState {
    pub(super) bytes: Vec<u8>,
    /// Number of the open image that holds the lock.
    pub(super) holder: Option<u64>,
    pub(super) heartbeat: Option<String>,
    pub(super) enforcement: Result<Enforcement, Errno>,
    /// How the next opens fail.
    pub(super) refused: VecDeque<OpenError>,
    /// An open panics.
    pub(super) open_panics: bool,
    /// Of images that are opened from now on.
    pub(super) bricks: Option<Bricks>,
    pub(super) opened: u64,
}

impl Volume {
    pub(super) fn new() -> Arc<Self> {
        let state = VolumeState {
            bytes: vec![0; SIZE],
            holder: None,
            heartbeat: None,
            enforcement: Ok(Enforcement::Impossible("it is memory")),
            refused: VecDeque::new(),
            open_panics: false,
            bricks: None,
            opened: 0,
        };
        Arc::new(Self { state: Mutex::new(state) })
    }

    /// One on which locks are enforced.
    pub(super) fn fenced() -> Arc<Self> {
        let volume = Self::new();
        volume.state().enforcement = Ok(Enforcement::Active);
        volume
    }

    pub(super) fn state(&self) -> MutexGuard<'_, VolumeState> {
        self.state.lock().unwrap()
    }

    pub(super) fn open(self: &Arc<Self>) -> Memory {
        let (sender, jobs) = channel::<Box<dyn FnOnce() + Send>>();
        let thread = thread::Builder::new().name(String::from("memory"));
        thread.spawn(move || jobs.into_iter().for_each(|job| job())).unwrap();
        let mut state = self.state();
        state.opened += 1;
        Memory {
            number: state.opened,
            volume: Arc::clone(self),
            faults: Mutex::default(),
            calls: Arc::default(),
            bricks: Mutex::new(state.bricks.ok_or(Errno::EOPNOTSUPP)),
            replicated: AtomicBool::new(state.bricks.is_some()),
            losses: AtomicU64::new(0),
            superseded: AtomicBool::new(false),
            closed: Mutex::new(None),
            close_outcome: Mutex::new(Ok(())),
            size: Mutex::new(Ok(SIZE as u64)),
            space: Mutex::new(Ok(Space { total: 1 << 30, free: 1 << 29 })),
            durable_writes: AtomicUsize::new(0),
            panics: AtomicBool::new(false),
            has_lock_owner: AtomicBool::new(false),
            sees_no_holder: AtomicBool::new(false),
            unsupported: Unsupported::default(),
            jobs: Mutex::new(sender),
        }
    }
}

/// The calls that an image is asked to do.
#[derive(Debug, Default)]
struct Calls {
    made: AtomicUsize,
    in_flight: AtomicUsize,
    /// They do not end before this is false.
    frozen: Mutex<bool>,
    thawed: Condvar,
    delay: Mutex<Duration>,
}

impl Calls {
    fn wait(&self) {
        thread::sleep(*self.delay.lock().unwrap());
        drop(self.thawed.wait_while(self.frozen.lock().unwrap(), |frozen| *frozen).unwrap());
    }
}

/// What an image does with the next calls, in order; then it behaves.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fault {
    /// Moves at most so many bytes.
    Short(usize),
    Fails(Errno),
}

/// An open image.
pub(super) struct Memory {
    pub(super) number: u64,
    pub(super) volume: Arc<Volume>,
    pub(super) faults: Mutex<Vec<Fault>>,
    calls: Arc<Calls>,
    pub(super) bricks: Mutex<Result<Bricks, Errno>>,
    pub(super) replicated: AtomicBool,
    pub(super) losses: AtomicU64,
    pub(super) superseded: AtomicBool,
    /// When it was closed.
    pub(super) closed: Mutex<Option<Instant>>,
    pub(super) close_outcome: Mutex<Result<(), Errno>>,
    pub(super) size: Mutex<Result<u64, Errno>>,
    pub(super) space: Mutex<Result<Space, Errno>>,
    /// How many writes were to be durable.
    pub(super) durable_writes: AtomicUsize,
    /// A look at its size panics.
    pub(super) panics: AtomicBool,
    /// A COMPARE AND WRITE has given its locks an owner.
    has_lock_owner: AtomicBool,
    /// Asks a replica that does not know of a holder.
    pub(super) sees_no_holder: AtomicBool,
    unsupported: Unsupported,
    jobs: Mutex<Sender<Box<dyn FnOnce() + Send>>>,
}

impl Memory {
    /// Answers nothing, until it is to again.
    pub(super) fn freeze(&self, frozen: bool) {
        *self.calls.frozen.lock().unwrap() = frozen;
        self.calls.thawed.notify_all();
    }

    pub(super) fn delay(&self, delay: Duration) {
        *self.calls.delay.lock().unwrap() = delay;
    }

    /// How many calls it was asked to do.
    pub(super) fn calls(&self) -> usize {
        self.calls.made.load(Ordering::SeqCst)
    }

    fn is_refused(&self) -> bool {
        let state = self.volume.state();
        state.enforcement == Ok(Enforcement::Active) && state.holder != Some(self.number)
    }

    /// Does `call` later, on the thread of this image.
    fn later(&self, call: impl FnOnce(&Volume) + Send + 'static) {
        let (volume, calls) = (Arc::clone(&self.volume), Arc::clone(&self.calls));
        calls.in_flight.fetch_add(1, Ordering::SeqCst);
        let job = move || {
            calls.wait();
            call(&volume);
            calls.in_flight.fetch_sub(1, Ordering::SeqCst);
        };
        self.jobs.lock().unwrap().send(Box::new(job)).unwrap();
    }

    /// Answers `request` later with what `work` makes of the image and the number of bytes that may
    /// be moved.
    fn answer<R: Request>(
        &self,
        request: R,
        work: impl FnOnce(&R, &mut Vec<u8>, usize) -> usize + Send + 'static,
    ) {
        let fault = self.faults.lock().unwrap().pop();
        let closed = self.closed.lock().unwrap().is_some();
        let refused = self.is_refused();
        self.calls.made.fetch_add(1, Ordering::SeqCst);
        self.later(move |volume| match fault {
            _ if closed => request.done(Err(Errno::EBADF)),
            _ if refused => request.done(Err(Errno::EBUSY)),
            Some(Fault::Fails(errno)) => request.done(Err(errno)),
            fault => {
                let limit = if let Some(Fault::Short(limit)) = fault { limit } else { usize::MAX };
                let moved = work(&request, &mut volume.state().bytes, limit);
                request.done(Ok(moved));
            }
        });
    }
}

impl Backend for Memory {
    fn read(&self, request: impl Request, offset: u64) {
        self.answer(request, move |request, bytes, limit| {
            let from = usize::try_from(offset).unwrap().min(bytes.len());
            request.data().store(&bytes[from..bytes.len().min(from.saturating_add(limit))])
        });
    }

    fn write(&self, request: impl Request, offset: u64, durability: Durability) {
        let durable = usize::from(durability == Durability::Durable);
        self.durable_writes.fetch_add(durable, Ordering::SeqCst);
        self.answer(request, move |request, bytes, limit| {
            let to = usize::try_from(offset).unwrap();
            let mut data = request.data().to_vec();
            data.truncate(limit);
            bytes[to..to + data.len()].copy_from_slice(&data);
            data.len()
        });
    }

    fn discard(&self, request: impl Request, offset: u64, len: u64) {
        self.zero(request, offset, len);
    }

    fn zero(&self, request: impl Request, offset: u64, len: u64) {
        self.answer(request, move |_, bytes, _| {
            let from = usize::try_from(offset).unwrap();
            bytes[from..from + usize::try_from(len).unwrap()].fill(0);
            0
        });
    }

    fn noop(&self, request: impl Request) {
        self.answer(request, |_, _, _| 0);
    }

    fn unsupported(&self) -> &Unsupported {
        &self.unsupported
    }

    fn compare_and_write(
        &self,
        exchange: CompareAndWrite,
        done: impl FnOnce(Result<Compared, Errno>) + Send + 'static,
    ) {
        self.has_lock_owner.fetch_or(!exchange.owned, Ordering::SeqCst);
        let durable = usize::from(exchange.durability == Durability::Durable);
        self.durable_writes.fetch_add(durable, Ordering::SeqCst);
        self.later(move |volume| {
            let enforced = volume.state().enforcement == Ok(Enforcement::Active);
            if enforced && !exchange.owned {
                // A lock over a range takes the whole lock away from its holder.
                volume.state().holder = None;
            }
            let at = usize::try_from(exchange.offset).unwrap();
            let differs = {
                let bytes = &mut volume.state().bytes[at..at + exchange.new.len()];
                let differs =
                    bytes.iter().zip(&exchange.expected).position(|(is, expected)| is != expected);
                if differs.is_none() {
                    bytes.copy_from_slice(&exchange.new);
                }
                differs
            };
            done(Ok(differs.map_or(Compared::Written, Compared::Miscompare)));
        });
    }

    fn block_status(
        &self,
        offset: u64,
        len: u64,
        done: impl FnOnce(Result<Extent, Errno>) + Send + 'static,
    ) {
        let fault = self.faults.lock().unwrap().pop();
        self.later(move |volume| {
            done(match fault {
                Some(Fault::Fails(errno)) => Err(errno),
                _ => Ok(extent(&volume.state().bytes, offset, len)),
            });
        });
    }

    fn space(&self) -> Result<Space, Errno> {
        self.calls.wait();
        *self.space.lock().unwrap()
    }

    fn sync(&self, request: impl Request) {
        self.answer(request, |_, _, _| 0);
    }

    fn stat(&self) -> Result<ImageStat, Errno> {
        assert!(!self.panics.load(Ordering::SeqCst), "the look at the size that was to panic");
        self.calls.wait();
        let bytes = (*self.size.lock().unwrap())?;
        Ok(ImageStat { bytes, allocated: bytes, modified: (0, 0) })
    }

    fn is_replicated(&self) -> bool {
        self.replicated.load(Ordering::SeqCst)
    }

    fn bricks(&self) -> Result<Bricks, Errno> {
        *self.bricks.lock().unwrap()
    }

    fn brick_losses(&self) -> u64 {
        self.losses.load(Ordering::SeqCst)
    }

    fn is_superseded(&self) -> bool {
        self.superseded.load(Ordering::SeqCst)
    }

    fn drain(&self, patience: Duration) -> bool {
        let begin = Instant::now();
        while self.calls.in_flight.load(Ordering::SeqCst) > 0 {
            if begin.elapsed() >= patience {
                return false;
            }
            thread::sleep(Duration::from_millis(1));
        }
        true
    }

    fn close(&self, patience: Duration) -> Result<(), Errno> {
        self.closed.lock().unwrap().get_or_insert_with(Instant::now);
        if !self.drain(patience) {
            return Err(Errno::EBUSY);
        }
        self.release()?;
        *self.close_outcome.lock().unwrap()
    }
}
