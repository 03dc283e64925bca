// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Faults of all kinds in random groups, while two gateways keep their images under load. After
//! every few groups the cluster is healed, and all is compared with all.
//!
//! `SOAK_MINUTES` and `SOAK_FAULTS` end it, whichever comes first; `SOAK_SEED` repeats the faults
//! of a run, if not its timing; `SOAK_CLIENT=baseline` puts another client of Gluster in the
//! handler's place. There is one writer per image: gateways that take an image from each other
//! belong to the tests of fencing.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::changes::{Changes, DELAYED_PERCENTAGE, DELAYS};
use crate::checker::History;
use crate::fault::{Fault, Victims};
use crate::gateway::Gateway;
use crate::nodes::cluster;
use crate::random::Random;
use crate::replica::{BLOCKS, NOT_EAGER, seconds};
use crate::stamp::Content;
use crate::verdict::assert_history;
use crate::volumes::Volume;

const IMAGES: [&str; 2] = ["one.img", "two.img"];
const DEPTH: u64 = 8;
const COPIES: [usize; 3] = [0, 1, 2];

/// A number from the environment, or what does for an everyday run.
fn asked(name: &str, otherwise: u64) -> u64 {
    std::env::var(name)
        .map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text}")))
}

/// Whether faults may come together that no replica survives for sure (`SOAK_LIMITS=none`).
fn is_unlimited() -> bool {
    std::env::var("SOAK_LIMITS").is_ok_and(|limits| limits == "none")
}

/// Whether the load goes through libgfapi alone (`SOAK_CLIENT=baseline`), for comparison.
fn is_baseline() -> bool {
    std::env::var("SOAK_CLIENT").is_ok_and(|client| client == "baseline")
}

fn client(volume: &Volume, image: &str) -> Gateway {
    if is_baseline() {
        let mut client = Gateway::start();
        client.ask(&format!("baseline {}", volume.cfgstring(image, ""))).good();
        return client;
    }
    Gateway::with(&volume.cfgstring(image, ";ping-timeout=3"), BLOCKS * 4096)
}

/// An image, its gateway, and what is known to be in it.
struct Side {
    image: &'static str,
    gateway: Gateway,
    /// Gateways that were killed since the last look.
    dead: Vec<Gateway>,
    known: Vec<Content>,
}

impl Side {
    /// Opens the image in a new gateway, after the death of the old one.
    fn replace(&mut self, volume: &Volume) {
        let new = client(volume, self.image);
        self.dead.push(std::mem::replace(&mut self.gateway, new));
        self.gateway.load(0, BLOCKS, DEPTH);
    }

    /// Everything since the last look.
    fn history(&self) -> History {
        let mut history = History::after(&self.known);
        let since =
            self.dead.iter().chain([&self.gateway]).filter_map(|gateway| gateway.journals().last());
        since.for_each(|journal| history.add(journal));
        history
    }
}

