// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Compare and write of bytes, atomic in the whole cluster.
//!
//! A range of the file is locked (advisory, so that only those who ask are kept out), looked at,
//! and written. The lock has an owner of its own for each open file: two LUNs of one process
//! exclude each other like two gateways. A gateway that dies loses its locks with its connection,
//! when the bricks notice.
//!
//! The lock may be another's for long, so a call that waits for it must not hold up calls on other
//! blocks, and must not be executed when its initiator has given it up. A few threads serve a file;
//! calls on the same bytes are served one after the other, in the order in which they came.
//!
//! A file that is owned (`lock`) needs no such lock, and must not have one: it would be taken for
//! the owner's.

use std::collections::VecDeque;
use std::collections::hash_map::RandomState;
use std::ffi::c_int;
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::mem;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use libgfapi_sys as gfapi;
use nix::errno::Errno;

use super::aio::{self, write_flags};
use super::fd::Fd;
use super::mark;
use super::volume::{check, offset, read_at, write};
use crate::lun::backend::{CompareAndWrite, Compared, Durability, Enforcement};
use crate::{log, threads};

/// Bounds the wait for the lock, counted from when the call was submitted: its initiator repeats
/// it.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);

/// Threads of one file. Each serves a block, or waits for the lock of one.
const MAX_THREADS: usize = 4;
/// A thread that has had nothing to do for so long ends.
const IDLE_TIMEOUT: Duration = Duration::from_secs(5);

type Done = Box<dyn FnOnce(Result<Compared, Errno>) + Send>;

/// The calls of a file.
#[derive(Default)]
pub(super) struct Caw {
    calls: Arc<Calls>,
    /// Whether the descriptor has got its owner for locks.
    owner: Arc<OnceLock<bool>>,
}

/// A call that has been submitted.
struct Job {
    call: CompareAndWrite,
    /// The bytes it is about.
    range: Range<u64>,
    lock_until: Instant,
    fd: Arc<Fd>,
    owner: Arc<OnceLock<bool>>,
    /// Whether the descriptor was open.
    usable: bool,
    done: Done,
}

#[derive(Default)]
struct Calls {
    queue: Mutex<Queue>,
    /// A job may have become ready, or the file is closed.
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Job>,
    /// What the jobs that are being served are about.
    served: Vec<Range<u64>>,
    threads: usize,
    idle: usize,
    closed: bool,
}

impl Caw {
    /// Whether locks of the descriptor have an owner of their own: then it cannot be owned any
    /// more.
    pub(super) fn has_owner(&self) -> bool {
        self.owner.get().is_some()
    }

    /// Serves the call later, and says `done`.
    pub(super) fn submit(&self, fd: Arc<Fd>, call: CompareAndWrite, done: Done) {
        let len = u64::try_from(call.new.len()).unwrap_or(u64::MAX);
        let range = call.offset..call.offset.saturating_add(len);
        let lock_until = Instant::now() + LOCK_TIMEOUT;
        // Counted from now on, so that the file stays open until the job gives it up.
        let usable = fd.begin().is_some();
        let (owner, connection) = (Arc::clone(&self.owner), Arc::clone(&fd.connection));
        let mut queue = threads::lock(&self.calls.queue);
        queue.waiting.push_back(Job { call, range, lock_until, fd, owner, usable, done });
        self.calls.changed.notify_one();
        // An idle thread that has been notified may not have taken its job yet.
        let calls = Arc::clone(&self.calls);
        if queue.idle < queue.waiting.len()
            && queue.threads < MAX_THREADS
            && threads::spawn("glfs-caw", move || calls.serve())
        {
            queue.threads += 1;
        }
        if queue.threads == 0 {
            // It will fail, but not on this stack.
            let unserved = queue.waiting.pop_back();
            connection.io.run(Box::new(move || {
                if let Some(job) = unserved {
                    job.finish(Err(Errno::ENOMEM));
                }
            }));
        }
    }
}

impl Calls {
    fn serve(&self) {
        while let Some(job) = self.next() {
            let range = job.range.clone();
            aio::catch_panic(|| job.run());
            threads::lock(&self.queue).served.retain(|served| *served != range);
            self.changed.notify_one();
        }
    }

    /// Waits for a job that is ready. None: the thread is to end.
    fn next(&self) -> Option<Job> {
        let mut queue = threads::lock(&self.queue);
        let mut is_over = false;
        loop {
            if let Some(job) = queue.take_ready() {
                return Some(job);
            }
            if is_over || queue.closed {
                queue.threads -= 1;
                return None;
            }
            queue.idle += 1;
            let (guard, timeout) = self
                .changed
                .wait_timeout(queue, IDLE_TIMEOUT)
                .unwrap_or_else(PoisonError::into_inner);
            queue = guard;
            queue.idle -= 1;
            is_over = timeout.timed_out();
        }
    }
}

impl Queue {
    /// The first job that no other one, being served or before it, is in the way of.
    fn take_ready(&mut self) -> Option<Job> {
        let mut before = self.served.clone();
        let index = self.waiting.iter().position(|Job { range, .. }| {
            let is_free =
                !before.iter().any(|other| other.start < range.end && range.start < other.end);
            if !is_free && !before.contains(range) {
                before.push(range.clone());
            }
            is_free
        })?;
        let job = self.waiting.remove(index)?;
        self.served.push(job.range.clone());
        Some(job)
    }
}

