// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Changes of a volume's graph while LUNs are in use. Each test is a process of its own, with a
//! glusterd of its own: the plugin may take the process with it.

use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use handler_glfs::config::Config;
use handler_glfs::gluster::Opener;
use handler_glfs::lun::backend::{Backend as _, Source as _};
use support::cluster::{self, Volume, gluster};
use support::runner::{BUSY, Lun, OK, WR_ERR};
use support::{eventually, log, pattern};

/// The argument that makes this executable do one of [`BODIES`], and end.
pub(crate) const APART: &str = "--apart";

const MIB: u64 = 1 << 20;

/// How long the bricks hold a delayed call back.
const DELAY: Duration = Duration::from_secs(6);

const BODIES: [(&str, fn()); 2] = [("in-flight", in_flight), ("lost-brick", lost_brick)];

fn apart(name: &str) {
    let mut child = Command::new(std::env::current_exe().unwrap());
    let output = child.args([APART, name]).stdin(Stdio::null()).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    println!("{}", String::from_utf8_lossy(&text));
    assert!(output.status.success(), "{name}: {}", output.status);
}

/// Does the body of that name, and ends.
pub(crate) fn live_apart(name: &str) -> ! {
    let (_, body) = BODIES.into_iter().find(|(known, _)| *known == name).expect("a known body");
    cluster::enter_namespaces();
    body();
    cluster::stop();
    std::process::exit(0)
}

pub(crate) fn calls_in_flight_survive() {
    apart("in-flight");
}

pub(crate) fn a_lost_brick_is_only_its_own_images_loss() {
    apart("lost-brick");
}

/// A LUN that cannot be opened makes connections of its own, and none of them is used.
pub(crate) fn replaced_connection() {
    let volume = Volume::start(&[], 1, &[]);
    volume.image("served.img", MIB);
    let opener = |image| {
        let config: Config = volume.cfgstring(image, "").parse().unwrap();
        Opener::new(&config)
    };
    let served = opener("served.img").open(Duration::from_secs(10), None).unwrap().image;
    let missing = opener("missing.img").open(Duration::from_secs(10), Some(Instant::now()));
    assert!(missing.is_err());
    // Until a connection without users is closed.
    sleep(Duration::from_secs(14));
    gluster(&["volume", "set", &volume.name, "performance.stat-prefetch", "off"]);
    eventually("it is to move", || served.is_superseded());
}

/// Options of a volume whose bricks hold back each call of these kinds.
fn delayed<'a>(calls: &'a str, microseconds: &'a str) -> [(&'a str, &'a str); 4] {
    [
        ("debug.delay-gen", "posix"),
        ("delay-gen.enable", calls),
        ("delay-gen.delay-duration", microseconds),
        ("delay-gen.delay-percentage", "100"),
    ]
}

/// Commands that the bricks hold back when the graph changes, and others that come afterwards.
fn in_flight() {
    let volume = Volume::start(&[], 1, &delayed("read", &DELAY.as_micros().to_string()));
    volume.image("disk.img", MIB);
    let lun = Lun::opened(&volume.cfgstring("disk.img", ""), MIB);
    assert_eq!(lun.write(0, &pattern(1, 6 * 4096)), OK);
    let reads: Vec<_> = (0..6).map(|n| lun.submit_read(n * 4096, 4096)).collect();
    gluster(&["volume", "set", &volume.name, "performance.stat-prefetch", "off"]);
    let expected = pattern(1, 6 * 4096);
    for (number, (read, expected)) in reads.into_iter().zip(expected.chunks(4096)).enumerate() {
        let (status, command) = read.wait();
        assert_eq!(status, OK, "READ {number}: {:?}", log::lines("failed"));
        assert!(command.data == expected, "READ {number} gave other bytes");
    }
    for round in 0..50 {
        assert_eq!(lun.write(65536, &pattern(round, 4096)), OK, "{:?}", log::lines("failed"));
    }
    assert!(lun.read(65536, 4096) == (OK, pattern(49, 4096)), "the last write is lost");
}

/// A file cannot be opened in a new graph while its brick is away. The other file of the volume
/// can.
fn lost_brick() {
    let volume = Volume::start(&[], 2, &[]);
    // Which brick has a file is decided by its name.
    let homes = (0..20).map(|n| {
        let image = format!("disk{n}.img");
        volume.image(&image, MIB);
        let home =
            (0..2).find(|&brick| volume.on_brick(brick, &image).exists()).expect("on a brick");
        (home, image)
    });
    let homes: Vec<(usize, String)> = homes.collect();
    let on = |brick| {
        &homes.iter().find(|(home, _)| *home == brick).expect("20 names, all of one hash").1
    };
    let [lost, healthy] =
        [on(0), on(1)].map(|image| Lun::opened(&volume.cfgstring(image, ""), MIB));
    for (seed, lun) in (1..).zip([&lost, &healthy]) {
        assert_eq!(lun.write(0, &pattern(seed, 4096)), OK);
    }
    volume.kill_brick(0);
    eventually("the loss is noticed", || lost.read(0, 4096).0 == BUSY);
    gluster(&["volume", "set", &volume.name, "performance.stat-prefetch", "off"]);
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(8) {
        assert_eq!(lost.read(0, 4096).0, BUSY);
        assert!(
            healthy.read(0, 4096) == (OK, pattern(2, 4096)),
            "the LUN on the healthy brick: {:?}",
            log::lines("")
        );
        sleep(Duration::from_millis(100));
    }
    volume.restart_bricks();
    eventually("the lost LUN serves again", || lost.read(0, 4096).0 == OK);
    for (seed, lun) in (1..).zip([&lost, &healthy]) {
        assert!(lun.read(0, 4096) == (OK, pattern(seed, 4096)));
        assert_eq!(lun.write(4096, &pattern(seed, 4096)), OK);
    }
    // What was written and not flushed may have been lost with the one brick that had it, and only
    // there.
    assert_eq!((lost.flush(), healthy.flush()), (WR_ERR, OK));
    assert_eq!((lost.flush(), healthy.flush()), (OK, OK));
    for (seed, lun) in (1..).zip([&lost, &healthy]) {
        assert!(lun.read(4096, 4096) == (OK, pattern(seed, 4096)));
    }
}
