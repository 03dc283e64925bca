// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Registry of exported LUNs and volumes, and of what concerns the whole plugin.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};

use super::lun::LunMetrics;
use super::source::{Identity, LunState};
use crate::log::Log;
use crate::threads::lock;

/// Bounds the closed LUNs whose metrics are kept for their return.
const MAX_CLOSED: usize = 256;

/// By name: the kernel lets no two LUNs have one.
static LUNS: Mutex<BTreeMap<String, Arc<LunMetrics>>> = Mutex::new(BTreeMap::new());

/// Metrics of the LUN called `name`, whose lines go to `log`. A LUN that is reopened finds its
/// counters again.
#[must_use]
pub(crate) fn register(name: &str, log: &Arc<Log>) -> Arc<LunMetrics> {
    let mut luns = lock(&LUNS);
    if luns.values().filter(|lun| !lun.is_open()).count() > MAX_CLOSED {
        luns.retain(|_, lun| lun.is_open() || Arc::strong_count(lun) > 1);
    }
    let lun = luns.entry(name.to_owned()).or_insert_with(|| Arc::new(LunMetrics::new(log)));
    lun.set_log(log);
    Arc::clone(lun)
}

/// An open LUN and its metrics.
#[derive(Debug)]
pub(super) struct Lun {
    pub(super) name: String,
    pub(super) metrics: Arc<LunMetrics>,
    pub(super) identity: Identity,
    pub(super) state: LunState,
}

/// All open LUNs.
pub(super) fn luns() -> Vec<Lun> {
    let luns = lock(&LUNS).clone();
    let luns = luns.into_iter().filter_map(|(name, metrics)| {
        let (identity, state) = metrics.observe()?;
        Some(Lun { name, metrics, identity, state })
    });
    luns.collect()
}

/// Names of the other open LUNs that serve the image of `identity`, as far as its volume and path
/// say: two clusters may have a volume of one name.
pub(crate) fn others_on(identity: &Identity, name: &str) -> Vec<String> {
    let path = |identity: &Identity| identity.image.trim_start_matches('/').to_owned();
    let same = |lun: &Lun| {
        lun.name != name
            && lun.identity.volume == identity.volume
            && path(&lun.identity) == path(identity)
    };
    luns().into_iter().filter(same).map(|lun| lun.name).collect()
}

/// A connection to a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeState {
    /// Name of the volume.
    pub volume: String,
    /// Server that the volfile came from.
    pub server: String,
    /// Bricks in the layout.
    pub bricks: u64,
    /// Bricks that are connected.
    pub connected: u64,
    /// Layouts that have been taken after the first.
    pub graph_switches: u64,
}

/// The storage side, as functions to call when a client scrapes.
#[derive(Debug, Clone, Copy)]
pub struct Storage {
    /// All connections. Called before the LUNs are observed; may block, within bounds.
    pub volumes: fn() -> Vec<VolumeState>,
    /// Version of the client library, if known.
    pub version: fn() -> Option<String>,
}

static STORAGE: OnceLock<Storage> = OnceLock::new();

/// Registers the storage side. The first call counts.
pub fn set_storage(storage: Storage) {
    let _first = STORAGE.set(storage).is_ok();
}

/// Volumes by name and server; several connections to one are shown as the worst of them.
pub(super) fn volumes() -> Vec<VolumeState> {
    merge(STORAGE.get().map(|storage| (storage.volumes)()).unwrap_or_default())
}

pub(super) fn storage_version() -> Option<String> {
    STORAGE.get().and_then(|storage| (storage.version)())
}

/// The mistake in the site file, while an older version of it is in use.
static SITE_FILE_ERROR: Mutex<Option<String>> = Mutex::new(None);

/// Sets the mistake in the site file; `None` when the file is valid.
pub fn set_site_file_error(error: Option<String>) {
    *lock(&SITE_FILE_ERROR) = error;
}

pub(super) fn site_file_error() -> Option<String> {
    lock(&SITE_FILE_ERROR).clone()
}

fn merge(volumes: Vec<VolumeState>) -> Vec<VolumeState> {
    let mut merged: BTreeMap<(String, String), VolumeState> = BTreeMap::new();
    for one in volumes {
        merged
            .entry((one.volume.clone(), one.server.clone()))
            .and_modify(|all| {
                all.bricks = all.bricks.max(one.bricks);
                all.connected = all.connected.min(one.connected);
                all.graph_switches = all.graph_switches.max(one.graph_switches);
            })
            .or_insert(one);
    }
    merged.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::super::source::{FenceState, Observed};
    use super::*;

    #[test]
    fn connections_of_one_volume_are_shown_once_as_the_worst_of_them() {
        let volume = |server: &str, connected, graph_switches| VolumeState {
            volume: String::from("v"),
            server: server.to_owned(),
            bricks: 3,
            connected,
            graph_switches,
        };
        let merged = merge(vec![volume("b", 3, 0), volume("a", 3, 1), volume("b", 2, 4)]);
        assert_eq!(merged, [volume("a", 3, 1), volume("b", 2, 4)]);
    }

    #[test]
    fn a_lun_that_is_back_has_its_numbers_and_those_that_stay_away_are_forgotten() {
        struct Disk;
        impl Observed for Disk {
            fn observe(&self) -> LunState {
                LunState {
                    bytes: 1,
                    ready: true,
                    outage: false,
                    read_only: false,
                    fence: FenceState::Open,
                    space: None,
                    encrypted: None,
                }
            }
        }
        let shown = |name: &str| luns().iter().any(|lun| lun.name == name);
        let identity = || Identity {
            volume: String::from("v"),
            image: String::from("p"),
            servers: Vec::new(),
            cache: "none",
            fence: "auto",
        };
        let disk: Arc<dyn Observed> = Arc::new(Disk);
        let log = Arc::new(Log::new(String::from("v@h/p")));
        let first = register("back", &log);
        first.attach(identity(), Arc::downgrade(&disk));
        assert!(shown("back"));
        assert_eq!(others_on(&identity(), "twin"), ["back"]);
        assert!(others_on(&identity(), "back").is_empty());
        drop(disk);
        assert!(!shown("back"));
        assert!(Arc::ptr_eq(&first, &register("back", &log)));
        let gone = Arc::downgrade(&register("gone", &log));
        (0..MAX_CLOSED + 2).for_each(|n| drop(register(&format!("another {n}"), &log)));
        assert!(gone.upgrade().is_none());
        assert!(Arc::ptr_eq(&first, &register("back", &log)), "in use");
    }
}
