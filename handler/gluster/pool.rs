//! The volumes that are connected, and who shares them.
//!
//! A connection is made once per [`Target`] however many LUNs ask at the same time, is never seen half-made, and stays for a
//! while after its last LUN: recovery closes and reopens LUNs, and a disconnect takes gluster up to 10 s.

use std::collections::HashMap;
use std::ffi::c_int;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::OpenError;
use super::volume::{Target, Volume};
use super::worker::{Queue, bounded};
use crate::report;

/// How long an unused connection is kept.
const LINGER: Duration = Duration::from_secs(10);
/// How long a refusal is remembered.
const MEMORY: Duration = Duration::from_secs(5);
/// How often the reaper looks.
const ROUND: Duration = Duration::from_secs(1);
/// How long it waits for a volume.
const PATIENCE: Duration = Duration::from_secs(5);

/// One entry a target. The connection's lock is held while connecting, so that others who want the same connection wait for it;
/// the map's is not.
#[derive(Debug, Default)]
struct Entry {
    connection: Mutex<Connection>,
    /// Since when somebody has been connecting.
    connecting: Mutex<Option<Instant>>,
    /// How detailed a log of libgfapi its users wish for.
    wishes: Mutex<Vec<Weak<Wish>>>,
}

/// A user's wish, as libgfapi counts levels. Of several the most detailed is granted.
pub(super) type Wish = AtomicI32;

#[derive(Debug, Default)]
struct Connection {
    volume: Option<Arc<Volume>>,
    /// Since when nobody uses it, as far as the reaper has seen.
    idle: Option<Instant>,
    refused: Option<Refusal>,
}

/// A connection that could not be made, and is not tried again for a while: a silent server costs seconds, which every LUN of a
/// volume would wait for in turn, and an init that fails costs libgfapi some 50 KiB that it never gives back (10.3).
#[derive(Debug)]
struct Refusal {
    when: Instant,
    why: Arc<OpenError>,
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
    /// Connections that have been replaced. Kept until their last user has left: to end one takes long.
    discarded: Vec<Arc<Volume>>,
    reaping: bool,
}

static POOL: Mutex<Option<Pool>> = Mutex::new(None);
/// Where connections are ended: it takes seconds, or for as long as a brick is silent. One after the other: nobody waits for them.
static FAREWELLS: Queue = Queue::new("glfs-fini");

fn with_pool<R>(work: impl FnOnce(&mut Pool) -> R) -> R {
    let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
    work(pool.get_or_insert_default())
}

impl Entry {
    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is wished for by those who are still there; if nobody is, it may stay as it is.
    fn level(&self) -> Option<c_int> {
        let mut wishes = self.wishes.lock().unwrap_or_else(PoisonError::into_inner);
        wishes.retain(|wish| wish.strong_count() > 0);
        wishes.iter().filter_map(Weak::upgrade).map(|wish| wish.load(Ordering::Relaxed)).max()
    }

    fn add(&self, wish: &Arc<Wish>) {
        let mut wishes = self.wishes.lock().unwrap_or_else(PoisonError::into_inner);
        if !wishes.iter().any(|other| other.as_ptr() == Arc::as_ptr(wish)) {
            wishes.push(Arc::downgrade(wish));
        }
    }