impl Drop for Caw {
    fn drop(&mut self) {
        threads::lock(&self.calls.queue).closed = true;
        self.calls.changed.notify_all();
    }
}

impl Job {
    /// Serves the call. Blocks.
    fn run(self) {
        let outcome = match self.usable {
            false => Err(Errno::EBADF),
            true if self.call.owned => self.call.exchange(&self.fd),
            true => self.locked(),
        };
        self.finish(outcome);
    }

    /// Serves the call under a lock over its range. Not on a file whose locks the bricks enforce:
    /// they would give this one, and take the whole file from its owner.
    fn locked(&self) -> Result<Compared, Errno> {
        let fd = &self.fd;
        if mark::enforcement(fd)? == Enforcement::Active {
            return Err(Errno::EBUSY);
        }
        if !*self.owner.get_or_init(|| set_owner(fd)) {
            return Err(Errno::ENOMEM);
        }
        self.call.locked(fd, self.lock_until)
    }

    fn finish(self, outcome: Result<Compared, Errno>) {
        let Self { fd, done, .. } = self;
        aio::catch_panic(|| done(outcome));
        fd.end();
    }
}

/// Gives the file an owner for its locks.
fn set_owner(fd: &Fd) -> bool {
    // As random as the keys of a hash map: owners need only differ within this process.
    let mut owner = RandomState::new().build_hasher().finish().to_ne_bytes();
    let Ok(len) = c_int::try_from(owner.len()) else { return false };
    // SAFETY: the descriptor is open (the exchange is counted); the bytes are copied.
    let failed =
        unsafe { gfapi::glfs_fd_set_lkowner(fd.as_ptr(), owner.as_mut_ptr().cast(), len) } != 0;
    if failed {
        log::error!(log::PLUGIN, "A lock owner could not be set: {}", Errno::last());
    }
    !failed
}

impl CompareAndWrite {
    fn is_expired(&self) -> bool {
        self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// The exchange, under the lock. Blocks.
    fn locked(&self, fd: &Fd, until: Instant) -> Result<Compared, Errno> {
        let mut pause = Duration::from_micros(500);
        loop {
            if self.is_expired() {
                return Ok(Compared::Expired);
            }
            if Instant::now() >= until {
                return Err(Errno::EAGAIN);
            }
            match self.lock(fd, libc::F_WRLCK) {
                Ok(()) => break,
                Err(Errno::EAGAIN | Errno::EACCES) => {}
                Err(errno) => return Err(errno),
            }
            thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(20));
        }
        let outcome = self.exchange(fd);
        if let Err(errno) = self.lock(fd, libc::F_UNLCK) {
            // Gone with the connection, or with the file when it is closed; until then this file
            // can take it again.
            log::warning!(
                log::PLUGIN,
                "A lock for COMPARE AND WRITE could not be released: {errno}"
            );
        }
        outcome
    }

    fn lock(&self, fd: &Fd, kind: c_int) -> Result<(), Errno> {
        // SAFETY: a plain struct of integers.
        let mut range: libc::flock = unsafe { mem::zeroed() };
        range.l_type = libc::c_short::try_from(kind).map_err(|_| Errno::EINVAL)?;
        range.l_whence = libc::c_short::try_from(libc::SEEK_SET).map_err(|_| Errno::EINVAL)?;
        range.l_start = offset(self.offset, 0)?;
        range.l_len = i64::try_from(self.new.len()).map_err(|_| Errno::EFBIG)?;
        // SAFETY: the descriptor is open: the call is counted.
        check(unsafe { gfapi::glfs_posix_lock(fd.as_ptr(), libc::F_SETLK, &raw mut range) })
    }

    fn exchange(&self, fd: &Fd) -> Result<Compared, Errno> {
        let mut found = vec![0; self.expected.len()];
        // SAFETY: the descriptor is open: the call is counted.
        let read = unsafe { read_at(fd.as_ptr(), &mut found, self.offset) }?;
        if read < found.len() {
            return Err(Errno::ENODATA);
        }
        if let Some(byte) =
            self.expected.iter().zip(&found).position(|(expected, found)| expected != found)
        {
            return Ok(Compared::Miscompare(byte));
        }
        let flags = if fd.connection.honours_dsync() { write_flags(self.durability) } else { 0 };
        let mut done = 0;
        while let Some(rest) = self.new.get(done..).filter(|rest| !rest.is_empty()) {
            if self.is_expired() {
                return Ok(Compared::Expired);
            }
            let to = offset(self.offset, done)?;
            // SAFETY: the descriptor is open: the call is counted.
            match unsafe { write(fd.as_ptr(), rest, to, flags) }? {
                0 => return Err(Errno::ENODATA),
                written => done += written,
            }
        }
        if self.durability == Durability::Durable && flags == 0 {
            fd.sync()?;
        }
        Ok(Compared::Written)
    }
}

impl fmt::Debug for Caw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caw").finish_non_exhaustive()
    }
}
