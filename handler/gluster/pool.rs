// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The volumes that are connected, and who shares them.
//!
//! A connection is made once per [`Target`] however many LUNs ask at the same time, is never seen
//! half-made, and stays for a while after its last LUN: recovery closes and reopens LUNs, and a
//! disconnect takes gluster up to 10 s.

use std::collections::HashMap;
use std::ffi::c_int;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::connection::{Connection, Origin, Target};
use super::error::OpenError;
use super::glusterd::Glusterd;
use super::logging::{self, LogLevelRequest};
use super::pool_entry::{PoolEntry, Refusal, Slot, retire, take_retired};
use super::server::Fetched;
use super::status;
use super::volfile_watch::{self, Watch};
use super::worker::run_with_timeout;
use crate::log;
use crate::lun::backend::Bricks;
use crate::metrics::VolumeState;
use crate::threads;

/// How long an unused connection is kept.
const LINGER: Duration = Duration::from_secs(10);
/// How often the reaper looks.
const REAP_INTERVAL: Duration = Duration::from_secs(1);
/// How long it waits for a volume.
const LOG_CHANGE_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Default)]
struct Pool {
    entries: HashMap<Target, Arc<PoolEntry>>,
    reaping: bool,
}

static POOL: Mutex<Option<Pool>> = Mutex::new(None);

fn with_pool<R>(work: impl FnOnce(&mut Pool) -> R) -> R {
    let mut pool = threads::lock(&POOL);
    work(pool.get_or_insert_default())
}

/// The connection to `target`: the one there is, or a new one; with `after`, one that was made
/// later than that. Blocks while connecting, or while another thread connects. Its log is as
/// detailed as `log_level` says, or more.
///
/// # Errors
/// No volfile, or libgfapi cannot work with it.
pub(super) fn acquire(
    target: &Target,
    after: Option<Instant>,
    log_level: &Arc<LogLevelRequest>,
) -> Result<Arc<Connection>, OpenError> {
    let entry = with_pool(|pool| {
        if !pool.reaping {
            pool.reaping = threads::spawn("glfs-reaper", reap);
        }
        Arc::clone(pool.entries.entry(target.clone()).or_default())
    });
    entry.request_log_level(log_level);
    entry.wait_for_change();
    let mut slot = threads::lock(&entry.slot);
    let is_fit =
        |connection: &&Arc<Connection>| after.is_none_or(|after| connection.connected_at > after);
    if let Some(connection) = slot.connection.as_ref().filter(is_fit) {
        return Ok(Arc::clone(connection));
    }
    if let Some(refusal) = slot.refused.as_ref().filter(|refusal| refusal.is_fresh()) {
        return Err(OpenError::Again(Arc::clone(&refusal.why)));
    }
    *threads::lock(&entry.connecting) = Some(Instant::now());
    let connected = connect(target, &entry, &slot);
    *threads::lock(&entry.connecting) = None;
    let (connection, glusterd) = match connected {
        Ok((connection, glusterd)) => (Arc::new(connection), glusterd),
        Err(why) => {
            let why = Arc::new(why);
            slot.refused = Some(Refusal { when: Instant::now(), why: Arc::clone(&why) });
            return Err(OpenError::Again(why));
        }
    };
    if slot.connection.is_some() && !connection.bricks_answered {
        // No better than the one there is, which goes on trying to reach them.
        drop(slot);
        let from = connection.volfile_server.clone();
        retire(connection);
        return Err(OpenError::NoBricks(Errno::EIO, from));
    }
    let replaced = slot.install(Arc::clone(&connection));
    let watched = std::mem::replace(&mut slot.watched, true);
    drop(slot);
    replaced.into_iter().for_each(retire);
    if !watched {
        volfile_watch::start(Watch::new(&entry, target.clone(), glusterd));
    }
    Ok(connection)
}

/// Makes a connection. One whose graph is the present one's supersedes nothing.
fn connect(
    target: &Target,
    entry: &PoolEntry,
    slot: &Slot,
) -> Result<(Connection, Option<Glusterd>), OpenError> {
    let (volfile, honours_dsync, glusterd) = match &target.origin {
        Origin::Servers(servers) => {
            let Fetched { volfile, honours_dsync, glusterd } = target.fetch(servers)?;
            (volfile, honours_dsync, Some(glusterd))
        }
        // Of the bricks nothing is known.
        Origin::Volfile(path) => (Target::local_volfile(path)?, false, None),
    };
    let is_new =
        slot.connection.as_ref().is_some_and(|present| !present.volfile.is_graph_of(&volfile));
    let generation = if is_new { slot.generation.next() } else { slot.generation.clone() };
    let (log, level) = entry.logging();
    let server = glusterd.as_ref().map(|glusterd| &glusterd.server);
    let connection = Connection::open(target, volfile, server, generation, (&log, level))?;
    connection.set_honours_dsync(honours_dsync);
    Ok((connection, glusterd))
}

