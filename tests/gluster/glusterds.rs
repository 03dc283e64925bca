// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Servers that answer wrong, late or not at all when a volume changes: its LUNs stay as they are,
//! and hear of the change later.

use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use crate::relay::{Mode, Relay};
use support::cluster::{Volume, gluster};
use support::metrics::{scrape, sum};
use support::runner::{Lun, OK};
use support::{eventually, log, pattern};

const MIB: u64 = 1 << 20;

const BAD: [Mode; 7] = [
    Mode::Silent,
    Mode::Rubbish,
    Mode::HalfVolfile,
    Mode::Stuck,
    Mode::HangsUp,
    Mode::HugeVolfile,
    Mode::BricksNowhere,
];

/// How long a bad server is borne before its LUN must still be as it was.
const WHILE: Duration = Duration::from_secs(12);

/// How often the LUNs have been given a new graph that came from this server.
fn moves(volume: &Volume, relay: &Relay) -> u64 {
    let labels = [("volume", volume.name.as_str()), ("server", &relay.name())];
    let moves =
        sum(&scrape(), "tcmu_glfs_volume_graph_switches_total", &labels).unwrap_or_default();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "counters are whole"
    )]
    let moves = moves as u64;
    moves
}

fn cfgstring(volume: &Volume, relay: &Relay, options: &str) -> String {
    volume.cfgstring("disk.img", &format!(";port={}{options}", relay.port))
}

/// Lines, other than mere information, that name the volume and contain this.
fn complaints(volume: &Volume, text: &str) -> Vec<String> {
    let lines = log::lines(text).into_iter();
    lines.filter(|line| line.contains(&volume.name) && !line.starts_with("info")).collect()
}

/// What the line about a bad server must name: the server; but bricks that are not there are not
/// its fault.
fn named(mode: Mode, relay: &Relay) -> String {
    if mode == Mode::BricksNowhere { "bricks".to_owned() } else { relay.name() }
}

pub(crate) fn bad_answers() {
    let volume = Volume::start(&[], 1, &[]);
    volume.image("disk.img", MIB);
    let served: Vec<(Mode, Relay, Lun)> = BAD
        .into_iter()
        .map(|mode| {
            let relay = Relay::start();
            let lun = Lun::opened(&cfgstring(&volume, &relay, ";open=fail"), MIB);
            (mode, relay, lun)
        })
        .collect();
    let before: Vec<_> = served
        .iter()
        .map(|(mode, relay, _)| complaints(&volume, &named(*mode, relay)).len())
        .collect();
    for (mode, relay, _) in &served {
        relay.set(*mode);
    }
    gluster(&["volume", "set", &volume.name, "performance.stat-prefetch", "off"]);
    let serve = |seed: u64| {
        for (place, (mode, _, lun)) in (0..).zip(&served) {
            let (begin, data) = (Instant::now(), pattern(seed, 4096));
            assert_eq!(lun.write(place * 4096, &data), OK, "{mode:?}: {:?}", log::lines("failed"));
            assert!(lun.read(place * 4096, 4096) == (OK, data), "{mode:?}");
            assert!(begin.elapsed() < Duration::from_secs(5), "{mode:?}: {:?}", begin.elapsed());
        }
    };
    let begin = Instant::now();
    let mut round = 0;
    while begin.elapsed() < WHILE {
        serve(round);
        round += 1;
        sleep(Duration::from_millis(50));
    }
    for ((mode, relay, _), before) in served.iter().zip(before) {
        let complaints = complaints(&volume, &named(*mode, relay)).split_off(before);
        println!("{mode:?}: {complaints:#?}");
        assert!(!complaints.is_empty(), "{mode:?}: nothing is said");
        assert!(complaints.len() < 20, "{mode:?}: said again and again");
        assert_eq!(moves(&volume, relay), 0, "{mode:?}: a graph was taken");
    }
    for (_, relay, _) in &served {
        relay.set(Mode::Faithful);
    }
    let begin = Instant::now();
    for (mode, relay, _) in &served {
        eventually("the change arrives after all", || {
            serve(round);
            moves(&volume, relay) > 0
        });
        println!("{mode:?}: followed {:.1?} after the server was well", begin.elapsed());
    }
    serve(round + 1);
}

/// The daemon's main thread opens one LUN after the other: each must end.
pub(crate) fn bad_answers_to_an_open() {
    let volume = Volume::start(&[], 1, &[]);
    volume.image("disk.img", MIB);
    scope(|scope| {
        for mode in BAD {
            let volume = &volume;
            scope.spawn(move || {
                let relay = Relay::start();
                relay.set(mode);
                let begin = Instant::now();
                let mut lun =
                    Lun::new(&cfgstring(volume, &relay, ";open=fail;open-timeout=5"), MIB, 512);
                assert!(lun.open() < 0, "{mode:?}: opened");
                println!(
                    "{mode:?}: refused after {:.1?}: {:?}",
                    begin.elapsed(),
                    complaints(volume, &relay.name())
                );
                assert!(
                    begin.elapsed() < Duration::from_secs(30),
                    "{mode:?}: {:?}",
                    begin.elapsed()
                );
                relay.set(Mode::Faithful);
                // libgfapi goes on waiting for the bricks of that volfile, for as long as TCP does.
                if mode != Mode::BricksNowhere {
                    // What was refused may be remembered for some seconds.
                    eventually("it opens when the server is well", || lun.open() == 0);
                    assert_eq!(lun.write(0, &[1; 512]), OK);
                }
            });
        }
    });
}

/// The server that the volfile came from is lost: the next one is asked within five seconds, and no
/// change is missed.
pub(crate) fn lost_server() {
    // All servers of a LUN are asked on one port.
    const ADDRESSES: [&str; 2] = ["127.0.0.2", "127.0.0.3"];
    let volume = Volume::start(&[], 1, &[]);
    volume.image("disk.img", MIB);
    let served: Vec<(Mode, [Relay; 2], Lun)> =
        [Mode::Dead, Mode::HangsUp, Mode::Silent, Mode::Rubbish]
            .into_iter()
            .map(|mode| {
                let first = Relay::listening(ADDRESSES[0], 0);
                let second = Relay::listening(ADDRESSES[1], first.port);
                let [one, other] = ADDRESSES;
                let options = format!(";server={other};port={};open=fail", first.port);
                let lun = Lun::opened(
                    &format!("glfs/{}@{one}/disk.img;space-warning=0{options}", volume.name),
                    MIB,
                );
                assert_eq!(lun.write(0, &[1; 512]), OK);
                (mode, [first, second], lun)
            })
            .collect();
    let lost = Instant::now();
    for (mode, [first, _], _) in &served {
        first.set(*mode);
    }
    gluster(&["volume", "set", &volume.name, "performance.stat-prefetch", "off"]);
    let changed = Instant::now();
    for (mode, [_, second], lun) in &served {
        eventually("the next server is asked", || second.asked_after(lost).is_some());
        let asked = second.asked_after(lost).unwrap().saturating_duration_since(lost);
        eventually("the change arrives", || {
            moves(&volume, second) > 0 && lun.write(0, &[2; 512]) == OK
        });
        println!(
            "{mode:?}: the next server was asked after {asked:.1?}, followed {:.1?} \
             after the change",
            changed.elapsed()
        );
        // And what a busy machine needs.
        assert!(asked < Duration::from_secs(5 + 3), "{mode:?}: {asked:?}");
    }
}
