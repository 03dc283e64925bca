// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! `[metrics]` of the site file.

use std::path::PathBuf;
use std::time::Duration;

/// Whether metrics are collected, and where they are published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// False: nothing is counted, and there is no socket.
    pub enabled: bool,
    /// Unix socket that answers `GET /metrics`.
    pub socket: PathBuf,
    /// File rewritten with the metrics, for `node_exporter`'s textfile collector.
    pub textfile: Option<PathBuf>,
    /// Between two versions of that file.
    pub interval: Duration,
    /// Threshold of a slow command.
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
