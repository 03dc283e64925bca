//! The volumes that are connected, and who shares them.
//!
//! A connection is made once per [`Target`] however many LUNs ask at the same time, is never seen half-made, and stays for a
//! while after its last LUN: recovery closes and reopens LUNs, and a disconnect takes gluster up to 10 s.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::OpenError;
use super::volume::{Target, Volume};
use crate::report;

/// How long an unused connection is kept.
const LINGER: Duration = Duration::from_secs(10);
/// How long a refusal is remembered.
const MEMORY: Duration = Duration::from_secs(5);
/// How often the reaper looks.
const ROUND: Duration = Duration::from_secs(1);

/// One entry a target. The entry's lock is held while connecting, so that others who want the same connection wait for it;
/// the map's is not.
#[derive(Debug, Default)]
struct Entry(Mutex<Connection>);

#[derive(Debug, Default)]
struct Connection {
    volume: Option<Arc<Volume>>,
    /// Since when nobody uses it, as far as the reaper has seen.
    idle: Option<Instant>,
    refused: Option<Refusal>,
}

/// An init that failed, and is not repeated for a while: each costs libgfapi some 50 KiB that it never gives back (10.3), and
/// tcmu-runner's recovery asks once a second.
#[derive(Debug)]
struct Refusal {
    when: Instant,
    errno: Errno,
    from: String,
}

impl Refusal {
    fn is_fresh(&self) -> bool {
        self.when.elapsed() < MEMORY
    }
}

#[derive(Default)]
struct Pool {
    entries: HashMap<Target, Arc<Entry>>,
    log: Option<PathBuf>,
    reaping: bool,
}

static POOL: Mutex<Option<Pool>> = Mutex::new(None);

fn with_pool<R>(work: impl FnOnce(&mut Pool) -> R) -> R {
    let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
    work(pool.get_or_insert_default())
}

impl Entry {
    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The connection to `target`: the one there is, or a new one. Blocks while connecting, or while another thread connects.
///
/// # Errors
/// Those of [`Volume::connect`].
pub(super) fn acquire(target: &Target) -> Result<Arc<Volume>, OpenError> {
    let (entry, log) = with_pool(|pool| {
        start_reaper(pool);
        let log = pool.log.clone().unwrap_or_else(|| PathBuf::from("/dev/stderr"));
        (Arc::clone(pool.entries.entry(target.clone()).or_default()), log)
    });
    let mut connection = entry.lock();
    if let Some(volume) = &connection.volume {
        return Ok(Arc::clone(volume));
    }
    if let Some(Refusal { errno, from, .. }) = connection.refused.as_ref().filter(|refusal| refusal.is_fresh()) {
        return Err(OpenError::Init { errno: *errno, from: from.clone() });
    }
    let volume = Volume::connect(target, &log).inspect_err(|why| {
        if let OpenError::Init { errno, from } = why {
            connection.refused = Some(Refusal { when: Instant::now(), errno: *errno, from: from.clone() });
        }
    })?;
    let volume = Arc::new(volume);
    connection.volume = Some(Arc::clone(&volume));
    connection.idle = None;
    Ok(volume)
}

/// Where libgfapi logs, from now on and for all connections.
pub fn set_log_file(path: &Path) {
    let entries: Vec<Arc<Entry>> = with_pool(|pool| {
        if pool.log.replace(path.to_owned()).as_deref() == Some(path) {
            return Vec::new();
        }
        pool.entries.values().cloned().collect()
    });
    for entry in entries {
        if let Some(Err(errno)) = entry.lock().volume.as_ref().map(|volume| volume.set_log(path)) {
            report::warning!("libgfapi cannot log to {}: {errno}", path.display());
        }
    }
}

/// Disconnects everything that is not in use, and waits at most `patience` for it.
pub fn shut_down(patience: Duration) {
    let unused = with_pool(|pool| take_unused(pool, |_| true));
    // A young connection takes 10 s to disconnect; the process ends and takes the rest with it.
    super::worker::bounded("glfs-fini", patience, move || drop(unused));
}

fn start_reaper(pool: &mut Pool) {
    if !pool.reaping {
        let thread = thread::Builder::new().name(String::from("glfs-reaper")).spawn(reap);
        pool.reaping = thread.is_ok();
    }
}

/// The reaper thread: ends when there is nothing left to watch.
fn reap() {
    loop {
        thread::sleep(ROUND);
        let (unused, done) = with_pool(|pool| {
            let unused =
                take_unused(pool, |connection| connection.idle.get_or_insert_with(Instant::now).elapsed() >= LINGER);
            pool.reaping = !pool.entries.is_empty() || !unused.is_empty();
            (unused, !pool.reaping)
        });
        // Disconnects, without the pool's lock.
        drop(unused);
        if done {
            return;
        }
    }
}

/// Removes the connections that nobody uses and that are `due`.
fn take_unused(pool: &mut Pool, mut due: impl FnMut(&mut Connection) -> bool) -> Vec<Arc<Volume>> {
    let mut unused = Vec::new();
    pool.entries.retain(|_, entry| {
        // Someone is in `acquire`: new references to an entry are made only under the pool's lock, which we hold.
        if Arc::strong_count(entry) > 1 {
            return true;
        }
        let mut connection = entry.lock();
        let Some(volume) = &connection.volume else {
            return connection.refused.as_ref().is_some_and(Refusal::is_fresh);
        };
        if Arc::strong_count(volume) > 1 {
            connection.idle = None;
            return true;
        }
        if !due(&mut connection) {
            return true;
        }
        unused.extend(connection.volume.take());
        false
    });
    unused
}
