// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! LUNs and volumes of one scrape, from its samples.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::histogram::Histogram;
use super::text::{self, Sample};

/// All LUNs and volumes of one scrape, by name.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    pub(crate) version: String,
    pub(crate) gfapi: String,
    pub(crate) luns: Vec<Lun>,
    pub(crate) volumes: Vec<Volume>,
    /// The mistake in the site file of the daemon.
    pub(crate) site_file_error: Option<String>,
}

/// A LUN. Counters count from when the daemon began to serve it; they are floating-point numbers as
/// in the text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lun {
    pub(crate) name: String,
    pub(crate) volume: String,
    pub(crate) image: String,
    pub(crate) servers: Vec<String>,
    pub(crate) cache: String,
    /// `owned`, `standby` or `open`; or `off`.
    pub(crate) fence: String,
    /// `rw` or `ro`: what it is now, which `access=auto` leaves open.
    pub(crate) access: String,
    pub(crate) tls: String,
    pub(crate) size: f64,
    pub(crate) ready: bool,
    pub(crate) outage: bool,
    /// The last failure of the storage: a sentence, and seconds since 1970.
    pub(crate) last_error: Option<String>,
    pub(crate) last_error_at: f64,
    pub(crate) moves: f64,
    pub(crate) fence_transitions: BTreeMap<String, f64>,
    pub(crate) in_flight: f64,
    pub(crate) slow: f64,
    pub(crate) outages: f64,
    pub(crate) reopens: f64,
    /// By operation.
    pub(crate) operations: BTreeMap<String, f64>,
    /// By operation.
    pub(crate) bytes: BTreeMap<String, f64>,
    /// By class, of all operations.
    pub(crate) errors: BTreeMap<String, f64>,
    /// By operation.
    pub(crate) latency: BTreeMap<String, Histogram>,
}

/// A connection to a volume.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Volume {
    pub(crate) name: String,
    /// How it is reached.
    pub(crate) server: String,
    pub(crate) bricks: f64,
    pub(crate) connected: f64,
    pub(crate) graph_switches: f64,
}

// Whether a LUN can be used, from good to bad. No doc comment: it would be the description of
// `StateName` in the JSON schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "StateName")]
pub(crate) enum State {
    Ready,
    NotReady,
    Outage,
}

impl Snapshot {
    /// Parses the text of the metrics socket. Unknown metrics are those of a newer plugin, and
    /// ignored.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut snapshot = Self::default();
        let mut luns = BTreeMap::<String, Lun>::new();
        let mut volumes = BTreeMap::<(String, String), Volume>::new();
        for sample in text::parse(text)? {
            let Some(metric) = sample.name.strip_prefix("tcmu_glfs_") else { continue };
            if metric == "build_info" {
                sample.label("version").clone_into(&mut snapshot.version);
                sample.label("gfapi").clone_into(&mut snapshot.gfapi);
            } else if metric == "site_file_error_info" {
                snapshot.site_file_error = Some(sample.label("error").to_owned());
            } else if let Some(metric) = metric.strip_prefix("volume_") {
                let key = (sample.label("volume").to_owned(), sample.label("server").to_owned());
                volumes.entry(key).or_default().take(metric, &sample);
            } else if let Some(name) = sample.labels.get("lun") {
                luns.entry(name.clone()).or_default().take(metric, &sample);
            }
        }
        snapshot.luns = luns.into_values().collect();
        snapshot.luns.sort_by_cached_key(|lun| natural(&lun.name));
        snapshot.volumes = volumes.into_values().collect();
        Ok(snapshot)
    }

    /// The connection that a LUN uses: to its volume, by one of its servers. A LUN that is open and
    /// names no server of a connection (`volfile=`, `transport=unix`) has the only one to its
    /// volume; one that is not open has no connection by a server that it does not name.
    pub(crate) fn volume_of(&self, lun: &Lun) -> Option<&Volume> {
        // The connection's server has a port, the LUN's need not.
        let is = |own: &String, server: &str| {
            server
                .strip_prefix(own.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
        };
        let mut to_volume = self.volumes.iter().filter(|volume| volume.name == lun.volume);
        let named =
            to_volume.clone().find(|volume| lun.servers.iter().any(|own| is(own, &volume.server)));
        match (named, to_volume.next(), to_volume.next()) {
            (Some(named), ..) => Some(named),
            (None, Some(only), None) if lun.ready => Some(only),
            _ => None,
        }
    }

    pub(crate) fn how_many(&self, state: State) -> usize {
        self.luns.iter().filter(|lun| lun.state() == state).count()
    }
}

