// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! How a LUN locks its image: by its configuration, and by what the volume can enforce.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};

use nix::errno::Errno;

use super::backend::{Backend, Enforcement};
use super::gate::Lock;
use super::slot::Slot;
use crate::config::{Cache, Config, Fence as Mode};
use crate::log::{self, Log};
use crate::threads;

/// Locking of one LUN's image.
#[derive(Debug)]
pub(super) struct ImageLocking {
    pub(super) mode: Mode,
    /// Last answer of the volume, whether it can enforce the lock.
    enforcement: Mutex<Option<Enforcement>>,
    /// Held while the lock is acquired, or the image replaced: neither may happen during the other.
    exclusive: Mutex<()>,
    /// A command has been served since the last heartbeat.
    pub(super) active: AtomicBool,
    /// Who has it may send a heartbeat.
    pub(super) heartbeat: Slot,
}

/// With a cache of writes there is nothing to enforce: they are acknowledged before a brick could
/// refuse them.
fn mode(config: &Config) -> Mode {
    if config.cache == Cache::Writeback { Mode::Off } else { config.fence }
}

/// The lock's state before the image is open.
pub(super) fn before_open(config: &Config) -> Lock {
    if mode(config) == Mode::Required { Lock::Standby } else { Lock::Unfenced }
}

impl ImageLocking {
    /// Of a LUN that is not open yet.
    pub(super) fn new(config: &Config) -> Self {
        Self {
            mode: mode(config),
            enforcement: Mutex::new(None),
            exclusive: Mutex::new(()),
            active: AtomicBool::new(false),
            heartbeat: Slot::default(),
        }
    }

    /// State of the lock on an image that has just been opened. An error is a sentence for the
    /// admin: the image must not be served.
    pub(super) fn initial_lock(&self, image: &impl Backend, log: &Log) -> Result<Lock, String> {
        if self.mode == Mode::Off {
            return Ok(Lock::Unfenced);
        }
        let required = self.mode == Mode::Required;
        match self.query_enforcement(image) {
            Ok(Enforcement::Impossible(why)) if required => {
                Err(format!("fence=required, but the volume cannot enforce it: {why}"))
            }
            Ok(Enforcement::Active) => Ok(Lock::Standby),
            Ok(_) => Ok(if required { Lock::Standby } else { Lock::Unfenced }),
            Err(errno) if required => Err(format!(
                "fence=required, but the volume does not say whether it can enforce it: {errno}"
            )),
            Err(errno) => {
                log::warning!(log, "whether the image is fenced could not be asked: {errno}");
                Ok(Lock::Unfenced)
            }
        }
    }

    /// Queries whether the volume can enforce the lock. Blocks, within bounds.
    pub(super) fn query_enforcement(&self, image: &impl Backend) -> Result<Enforcement, Errno> {
        let found = image.enforcement()?;
        *threads::lock(&self.enforcement) = Some(found);
        Ok(found)
    }

    /// The answer is out of date.
    pub(super) fn forget_enforcement(&self) {
        *threads::lock(&self.enforcement) = None;
    }

    pub(super) fn last_enforcement(&self) -> Option<Enforcement> {
        *threads::lock(&self.enforcement)
    }

    /// Excludes other acquisitions of the lock and replacements of the image.
    pub(super) fn exclusive(&self) -> MutexGuard<'_, ()> {
        threads::lock(&self.exclusive)
    }

    pub(super) fn served(&self) {
        if !self.active.load(Ordering::Relaxed) {
            self.active.store(true, Ordering::Relaxed);
        }
    }
}
