// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! COMPARE AND WRITE from two gateways at once.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::process::Command;

use crate::fencing::{fenced, gateway, lock, overwrite};
use crate::gateway::Gateway;
use crate::nodes::cluster;
use crate::replica::IMAGE;
use crate::volumes::Volume;
use support::eventually;
use support::runner::OK;

const BLOCKS: u64 = 256;
/// The block with the number. Nothing else is written there.
const NUMBER: u64 = 200;

/// `CAW_INCREMENTS`, or enough for every day: those of one of two gateways.
fn each() -> u64 {
    std::env::var("CAW_INCREMENTS").map_or(300, |number| number.parse::<u64>().unwrap()) / 2
}

/// Both increment one number: none of the increments is lost, and none is made twice.
fn assert_increments_add_up(
    volume: &Volume,
    bricks: usize,
    one: &mut Gateway,
    other: &mut Gateway,
) {
    let order = format!("caw-increment {NUMBER} {}", each());
    one.order(&order);
    other.order(&order);
    let answers = [one.answer(), other.answer()];
    println!("{answers:?}");
    let in_vain: u64 =
        answers.iter().map(|answer| answer.clone().good().parse::<u64>().unwrap()).sum();
    assert!(in_vain > 0, "they never met: nothing was tested");
    for brick in 0..bricks {
        let mut bytes = [0; 8];
        File::open(volume.brick(brick).join(IMAGE))
            .unwrap()
            .read_exact_at(&mut bytes, NUMBER * 4096)
            .unwrap();
        assert_eq!(u64::from_le_bytes(bytes), 2 * each(), "brick {brick}");
    }
}

pub(crate) fn increments_add_up() {
    let _turn = cluster().shared();
    let volume = Volume::start(&["replica", "3"], 3, &[]);
    volume.image(IMAGE, BLOCKS * 4096);
    let open = || Gateway::with(&volume.cfgstring(IMAGE, ""), BLOCKS * 4096);
    let (mut one, mut other) = (open(), open());
    assert_increments_add_up(&volume, 3, &mut one, &mut other);
}

/// Who owns an image needs no lock for an increment; who has lost it does, also when its admin has
/// taken the fence down since.
pub(crate) fn increments_add_up_when_a_fence_is_gone() {
    let _turn = cluster().shared();
    let volume = fenced(&[], 1);
    let (mut robbed, mut thief) = (gateway(&volume, ""), gateway(&volume, ""));
    lock(&mut robbed);
    overwrite(&mut robbed, 1);
    lock(&mut thief);
    overwrite(&mut thief, 2);
    assert!(robbed.ask("write 0 1 3").is_repeat(), "not robbed");
    thief.ask("close").good();
    volume.mounted(|root| {
        let removed = Command::new("setfattr")
            .args(["-x", "trusted.glusterfs.enforce-mandatory-lock"])
            .arg(root.join(IMAGE))
            .status();
        assert!(removed.unwrap().success());
    });
    thief.open(&volume.cfgstring(IMAGE, ""), BLOCKS * 4096).good();
    for gateway in [&mut robbed, &mut thief] {
        eventually("the image is everybody's", || gateway.ask("read 0 1").status == OK);
    }
    assert_increments_add_up(&volume, 1, &mut robbed, &mut thief);
}
