// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! A replica 3 under load, and what may befall it.

use std::thread::sleep;
use std::time::Duration;

use crate::faults;
use crate::gateway::{Done, Gateway};
use crate::journal::now;
use crate::nodes::cluster;
use crate::verdict::{assert_gap, assert_image, history};
use crate::volumes::Volume;

/// Of the images: 8 MiB.
pub(crate) const BLOCKS: u64 = 2048;
pub(crate) const DEPTH: u64 = 16;
pub(crate) const IMAGE: &str = "disk.img";
const COPIES: [usize; 3] = [0, 1, 2];

/// With eager locks Gluster gives old data for some seconds when a brick comes back, to any client
/// (docs/high-availability.md): where one does, under load, a test could fail for that.
pub(crate) const NOT_EAGER: [(&str, &str); 1] = [("cluster.eager-lock", "off")];

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A volume with `options` and an image of [`BLOCKS`], and a gateway that has it, opened with
/// `keys`, under load.
pub(crate) fn under_load(
    layout: &[&str],
    bricks: usize,
    options: &[(&str, &str)],
    keys: &str,
) -> (Volume, Gateway) {
    let volume = Volume::start(layout, bricks, &[options, &NOT_EAGER].concat());
    volume.image(IMAGE, BLOCKS * 4096);
    let mut gateway = Gateway::with(&volume.cfgstring(IMAGE, keys), BLOCKS * 4096);
    gateway.load(0, BLOCKS, DEPTH);
    sleep(seconds(2));
    (volume, gateway)
}

fn replica(keys: &str) -> (Volume, Gateway) {
    under_load(&["replica", "3"], 3, &[], keys)
}

/// Ends the load, heals, and compares everything with everything.
fn healed_and_right(volume: &Volume, mut gateway: Gateway) -> Done {
    let done = gateway.stop().without_errors();
    println!("healed in {:?}", volume.heal());
    volume.assert_alike(&COPIES);
    assert_image(volume, IMAGE, BLOCKS, &[&gateway], &COPIES);
    done
}

pub(crate) fn a_brick_dies_and_comes_back() {
    let _turn = cluster().shared();
    let (volume, gateway) = replica("");
    let killed = now();
    faults::kill_brick(&volume, 1);
    sleep(seconds(4));
    assert_gap("a brick is dead", history(&[&gateway]).longest_gap(killed..now()), seconds(3));
    volume.restart_bricks();
    sleep(seconds(4));
    healed_and_right(&volume, gateway);
}

/// A node that vanishes is found out by pings only.
pub(crate) fn a_node_vanishes() {
    const PING: u64 = 5;
    let _turn = cluster().alone();
    let (volume, gateway) = replica(";ping-timeout=5");
    let cut = now();
    cluster().node(2).cable.cut();
    sleep(seconds(2 * PING + 7));
    assert_gap(
        "a node has vanished",
        history(&[&gateway]).longest_gap(cut..now()),
        seconds(2 * PING + 5),
    );
    cluster().node(2).cable.mend();
    sleep(seconds(4));
    healed_and_right(&volume, gateway);
}

/// The same without a broken connection: the brick's kernel goes on to acknowledge what it gets.
pub(crate) fn a_brick_freezes() {
    const PING: u64 = 3;
    let _turn = cluster().shared();
    let (volume, gateway) = replica(";ping-timeout=3");
    let frozen = now();
    faults::freeze_brick(&volume, 1);
    sleep(seconds(2 * PING + 6));
    assert_gap(
        "a brick is frozen",
        history(&[&gateway]).longest_gap(frozen..now()),
        seconds(2 * PING + 5),
    );
    faults::thaw_brick(&volume, 1);
    sleep(seconds(4));
    healed_and_right(&volume, gateway);
}

pub(crate) fn all_bricks_are_away() {
    let _turn = cluster().shared();
    let (volume, gateway) = replica("");
    (0..3).for_each(|brick| faults::kill_brick(&volume, brick));
    let gone = now();
    sleep(seconds(20));
    assert!(history(&[&gateway]).longest_gap(gone..now()) > seconds(19), "served without bricks");
    volume.restart_bricks();
    let back = now();
    sleep(seconds(8));
    let served = history(&[&gateway]).first_served_after(back).expect("served again");
    assert_gap("the bricks are back", served, seconds(5));
    let done = healed_and_right(&volume, gateway);
    assert!(done.repeated > 0, "who waited for the bricks was told so: {done:?}");
}

