// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Changes of a volume's graph under load, while bricks hold some of the calls back for two
//! seconds: no command notices.
//!
//! A few changes of each kind of volume, or `GRAPH_CHANGES` of each. Every volume has an image that
//! two gateways write to, and where it can be fenced another one with an owner and a standby
//! gateway.

mod layout;

use std::thread::sleep;
use std::time::{Duration, Instant};

use self::layout::Layout;
use crate::changes::{Changes, DELAYED_PERCENTAGE, DELAYS};
use crate::fencing;
use crate::gateway::Gateway;
use crate::journal::now;
use crate::nodes::cluster;
use crate::random::Random;
use crate::replica::{BLOCKS, seconds};
use crate::verdict::{assert_image, history};
use crate::volumes::Volume;

const SHARED: &str = "shared.img";
const OWNED: &str = "owned.img";
const DEPTH: u64 = 8;

/// How long a brick holds a call back.
const DELAY: Duration = Duration::from_secs(2);

/// How much longer a command may take than without changes: what is held for a move is held for ten
/// seconds at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// KiB that a gateway may grow by with each move, and once: the connection that it leaves takes a
/// while to end.
const PER_MOVE: u64 = 4096;
const OVERLAP: u64 = 32768;

pub(crate) fn brick() {
    changes(&layout::BRICK);
}

pub(crate) fn distribute() {
    changes(&layout::DISTRIBUTE);
}

pub(crate) fn fenced_distribute() {
    changes(&layout::FENCED_DISTRIBUTE);
}

pub(crate) fn replica() {
    changes(&layout::REPLICA);
}

pub(crate) fn disperse() {
    changes(&layout::DISPERSE);
}

pub(crate) fn sharded() {
    changes(&layout::SHARDED);
}

/// `GRAPH_CHANGES`, or enough for every day.
fn number_of_changes() -> usize {
    std::env::var("GRAPH_CHANGES").map_or(3, |number| number.parse().unwrap())
}

/// A volume whose graph changes, and its gateways.
struct Scene {
    volume: Volume,
    /// Those that write to [`SHARED`], and the owner of [`OWNED`].
    writers: Vec<Gateway>,
    standby: Option<Gateway>,
    /// A client that tries all the time whether it could own [`OWNED`]. It believes whatever a
    /// brick says, so it rests while one does not know of the owner's lock: there a gateway goes by
    /// the owner's heartbeat.
    contender: Option<Gateway>,
    contending: bool,
    /// How often it has tried.
    contended: u64,
    changes: Changes,
    /// Of all loads that have ended.
    slowest: Duration,
    commands: u64,
}

impl Scene {
    fn new(layout: &Layout) -> Self {
        // A write to several copies waits for the slowest, and others wait for that write.
        let percentage = [(DELAYED_PERCENTAGE, if layout.words.is_empty() { "2" } else { "0.5" })];
        // No revocation of clients' locks after a second: calls that are delayed hold theirs for
        // two.
        let options = [layout.options, &DELAYS, &percentage, &fencing::ENFORCED].concat();
        let volume = Volume::start(layout.words, layout.bricks, &options);
        let open = |image, keys| Gateway::with(&volume.cfgstring(image, keys), BLOCKS * 4096);
        volume.image(SHARED, BLOCKS * 4096);
        let mut writers = vec![open(SHARED, ";fence=off"), open(SHARED, ";fence=off")];
        let standby = layout.is_fenced.then(|| {
            volume.image(OWNED, BLOCKS * 4096);
            writers.push(open(OWNED, ";fence=required"));
            fencing::lock(&mut writers[2]);
            open(OWNED, ";fence=required")
        });
        let contender = layout.is_fenced.then(|| {
            let mut contender = Gateway::start();
            contender.ask(&format!("baseline {}", volume.cfgstring(OWNED, ""))).good();
            contender
        });
        Self {
            volume,
            writers,
            standby,
            contender,
            contending: false,
            contended: 0,
            changes: Changes::default(),
            slowest: Duration::ZERO,
            commands: 0,
        }
    }

    fn load(&mut self) {
        self.writers.iter_mut().for_each(|gateway| gateway.load(0, BLOCKS, DEPTH));
    }

    /// Ends the load. None of its commands was refused, not even for a moment.
    fn rest(&mut self) {
        let repeated = self.end_load();
        assert_eq!(repeated, 0, "commands were refused");
    }

    /// Ends the load; how many commands were refused for a moment. None failed.
    fn end_load(&mut self) -> u64 {
        let mut repeated = 0;
        for gateway in &mut self.writers {
            let done = gateway.stop();
            println!("{}: {done:?}", self.volume.name);
            assert_eq!(done.errors, 0, "{done:?}");
            self.slowest = self.slowest.max(done.slowest);
            self.commands += done.acknowledged + done.read;
            repeated += done.repeated;
        }
        repeated
    }

    fn contend(&mut self) {
        if let Some(contender) = self.contender.as_mut().filter(|_| !self.contending) {
            contender.ask("contend").good();
            self.contending = true;
        }
    }

    /// Ends the contest. The contender could not own the image for a moment.
    fn end_contest(&mut self) {
        if let Some(contender) = self.contender.as_mut().filter(|_| self.contending) {
            self.contending = false;
            let counts = contender.ask("contended").good();
            let (owned, tried) = counts.split_once(' ').unwrap();
            assert_eq!(owned, "0", "for a moment anybody could own the image");
            self.contended += tried.parse::<u64>().unwrap();
        }
    }

