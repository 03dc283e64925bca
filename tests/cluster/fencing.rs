// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! One owner for each image: what a gateway that has lost it still sends is refused.

use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::faults::kill_brick;
use crate::gateway::Gateway;
use crate::nodes::cluster;
use crate::replica::IMAGE;
use crate::stamp::{Content, Stamp};
use crate::volumes::Volume;
use support::eventually;
use support::runner::OK;

const BLOCKS: u64 = 256;
/// What two gateways fight for.
const CONTESTED: u64 = 48;
/// What a volume needs to enforce ownership.
pub(crate) const ENFORCED: [(&str, &str); 2] =
    [("locks.mandatory-locking", "forced"), ("features.enforce-mandatory-lock", "on")];
/// And to let the next owner write while the last one is frozen.
pub(crate) const OPTIONS: [(&str, &str); 4] = [
    ENFORCED[0],
    ENFORCED[1],
    ("features.locks-revocation-secs", "1"),
    ("features.locks-revocation-clear-all", "on"),
];
pub(crate) const LOCKED: i32 = 5;

pub(crate) fn fenced(layout: &[&str], bricks: usize) -> Volume {
    let volume = Volume::start(layout, bricks, &OPTIONS);
    volume.image(IMAGE, BLOCKS * 4096);
    volume
}

pub(crate) fn gateway(volume: &Volume, options: &str) -> Gateway {
    Gateway::with(&volume.cfgstring(IMAGE, options), BLOCKS * 4096)
}

/// Locks as the core does for an initiator that goes on sending WRITEs: again and again. How long
/// it took.
pub(crate) fn lock(gateway: &mut Gateway) -> Duration {
    let begin = Instant::now();
    loop {
        if gateway.ask("lock 65535").status == OK {
            return begin.elapsed();
        }
        assert!(begin.elapsed() < Duration::from_secs(60), "not locked");
        thread::sleep(Duration::from_millis(100));
    }
}

/// What the core does after a lock was lost: opens the LUN anew, and locks when there are WRITEs.
fn reopen(gateway: &mut Gateway, volume: &Volume, options: &str) {
    gateway.ask("close").good();
    gateway.open(&volume.cfgstring(IMAGE, options), BLOCKS * 4096).good();
}

/// Writes the contested blocks, repeating what is refused; how long it took.
pub(crate) fn overwrite(gateway: &mut Gateway, number: u64) -> Duration {
    let begin = Instant::now();
    while gateway.ask(&format!("write 0 {CONTESTED} {number}")).status != OK {
        assert!(begin.elapsed() < Duration::from_secs(90), "not written");
        thread::sleep(Duration::from_millis(50));
    }
    begin.elapsed()
}

/// Freezes one gateway in mid-write, takes over by the other, wakes the first, and counts the
/// blocks that do not hold what the second has written. Then the other way round. The longest
/// takeover, and how many blocks were stale.
fn rounds(volume: &Volume, options: &str, rounds: u64, until_stale: bool) -> (Duration, usize) {
    let (mut owner, mut next) = (gateway(volume, options), gateway(volume, options));
    let (mut longest, mut stale) = (Duration::ZERO, 0);
    lock(&mut owner);
    for round in 0..rounds {
        owner.load(0, CONTESTED, 16);
        // Somewhere in the middle of it.
        thread::sleep(Duration::from_millis(150 + round * 37 % 100));
        owner.signal(Signal::SIGSTOP);
        let begin = Instant::now();
        lock(&mut next);
        let number = 1_000_000_000 + round;
        overwrite(&mut next, number);
        longest = longest.max(begin.elapsed());
        // It wakes up with commands in hand, and its initiator has turned away.
        owner.signal(Signal::SIGCONT);
        owner.ask("abandon").good();
        let expected = Content::Write(Stamp { gateway: next.id, number });
        stale += next.image(BLOCKS)[..usize::try_from(CONTESTED).unwrap()]
            .iter()
            .filter(|&&is| is != expected)
            .count();
        reopen(&mut owner, volume, options);
        std::mem::swap(&mut owner, &mut next);
        if until_stale && stale > 0 {
            break;
        }
    }
    println!(
        "up to {rounds} rounds: {stale} stale blocks, the longest takeover took {longest:.1?}"
    );
    (longest, stale)
}

