// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Who has numbers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use super::meter::Meter;
use crate::log::Log;

/// What a LUN is, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Name of the Gluster volume.
    pub volume: String,
    /// The image, from the root of the volume.
    pub image: String,
    /// The volume's servers.
    pub servers: Vec<String>,
    /// What the client may keep back.
    pub cache: &'static str,
    /// Whether the bricks keep out other gateways.
    pub fence: &'static str,
}

/// Who may use the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FenceState {
    /// Everybody.
    Open,
    /// This gateway.
    Owned,
    /// Another gateway, or nobody.
    Standby,
}

/// How a LUN is, when somebody asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LunState {
    /// Its size in bytes.
    pub bytes: u64,
    /// Its image is open.
    pub ready: bool,
    /// Its storage is away, as far as is known.
    pub outage: bool,
    /// Its image cannot be written.
    pub read_only: bool,
    /// Who may use the image.
    pub fence: FenceState,
    /// Its connection is encrypted. None: not known.
    pub encrypted: Option<bool>,
}

/// A LUN, asked by a thread that may wait for its locks, and must not wait for its storage.
pub trait Observed: Send + Sync {
    /// How it is now.
    fn observe(&self) -> LunState;
}

/// The LUN that a meter is of, while there is one.
#[derive(Default)]
pub(super) struct Subject(Mutex<Option<(Identity, Weak<dyn Observed>)>>);

impl std::fmt::Debug for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subject").finish_non_exhaustive()
    }
}

impl Subject {
    fn lock(&self) -> MutexGuard<'_, Option<(Identity, Weak<dyn Observed>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_alive(&self) -> bool {
        self.lock().as_ref().is_some_and(|(_, lun)| lun.strong_count() > 0)
    }

    fn look(&self) -> Option<(Identity, LunState)> {
        let (identity, lun) = self.lock().clone()?;
        // Not under the lock: should this be the LUN's last reference, it goes here.
        Some((identity, lun.upgrade()?.observe()))
    }
}

impl Meter {
    /// This LUN is what the meter is of, as long as it lives.
    pub fn attach(&self, identity: Identity, lun: Weak<dyn Observed>) {
        *self.subject.lock() = Some((identity, lun));
    }

    /// The LUN is closed.
    pub fn detach(&self) {
        *self.subject.lock() = None;
    }
}

/// Meters of LUNs that are gone, kept at most: they may come back.
const REMEMBERED: usize = 256;

/// By name: no two LUNs may have the same.
static METERS: Mutex<BTreeMap<String, Arc<Meter>>> = Mutex::new(BTreeMap::new());

/// The meter of the LUN called `name`, for which `log` speaks: the one that it had before, if it is
/// back.
#[must_use]
pub(crate) fn meter(name: &str, log: &Arc<Log>) -> Arc<Meter> {
    let mut meters = METERS.lock().unwrap_or_else(PoisonError::into_inner);
    if meters.values().filter(|meter| !meter.subject.is_alive()).count() > REMEMBERED {
        meters.retain(|_, meter| meter.subject.is_alive() || Arc::strong_count(meter) > 1);
    }
    let meter = meters.entry(name.to_owned()).or_insert_with(|| Arc::new(Meter::new(log)));
    meter.set_log(log);
    Arc::clone(meter)
}

/// A LUN and its numbers.
#[derive(Debug)]
pub(super) struct Lun {
    pub(super) name: String,
    pub(super) meter: Arc<Meter>,
    pub(super) identity: Identity,
    pub(super) state: LunState,
}

/// The LUNs that there are.
pub(super) fn luns() -> Vec<Lun> {
    let meters = METERS.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let luns = meters.into_iter().filter_map(|(name, meter)| {
        let (identity, state) = meter.subject.look()?;
        Some(Lun { name, meter, identity, state })
    });
    luns.collect()
}

/// A connection to a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeState {
    /// The volume.
    pub volume: String,
    /// Where its layout came from.
    pub server: String,
    /// In its layout.
    pub bricks: u64,
    /// Of them, those that answer.
    pub connected: u64,
    /// How often the layout has been replaced.
    pub graph_switches: u64,
}

/// What knows the volumes.
#[derive(Debug, Clone, Copy)]
pub struct Storage {
    /// The connections that there are. Called before the LUNs are looked at; may block, within
    /// bounds.
    pub volumes: fn() -> Vec<VolumeState>,
    /// The version of the library that makes them, if it is known.
    pub version: fn() -> Option<String>,
}

static STORAGE: OnceLock<Storage> = OnceLock::new();

/// Who is asked about volumes. The first call counts.
pub fn set_storage(storage: Storage) {
    let _first = STORAGE.set(storage).is_ok();
}

/// The volumes: one entry for a volume and server. Of several connections, the bricks that all of
/// them have.
pub(super) fn volumes() -> Vec<VolumeState> {
    merge(STORAGE.get().map(|storage| (storage.volumes)()).unwrap_or_default())
}

pub(super) fn storage_version() -> Option<String> {
    STORAGE.get().and_then(|storage| (storage.version)())
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
                let fence = FenceState::Open;
                LunState {
                    bytes: 1,
                    ready: true,
                    outage: false,
                    read_only: false,
                    fence,
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
        let first = meter("back", &log);
        first.attach(identity(), Arc::downgrade(&disk));
        assert!(shown("back"));
        drop(disk);
        assert!(!shown("back"));
        assert!(Arc::ptr_eq(&first, &meter("back", &log)));
        let gone = Arc::downgrade(&meter("gone", &log));
        (0..REMEMBERED + 2).for_each(|n| drop(meter(&format!("another {n}"), &log)));
        assert!(gone.upgrade().is_none());
        assert!(Arc::ptr_eq(&first, &meter("back", &log)), "in use");
    }
}
