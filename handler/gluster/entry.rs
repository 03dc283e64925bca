// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The connection of one target: who may use it, and what is on the way to it.

use std::ffi::c_int;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use super::OpenError;
use super::connection::{Connection, Generation};
use super::pool;

/// How long a refusal is remembered.
const MEMORY: Duration = Duration::from_secs(5);
/// Bounds the wait of an open for a change of the volume.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(3);

/// One entry a target. The slot's lock is held while connecting, so that others who want the same
/// connection wait for it; the map's is not.
#[derive(Debug, Default)]
pub(super) struct Entry {
    pub(super) slot: Mutex<Slot>,
    /// The volume has changed, and it is not yet known whether LUNs are to move.
    changing: AtomicBool,
    /// Start of the attempt to connect that is under way.
    connecting: Mutex<Option<Instant>>,
    /// How detailed a log of libgfapi its users wish for.
    wishes: Mutex<Vec<Weak<Wish>>>,
}

/// A user's wish, as libgfapi counts levels. Of several the most detailed is granted.
pub(super) type Wish = AtomicI32;

#[derive(Debug, Default)]
pub(super) struct Slot {
    pub(super) connection: Option<Arc<Connection>>,
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
        self.when.elapsed() < MEMORY
    }
}

impl Slot {
    /// Makes a connection the one that is given out. What it replaces.
    pub(super) fn install(&mut self, connection: Arc<Connection>) -> Option<Arc<Connection>> {
        connection.generation().publish();
        self.generation = connection.generation().clone();
        self.idle = None;
        self.connection.replace(connection)
    }
}

impl Entry {
    pub(super) fn lock(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection. None: there is none, or one is being made.
    pub(super) fn current(&self) -> Option<Arc<Connection>> {
        self.slot.try_lock().ok()?.connection.clone()
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

    /// Its volfile is not watched any more.
    pub(super) fn set_unwatched(&self) {
        self.set_changing(false);
        self.lock().watched = false;
    }

    /// Where libgfapi logs, and how much.
    pub(super) fn logging(&self) -> (PathBuf, c_int) {
        (pool::log_file(), self.level().unwrap_or_default())
    }

    /// Puts a connection with the volume's new graph in place of the one there is, which its users
    /// leave.
    pub(super) fn supersede(&self, connection: Arc<Connection>) {
        let replaced = self.lock().install(connection);
        replaced.into_iter().for_each(pool::retire);
    }

    /// What is wished for by those who are still there; if nobody is, it may stay as it is.
    pub(super) fn level(&self) -> Option<c_int> {
        let mut wishes = self.wishes.lock().unwrap_or_else(PoisonError::into_inner);
        wishes.retain(|wish| wish.strong_count() > 0);
        wishes.iter().filter_map(Weak::upgrade).map(|wish| wish.load(Ordering::Relaxed)).max()
    }

    pub(super) fn add(&self, wish: &Arc<Wish>) {
        let mut wishes = self.wishes.lock().unwrap_or_else(PoisonError::into_inner);
        if !wishes.iter().any(|other| other.as_ptr() == Arc::as_ptr(wish)) {
            wishes.push(Arc::downgrade(wish));
        }
    }

    pub(super) fn connecting(&self) -> MutexGuard<'_, Option<Instant>> {
        self.connecting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