/// `FENCE_ROUNDS`, or enough for every day.
fn number_of_rounds() -> u64 {
    std::env::var("FENCE_ROUNDS").map_or(1, |number| number.parse().unwrap())
}

fn frozen_owner(layout: &[&str], bricks: usize) {
    let _turn = cluster().shared();
    let volume = fenced(layout, bricks);
    let (longest, stale) = rounds(&volume, ";fence=required", number_of_rounds(), false);
    assert_eq!(stale, 0);
    assert!(longest < Duration::from_secs(15), "a takeover took {longest:?}");
    if layout.first() == Some(&"replica") {
        volume.heal();
        volume.assert_alike(&[0, 1]);
    }
}

pub(crate) fn frozen_owner_of_a_brick() {
    frozen_owner(&[], 1);
}

pub(crate) fn frozen_owner_of_a_replica() {
    frozen_owner(&["replica", "3"], 3);
}

pub(crate) fn frozen_owner_of_an_arbiter_volume() {
    frozen_owner(&["replica", "3", "arbiter", "1"], 3);
}

pub(crate) fn frozen_owner_of_a_disperse_volume() {
    frozen_owner(&["disperse", "3", "redundancy", "1"], 3);
}

/// The same without a fence must be caught, or the tests above prove nothing.
pub(crate) fn without_a_fence() {
    let _turn = cluster().shared();
    let volume = fenced(&[], 1);
    let (_, stale) = rounds(&volume, ";fence=off", 20, true);
    assert!(stale > 0, "nothing came late in 20 rounds: the test cannot see it");
}

/// An owner in mid-write, and another gateway.
fn owner_and_next(volume: &Volume) -> (Gateway, Gateway) {
    let (mut owner, next) =
        (gateway(volume, ";fence=required"), gateway(volume, ";fence=required"));
    lock(&mut owner);
    owner.load(0, CONTESTED, 16);
    thread::sleep(Duration::from_millis(300));
    (owner, next)
}

pub(crate) fn dead_owner() {
    let _turn = cluster().shared();
    let volume = fenced(&["replica", "3"], 3);
    let (owner, mut next) = owner_and_next(&volume);
    owner.signal(Signal::SIGKILL);
    let (locked, written) = (lock(&mut next), overwrite(&mut next, 1));
    println!("killed: locked after {locked:.1?}, written after another {written:.1?}");
    assert!(
        locked < Duration::from_secs(2) && written < Duration::from_secs(5),
        "{locked:?} {written:?}"
    );
}

pub(crate) fn vanished_owner() {
    let _turn = cluster().shared();
    let volume = fenced(&["replica", "3"], 3);
    let (mut owner, mut next) = owner_and_next(&volume);
    owner.cable().cut();
    let (locked, written) = (lock(&mut next), overwrite(&mut next, 1));
    println!("cut off: locked after {locked:.1?}, written after another {written:.1?}");
    assert!(
        locked + written < Duration::from_secs(15),
        "ping-timeout and 5 s: {locked:?} {written:?}"
    );
    owner.cable().mend();
    thread::sleep(Duration::from_secs(3));
    owner.ask("abandon").good();
    let expected = Content::Write(Stamp { gateway: next.id, number: 1 });
    assert!(
        next.image(BLOCKS)[..usize::try_from(CONTESTED).unwrap()].iter().all(|&is| is == expected),
        "stale"
    );
}

