//! Compare and exchange of bytes, atomic in the whole cluster.
//!
//! A range of the file is locked (advisory, so that only those who ask are kept out), looked at, and written. The lock has an
//! owner of its own for each open file: two LUNs of one process exclude each other like two gateways. A gateway that dies loses
//! its locks with its connection.
//!
//! A file that is owned (`lock`) needs no such lock, and must not have one: it would be taken for the owner's.

use std::collections::hash_map::RandomState;
use std::ffi::c_int;
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::mem;
use std::ptr;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use libgfapi_sys as gfapi;
use nix::errno::Errno;

use super::aio;
use super::descriptor::Descriptor;
use crate::lun::backend::{Compared, Exchange};
use crate::report;

/// How long to try for the lock. The call that waits for it has no bound of its own, and the initiator repeats.
const PATIENCE: Duration = Duration::from_secs(10);

type Done = Box<dyn FnOnce(Result<Compared, Errno>) + Send>;
type Job = Box<dyn FnOnce() + Send>;

/// The thread that a file's exchanges are done on, one after the other. Started by the first, ended with the file.
#[derive(Default)]
pub(super) struct Exclusive {
    jobs: OnceLock<Option<Sender<Job>>>,
    /// Whether the descriptor has got its owner for locks.
    owner: Arc<OnceLock<bool>>,
}

impl Exclusive {
    /// Whether locks of the descriptor have an owner of their own: then it cannot be owned any more.
    pub(super) fn has_owner(&self) -> bool {
        self.owner.get().is_some()
    }

    /// Does the exchange later, and says `done`.
    pub(super) fn compare_and_write(&self, descriptor: Arc<Descriptor>, exchange: Exchange, done: Done) {
        let jobs = self.jobs.get_or_init(start);
        let has_owner = Arc::clone(&self.owner);
        let connection = descriptor.shared_connection();
        // Counted from now on, so that the file stays open until the job gives it up.
        let usable = descriptor.begin().is_some() && jobs.is_some();
        let job: Job = Box::new(move || {
            let outcome = match usable {
                true if exchange.owned => exchange.exchange(&descriptor),
                true if *has_owner.get_or_init(|| set_owner(&descriptor)) => exchange.locked(&descriptor),
                _ => Err(Errno::ENOMEM),
            };
            aio::shielded(|| done(outcome));
            descriptor.end();
        });
        match jobs {
            Some(jobs) => {
                if let Err(unsent) = jobs.send(job) {
                    unsent.0();
                }
            }
            // No thread: it will fail, but not on this stack.
            None => connection.io().run(job),
        }
    }
}

/// Starts the thread.
fn start() -> Option<Sender<Job>> {
    let (sender, jobs) = channel::<Job>();
    let thread = thread::Builder::new().name(String::from("glfs-exclusive"));
    thread.spawn(move || jobs.into_iter().for_each(|job| job())).ok().map(|_| sender)
}

/// Gives the file an owner for its locks.
fn set_owner(descriptor: &Descriptor) -> bool {
    // As random as the keys of a hash map: owners need only differ within this process.
    let mut owner = RandomState::new().build_hasher().finish().to_ne_bytes();
    let Ok(len) = c_int::try_from(owner.len()) else { return false };
    // SAFETY: the descriptor is open (the exchange is counted); the bytes are copied.
    let failed = unsafe { gfapi::glfs_fd_set_lkowner(descriptor.as_ptr(), owner.as_mut_ptr().cast(), len) } != 0;
    if failed {
        report::error!(report::PLUGIN, "A lock owner could not be set: {}", Errno::last());
    }
    !failed
}

impl Exchange {
    /// The exchange, under the lock. Blocks.
    fn locked(&self, descriptor: &Descriptor) -> Result<Compared, Errno> {
        let begin = Instant::now();
        let mut pause = Duration::from_micros(500);
        while let Err(errno) = self.lock(descriptor, libc::F_WRLCK) {
            let taken = matches!(errno, Errno::EAGAIN | Errno::EACCES);
            if !taken || begin.elapsed() > PATIENCE {
                return Err(errno);
            }
            thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(20));
        }
        let outcome = self.exchange(descriptor);
        if let Err(errno) = self.lock(descriptor, libc::F_UNLCK) {
            // Gone with the connection, or with the file when it is closed; until then this file can take it again.
            report::warning!(report::PLUGIN, "A lock for COMPARE AND WRITE could not be released: {errno}");
        }
        outcome
    }

    fn lock(&self, descriptor: &Descriptor, kind: c_int) -> Result<(), Errno> {
        // SAFETY: a plain struct of integers.
        let mut range: libc::flock = unsafe { mem::zeroed() };
        range.l_type = libc::c_short::try_from(kind).map_err(|_| Errno::EINVAL)?;
        range.l_whence = libc::c_short::try_from(libc::SEEK_SET).map_err(|_| Errno::EINVAL)?;
        range.l_start = i64::try_from(self.offset).map_err(|_| Errno::EFBIG)?;
        range.l_len = i64::try_from(self.new.len()).map_err(|_| Errno::EFBIG)?;
        // SAFETY: the descriptor is open: the call is counted.
        let failed = unsafe { gfapi::glfs_posix_lock(descriptor.as_ptr(), libc::F_SETLK, &raw mut range) };
        if failed == 0 { Ok(()) } else { Err(Errno::last()) }
    }

    fn exchange(&self, descriptor: &Descriptor) -> Result<Compared, Errno> {
        let mut found = vec![0; self.expected.len()];
        let mut done = 0;
        while let Some(rest) = found.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let offset = self.at(done)?;
            // SAFETY: the descriptor is open: the call is counted; the buffer has room.
            let moved = unsafe {
                gfapi::glfs_pread(descriptor.as_ptr(), rest.as_mut_ptr().cast(), rest.len(), offset, 0, ptr::null_mut())
            };
            done += moved_on(moved)?;
        }
        if let Some(byte) = self.expected.iter().zip(&found).position(|(expected, found)| expected != found) {
            return Ok(Compared::DiffersAt(byte));
        }
        let mut done = 0;
        while let Some(rest) = self.new.get(done..).filter(|rest| !rest.is_empty()) {
            let (offset, none) = (self.at(done)?, ptr::null_mut());
            // SAFETY: the descriptor is open: the call is counted.
            let moved = unsafe {
                gfapi::glfs_pwrite(descriptor.as_ptr(), rest.as_ptr().cast(), rest.len(), offset, 0, none, none)
            };
            done += moved_on(moved)?;
        }
        Ok(Compared::Written)
    }

    fn at(&self, done: usize) -> Result<i64, Errno> {
        let done = u64::try_from(done).map_err(|_| Errno::EFBIG)?;
        self.offset.checked_add(done).and_then(|at| i64::try_from(at).ok()).ok_or(Errno::EFBIG)
    }
}

/// The bytes that a call has moved; none is the end of the file, or a write that goes nowhere.
fn moved_on(result: isize) -> Result<usize, Errno> {
    match usize::try_from(result) {
        Ok(0) => Err(Errno::ENODATA),
        Ok(bytes) => Ok(bytes),
        Err(_) => Err(Errno::last()),
    }
}

impl fmt::Debug for Exclusive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exclusive").finish_non_exhaustive()
    }
}