/// The connections that there are, without those being made.
fn connected() -> Vec<Arc<Connection>> {
    let entries: Vec<Arc<PoolEntry>> = with_pool(|pool| pool.entries.values().cloned().collect());
    entries.iter().filter_map(|entry| entry.current()).collect()
}

/// For how long others have been connecting to `target` already.
pub(super) fn connecting(target: &Target) -> Duration {
    let entry = with_pool(|pool| pool.entries.get(target).cloned());
    let since = entry.and_then(|entry| *threads::lock(&entry.connecting));
    since.map_or(Duration::ZERO, |since| since.elapsed())
}

/// Applies the log file and level that are requested, where they differ.
fn apply_logging() {
    let connections: Vec<(Arc<Connection>, PathBuf, c_int)> = with_pool(|pool| {
        let log = logging::log_file()?;
        let connections = pool.entries.values().filter_map(|entry| {
            let connection = entry.current()?;
            let level = entry.log_level()?;
            connection.logging.differs(&log, level).then(|| (connection, log.clone(), level))
        });
        Some(connections.collect())
    })
    .unwrap_or_default();
    for (connection, path, level) in connections {
        let name = path.clone();
        let change = move || connection.logging.change(&connection.volume, &path, level);
        let changed = run_with_timeout(LOG_CHANGE_TIMEOUT, change);
        // In an outage the volume cannot be asked; it is, when it is over.
        if let Some(Err(errno)) = changed.filter(|changed| *changed != Err(Errno::ENOTCONN)) {
            let name = name.display();
            log::warning!(
                log::PLUGIN,
                "libgfapi's log could not be changed ({name}, level {level}): {errno}"
            );
        }
    }
}

/// Starts the watches that have ended, or could not be started.
fn watch_volfiles() {
    let entries: Vec<(Target, Arc<PoolEntry>)> = with_pool(|pool| {
        pool.entries.iter().map(|(target, entry)| (target.clone(), Arc::clone(entry))).collect()
    });
    for (target, entry) in entries {
        let Ok(mut slot) = entry.slot.try_lock() else { continue };
        if slot.connection.is_some() && !std::mem::replace(&mut slot.watched, true) {
            drop(slot);
            volfile_watch::start(Watch::new(&entry, target, None));
        }
    }
}

/// Disconnects everything that is not in use, and waits at most `patience` for it.
pub fn shut_down(patience: Duration) {
    let unused = with_pool(|pool| (take_unused(pool, |_| true), take_retired()));
    // A young connection takes 10 s to disconnect; the process ends and takes the rest with it.
    run_with_timeout(patience, move || drop(unused));
}

/// The reaper thread, which also looks after libgfapi's log: ends when there is nothing left to
/// watch.
fn reap() {
    loop {
        thread::sleep(REAP_INTERVAL);
        apply_logging();
        watch_volfiles();
        let (unused, done) = with_pool(|pool| {
            let mut unused = take_unused(pool, |slot| {
                slot.idle.get_or_insert_with(Instant::now).elapsed() >= LINGER
            });
            let (retired, has_retired) = take_retired();
            unused.extend(retired);
            pool.reaping = !pool.entries.is_empty() || !unused.is_empty() || has_retired;
            (unused, !pool.reaping)
        });
        for connection in unused {
            // It takes seconds, or for as long as a brick is silent: no other waits for it.
            if let Err(connection) = threads::hand_over("glfs-call", connection, drop) {
                retire(connection);
            }
        }
        if done {
            return;
        }
    }
}

/// Removes the connections that nobody uses and that are `due`.
fn take_unused(pool: &mut Pool, mut due: impl FnMut(&mut Slot) -> bool) -> Vec<Arc<Connection>> {
    let mut unused = Vec::new();
    pool.entries.retain(|_, entry| {
        // Someone is in `acquire`: new references to an entry are made only under the pool's lock,
        // which we hold; or its volfile is being looked at.
        if Arc::strong_count(entry) > 1 {
            return true;
        }
        let mut slot = threads::lock(&entry.slot);
        if slot.connection.is_none() {
            return slot.refused.as_ref().is_some_and(Refusal::is_fresh);
        }
        // Those with an image on a replaced one still hear of changes from the watch.
        if slot.is_used() {
            slot.idle = None;
            return true;
        }
        if !due(&mut slot) {
            return true;
        }
        unused.extend(slot.connection.take());
        false
    });
    unused
}

/// Status of the volumes that are connected, as far as they answer.
#[must_use]
pub fn volumes() -> Vec<VolumeState> {
    let states = connected().into_iter().filter_map(|connection| {
        connection.refresh_status(status::MAX_AGE);
        let Bricks { connected, all } = connection.status.bricks()?;
        Some(VolumeState {
            volume: connection.volume.name.clone(),
            server: connection.volfile_server.clone(),
            bricks: all,
            connected,
            graph_switches: connection.generation.number,
        })
    });
    states.collect()
}