pub(crate) fn quorum_is_lost() {
    let _turn = cluster().shared();
    // One block more than the load has, to ask about.
    let volume = Volume::start(&["replica", "3"], 3, &NOT_EAGER);
    volume.image(IMAGE, (BLOCKS + 1) * 4096);
    let mut gateway = Gateway::with(&volume.cfgstring(IMAGE, ""), (BLOCKS + 1) * 4096);
    gateway.load(0, BLOCKS, DEPTH);
    sleep(seconds(2));
    faults::kill_brick(&volume, 1);
    faults::kill_brick(&volume, 2);
    sleep(seconds(1));
    let write = format!("write {BLOCKS} 1 0");
    for _ in 0..20 {
        let answer = gateway.ask(&write);
        assert!(answer.is_repeat(), "without quorum: {answer:?}");
        sleep(Duration::from_millis(200));
    }
    volume.restart_bricks();
    let back = now();
    sleep(seconds(8));
    let served = history(&[&gateway]).first_served_after(back).expect("served again");
    assert_gap("the quorum is back", served, seconds(5));
    gateway.stop().without_errors();
    println!("healed in {:?}", volume.heal());
    volume.assert_alike(&COPIES);
    gateway.ask(&write).good();
    assert_eq!(gateway.ask(&format!("read {BLOCKS} 1")).good(), format!("{}:0", gateway.id));
    assert_image(&volume, IMAGE, BLOCKS, &[&gateway], &COPIES);
}

/// After an outage two bricks are back first, and serve; the third comes a moment later with what
/// it had when it died. Reads go to the bricks in turn: it must not be asked before it is healed.
pub(crate) fn one_brick_comes_back_later() {
    let _turn = cluster().shared();
    let (volume, gateway) = replica(";ping-timeout=3");
    for (late, delay) in [(2, 0), (0, 200)] {
        faults::kill_brick(&volume, 0);
        faults::kill_brick(&volume, 2);
        sleep(seconds(1));
        volume.restart_bricks();
        faults::freeze_brick(&volume, late);
        let back = now();
        while history(&[&gateway]).first_served_after(back).is_none() {
            assert!(now() - back < 20_000_000_000, "not served again within 20 s");
            sleep(Duration::from_millis(10));
        }
        sleep(Duration::from_millis(delay));
        faults::thaw_brick(&volume, late);
        sleep(seconds(3));
        println!(
            "brick {late} {delay} ms later: {} wrong reads so far",
            history(&[&gateway]).wrong_reads().len()
        );
    }
    healed_and_right(&volume, gateway);
}

pub(crate) fn graphs_switch() {
    let _turn = cluster().shared();
    let (volume, gateway) = replica("");
    let begin = now();
    for value in ["off", "on", "off"] {
        for option in
            ["performance.write-behind", "performance.open-behind", "performance.stat-prefetch"]
        {
            volume.set(option, value);
        }
    }
    sleep(seconds(4));
    assert_gap("graphs switch", history(&[&gateway]).longest_gap(begin..now()), seconds(5));
    healed_and_right(&volume, gateway);
}

/// A graph that is left has commands that wait for a brick which does not answer; the new graph is
/// to open the image again there.
pub(crate) fn a_graph_switches_while_a_brick_is_frozen() {
    let _turn = cluster().shared();
    let (volume, gateway) = replica(";ping-timeout=3");
    faults::freeze_brick(&volume, 2);
    volume.set("performance.open-behind", "off");
    sleep(seconds(5));
    faults::thaw_brick(&volume, 2);
    sleep(seconds(3));
    healed_and_right(&volume, gateway);
}

/// The server that the gateway had its volume's layout from: another one tells of changes.
pub(crate) fn the_volfile_server_dies() {
    let _turn = cluster().alone();
    let volume = Volume::start(&["replica", "3"], 3, &[]);
    volume.image(IMAGE, BLOCKS * 4096);
    let mut gateway = Gateway::with(&volume.cfgstring(IMAGE, ";server=node2"), BLOCKS * 4096);
    gateway.load(0, BLOCKS, DEPTH);
    sleep(seconds(2));
    let killed = now();
    faults::kill_glusterd(0);
    sleep(seconds(4));
    let (moves, _) = gateway.moves();
    volume.set_through(1, "performance.open-behind", "off");
    // Which port a brick has is asked of the glusterd of its own node: a graph that could not reach
    // that brick is not taken.
    sleep(seconds(8));
    assert_eq!(gateway.moves().0, moves, "moved to where one brick less is connected");
    assert_gap("glusterd is dead", history(&[&gateway]).longest_gap(killed..now()), seconds(2));
    cluster().node(0).start_glusterd();
    support::eventually("the change that was made meanwhile reaches the gateway", || {
        gateway.moves().0 > moves
    });
    sleep(seconds(2));
    healed_and_right(&volume, gateway);
}
