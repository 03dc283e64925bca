// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Every kind of volume gives back what was written.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use support::cluster::{Volume, gluster};
use support::runner::{Lun, OK};
use support::{eventually, log, pattern};

const MIB: u64 = 1 << 20;
const SIZE: u64 = 64 * MIB;
/// Offsets and lengths: small, large, across 4 MiB borders, at the end.
const PIECES: [(i64, usize); 5] = [
    (0, 512),
    (4096, 4096),
    ((4 << 20) - 512, 1 << 20),
    (17 << 20, 9 << 20),
    ((64 << 20) - 512, 512),
];

/// The options of a sharded volume.
pub(crate) const SHARDED: [(&str, &str); 2] =
    [("features.shard", "on"), ("features.shard-block-size", "4MB")];

fn written(layout: &[&str], bricks: usize, options: &[(&str, &str)]) -> Volume {
    let volume = Volume::start(layout, bricks, options);
    volume.image("disk.img", SIZE);
    let lun = Lun::opened(&volume.cfgstring("disk.img", ""), SIZE);
    for (seed, &(offset, len)) in (1..).zip(&PIECES) {
        assert_eq!(lun.write(offset, &pattern(seed, len)), OK);
    }
    assert_eq!(lun.flush(), OK);
    // Over a connection that has cached nothing.
    let other = Lun::opened(&volume.cfgstring("disk.img", ";connection=own"), SIZE);
    for lun in [&lun, &other] {
        for (seed, &(offset, len)) in (1..).zip(&PIECES) {
            assert!(lun.read(offset, len) == (OK, pattern(seed, len)), "at {offset}");
        }
        assert_eq!(lun.read(2 << 20, 4096), (OK, vec![0; 4096]));
    }
    volume
}

fn brick_has_it(volume: &Volume, brick: usize) {
    let file = File::open(volume.on_brick(brick, "disk.img")).unwrap();
    for (seed, &(offset, len)) in (1..).zip(&PIECES) {
        let mut bytes = vec![0; len];
        file.read_exact_at(&mut bytes, u64::try_from(offset).unwrap()).unwrap();
        assert!(bytes == pattern(seed, len), "brick {brick} at {offset}");
    }
}

pub(crate) fn single() {
    brick_has_it(&written(&[], 1, &[]), 0);
}

pub(crate) fn replica() {
    let volume = written(&["replica", "3"], 3, &[]);
    (0..3).for_each(|brick| brick_has_it(&volume, brick));
}

pub(crate) fn disperse() {
    written(&["disperse", "3", "redundancy", "1"], 3, &[]);
}

pub(crate) fn sharded() {
    let volume = written(&[], 1, &SHARDED);
    assert!(volume.on_brick(0, ".shard").read_dir().unwrap().count() > 3, "not sharded");
}

/// The first changes on a sharded volume create the folder of its shards, each for itself: one that
/// finds it half made is refused, and what it refused may take the folder away from the others
/// (`handler/gluster/connection.rs`, `with_shard_folder`).
pub(crate) fn first_shards() {
    const SHARD: i64 = 4 << 20;
    for (layout, bricks) in
        [(&[][..], 1), (&["replica", "3"][..], 3), (&["disperse", "3", "redundancy", "1"][..], 3)]
    {
        let volume = Volume::start(layout, bricks, &SHARDED);
        volume.image("disk.img", SIZE);
        for round in 0..5 {
            let there =
                || (0..bricks).filter(|&brick| volume.on_brick(brick, ".shard").exists()).count();
            drop(Lun::opened(&volume.cfgstring("disk.img", ";access=ro;connection=own"), SIZE));
            assert_eq!(there(), 0, "{layout:?}: a LUN that is only read changes nothing");
            let lun = Lun::opened(&volume.cfgstring("disk.img", ";connection=own"), SIZE);
            assert_eq!(there(), bricks, "{layout:?}: before the first command");
            let data = pattern(round, 4096);
            let unmaps = (0..8).map(|n| lun.submit_unmap(n * 65536, 4096));
            let writes = (0..8).map(|n| lun.submit_write(n * SHARD + 32768, &data));
            let commands: Vec<_> = unmaps.zip(writes).flat_map(<[_; 2]>::from).collect();
            let statuses: Vec<_> = commands.into_iter().map(|command| command.wait().0).collect();
            assert_eq!(statuses, [OK; 16], "{layout:?}, round {round}: {:?}", log::lines("failed"));
            for n in 0..8 {
                assert!(
                    lun.read(n * SHARD + 32768, 4096) == (OK, data.clone()),
                    "{layout:?}, shard {n}"
                );
            }
            drop(lun);
            // A new volume, but for the time that takes.
            volume.kill_bricks();
            for brick in 0..bricks {
                fs::remove_dir_all(volume.on_brick(brick, ".shard")).unwrap();
                fs::remove_dir_all(volume.on_brick(brick, ".glusterfs/be")).unwrap();
            }
            volume.restart_bricks();
        }
    }
}

/// Images that are made from then on are sharded, and a fence would cover but the first shard.
pub(crate) fn sharded_under_way() {
    let fence = [("locks.mandatory-locking", "forced"), ("features.enforce-mandatory-lock", "on")];
    let volume = Volume::start(&[], 1, &fence);
    volume.image("before.img", MIB);
    let before = Lun::opened(&volume.cfgstring("before.img", ";fence=required"), MIB);
    gluster(&["volume", "set", &volume.name, "features.shard", "on"]);
    volume.image("after.img", MIB);
    let after = volume.cfgstring("after.img", ";fence=required");
    eventually("no fence is promised", || {
        before.flush() == OK && Lun::new(&after, MIB, 512).open() < 0
    });
    let lines = log::lines("after.img");
    assert_eq!(lines.iter().filter(|line| line.contains("features.shard")).count(), 1, "{lines:?}");
}