impl Lun {
    fn take(&mut self, metric: &str, sample: &Sample) {
        sample.label("lun").clone_into(&mut self.name);
        let (op, value) = (sample.label("op").to_owned(), sample.value);
        match metric {
            "lun_info" => {
                sample.label("volume").clone_into(&mut self.volume);
                sample.label("image").clone_into(&mut self.image);
                sample.label("cache").clone_into(&mut self.cache);
                sample.label("tls").clone_into(&mut self.tls);
                self.servers = sample.label("servers").split(',').map(str::to_owned).collect();
                // These are also told by metrics that may come before or after, and know better.
                if self.access.is_empty() {
                    sample.label("access").clone_into(&mut self.access);
                }
                if self.fence.is_empty() || sample.label("fence") == "off" {
                    sample.label("fence").clone_into(&mut self.fence);
                }
            }
            "read_only" => if value > 0.0 { "ro" } else { "rw" }.clone_into(&mut self.access),
            "fence_state" if value > 0.0 && self.fence != "off" => {
                sample.label("state").clone_into(&mut self.fence);
            }
            "size_bytes" => self.size = value,
            "ready" => self.ready = value > 0.0,
            "outage" => self.outage = value > 0.0,
            "last_error_info" => self.last_error = Some(sample.label("error").to_owned()),
            "last_error_timestamp_seconds" => self.last_error_at = value,
            "moves_total" => self.moves = value,
            "fence_transitions_total" => {
                self.fence_transitions.insert(sample.label("to").to_owned(), value);
            }
            "in_flight" => self.in_flight = value,
            "slow_commands_total" => self.slow = value,
            "outages_total" => self.outages = value,
            "reopens_total" => self.reopens = value,
            "operations_total" => *self.operations.entry(op).or_default() += value,
            "data_bytes_total" => *self.bytes.entry(op).or_default() += value,
            "errors_total" => {
                *self.errors.entry(sample.label("class").to_owned()).or_default() += value;
            }
            "latency_seconds_bucket" => {
                let bound = sample.label("le").parse().unwrap_or(f64::INFINITY);
                self.latency.entry(op).or_default().add(bound, value);
            }
            _ => {}
        }
    }

    pub(crate) fn state(&self) -> State {
        if self.outage {
            State::Outage
        } else if self.ready {
            State::Ready
        } else {
            State::NotReady
        }
    }

    pub(crate) fn total_operations(&self) -> f64 {
        self.operations.values().sum()
    }

    pub(crate) fn total_errors(&self) -> f64 {
        self.errors.values().sum()
    }
}

impl Volume {
    fn take(&mut self, metric: &str, sample: &Sample) {
        sample.label("volume").clone_into(&mut self.name);
        sample.label("server").clone_into(&mut self.server);
        match metric {
            "bricks" => self.bricks = sample.value,
            "bricks_connected" => self.connected = sample.value,
            "graph_switches_total" => self.graph_switches = sample.value,
            _ => {}
        }
    }
}

/// Sorts d2 before d10.
fn natural(name: &str) -> (String, u64, String) {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let number = name.strip_prefix(stem).and_then(|digits| digits.parse().ok()).unwrap_or(0);
    (stem.to_owned(), number, name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lun_has_only_a_connection_by_one_of_its_own_servers() {
        let volume = |server: &str| Volume {
            name: String::from("vol"),
            server: server.to_owned(),
            ..Volume::default()
        };
        let lun = |server: &str, ready| Lun {
            volume: String::from("vol"),
            servers: vec![server.to_owned()],
            ready,
            ..Lun::default()
        };
        let of = |servers: &[&str], lun: &Lun| {
            let volumes = servers.iter().map(|server| volume(server)).collect();
            let snapshot = Snapshot { volumes, ..Snapshot::default() };
            snapshot.volume_of(lun).map(|volume| volume.server.clone())
        };
        let found = |server: &str| Some(server.to_owned());
        assert_eq!(of(&["h:24007"], &lun("h", false)), found("h:24007"));
        assert_eq!(of(&["host:24007"], &lun("hots", false)), None, "a misspelt server");
        assert_eq!(of(&["its volfile"], &lun("here", true)), found("its volfile"));
        assert_eq!(of(&["g:24007", "h:24007"], &lun("h", true)), found("h:24007"));
        assert_eq!(of(&["g:24007", "h:24007"], &lun("x", true)), None);
    }
}
