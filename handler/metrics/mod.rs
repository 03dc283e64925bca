// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Metrics of the LUNs that this daemon serves: counters, latency histograms, state and last error
//! of each LUN, connected bricks of each volume. Published in the OpenMetrics and Prometheus text
//! formats.
//!
//! The data path updates a few relaxed atomics per command, and takes no lock and no memory
//! ([`LunMetrics`]). Everything else happens on the `glfs-metrics` thread when a client scrapes
//! (`exporter`): state is looked up then, not counted, and storage is queried then.
//!
//! A leaf of the architecture: it knows neither the daemon nor the storage. LUNs and storage
//! register themselves ([`Observed`], [`Storage`]).

mod encode;
mod exporter;
#[cfg(fuzzing)]
pub mod fuzzing;
mod histogram;
mod http;
mod lun;
mod lun_families;
mod prometheus_text;
mod registry;
mod settings;
mod snapshot;
mod socket;
mod source;
mod textfile;

pub use exporter::configure;
pub use lun::{Event, IoDescriptor, LunMetrics, Span};
pub use registry::{Storage, VolumeState, set_site_file_error, set_storage};
pub use settings::Settings;
pub use source::{FenceState, Identity, LunState, Observed, SpaceState};

pub(crate) use registry::{others_on, register};
