// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! State of a LUN, looked up when a client scrapes.

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