pub(crate) fn random_faults() {
    let (minutes, most) = (asked("SOAK_MINUTES", 0), asked("SOAK_FAULTS", 6));
    let limit = if minutes == 0 { seconds(8) } else { seconds(60 * minutes) };
    let seed = asked("SOAK_SEED", u64::from(std::process::id()) ^ crate::journal::now());
    println!("SOAK_SEED={seed}: up to {most} faults, {limit:?}");
    let _turn = cluster().alone();
    let baseline: &[_] = if is_baseline() { &crate::baseline_client::OPTIONS } else { &[] };
    let options = [&NOT_EAGER, baseline, &DELAYS, &[(DELAYED_PERCENTAGE, "0")]].concat();
    let mut volume = Volume::start(&["replica", "3"], 3, &options);
    let mut changes = Changes::default();
    let mut sides = IMAGES.map(|image| {
        volume.image(image, BLOCKS * 4096);
        let gateway = client(&volume, image);
        Side {
            image,
            gateway,
            dead: Vec::new(),
            known: [Content::Zeros].repeat(usize::try_from(BLOCKS).unwrap()),
        }
    });
    let (mut random, mut faults, mut rounds) = (Random::new(seed), 0, 0);
    let (mut switches, mut written, mut settled) = (0, 0, None);
    let begin = Instant::now();
    while begin.elapsed() < limit && faults < most {
        for side in &mut sides {
            side.gateway.load(0, BLOCKS, DEPTH);
        }
        sleep(seconds(1));
        for _ in 0..=random.below(8) {
            let struck = group(&mut volume, &mut changes, &mut sides, &mut random);
            faults += struck.len() as u64;
            switches += struck.iter().filter(|fault| fault.is_change()).count() as u64;
        }
        rounds += 1;
        let (acknowledged, slowest) = look(&volume, &mut sides);
        written += acknowledged;
        let usage = sides.each_mut().map(|side| side.gateway.usage());
        println!(
            "{rounds}: {faults} faults, {:.0?}; {acknowledged} writes, the slowest command took \
             {slowest:.1?}; KiB, fds, threads {usage:?}",
            begin.elapsed()
        );
        // A first round lets caches and pools grow to their size.
        settled.get_or_insert((usage[0], switches));
    }
    let (([kib, fds, _], before), [last_kib, last_fds, _]) =
        (settled.unwrap(), sides[0].gateway.usage());
    let since = switches - before;
    assert!(written > 500 * rounds, "hardly any load: {written} writes in {rounds} rounds");
    println!(
        "{faults} faults: {kib} -> {last_kib} KiB, {since} graphs switched, \
         {fds} -> {last_fds} descriptors"
    );
    assert!(last_fds <= fds + 16, "descriptors grew from {fds} to {last_fds}");
    assert!(
        last_kib <= kib + 16384 + since * PER_SWITCH,
        "memory grew from {kib} to {last_kib} KiB"
    );
}

/// KiB that libgfapi (10.3) keeps of a graph that another one has replaced. A program that does
/// nothing but write, through libgfapi alone and with its default graph, grows by 2,900 with each.
const PER_SWITCH: u64 = 4096;

/// One to four faults at once, and their end.
fn group(
    volume: &mut Volume,
    changes: &mut Changes,
    sides: &mut [Side; 2],
    random: &mut Random,
) -> Vec<Fault> {
    let mut struck: Vec<Fault> = Vec::new();
    // No admin takes a copy away while another is missing, whatever else comes together.
    let is_careless = |next: Fault, struck: &[Fault]| {
        struck.iter().chain([&next]).any(|fault| fault.needs_all_bricks())
    };
    for _ in 0..=random.below(4) {
        let next = Fault::random(random);
        // Two that befall one thing would have to end in an order.
        let bearable =
            next.is_bearable_with(&struck) || is_unlimited() && !is_careless(next, &struck);
        if struck.iter().all(|other| !other.meets(next)) && bearable {
            println!("  {next:?}");
            next.strike(&mut Victims {
                volume,
                changes,
                gateways: sides.each_ref().map(|side| &side.gateway),
            });
            struck.push(next);
        }
        sleep(Duration::from_millis(random.below(800)));
    }
    // Some last for longer than the LUNs' own patience.
    let most = if random.below(6) == 0 { 15_000 } else { 1_000 };
    sleep(Duration::from_millis(random.below(most)));
    for &fault in &struck {
        fault.end(&Victims {
            volume,
            changes,
            gateways: sides.each_ref().map(|side| &side.gateway),
        });
    }
    Fault::start_what_is_dead(volume);
    if !is_unlimited() {
        // The next copy to fail must not be the only good one.
        volume.heal();
    }
    if struck.contains(&Fault::GatewayDies) {
        sides[1].replace(volume);
    }
    struck
}

/// Ends the load and compares everything. How many writes there were, and the slowest command.
fn look(volume: &Volume, sides: &mut [Side; 2]) -> (usize, Duration) {
    let mut slowest = Duration::ZERO;
    for side in &mut *sides {
        let done = side.gateway.stop();
        assert_eq!(done.errors, 0, "{}: {done:?}", side.image);
        slowest = slowest.max(done.slowest);
    }
    volume.heal();
    volume.assert_alike(&COPIES);
    let mut acknowledged = 0;
    for side in sides {
        let history = side.history();
        assert_history(&history, volume, side.image, BLOCKS, &COPIES);
        acknowledged += history.acknowledged();
        side.known = Content::of_file(&volume.brick(0).join(side.image), BLOCKS);
        side.dead.clear();
    }
    (acknowledged, slowest)
}
