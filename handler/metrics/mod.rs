// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! What the LUNs of this daemon do, in numbers: counters and latencies of each LUN, the bricks that
//! each volume has, for Prometheus and whatever else reads its formats.
//!
//! Counting is all that happens on the data path: a few relaxed atomics a command, no lock, no
//! memory ([`Meter`]). Everything else is done when somebody asks, on one thread (`server`): what
//! can be looked up is not counted, and what has to be asked of the storage is asked then.
//!
//! This folder knows neither the daemon nor the storage: who has numbers registers himself.

mod classic;
mod encode;
mod histogram;
mod http;
mod meter;
mod registry;
mod server;
mod socket;
mod textfile;

use std::path::PathBuf;
use std::time::Duration;

pub use meter::{Event, Meter, Span, Work};
pub use registry::{FenceState, Identity, LunState, Observed, Storage, VolumeState, set_storage};
pub use server::configure;

pub(crate) use registry::meter;

/// What an admin decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// False: nothing is counted, and there is no socket.
    pub enabled: bool,
    /// Where the numbers are asked for.
    pub socket: PathBuf,
    /// A file that is kept up to date with them, for the node exporter.
    pub textfile: Option<PathBuf>,
    /// Between two versions of that file.
    pub interval: Duration,
    /// A command that takes longer is a slow one.
    pub slow: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            enabled: true,
            socket: PathBuf::from("/run/tcmu-glfs/metrics.sock"),
            textfile: None,
            interval: Duration::from_secs(15),
            slow: Duration::from_secs(1),
        }
    }
}
