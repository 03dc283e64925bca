// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! What befalls the cluster of the soak, and how it ends.

use nix::sys::signal::Signal;

use crate::changes::{
    BRICK_LOG, CACHE_SIZE, Change, Changes, DELAYED_PERCENTAGE, OPEN_BEHIND, RESET, STAT_PREFETCH,
    WRITE_BEHIND,
};
use crate::faults;
use crate::gateway::Gateway;
use crate::nodes::{NODES, cluster};
use crate::random::Random;
use crate::volumes::Volume;

/// Bricks and nodes by their number; brick `n` is on node `n`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    BrickDies(usize),
    BrickFreezes(usize),
    /// Two of three.
    QuorumDies(usize),
    AllBricksDie,
    NodeIsCutOff(usize),
    NodeIsSlow(usize),
    GlusterdDies(usize),
    GlusterdFreezes(usize),
    GatewayIsCutOff(usize),
    GatewayFreezes(usize),
    /// The second one: the first shall live to show that it does not grow.
    GatewayDies,
    /// The volume changes; that brick, if it is about one.
    Changes(Change, usize),
    /// Some calls take two seconds more.
    CallsAreDelayed,
    /// A full heal, at the wrong time.
    EverythingIsHealed,
}

/// Whom it may befall.
#[derive(Debug)]
pub(crate) struct Victims<'a> {
    pub(crate) volume: &'a mut Volume,
    pub(crate) changes: &'a mut Changes,
    pub(crate) gateways: [&'a Gateway; 2],
}

/// No shards: images that are older stay in one piece, which is tested elsewhere, and there are no
/// younger ones.
const CHANGES: [Change; 10] = [
    STAT_PREFETCH,
    OPEN_BEHIND,
    WRITE_BEHIND,
    CACHE_SIZE,
    BRICK_LOG,
    RESET,
    Change::Add(NODES),
    Change::Replace,
    Change::ResetBrick,
    Change::Quota,
];

impl Fault {
    pub(crate) fn random(random: &mut Random) -> Self {
        let mut one_of = |count: usize| usize::try_from(random.below(count as u64)).unwrap();
        match one_of(16) {
            0 => Self::BrickDies(one_of(NODES)),
            1 => Self::BrickFreezes(one_of(NODES)),
            2 => Self::QuorumDies(one_of(NODES)),
            3 => Self::AllBricksDie,
            4 => Self::NodeIsCutOff(one_of(NODES)),
            5 => Self::NodeIsSlow(one_of(NODES)),
            6 => Self::GlusterdDies(one_of(NODES)),
            7 => Self::GlusterdFreezes(one_of(NODES)),
            8 => Self::GatewayIsCutOff(one_of(2)),
            9 => Self::GatewayFreezes(one_of(2)),
            10 => Self::GatewayDies,
            11..14 => Self::Changes(CHANGES[one_of(CHANGES.len())], one_of(NODES)),
            14 => Self::CallsAreDelayed,
            _ => Self::EverythingIsHealed,
        }
    }

    /// Whether the two befall one thing, or one needs the CLI of a cluster that the other has
    /// lamed.
    pub(crate) fn meets(self, other: Self) -> bool {
        self.kind() == other.kind()
            || self.needs_cli() && other.lames_cli()
            || self.lames_cli() && other.needs_cli()
    }

    /// Whether the volume has another graph since then, as far as that is known.
    pub(crate) fn is_change(self) -> bool {
        matches!(self, Self::Changes(..))
    }

    /// Whether an admin does it only while all copies are there.
    pub(crate) fn needs_all_bricks(self) -> bool {
        matches!(self, Self::Changes(change, _) if change.needs_all_bricks())
    }

    /// Whether Gluster promises to lose nothing if this befalls it as well: of the copies only one
    /// may be away at a time, or most of them must go together. (What it loses otherwise, it loses
    /// with every client: `SOAK_CLIENT=baseline`.)
    pub(crate) fn is_bearable_with(self, others: &[Self]) -> bool {
        self.copies() == 0 || others.iter().all(|other| other.copies() == 0)
    }

