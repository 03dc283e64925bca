// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! State of a LUN, looked up when a client scrapes.

use std::sync::{Mutex, MutexGuard, PoisonError, Weak};

/// Configuration of a LUN, as labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Name of the Gluster volume.
    pub volume: String,
    /// Path of the image from the root of the volume.
    pub image: String,
    /// Volfile servers, in the order in which they are tried.
    pub servers: Vec<String>,
    /// `cache=`.
    pub cache: &'static str,
    /// `fence=`.
    pub fence: &'static str,
}

/// Which gateway may use the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FenceState {
    /// Any: the image is not fenced.
    Open,
    /// This gateway.
    Owned,
    /// Another gateway, or none.
    Standby,
}

/// Space of a volume, as far as quotas let the LUN have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpaceState {
    /// Bytes in all.
    pub total: u64,
    /// Bytes that can still be written.
    pub free: u64,
    /// Initiators have been warned, and the warning has not ended.
    pub short: bool,
}

/// State of a LUN at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LunState {
    /// Size in bytes.
    pub bytes: u64,
    /// The image is open.
    pub ready: bool,
    /// The storage is away, as far as commands have shown.
    pub outage: bool,
    /// The image cannot be written.
    pub read_only: bool,
    /// Which gateway may use the image.
    pub fence: FenceState,
    /// Space of the volume. `None`: unknown.
    pub space: Option<SpaceState>,
    /// The connection to the bricks is encrypted. `None`: unknown.
    pub encrypted: Option<bool>,
}

/// A LUN that can be observed, on a thread that may wait for the LUN's locks but must not wait for
/// its storage.
pub trait Observed: Send + Sync {
    /// Current state.
    fn observe(&self) -> LunState;
}

/// Identity and state of the LUN behind a set of metrics; empty while no such LUN is open.
#[derive(Default)]
pub(super) struct Source(Mutex<Option<(Identity, Weak<dyn Observed>)>>);

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source").finish_non_exhaustive()
    }
}

impl Source {
    fn lock(&self) -> MutexGuard<'_, Option<(Identity, Weak<dyn Observed>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn attach(&self, identity: Identity, lun: Weak<dyn Observed>) {
        *self.lock() = Some((identity, lun));
    }

    pub(super) fn detach(&self) {
        *self.lock() = None;
    }

    pub(super) fn is_open(&self) -> bool {
        self.lock().as_ref().is_some_and(|(_, lun)| lun.strong_count() > 0)
    }

    pub(super) fn observe(&self) -> Option<(Identity, LunState)> {
        let (identity, lun) = self.lock().clone()?;
        // Outside the lock: if this is the last reference to the LUN, it is dropped here.
        Some((identity, lun.upgrade()?.observe()))
    }
}