    fn connecting(&self) -> MutexGuard<'_, Option<Instant>> {
        self.connecting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The connection to `target`: the one there is, or a new one; with `after`, one that was made later than that. Blocks while
/// connecting, or while another thread connects. Its log is as detailed as `wish` says, or more.
///
/// # Errors
/// Those of [`Volume::connect`].
pub(super) fn acquire(target: &Target, after: Option<Instant>, wish: &Arc<Wish>) -> Result<Arc<Volume>, OpenError> {
    let (entry, log) = with_pool(|pool| {
        start_reaper(pool);
        let log = pool.log.clone().unwrap_or_else(|| PathBuf::from("/dev/stderr"));
        (Arc::clone(pool.entries.entry(target.clone()).or_default()), log)
    });
    entry.add(wish);
    let mut connection = entry.lock();
    let there_is = connection.volume.as_ref();
    if let Some(volume) = there_is.filter(|volume| after.is_none_or(|after| volume.since() > after)) {
        return Ok(Arc::clone(volume));
    }
    if let Some(refusal) = connection.refused.as_ref().filter(|refusal| refusal.is_fresh()) {
        return Err(OpenError::Again(Arc::clone(&refusal.why)));
    }
    *entry.connecting() = Some(Instant::now());
    let connected = Volume::connect(target, &log, entry.level().unwrap_or_default());
    *entry.connecting() = None;
    let volume = match connected {
        Ok(volume) => Arc::new(volume),
        Err(why) => {
            let why = Arc::new(why);
            connection.refused = Some(Refusal { when: Instant::now(), why: Arc::clone(&why) });
            return Err(OpenError::Again(why));
        }
    };
    if connection.volume.is_some() && !volume.has_bricks() {
        // No better than the one there is, which goes on trying to reach them.
        drop(connection);
        let from = volume.from().to_owned();
        with_pool(|pool| pool.discarded.push(volume));
        return Err(OpenError::NoBricks { errno: Errno::EIO, from });
    }
    let replaced = connection.volume.replace(Arc::clone(&volume));
    connection.idle = None;
    drop(connection);
    with_pool(|pool| pool.discarded.extend(replaced));
    Ok(volume)
}

/// The connections that there are; one that is being made is not.
pub(super) fn connected() -> Vec<Arc<Volume>> {
    let entries: Vec<Arc<Entry>> = with_pool(|pool| pool.entries.values().cloned().collect());
    let connections = entries.iter().filter_map(|entry| entry.connection.try_lock().ok());
    connections.filter_map(|connection| connection.volume.clone()).collect()
}

/// For how long others have been connecting to `target` already.
pub(super) fn connecting(target: &Target) -> Duration {
    let entry = with_pool(|pool| pool.entries.get(target).cloned());
    let since = entry.and_then(|entry| *entry.connecting());
    since.map_or(Duration::ZERO, |since| since.elapsed())
}

/// Where libgfapi logs, from now on; in a moment for the connections that there are.
pub fn set_log_file(path: &Path) {
    with_pool(|pool| pool.log = Some(path.to_owned()));
}

/// Sees to it that libgfapi logs what is wished for, and to the file of that name.
fn follow_logging() {
    let volumes: Vec<(Arc<Volume>, PathBuf, c_int)> = with_pool(|pool| {
        let log = pool.log.clone()?;
        let volumes = pool.entries.values().filter_map(|entry| {
            // Somebody who connects may hold it for long.
            let volume = entry.connection.try_lock().ok()?.volume.clone()?;
            let level = entry.level()?;
            volume.logging().differs(&log, level).then(|| (volume, log.clone(), level))
        });
        Some(volumes.collect())
    })
    .unwrap_or_default();
    for (volume, path, level) in volumes {
        let name = path.clone();
        let changed = bounded("glfs-logging", PATIENCE, move || volume.logging().change(&volume, &path, level));
        // In an outage the volume cannot be asked; it is, when it is over.
        if let Some(Err(errno)) = changed.filter(|changed| *changed != Err(Errno::ENOTCONN)) {
            let name = name.display();
            report::warning!(report::PLUGIN, "libgfapi's log could not be changed ({name}, level {level}): {errno}");
        }
    }
}

/// Disconnects everything that is not in use, and waits at most `patience` for it.
pub fn shut_down(patience: Duration) {
    let unused = with_pool(|pool| (take_unused(pool, |_| true), take_discarded(pool)));
    // A young connection takes 10 s to disconnect; the process ends and takes the rest with it.
    bounded("glfs-fini", patience, move || drop(unused));
}

fn start_reaper(pool: &mut Pool) {
    if !pool.reaping {
        let thread = thread::Builder::new().name(String::from("glfs-reaper")).spawn(reap);
        pool.reaping = thread.is_ok();
    }
}

/// The reaper thread, which also looks after libgfapi's log: ends when there is nothing left to watch.
fn reap() {
    loop {
        thread::sleep(ROUND);
        follow_logging();
        let (unused, done) = with_pool(|pool| {
            let mut unused =
                take_unused(pool, |connection| connection.idle.get_or_insert_with(Instant::now).elapsed() >= LINGER);
            unused.extend(take_discarded(pool));
            pool.reaping = !pool.entries.is_empty() || !pool.discarded.is_empty() || !unused.is_empty();
            (unused, !pool.reaping)
        });
        if !unused.is_empty() {
            FAREWELLS.run(Box::new(move || drop(unused)));
        }
        if done {
            return;
        }
    }
}

/// The discarded connections that nobody uses any more.
fn take_discarded(pool: &mut Pool) -> Vec<Arc<Volume>> {
    let (unused, used) = pool.discarded.drain(..).partition(|volume| Arc::strong_count(volume) == 1);
    pool.discarded = used;
    unused
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