    /// How many copies are away.
    fn copies(self) -> u32 {
        match self {
            Self::BrickDies(_)
            | Self::BrickFreezes(_)
            | Self::NodeIsCutOff(_)
            | Self::NodeIsSlow(_) => 1,
            // None may be away with these.
            Self::Changes(change, _) if change.needs_all_bricks() => 1,
            Self::QuorumDies(_) => 2,
            Self::AllBricksDie => 3,
            _ => 0,
        }
    }

    fn kind(self) -> u32 {
        match self {
            Self::BrickDies(_)
            | Self::BrickFreezes(_)
            | Self::QuorumDies(_)
            | Self::AllBricksDie => 0,
            Self::NodeIsCutOff(_) | Self::NodeIsSlow(_) => 1,
            Self::GlusterdDies(_) | Self::GlusterdFreezes(_) => 2,
            Self::GatewayIsCutOff(_) | Self::GatewayFreezes(_) | Self::GatewayDies => 3,
            Self::Changes(..) | Self::CallsAreDelayed | Self::EverythingIsHealed => 4,
        }
    }

    fn needs_cli(self) -> bool {
        self.kind() == 4
    }

    fn lames_cli(self) -> bool {
        matches!(self.kind(), 1 | 2)
    }

    pub(crate) fn strike(self, victims: &mut Victims<'_>) {
        let volume = &mut *victims.volume;
        match self {
            Self::BrickDies(brick) => faults::kill_brick(volume, brick),
            Self::BrickFreezes(brick) => faults::freeze_brick(volume, brick),
            Self::QuorumDies(spared) => {
                (0..NODES)
                    .filter(|&brick| brick != spared)
                    .for_each(|brick| faults::kill_brick(volume, brick));
            }
            Self::AllBricksDie => (0..NODES).for_each(|brick| faults::kill_brick(volume, brick)),
            Self::NodeIsCutOff(node) => cluster().node(node).cable.cut(),
            Self::NodeIsSlow(node) => cluster().node(node).cable.slow(),
            Self::GlusterdDies(node) => faults::kill_glusterd(node),
            Self::GlusterdFreezes(node) => faults::freeze_glusterd(node),
            Self::GatewayIsCutOff(gateway) => victims.gateways[gateway].cable().cut(),
            Self::GatewayFreezes(gateway) => victims.gateways[gateway].signal(Signal::SIGSTOP),
            Self::GatewayDies => victims.gateways[1].signal(Signal::SIGKILL),
            Self::Changes(change, _) if change.takes_a_copy() && !volume.is_healed() => {
                println!("  not now: a copy is being healed");
            }
            Self::Changes(change, brick) => {
                victims.changes.make(volume, change, brick);
            }
            Self::CallsAreDelayed => volume.set(DELAYED_PERCENTAGE, "1"),
            Self::EverythingIsHealed => {
                // Refused while one of the healing daemons is on its way.
                drop(cluster().try_cli(0, &["volume", "heal", &volume.name, "full"]));
            }
        }
    }

    /// Ends it; what is dead stays so.
    pub(crate) fn end(self, victims: &Victims<'_>) {
        match self {
            Self::BrickFreezes(brick) => faults::thaw_brick(victims.volume, brick),
            Self::NodeIsCutOff(node) => cluster().node(node).cable.mend(),
            Self::NodeIsSlow(node) => cluster().node(node).cable.fast(),
            Self::CallsAreDelayed => victims.volume.set(DELAYED_PERCENTAGE, "0"),
            Self::GlusterdDies(node) => cluster().node(node).start_glusterd(),
            Self::GlusterdFreezes(node) => faults::thaw_glusterd(node),
            Self::GatewayIsCutOff(gateway) => victims.gateways[gateway].cable().mend(),
            Self::GatewayFreezes(gateway) => victims.gateways[gateway].signal(Signal::SIGCONT),
            _ => {}
        }
    }

    /// Brings dead bricks back, when the cluster can again be told to.
    pub(crate) fn start_what_is_dead(volume: &Volume) {
        cluster().all_connected();
        if volume.up() < volume.bricks() {
            volume.restart_bricks();
        }
    }
}
