// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Commands that ask for as much as a CDB can: what they do to the daemon's memory, and to its
//! other LUNs.
//!
//! 128 of them are in flight on one LUN, whose brick answers after 200 ms. They come as
//! tcmu-runner's core hands them on (1.5.4, `handle_unmap_internal`, `align_and_split_unmap`,
//! `handle_writesame`).

mod commands;

use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use testbed::c_abi::{FakeCommand, Part};
use testbed::cluster::{self, Volume};

use self::commands::{BLOCK, KINDS, Kind};
use crate::cell::{Cell, Tally};
use crate::load::DEEPEST;
use crate::rig;
use crate::target::Disk;
use crate::target::handler::Lun;

/// Blocks of a LUN that takes the longest of all commands.
const BLOCKS: u64 = 1 << 32;
const NEIGHBOUR: u64 = 64 << 20;
/// Between a refusal and the next attempt.
const PAUSE: Duration = Duration::from_millis(10);
/// What is not answered so long after the last was sent is given up by any initiator.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// KiB with which the daemon is ended, before it harms its host.
const TOO_MUCH: u64 = 2 << 20;

/// What the daemon's process opens.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Spec {
    #[arg(long)]
    so: std::path::PathBuf,
    #[arg(long)]
    seconds: u64,
    /// The LUN with the hostile initiators, one on the same slow brick, one on another.
    cfgstrings: Vec<String>,
}

/// Prepares volumes, and runs the daemon.
pub(crate) fn bench(so: &std::path::Path, seconds: u64) -> anyhow::Result<()> {
    let folder = tempfile::Builder::new().prefix("hostile-").tempdir_in("/var/tmp")?;
    rig::enter(folder.path())?;
    let slow = Volume::start(
        &[],
        1,
        &[
            ("debug.delay-gen", "posix"),
            ("delay-gen.enable", "read,write,discard,zerofill,fsync"),
            ("delay-gen.delay-duration", "200000"),
            ("delay-gen.delay-percentage", "100"),
        ],
    );
    let other = Volume::start(&[], 1, &[]);
    slow.image("hostile", BLOCKS * BLOCK);
    slow.image("neighbour", NEIGHBOUR);
    other.image("neighbour", NEIGHBOUR);
    let daemon = Command::new(std::env::current_exe()?)
        .args(["hostile-daemon", "--seconds", &seconds.to_string(), "--so"])
        .arg(so)
        .args([
            slow.cfgstring("hostile", ""),
            slow.cfgstring("neighbour", ""),
            other.cfgstring("neighbour", ""),
        ])
        .status()?;
    cluster::stop();
    rig::leave(folder.path())?;
    ensure!(daemon.success(), "the daemon ended with {daemon}");
    Ok(())
}

/// The daemon's side.
pub(crate) fn serve(spec: &Spec) -> anyhow::Result<()> {
    let [hostile, near, far] = &spec.cfgstrings[..] else { anyhow::bail!("three cfgstrings") };
    let hostile = Lun::open(&spec.so, hostile, BLOCKS * BLOCK, 0)?;
    let neighbours = [
        ("same brick", Lun::open(&spec.so, near, NEIGHBOUR, 1)?),
        ("another volume", Lun::open(&spec.so, far, NEIGHBOUR, 2)?),
    ];
    let time = Duration::from_secs(spec.seconds);
    let cell: Cell = "mix16".parse()?;
    // Pools and caches grow to their size.
    load(&neighbours, &cell, time / 4)?;
    let idle = resident()?;
    let without = load(&neighbours, &cell, time)?;
    // Resets what VmHWM counts from.
    fs::write("/proc/self/clear_refs", "5")?;
    let over = AtomicBool::new(false);
    let (with, fates) = thread::scope(|scope| {
        let storm = scope.spawn(|| storm(&hostile, &over));
        // Until all of it is in flight.
        thread::sleep(Duration::from_secs(1));
        let with = load(&neighbours, &cell, time);
        over.store(true, Ordering::SeqCst);
        anyhow::Ok((with?, storm.join().map_err(|_| anyhow::anyhow!("the storm panicked"))?))
    })?;
    let (peak, after) = (status("VmHWM:")?, resident()?);
    println!(
        "| command | answered GOOD | refused or failed | not answered within {ANSWER_TIMEOUT:?} | \
         slowest answer |"
    );
    println!("|---|---|---|---|---|");
    for (kind, fate) in KINDS.iter().zip(fates) {
        let Fate { good, refused, unanswered, slowest } = fate;
        println!(
            "| {} | {good} | {refused} | {unanswered} | {:.1} s |",
            kind.name(),
            slowest.as_secs_f64()
        );
    }
    println!(
        "\n| memory | KiB |\n|---|---|\n| idle | {idle} |\n| peak | {peak} |\n| after | {after} |"
    );
    println!(
        "\n| neighbour on | p99 without, ms | p99 with, ms | ratio | wanted |\n\
         |---|---|---|---|---|"
    );
    let mut is_far_served = true;
    for (number, (name, _)) in neighbours.iter().enumerate() {
        let [without, with] =
            [&without, &with].map(|tallies| tallies[number].figures(&cell, time, Duration::ZERO));
        let ratio = with.p99 / without.p99;
        // The same brick's threads are held by the delays of the others: no client can help that.
        let wanted = if number == 1 { "3.0" } else { "-" };
        is_far_served &= number == 0 || ratio <= 3.0 && with.errors == 0;
        println!(
            "| {name} | {:.1} | {:.1} | {ratio:.1} | {wanted} |",
            without.p99 / 1e3,
            with.p99 / 1e3
        );
    }
    let grown = peak.saturating_sub(idle) / 1024;
    println!(
        "\nMemory grew by {grown} MiB at most (wanted: 100); \
         another volume's LUN is served as wanted: {is_far_served}"
    );
    // What was not answered keeps its commands: nothing may be given back.
    // SAFETY: ends the process at once.
    unsafe { libc::_exit(i32::from(grown > 100 || !is_far_served)) }
}

