// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Other layouts than a plain replica, under load, with faults of their own.

use std::thread::sleep;

use crate::faults;
use crate::gateway::Gateway;
use crate::nodes::cluster;
use crate::replica::{BLOCKS, DEPTH, IMAGE, seconds, under_load};
use crate::verdict::assert_image;
use crate::volumes::Volume;

/// A brick dies under load for a while, and is healed afterwards.
fn survives(volume: &Volume, gateway: &mut Gateway, brick: usize) {
    println!("brick {brick} dies");
    faults::kill_brick(volume, brick);
    sleep(seconds(3));
    volume.restart_bricks();
    sleep(seconds(2));
    gateway.stop().without_errors();
    println!("healed in {:?}", volume.heal());
}

/// The arbiter has no data: without it the other two must both be right, and without one of them it
/// decides whether the other is.
pub(crate) fn an_arbiter_and_then_a_data_brick_die() {
    const DATA: [usize; 2] = [0, 1];
    let _turn = cluster().shared();
    let (volume, mut gateway) = under_load(&["replica", "3", "arbiter", "1"], 3, &[], "");
    survives(&volume, &mut gateway, 2);
    gateway.load(0, BLOCKS, DEPTH);
    sleep(seconds(1));
    survives(&volume, &mut gateway, 0);
    volume.assert_alike(&DATA);
    assert_image(&volume, IMAGE, BLOCKS, &[&gateway], &DATA);
}

/// One brick's fragments are healed, and then needed: another brick is dead while the image is
/// read.
pub(crate) fn a_brick_of_a_disperse_volume_dies() {
    let _turn = cluster().shared();
    let (volume, mut gateway) = under_load(&["disperse", "3", "redundancy", "1"], 3, &[], "");
    survives(&volume, &mut gateway, 1);
    for other in [0, 2] {
        faults::kill_brick(&volume, other);
        assert_image(&volume, IMAGE, BLOCKS, &[&gateway], &[]);
        volume.restart_bricks();
        volume.heal();
    }
}

/// The image grows under load, and what it has grown by is written while a brick is dead.
pub(crate) fn a_sharded_image_grows_and_a_brick_dies() {
    let _turn = cluster().shared();
    let options = [("features.shard", "on"), ("features.shard-block-size", "4MB")];
    let (volume, mut gateway) = under_load(&["replica", "3"], 3, &options, "");
    volume.image(IMAGE, 2 * BLOCKS * 4096);
    // While initiators allocate blocks, nobody can tell whether somebody else fills the image.
    gateway.stop().without_errors();
    let begin = std::time::Instant::now();
    while gateway.ask("bytes").good() != (2 * BLOCKS * 4096).to_string() {
        assert!(begin.elapsed() < seconds(40), "the growth was not noticed");
        sleep(seconds(1));
    }
    println!("growth noticed within {:.1?} of its end", begin.elapsed());
    gateway.load(0, 2 * BLOCKS, DEPTH);
    sleep(seconds(1));
    survives(&volume, &mut gateway, 1);
    volume.assert_alike(&[0, 1, 2]);
    assert_image(&volume, IMAGE, 2 * BLOCKS, &[&gateway], &[]);
    let shards = volume.files(1).keys().filter(|path| path.starts_with(".shard")).count();
    assert!(shards >= 3, "16 MiB in shards of 4: {shards} shards");
}

/// Gluster does not move a file that is being written (`cluster.force-migration` is off): the load
/// must not notice the attempt. When the load rests, images move from under the open LUNs, which
/// must find them again.
pub(crate) fn bricks_are_added_and_rebalanced() {
    const IMAGES: [&str; 3] = ["one.img", "two.img", "three.img"];
    let _turn = cluster().shared();
    let mut volume = Volume::start(&[], 1, &[]);
    let open = |image: &&str| {
        volume.image(image, BLOCKS * 4096);
        Gateway::with(&volume.cfgstring(image, ""), BLOCKS * 4096)
    };
    let load = |gateways: &mut [Gateway]| {
        for gateway in gateways {
            gateway.load(0, BLOCKS, 4);
        }
    };
    let stop = |gateways: &mut [Gateway]| {
        for gateway in gateways {
            gateway.stop().without_errors();
        }
    };
    let mut gateways: Vec<Gateway> = IMAGES.iter().map(open).collect();
    load(&mut gateways);
    sleep(seconds(2));
    volume.add_bricks(1);
    println!("under load:\n{}", volume.rebalance());
    sleep(seconds(2));
    stop(&mut gateways);
    println!("at rest:\n{}", volume.rebalance());
    load(&mut gateways);
    sleep(seconds(3));
    stop(&mut gateways);
    let home = |image: &str| {
        (0..2).filter(|&brick| is_data(&volume.brick(brick).join(image))).collect::<Vec<_>>()
    };
    let homes = IMAGES.map(home);
    println!("images are on bricks {homes:?}");
    assert!(homes.iter().any(|home| home == &[1]), "none has moved: {homes:?}");
    for ((image, gateway), home) in IMAGES.iter().zip(&gateways).zip(&homes) {
        assert_image(&volume, image, BLOCKS, &[gateway], home);
    }
}

/// Whether an image is there, and not only a link to where it is: that has the sticky bit, and no
/// data.
fn is_data(path: &std::path::Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o1000 == 0)
}