/// The bricks have forgotten the lock, and enforce it all the same: the owner asks for it again,
/// and nobody else got in between.
pub(crate) fn bricks_restart_under_the_owner() {
    for (layout, bricks) in [(&[][..], 1), (&["replica", "3"][..], 3)] {
        let _turn = cluster().shared();
        let volume = fenced(layout, bricks);
        let (mut owner, mut other) =
            (gateway(&volume, ";fence=required"), gateway(&volume, ";fence=required"));
        lock(&mut owner);
        overwrite(&mut owner, 1);
        (0..bricks).for_each(|brick| kill_brick(&volume, brick));
        eventually("the loss is noticed", || volume.up() == 0);
        thread::sleep(Duration::from_secs(1));
        volume.restart_bricks();
        // As the core does: on a WRITE that was refused.
        let begin = Instant::now();
        while owner.ask(&format!("write 0 {CONTESTED} 2")).status != OK {
            assert!(begin.elapsed() < Duration::from_secs(30), "the owner does not come back");
            if owner.ask("lock-state").status != LOCKED {
                reopen(&mut owner, &volume, ";fence=required");
                lock(&mut owner);
            }
            thread::sleep(Duration::from_millis(100));
        }
        println!("{bricks} bricks: owned again {:.1?} after they were back", begin.elapsed());
        assert!(other.ask("write 0 1 3").is_repeat(), "somebody else was let in");
        let expected = Content::Write(Stamp { gateway: owner.id, number: 2 });
        assert_eq!(owner.image(BLOCKS)[0], expected);
    }
}

/// Every scan of the bus reads through every path.
pub(crate) fn standby_reads() {
    let _turn = cluster().shared();
    let volume = fenced(&["replica", "3"], 3);
    let (mut owner, mut standby) =
        (gateway(&volume, ";fence=required"), gateway(&volume, ";fence=required"));
    // Nobody has it: the first READ takes it.
    let begin = Instant::now();
    while owner.ask("read 0 1").status != OK {
        assert!(
            begin.elapsed() < Duration::from_secs(5),
            "nobody owns the image, and it cannot be read"
        );
        thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(owner.ask("lock-state").status, LOCKED);
    // A path that is scanned now and then, for longer than any patience, beside an owner at work.
    let begin = Instant::now();
    let mut number = 1;
    while begin.elapsed() < Duration::from_secs(15) {
        assert!(standby.ask("read 0 8").is_repeat(), "read through a standby path");
        overwrite(&mut owner, number);
        number += 1;
        thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(owner.ask("locks-lost").text, "0", "the owner was robbed");
    // Its owner leaves: the next READ gets it.
    owner.ask("close").good();
    let begin = Instant::now();
    while standby.ask("read 0 1").status != OK {
        assert!(
            begin.elapsed() < Duration::from_secs(5),
            "nobody owns the image, and it cannot be read"
        );
        thread::sleep(Duration::from_millis(50));
    }
    // Increments of an owned image need no lock of their own, and would lose the owner's if they
    // took one.
    standby.ask("caw-increment 200 50").good();
    assert_eq!(standby.ask("write 0 1 77").status, OK);
    assert_eq!(standby.ask("lock-state").status, LOCKED);
}

pub(crate) fn impossible() {
    let _turn = cluster().shared();
    let plain = Volume::start(&[], 1, &[]);
    let sharded = Volume::start(&[], 1, &[&OPTIONS[..], &[("features.shard", "on")]].concat());
    for (volume, reason) in
        [(&plain, "locks.mandatory-locking forced"), (&sharded, "features.shard")]
    {
        volume.image(IMAGE, BLOCKS * 4096);
        let mut gateway = Gateway::start();
        let refused = gateway.open(&volume.cfgstring(IMAGE, ";fence=required"), BLOCKS * 4096);
        assert!(refused.status < 0 && refused.text.contains(reason), "{refused:?}");
        // fence=auto says so once, and goes on.
        gateway.open(&volume.cfgstring(IMAGE, ""), BLOCKS * 4096).good();
        assert_eq!(gateway.ask("lock 65535").status, OK);
        overwrite(&mut gateway, 1);
        let log = gateway.ask("log fencing is off").text;
        assert!(log.contains(reason), "{log}");
    }
}
