// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The connection of one target: who may use it, and what is on the way to it.

use std::ffi::c_int;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::thread;
use std::time::{Duration, Instant};

use super::connection::{Connection, Generation};
use super::error::OpenError;
use super::logging::{self, LogLevelRequest};
use crate::threads;

/// How long a refusal is remembered.
const NEGATIVE_TTL: Duration = Duration::from_secs(5);
/// Bounds the wait of an open for a change of the volume.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(3);

/// One entry a target. The slot's lock is held while connecting, so that others who want the same
/// connection wait for it; the map's is not.
#[derive(Debug, Default)]
pub(super) struct PoolEntry {
    pub(super) slot: Mutex<Slot>,
    /// The volume has changed, and it is not yet known whether LUNs are to move.
    changing: AtomicBool,
    /// Start of the attempt to connect that is under way.
    pub(super) connecting: Mutex<Option<Instant>>,
    /// How detailed a log of libgfapi its users request.
    log_levels: Mutex<Vec<Weak<LogLevelRequest>>>,
}

#[derive(Debug, Default)]
pub(super) struct Slot {
    pub(super) connection: Option<Arc<Connection>>,
    /// Those that it has replaced: images may still be open there.
    replaced: Vec<Weak<Connection>>,
    /// Of the graph that the volume has now.
    pub(super) generation: Generation,
    /// A thread watches the volfile.
    pub(super) watched: bool,
    /// Since when nobody uses it, as far as the reaper has seen.
    pub(super) idle: Option<Instant>,
    pub(super) refused: Option<Refusal>,
}

/// A connection that could not be made, and is not tried again for a while: a silent server costs
/// seconds, which every LUN of a volume would wait for in turn, and an init that fails costs
/// libgfapi some 50 KiB that it never gives back (10.3).
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) when: Instant,
    pub(super) why: Arc<OpenError>,
}

impl Refusal {
    pub(super) fn is_fresh(&self) -> bool {
        self.when.elapsed() < NEGATIVE_TTL
    }
}

impl Slot {
    /// Makes a connection the one that is given out. What it replaces.
    pub(super) fn install(&mut self, connection: Arc<Connection>) -> Option<Arc<Connection>> {
        connection.generation.publish();
        self.generation = connection.generation.clone();
        self.idle = None;
        let replaced = self.connection.replace(connection);
        self.replaced.extend(replaced.as_ref().map(Arc::downgrade));
        replaced
    }

    /// Whether an image is open on one of them.
    pub(super) fn is_used(&self) -> bool {
        let current = self.connection.as_ref().map_or(0, Arc::strong_count);
        // Each has one reference here, or among those that are retired.
        current > 1 || self.replaced.iter().any(|replaced| replaced.strong_count() > 1)
    }
}

impl PoolEntry {
    /// The connection. None: there is none, or one is being made.
    pub(super) fn current(&self) -> Option<Arc<Connection>> {
        self.slot.try_lock().ok()?.connection.clone()
    }

    /// All connections that images may be open on; none, while one is being made.
    pub(super) fn all(&self) -> Vec<Arc<Connection>> {
        let Ok(mut slot) = self.slot.try_lock() else { return Vec::new() };
        slot.replaced.retain(|replaced| replaced.strong_count() > 0);
        let replaced = slot.replaced.iter().filter_map(Weak::upgrade);
        slot.connection.iter().cloned().chain(replaced).collect()
    }

    /// Whether a change of the volume is being looked into.
    pub(super) fn set_changing(&self, changing: bool) {
        self.changing.store(changing, Ordering::Release);
    }

    /// Waits, for a while, until it is known what a change of the volume is about: an image that
    /// was made after it may need the new graph.
    pub(super) fn wait_for_change(&self) {
        let begin = Instant::now();
        while self.changing.load(Ordering::Acquire) && begin.elapsed() < CHANGE_TIMEOUT {
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Where libgfapi logs, and how much.
    pub(super) fn logging(&self) -> (PathBuf, c_int) {
        let log_file = logging::log_file().unwrap_or_else(|| PathBuf::from("/dev/stderr"));
        (log_file, self.log_level().unwrap_or_default())
    }

    /// The level that its users request. None: it has none, and may stay as it is.
    pub(super) fn log_level(&self) -> Option<c_int> {
        let mut log_levels = threads::lock(&self.log_levels);
        log_levels.retain(|request| request.strong_count() > 0);
        log_levels
            .iter()
            .filter_map(Weak::upgrade)
            .map(|request| request.load(Ordering::Relaxed))
            .max()
    }

    pub(super) fn request_log_level(&self, request: &Arc<LogLevelRequest>) {
        let mut log_levels = threads::lock(&self.log_levels);
        if !log_levels.iter().any(|other| other.as_ptr() == Arc::as_ptr(request)) {
            log_levels.push(Arc::downgrade(request));
        }
    }
}

/// Connections that have been replaced, or turned out not to be needed. Kept until their last user
/// has left: to end one takes long.
static RETIRED: Mutex<Vec<Arc<Connection>>> = Mutex::new(Vec::new());

/// Keeps a connection until its last user has left; the pool ends it then.
pub(super) fn retire(connection: Arc<Connection>) {
    threads::lock(&RETIRED).push(connection);
}

/// The retired connections without users, and whether there are others.
pub(super) fn take_retired() -> (Vec<Arc<Connection>>, bool) {
    let mut retired = threads::lock(&RETIRED);
    let (unused, used) =
        retired.drain(..).partition(|connection| Arc::strong_count(connection) == 1);
    *retired = used;
    (unused, !retired.is_empty())
}
