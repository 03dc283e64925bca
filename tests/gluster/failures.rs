// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Servers, volumes and bricks that are not there.

use std::process::Command;
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use support::background::{KeepGoing, with_background};
use support::cluster::{HOST, NOWHERE, Volume, gluster};
use support::runner::{BUSY, Lun, OK, WR_ERR};
use support::usage::Usage;
use support::{eventually, log, pattern};

const MIB: u64 = 1 << 20;

/// The one error line of an open that fails.
fn why(cfgstring: &str, unique: &str) -> String {
    let seen = log::lines(unique).len();
    assert!(Lun::new(cfgstring, MIB, 512).open() < 0, "{cfgstring} was opened");
    let lines: Vec<_> = log::lines(unique)
        .into_iter()
        .skip(seen)
        .filter(|line| line.starts_with("error"))
        .collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(!lines[0].ends_with("..."), "goes on in another line: {lines:?}");
    lines.into_iter().next().unwrap()
}

pub(crate) fn missing_volume() {
    // Anything that starts the cluster.
    gluster(&["volume", "list"]);
    let line = why(&format!("glfs/nosuchvolume@{HOST}/d"), "nosuchvolume@");
    assert!(
        line.contains(&format!("{HOST}:24007 knows no volume"))
            && line.contains("gluster volume list"),
        "{line}"
    );
}

/// In a process of its own, where nobody else opens anything.
pub(crate) fn missing_volume_often() {
    gluster(&["volume", "list"]);
    let arguments = [IN_VAIN.to_owned(), format!("glfs/novolumeagain@{HOST}/d")];
    let child = Command::new(std::env::current_exe().unwrap()).args(arguments).output().unwrap();
    let text = String::from_utf8(child.stdout).unwrap();
    println!("{text}");
    assert!(child.status.success(), "{text}");
}

/// The argument that makes this executable open a LUN again and again.
pub(crate) const IN_VAIN: &str = "--open-in-vain";

/// Opens what cannot be opened, and fails if that leaves something behind.
pub(crate) fn open_in_vain(cfgstring: &str) -> ! {
    let attempt = || assert!(Lun::new(cfgstring, MIB, 512).open() < 0);
    (0..20).for_each(|_| attempt());
    let before = Usage::now();
    (0..200).for_each(|_| attempt());
    // Threads end a moment after their work, and hang up.
    eventually("the threads end", || {
        let now = Usage::now();
        now.threads <= before.threads && now.fds <= before.fds
    });
    let after = Usage::now();
    println!("200 opens of a missing volume: {before:?} -> {after:?}");
    let flat =
        after.kib < before.kib + 4096 && after.fds <= before.fds && after.threads <= before.threads;
    std::process::exit(i32::from(!flat));
}

pub(crate) fn stopped_volume() {
    let volume = Volume::start(&[], 1, &[]);
    volume.image("disk.img", MIB);
    gluster(&["volume", "stop", &volume.name]);
    let line = why(&volume.cfgstring("disk.img", ";open=fail"), &format!("{}@", volume.name));
    assert!(line.contains("is the volume started?"), "{line}");
}

pub(crate) fn dead_first_server() {
    let volume = Volume::start(&[], 1, &[]);
    volume.image("disk.img", MIB);
    let begin = Instant::now();
    let dead =
        format!("glfs/{}@{NOWHERE}/disk.img;space-warning=0;server={HOST};open=fail", volume.name);
    let lun = Lun::opened(&dead, MIB);
    assert_eq!(lun.write(0, &[1; 512]), OK);
    let took = begin.elapsed();
    assert!(took > Duration::from_secs(1), "it was not dead: {took:?}");
    assert!(took < Duration::from_secs(10), "{took:?}");
}

pub(crate) fn unix_socket() {
    let volume = Volume::start(&[], 1, &[]);
    volume.image("disk.img", MIB);
    let lun = Lun::opened(&volume.cfgstring("disk.img", ";transport=unix"), MIB);
    assert_eq!(lun.write(0, &[1; 512]), OK);
}

pub(crate) fn dead_brick() {
    let volume = Volume::start(&[], 1, &[]);
    volume.image("disk.img", MIB);
    let lun = Lun::opened(&volume.cfgstring("disk.img", ""), MIB);
    assert_eq!(lun.write(0, &pattern(1, 4096)), OK);
    volume.kill_bricks();
    eventually("the loss is noticed", || lun.read(0, 4096).0 == BUSY);
    assert_eq!(lun.write(4096, &[1; 512]), BUSY);
    assert_eq!(lun.flush(), BUSY);
    volume.restart_bricks();
    eventually("the LUN serves again", || lun.read(0, 4096).0 == OK);
    assert_eq!(lun.read(0, 4096), (OK, pattern(1, 4096)));
    // There is no other copy: had its host lost power, what was never flushed would be gone.
    assert_eq!(lun.flush(), WR_ERR, "good in silence");
    assert_eq!((lun.write(4096, &[1; 512]), lun.flush()), (OK, OK));
}

pub(crate) fn graph_switch() {
    let volume = Volume::start(&[], 1, &[]);
    volume.image("disk.img", MIB);
    let lun = Lun::opened(&volume.cfgstring("disk.img", ""), MIB);
    let load = |keep_going: KeepGoing<'_>| {
        let mut round = 0;
        while keep_going() {
            let data = pattern(round, 4096);
            let offset = i64::try_from(round % 200 * 4096).unwrap();
            assert_eq!(lun.write(offset, &data), OK);
            assert!(lun.read(offset, 4096) == (OK, data), "round {round}");
            round += 1;
        }
    };
    with_background(load, || {
        for value in ["off", "on", "off"] {
            for option in
                ["performance.write-behind", "performance.open-behind", "performance.stat-prefetch"]
            {
                gluster(&["volume", "set", &volume.name, option, value]);
            }
        }
        // The client polls its graph; give it time to switch under load.
        sleep(Duration::from_secs(4));
    });
}

/// FUA: the flush is submitted from the answer to the write, on a thread of libgfapi. In a graph
/// switch the next call that is submitted moves the open files over, and waits for the bricks'
/// answers meanwhile, which that very thread may have to fetch.
pub(crate) fn graph_switch_and_continued_commands() {
    let volume = Volume::start(&[], 1, &[]);
    volume.image("disk.img", MIB);
    let lun = Lun::opened(&volume.cfgstring("disk.img", ""), MIB);
    let writers = |keep_going: KeepGoing<'_>| {
        scope(|scope| {
            for writer in 0..8 {
                let lun = &lun;
                scope.spawn(move || {
                    while keep_going() {
                        assert_eq!(lun.submit_forced_write(writer * 4096, &[1; 4096]).wait().0, OK);
                    }
                });
            }
        });
    };
    with_background(writers, || {
        for value in ["off", "on", "off", "on"] {
            for option in ["performance.open-behind", "performance.stat-prefetch"] {
                gluster(&["volume", "set", &volume.name, option, value]);
                sleep(Duration::from_secs(1));
            }
        }
    });
}
