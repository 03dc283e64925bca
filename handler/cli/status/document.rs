// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The JSON document of `tcmu-glfs status --json`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use crate::scrape::{Lun, Snapshot, State, Volume};

/// All LUNs and volumes that the daemon serves.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Document {
    /// Version of the plugin.
    version: String,
    /// Version of libgfapi, or `unknown`.
    gfapi: String,
    /// False if a LUN is not ready or in an outage.
    ok: bool,
    /// The mistake in the daemon's site file, whose last valid version is in use.
    site_file_error: Option<String>,
    luns: Vec<LunDocument>,
    volumes: Vec<VolumeDocument>,
}

/// A LUN. Counters count from when the daemon began to serve it.
#[derive(Debug, Serialize, JsonSchema)]
struct LunDocument {
    /// Name of the backstore in targetcli.
    lun: String,
    volume: String,
    /// Path from the root of the volume.
    image: String,
    /// Servers of the configuration, in the order in which they are tried.
    servers: Vec<String>,
    size_bytes: u64,
    state: State,
    /// The last failure of the storage.
    last_error: Option<String>,
    /// When that was, in seconds since 1970.
    last_error_at: Option<u64>,
    /// What to do, if the LUN is not ready.
    next_step: Option<String>,
    /// `rw` or `ro`.
    access: String,
    cache: String,
    /// `owned`, `standby`, `open` or `off`.
    fence: String,
    /// Whether connections to the bricks are encrypted; null if unknown.
    tls: Option<bool>,
    /// Server that the layout came from; null without a connection.
    server: Option<String>,
    bricks: Option<u64>,
    bricks_connected: Option<u64>,
    /// By operation: read, write, flush, unmap, `write_same`, `compare_and_write`, verify,
    /// `or_write`, `extended_copy`, `get_lba_status`.
    operations: BTreeMap<String, u64>,
    /// By operation, without flush.
    data_bytes: BTreeMap<String, u64>,
    /// By class: busy, `not_ready`, standby, space, protected, miscompare, range, medium, hardware,
    /// other.
    errors: BTreeMap<String, u64>,
    /// By operation, of those that occurred.
    p99_seconds: BTreeMap<String, f64>,
    in_flight: u64,
    slow_commands: u64,
    outages: u64,
    reopens: u64,
}

/// A connection to a volume.
#[derive(Debug, Serialize, JsonSchema)]
struct VolumeDocument {
    volume: String,
    server: String,
    bricks: u64,
    bricks_connected: u64,
    graph_switches: u64,
}

impl Document {
    pub(super) fn new(snapshot: &Snapshot) -> Self {
        Self {
            version: snapshot.version.clone(),
            gfapi: snapshot.gfapi.clone(),
            ok: snapshot.how_many(State::Ready) == snapshot.luns.len(),
            site_file_error: snapshot.site_file_error.clone(),
            luns: snapshot.luns.iter().map(|lun| LunDocument::new(snapshot, lun)).collect(),
            volumes: snapshot.volumes.iter().map(VolumeDocument::new).collect(),
        }
    }
}

impl LunDocument {
    fn new(snapshot: &Snapshot, lun: &Lun) -> Self {
        let volume = snapshot.volume_of(lun);
        let counts = |map: &BTreeMap<String, f64>| {
            map.iter().map(|(key, &value)| (key.clone(), whole(value))).collect()
        };
        let p99 = lun.latency.iter();
        let p99 = p99.filter_map(|(op, all)| Some((op.clone(), all.quantile(0.99)?)));
        Self {
            lun: lun.name.clone(),
            volume: lun.volume.clone(),
            image: lun.image.clone(),
            servers: lun.servers.clone(),
            size_bytes: whole(lun.size),
            state: lun.state(),
            last_error: lun.last_error.clone(),
            last_error_at: lun.last_error.as_ref().map(|_| whole(lun.last_error_at)),
            next_step: super::page::next_step(lun),
            access: lun.access.clone(),
            cache: lun.cache.clone(),
            fence: lun.fence.clone(),
            tls: match lun.tls.as_str() {
                "on" => Some(true),
                "off" => Some(false),
                _ => None,
            },
            server: volume.map(|volume| volume.server.clone()),
            bricks: volume.map(|volume| whole(volume.bricks)),
            bricks_connected: volume.map(|volume| whole(volume.connected)),
            operations: counts(&lun.operations),
            data_bytes: counts(&lun.bytes),
            errors: counts(&lun.errors),
            p99_seconds: p99.collect(),
            in_flight: whole(lun.in_flight),
            slow_commands: whole(lun.slow),
            outages: whole(lun.outages),
            reopens: whole(lun.reopens),
        }
    }
}

impl VolumeDocument {
    fn new(volume: &Volume) -> Self {
        Self {
            volume: volume.name.clone(),
            server: volume.server.clone(),
            bricks: whole(volume.bricks),
            bricks_connected: whole(volume.connected),
            graph_switches: whole(volume.graph_switches),
        }
    }
}

/// Counts and sizes are whole numbers, whatever form the text gives them.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturates, and none comes near the limits"
)]
fn whole(value: f64) -> u64 {
    value as u64
}
