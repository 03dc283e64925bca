// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! What is told of a volume.

use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};

use support::cluster::{self, HOST, Volume, gluster};
use support::eventually;
use support::metrics::{scrape, sum};
use support::runner::{Lun, OK, table};

const MIB: u64 = 1 << 20;

/// Bricks, those of them that are connected, graph switches.
fn of(volume: &Volume) -> [Option<f64>; 3] {
    let text = scrape();
    let server = format!("{HOST}:24007");
    ["bricks", "bricks_connected", "graph_switches_total"].map(|name| {
        sum(
            &text,
            &format!("tcmu_glfs_volume_{name}"),
            &[("volume", &volume.name), ("server", &server)],
        )
    })
}

/// What the metrics say about the encryption of a LUN on the volume.
pub(crate) fn tls_of(volume: &Volume) -> &'static str {
    let _lun = Lun::opened(&volume.cfgstring("disk.img", ";open=fail"), MIB);
    let text = scrape();
    let of_volume = |value| [("volume", volume.name.as_str()), ("tls", value)];
    let mut values = ["on", "off", "unknown"].into_iter();
    values.find(|value| sum(&text, "tcmu_glfs_lun_info", &of_volume(value)).is_some()).unwrap()
}

pub(crate) fn bricks_and_graphs() {
    let volume = Volume::start(&["replica", "3"], 3, &[]);
    volume.image("disk.img", MIB);
    let lun = Lun::opened(&volume.cfgstring("disk.img", ""), MIB);
    eventually("all bricks are connected", || of(&volume) == [Some(3.0), Some(3.0), Some(0.0)]);
    assert_eq!(tls_of(&volume), "off");
    volume.kill_brick(1);
    eventually("one is not", || of(&volume)[1] == Some(2.0));
    assert_eq!(lun.write(0, &[1; 512]), OK);
    volume.restart_bricks();
    eventually("it is back", || of(&volume) == [Some(3.0), Some(3.0), Some(0.0)]);
    gluster(&["volume", "set", &volume.name, "performance.stat-prefetch", "off"]);
    eventually("the new graph is seen", || of(&volume)[2] == Some(1.0));
    gluster(&["volume", "set", &volume.name, "performance.open-behind", "off"]);
    eventually("the next one is seen", || of(&volume)[2] == Some(2.0));
    assert_eq!(lun.read(0, 512), (OK, vec![1; 512]));
    eventually("with all bricks", || of(&volume) == [Some(3.0), Some(3.0), Some(2.0)]);
}

/// The core locks before the first WRITE, and unlocks when the LUN is removed.
pub(crate) fn owners() {
    let options =
        [("locks.mandatory-locking", "forced"), ("features.enforce-mandatory-lock", "on")];
    let volume = Volume::start(&[], 1, &options);
    volume.image("disk.img", MIB);
    let lun = Lun::opened(&volume.cfgstring("disk.img", ";fence=required"), MIB);
    let name = format!("{}/disk.img", volume.name);
    // Which state it is in, and how often it has become owned, and standby.
    let fence = || {
        let text = scrape();
        let of_lun = |metric: &str, key, value| sum(&text, metric, &[("lun", &name), (key, value)]);
        let states = ["open", "owned", "standby"].into_iter();
        let is =
            |state: &&'static str| of_lun("tcmu_glfs_fence_state", "state", *state) == Some(1.0);
        let changes = |to| of_lun("tcmu_glfs_fence_transitions_total", "to", to).unwrap();
        (states.filter(is).collect::<Vec<_>>(), changes("owned"), changes("standby"))
    };
    assert_eq!(fence(), (vec!["standby"], 0.0, 0.0));
    // SAFETY: as the daemon does, with no command in flight.
    assert_eq!(unsafe { (table().lock.unwrap())(&raw const *lun.device, 0) }, OK);
    assert_eq!(lun.write(0, &[1; 512]), OK);
    assert_eq!(fence(), (vec!["owned"], 1.0, 0.0));
    // SAFETY: as above.
    assert_eq!(unsafe { (table().unlock.unwrap())(&raw const *lun.device) }, OK);
    assert_eq!(fence(), (vec!["standby"], 1.0, 1.0));
}

/// With a new graph to be taken, which waits for them.
pub(crate) fn bricks_that_hang() {
    let volume = Volume::start(&["replica", "3"], 3, &[]);
    volume.image("disk.img", MIB);
    let lun = Lun::opened(&volume.cfgstring("disk.img", ""), MIB);
    eventually("all bricks are connected", || of(&volume)[1] == Some(3.0));
    let bricks = cluster::pids(&std::path::Path::new("/run/gluster/vols").join(&volume.name));
    assert_eq!(bricks.len(), 3);
    let all = |signal| bricks.iter().for_each(|brick| kill(*brick, signal).unwrap());
    all(Signal::SIGSTOP);
    gluster(&["volume", "set", &volume.name, "performance.stat-prefetch", "off"]);
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(12) {
        let asked = Instant::now();
        let said = of(&volume);
        assert!(asked.elapsed() < Duration::from_secs(5), "{:?} for {said:?}", asked.elapsed());
        std::thread::sleep(Duration::from_millis(500));
    }
    all(Signal::SIGCONT);
    eventually("the LUN serves again", || lun.read(0, 512).0 == OK);
    eventually("all bricks are connected again", || of(&volume)[1] == Some(3.0));
}
