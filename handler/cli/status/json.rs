// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The JSON of `tcmu-glfs status --json`: its keys stay what they are.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::scrape::{Lun, Picture, State, Volume};

pub(super) const HELP: &str = "\
JSON:
  One object. Keys may be added in later versions; those that are here stay.
    version, gfapi   of the plugin and of libgfapi; gfapi may be unknown
    ok               false if a LUN is not ready or in an outage
    luns[]           lun, volume, image, servers[], size_bytes,
                     state (ready, not_ready, outage), access (rw, ro), cache,
                     fence (owned, standby, open, off), tls (on, off, unknown),
                     server, bricks, bricks_connected (null if unknown),
                     operations{OP}, data_bytes{OP}, errors{CLASS},
                     p99_seconds{OP} (only of operations there were),
                     in_flight, slow_commands, outages, reopens, deferred_errors
    volumes[]        volume, server, bricks, bricks_connected, graph_switches
  OP is read, write, flush, unmap, write_same or compare_and_write. CLASS is busy,
  not_ready, standby, space, protected, miscompare, range, medium, hardware or other.";

#[derive(Serialize)]
struct Report<'a> {
    version: &'a str,
    gfapi: &'a str,
    ok: bool,
    luns: Vec<LunReport<'a>>,
    volumes: Vec<VolumeReport<'a>>,
}

#[derive(Serialize)]
struct LunReport<'a> {
    lun: &'a str,
    volume: &'a str,
    image: &'a str,
    servers: &'a [String],
    size_bytes: u64,
    state: &'static str,
    access: &'a str,
    cache: &'a str,
    fence: &'a str,
    tls: &'a str,
    server: Option<&'a str>,
    bricks: Option<u64>,
    bricks_connected: Option<u64>,
    operations: BTreeMap<&'a str, u64>,
    data_bytes: BTreeMap<&'a str, u64>,
    errors: BTreeMap<&'a str, u64>,
    p99_seconds: BTreeMap<&'a str, f64>,
    in_flight: u64,
    slow_commands: u64,
    outages: u64,
    reopens: u64,
    deferred_errors: u64,
}

#[derive(Serialize)]
struct VolumeReport<'a> {
    volume: &'a str,
    server: &'a str,
    bricks: u64,
    bricks_connected: u64,
    graph_switches: u64,
}

pub(super) fn text(picture: &Picture) -> Result<String, String> {
    let report = Report {
        version: &picture.version,
        gfapi: &picture.gfapi,
        ok: picture.how_many(State::Ready) == picture.luns.len(),
        luns: picture.luns.iter().map(|lun| lun_report(picture, lun)).collect(),
        volumes: picture.volumes.iter().map(volume_report).collect(),
    };
    serde_json::to_string_pretty(&report).map_err(|error| error.to_string())
}

fn lun_report<'a>(picture: &'a Picture, lun: &'a Lun) -> LunReport<'a> {
    let volume = picture.volume_of(lun);
    let counts = |map: &'a BTreeMap<String, f64>| {
        map.iter().map(|(key, &value)| (key.as_str(), whole(value))).collect()
    };
    LunReport {
        lun: &lun.name,
        volume: &lun.volume,
        image: &lun.image,
        servers: &lun.servers,
        size_bytes: whole(lun.size),
        state: match lun.state() {
            State::Ready => "ready",
            State::NotReady => "not_ready",
            State::Outage => "outage",
        },
        access: &lun.access,
        cache: &lun.cache,
        fence: &lun.fence,
        tls: &lun.tls,
        server: volume.map(|volume| volume.server.as_str()),
        bricks: volume.map(|volume| whole(volume.bricks)),
        bricks_connected: volume.map(|volume| whole(volume.connected)),
        operations: counts(&lun.operations),
        data_bytes: counts(&lun.bytes),
        errors: counts(&lun.errors),
        p99_seconds: lun
            .latency
            .iter()
            .filter_map(|(op, all)| Some((op.as_str(), all.quantile(0.99)?)))
            .collect(),
        in_flight: whole(lun.in_flight),
        slow_commands: whole(lun.slow),
        outages: whole(lun.outages),
        reopens: whole(lun.reopens),
        deferred_errors: whole(lun.deferred_errors),
    }
}

fn volume_report(volume: &Volume) -> VolumeReport<'_> {
    VolumeReport {
        volume: &volume.name,
        server: &volume.server,
        bricks: whole(volume.bricks),
        bricks_connected: whole(volume.connected),
        graph_switches: whole(volume.graph_switches),
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