    /// Reads through the standby gateway for a while. It is not let in.
    fn read_in_standby(&mut self, duration: Duration) {
        let begin = Instant::now();
        while let Some(standby) = &mut self.standby {
            assert!(standby.ask("read 0 1").is_repeat(), "the standby gateway was let in");
            if begin.elapsed() >= duration {
                break;
            }
            sleep(Duration::from_millis(100));
        }
    }

    fn usage(&mut self) -> Vec<[u64; 3]> {
        self.writers.iter_mut().map(Gateway::usage).collect()
    }

    fn moves(&mut self) -> Vec<u64> {
        self.writers.iter_mut().chain(&mut self.standby).map(|gateway| gateway.moves().0).collect()
    }

    /// For how long a command has waited for a move at most.
    fn longest_pause(&mut self) -> Duration {
        self.writers.iter_mut().map(|gateway| gateway.moves().1).max().unwrap()
    }
}

fn changes(layout: &Layout) {
    let _turn = cluster().shared();
    let mut scene = Scene::new(layout);
    scene.load();
    sleep(seconds(3));
    scene.rest();
    let without = std::mem::take(&mut scene.slowest);
    let before = scene.usage();
    let first_moves = scene.moves();
    let mut random = Random::new(layout.bricks as u64);
    let begin = now();
    scene.load();
    scene.contend();
    for (number, &change) in layout.changes.iter().cycle().take(number_of_changes()).enumerate() {
        sleep(Duration::from_millis(random.below(1000)));
        if change.takes_a_copy() {
            scene.end_contest();
            scene.rest();
            scene.load();
            sleep(seconds(1));
        }
        let (known, made) = (scene.moves(), Instant::now());
        println!("{}: {number}: {change:?}", layout.name);
        // Now and then the next change comes while the last one is being followed.
        let brick = usize::try_from(random.below(scene.volume.bricks() as u64)).unwrap();
        if scene.changes.make(&mut scene.volume, change, brick) && random.below(4) > 0 {
            let follow = |scene: &mut Scene| {
                scene.moves().iter().zip(&known).all(|(now, known)| now > known)
            };
            while !follow(&mut scene) {
                assert!(made.elapsed() < seconds(90), "{change:?}: not all gateways follow");
                sleep(Duration::from_millis(100));
            }
            println!("followed {:.1?} after the command was given", made.elapsed());
            // By now the owner has locked the image on each brick of the new graph.
            if !change.takes_a_copy() {
                scene.contend();
            }
        }
        scene.read_in_standby(if change.takes_a_copy() { seconds(2) } else { Duration::ZERO });
        if change.takes_a_copy() {
            // A brick that goes may take the answers to what is in flight with it: EIO, which is
            // BUSY for a moment.
            println!("{}: {} refused for a moment", layout.name, scene.end_load());
            // The next brick to go must not be the only good one.
            scene.volume.heal();
            scene.load();
        }
    }
    sleep(seconds(2));
    scene.rest();
    let end = now();
    if !layout.words.is_empty() {
        scene.volume.heal();
    }
    let gap = history(&[&scene.writers[0], &scene.writers[1]]).longest_gap(begin..end);
    report(layout, &mut scene, &before, &first_moves, without, gap);
    scene.end_contest();
    let contended = scene.contended;
    println!("{}: {contended} times tried by another to own the image", layout.name);
    assert!(scene.contender.is_none() || contended > 0);
    let [one, other, owner @ ..] = &mut scene.writers[..] else { panic!("two writers") };
    assert_image(&scene.volume, SHARED, BLOCKS, &[one, other], &[]);
    for owner in owner {
        assert_eq!(owner.ask("locks-lost").text, "0", "the owner was robbed");
        assert_eq!(owner.ask("lock-state").status, fencing::LOCKED);
        // Who looks at the image owns it.
        owner.ask("close").good();
        scene.standby = None;
        assert_image(&scene.volume, OWNED, BLOCKS, &[owner], &[]);
    }
}

/// Says what it has cost, and panics if that is too much.
fn report(
    layout: &Layout,
    scene: &mut Scene,
    before: &[[u64; 3]],
    first_moves: &[u64],
    without: Duration,
    gap: Duration,
) {
    let slowest = scene.slowest;
    let moves: Vec<u64> =
        scene.moves().iter().zip(first_moves).map(|(now, first)| now - first).collect();
    // What is replaced is ended in a while.
    let is_flat = |now: &[u64; 3], then: &[u64; 3]| now[1] <= then[1] + 4 && now[2] <= then[2] + 4;
    let flat =
        |scene: &mut Scene| scene.usage().iter().zip(before).all(|(now, then)| is_flat(now, then));
    let patience = Instant::now();
    while !flat(scene) && patience.elapsed() < seconds(60) {
        sleep(seconds(1));
    }
    let after = scene.usage();
    println!(
        "{}: {moves:?} moves, which held commands for {:.3?} at most; \
         slowest command {slowest:.1?}, {without:.1?} without changes (held back: {DELAY:?}); \
         nothing served for {gap:.1?}; KiB, descriptors, threads {before:?} -> {after:?}",
        layout.name,
        scene.longest_pause(),
    );
    assert!(scene.commands > 100, "hardly any load: {} commands", scene.commands);
    assert!(flat(scene), "descriptors or threads grew: {before:?} -> {after:?}");
    assert!(
        slowest < without + LONGEST_PAUSE,
        "a command took {slowest:?}, {without:?} without changes"
    );
    for ((after, before), moves) in after.iter().zip(before).zip(moves) {
        assert!(
            after[0] <= before[0] + OVERLAP + moves * PER_MOVE,
            "memory grew from {} to {} KiB",
            before[0],
            after[0]
        );
    }
}
