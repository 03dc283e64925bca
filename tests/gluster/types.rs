//! Every kind of volume gives back what was written.

use std::fs::File;
use std::os::unix::fs::FileExt;

use crate::cluster::Volume;
use crate::support::pattern;
use crate::support::runner::{Lun, OK};

const MIB: u64 = 1 << 20;
const SIZE: u64 = 64 * MIB;
/// Offsets and lengths: small, large, across 4 MiB borders, at the end.
const PIECES: [(i64, usize); 5] =
    [(0, 512), (4096, 4096), ((4 << 20) - 512, 1 << 20), (17 << 20, 9 << 20), ((64 << 20) - 512, 512)];

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
    let volume = written(&[], 1, &[("features.shard", "on"), ("features.shard-block-size", "4MB")]);
    assert!(volume.on_brick(0, ".shard").read_dir().unwrap().count() > 3, "not sharded");
}
