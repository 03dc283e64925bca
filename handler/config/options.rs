// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Configuration of one LUN.

use std::time::Duration;

use super::values::{
    Access, Cache, Connection, CopyRange, Fence, Grow, IoThreads, LogLevel, OnUnreachable,
    Transport,
};

/// Configuration of one LUN: place of its image, and the value of every key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Name of the Gluster volume.
    pub volume: String,
    /// Volfile servers in the order to try: HOST, then every `server=`. At least one.
    pub hosts: Vec<String>,
    /// Path of the image from the root of the volume.
    pub path: String,
    /// `port=`: glusterd's TCP port.
    pub port: u16,
    /// `transport=`: how to reach glusterd.
    pub transport: Transport,
    /// `socket=`: glusterd's socket, for [`Transport::Unix`].
    pub socket: String,
    /// `volfile=`: build the graph from this local file; no glusterd is asked.
    pub volfile: Option<String>,
    /// `cache=`: when a write is acknowledged.
    pub cache: Cache,
    /// `access=`: whether initiators may write.
    pub access: Access,
    /// `io-threads=`: the client-side io-threads translator.
    pub io_threads: IoThreads,
    /// `connection=`: whether the LUN shares a connection.
    pub connection: Connection,
    /// `fence=`: whether the bricks refuse other gateways.
    pub fence: Fence,
    /// `grow=`: what makes the LUN as large as an image that has grown.
    pub grow: Grow,
    /// `open=`: what an open does when the cluster cannot be reached.
    pub open: OnUnreachable,
    /// `open-timeout=`: an open that takes longer has failed.
    pub open_timeout: Duration,
    /// `ping-timeout=`: a brick that is silent for this long, twice at most, is disconnected.
    pub ping_timeout: Duration,
    /// `outage=`: how long the volume may be unreachable before commands fail.
    pub outage: Duration,
    /// `space-warning=`: percentage of the volume's space from which on initiators are warned;
    /// 0 for never.
    pub space_warning: u8,
    /// `copy=`: between which LUNs an EXTENDED COPY may copy.
    pub copy: CopyRange,
    /// `log-level=`: of libgfapi's own log, and of the LUN's lines.
    pub log_level: LogLevel,
}

impl Config {
    /// The defaults, for an image in this place.
    pub(super) fn new(volume: String, host: String, path: String) -> Self {
        Self {
            volume,
            hosts: vec![host],
            grow: Grow::default_for(&path),
            path,
            port: 24007,
            transport: Transport::default(),
            socket: String::from("/var/run/glusterd.socket"),
            volfile: None,
            cache: Cache::default(),
            access: Access::default(),
            io_threads: IoThreads::default(),
            connection: Connection::default(),
            fence: Fence::default(),
            open: OnUnreachable::default(),
            open_timeout: Duration::from_secs(30),
            // Gluster's own default is 42 s: a dead brick would be noticed after 84 s at worst,
            // when initiators have given up (Linux: 30 s).
            ping_timeout: Duration::from_secs(10),
            outage: Duration::from_secs(120),
            space_warning: 80,
            copy: CopyRange::default(),
            log_level: LogLevel::default(),
        }
    }

    /// Host of the place: the first server to ask.
    pub(super) fn host(&self) -> &str {
        self.hosts.first().map_or("", String::as_str)
    }

    /// Name of the LUN in log lines: the place of its image, without the options.
    #[must_use]
    pub fn label(&self) -> String {
        format!("{}@{}/{}", self.volume, self.host(), self.path)
    }
}