fn load(luns: &[(&str, Lun)], cell: &Cell, time: Duration) -> anyhow::Result<Vec<Tally>> {
    thread::scope(|scope| {
        let threads: Vec<_> = luns
            .iter()
            .zip(0..)
            .map(|((_, lun), seed)| scope.spawn(move || lun.run(cell, time, seed)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().map_err(|_| anyhow::anyhow!("panicked"))?)
            .collect()
    })
}

fn status(field: &str) -> anyhow::Result<u64> {
    let text = fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find(|line| line.starts_with(field)).context("a line of status")?;
    Ok(line.split_whitespace().nth(1).context("KiB")?.parse()?)
}

fn resident() -> anyhow::Result<u64> {
    status("VmRSS:")
}

/// What has become of a kind of command.
#[derive(Debug, Clone, Copy, Default)]
struct Fate {
    good: u64,
    refused: u64,
    unanswered: u64,
    slowest: Duration,
}

/// A command, in flight or just answered.
struct Slot {
    kind: usize,
    command: FakeCommand,
    parts: Vec<Part>,
    since: Instant,
    /// Answers that are still to come.
    left: usize,
    good: bool,
    resubmit_at: Option<Instant>,
}

/// Keeps all in flight until it is over, and waits for the last for a while.
fn storm(lun: &Lun, over: &AtomicBool) -> [Fate; KINDS.len()] {
    let answers = lun.answers.lock().expect("not poisoned");
    let mut fates = [Fate::default(); KINDS.len()];
    let now = Instant::now();
    let slots = (0..DEEPEST)
        .map(|slot| {
            let kind = Kind::of(slot);
            let mut command = KINDS[kind].command();
            command.set_id(u16::try_from(lun.number * DEEPEST + slot).expect("a number"));
            Slot {
                kind,
                command,
                parts: Vec::new(),
                since: now,
                left: 0,
                good: true,
                resubmit_at: Some(now),
            }
        })
        .collect::<Vec<Slot>>();
    // The handler keeps the addresses of what is never answered.
    let slots = Vec::leak(slots);
    let mut ended = None;
    loop {
        if ended.is_none() && over.load(Ordering::SeqCst) {
            ended = Some(Instant::now());
        }
        for slot in slots.iter_mut().filter(|slot| {
            ended.is_none() && slot.resubmit_at.is_some_and(|at| at <= Instant::now())
        }) {
            (slot.since, slot.good, slot.resubmit_at) = (Instant::now(), true, None);
            slot.parts.clear();
            slot.left += KINDS[slot.kind].submit(&lun.device, &slot.command, &mut slot.parts);
        }
        let all_answered = slots.iter().all(|slot| slot.left == 0);
        if ended.is_some_and(|since| all_answered || since.elapsed() > ANSWER_TIMEOUT) {
            break;
        }
        if resident().is_ok_and(|kib| kib > TOO_MUCH) {
            println!("The daemon has {TOO_MUCH} KiB after {:.1?}, and is ended.", now.elapsed());
            // SAFETY: ends the process at once.
            unsafe { libc::_exit(1) }
        }
        let Ok((number, when, good)) = answers.recv_timeout(PAUSE) else { continue };
        let slot = &mut slots[number];
        slot.left -= 1;
        slot.good &= good;
        if slot.left == 0 {
            let fate = &mut fates[slot.kind];
            *(if slot.good { &mut fate.good } else { &mut fate.refused }) += 1;
            fate.slowest = fate.slowest.max(when.saturating_duration_since(slot.since));
            slot.resubmit_at = Some(if slot.good { when } else { when + PAUSE });
        }
    }
    for slot in slots.iter().filter(|slot| slot.left > 0) {
        fates[slot.kind].unanswered += 1;
    }
    fates
}
