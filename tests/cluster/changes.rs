// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! What an admin does to a volume that is in use, and what gives its clients another graph.
//!
//! Restoring a snapshot is not among it: bricks would have to be on thin LVM volumes, which need a
//! device mapper.

use std::collections::HashMap;

use crate::nodes::cluster;
use crate::volumes::Volume;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// An option of the clients' graph takes its other value.
    Client(&'static str, [&'static str; 2]),
    /// An option that only bricks have takes its other value.
    Brick(&'static str, [&'static str; 2]),
    Reset(&'static str),
    /// So many bricks more, and a rebalance; once.
    Add(usize),
    /// An empty brick takes the place of one.
    Replace,
    /// A brick is taken out and put back.
    ResetBrick,
    /// On, or off.
    Quota,
    /// On, or off; images that are older stay in one piece.
    Shard,
}

pub(crate) const STAT_PREFETCH: Change = Change::Client("performance.stat-prefetch", ["off", "on"]);
pub(crate) const OPEN_BEHIND: Change = Change::Client("performance.open-behind", ["off", "on"]);
pub(crate) const WRITE_BEHIND: Change = Change::Client("performance.write-behind", ["off", "on"]);
pub(crate) const CACHE_SIZE: Change = Change::Client("performance.cache-size", ["16MB", "64MB"]);
pub(crate) const BRICK_LOG: Change =
    Change::Brick("diagnostics.brick-log-level", ["WARNING", "INFO"]);
pub(crate) const RESET: Change = Change::Reset("performance.write-behind");

/// What makes bricks hold calls back for two seconds; each how many-hundredth is
/// [`DELAYED_PERCENTAGE`].
pub(crate) const DELAYS: [(&str, &str); 4] = [
    ("debug.delay-gen", "posix"),
    ("delay-gen.enable", "read,write"),
    ("delay-gen.delay-duration", "2000000"),
    // Who is held back holds a thread of the brick.
    ("performance.io-thread-count", "64"),
];
pub(crate) const DELAYED_PERCENTAGE: &str = "delay-gen.delay-percentage";

/// The changes that a volume has seen.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Options that have the first of their values.
    first: HashMap<&'static str, bool>,
    added: bool,
}

impl Change {
    /// Whether it takes one of a file's copies away until that is healed.
    pub(crate) fn takes_a_copy(self) -> bool {
        matches!(self, Self::Replace | Self::ResetBrick)
    }

    /// Whether Gluster refuses it, or does half of it, while a brick is away.
    pub(crate) fn needs_all_bricks(self) -> bool {
        self.takes_a_copy() || matches!(self, Self::Add(_) | Self::Quota)
    }
}

impl Changes {
    /// Makes the change, to that brick if it concerns one. Whether the clients have another graph
    /// since then for sure.
    pub(crate) fn make(&mut self, volume: &mut Volume, change: Change, brick: usize) -> bool {
        match change {
            Change::Client(key, values) | Change::Brick(key, values) => {
                self.other_value(volume, key, values);
            }
            Change::Reset(key) => {
                self.first.remove(key);
                cluster().cli(0, &["volume", "reset", &volume.name, key]);
            }
            Change::Add(count) => {
                // A hundred changes shall not need a hundred bricks.
                if std::mem::replace(&mut self.added, true) {
                    return false;
                }
                volume.add_bricks(count);
                println!("{}", volume.rebalance());
            }
            Change::Replace => volume.replace_brick(brick),
            Change::ResetBrick => volume.reset_brick(brick),
            Change::Quota => {
                let what = if self.turn("quota") { "enable" } else { "disable" };
                cluster().cli(0, &["volume", "quota", &volume.name, what]);
            }
            Change::Shard => self.other_value(volume, "features.shard", ["on", "off"]),
        }
        matches!(change, Change::Client(..) | Change::Add(_) | Change::Replace | Change::Shard)
    }

    fn turn(&mut self, key: &'static str) -> bool {
        let first = self.first.entry(key).or_default();
        *first = !*first;
        *first
    }

    fn other_value(
        &mut self,
        volume: &Volume,
        key: &'static str,
        [first, second]: [&'static str; 2],
    ) {
        volume.set(key, if self.turn(key) { first } else { second });
    }
}
