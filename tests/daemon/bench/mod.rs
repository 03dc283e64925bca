// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The benchmark of the whole path: initiator's command to reply through tcmu-runner, with the
//! plugin, with a handler that answers at once (the limit of the core), and with another handler
//! (`PEER=`).
//!
//! Each contestant has a daemon of its own with its LUNs, and all take turns, round by round, in
//! alternating order; a ratio is taken within a round. The emulated kernel works in this process,
//! beside the daemon: figures are no other machine's, ratios are.

pub(crate) mod load;

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::time::{clock_getcpuclockid, clock_gettime};

use crate::host::{self, Host, Usage};
use crate::kernel::Backstore;
use crate::kernel::device::Device;
use crate::life::lun_of;
use crate::scsi::{BLOCK, write};
use support::cluster::{self, FOLDER, Volume};
use support::pattern;

use load::{Cell, Figures, TRANSFER};

/// The first word of the command line that asks for it.
pub(crate) const BENCH: &str = "bench";

/// Bytes of each.
const LUN_BYTES: usize = 4 << 20;

struct Contestant {
    name: &'static str,
    host: Host,
    devices: Vec<Arc<Device>>,
    /// One per cell and round.
    figures: Vec<Vec<Figures>>,
}

impl Contestant {
    fn new(name: &'static str, handler: &Path, volume: Option<&Volume>, luns: usize) -> Self {
        let host = Host::with_handler(handler);
        let image = |index: usize| format!("{name}{index}");
        if let Some(volume) = volume {
            volume.mounted(|place| {
                for index in 0..luns {
                    let file = fs::File::create(place.join(image(index))).unwrap();
                    file.set_len(LUN_BYTES as u64).unwrap();
                }
            });
        }
        let lun = |index: usize| {
            let image = image(index);
            let config = volume
                .map_or_else(|| "glfs/nothing".to_owned(), |volume| volume.cfgstring(&image, ""));
            let backstore = Backstore {
                cmd_time_out: None,
                data_area_bytes: 8 << 20,
                ..Backstore::new(&image, &config, LUN_BYTES as u64)
            };
            let device = lun_of(&host, backstore);
            // What was never written would be read without the brick's disk.
            for (index, part) in pattern(1, LUN_BYTES).chunks(64 << 10).enumerate() {
                write(&device, (index * (64 << 10) / BLOCK) as u64, part);
            }
            device
        };
        let devices = (0..luns).map(lun).collect();
        println!("{name}: {luns} LUNs");
        Self { name, host, devices, figures: Vec::new() }
    }

    fn measure(&self, cell: Cell, time: Duration) -> Figures {
        let pid = self.host.pid();
        let clock = clock_getcpuclockid(pid).unwrap();
        let cpu = || Duration::from(clock_gettime(clock).unwrap());
        let resident = || Usage::of(pid).kib;
        load::measure(&self.devices, LUN_BYTES, cell, time, cpu, resident)
    }
}

/// The cells that need no more LUNs than that.
fn cells(most: usize) -> Vec<Cell> {
    let shapes = [(1, 1), (1, 16), (1, 64), (4, 16), (16, 4), (64, 1)];
    let of = |writes| shapes.map(|(luns, depth)| Cell { writes, luns, depth });
    [of(false), of(true)].concat().into_iter().filter(|cell| cell.luns <= most).collect()
}

/// Measures, and prints a table. `arguments`: rounds and milliseconds of each cell, and LUNs at
/// most, if not 7, 1000 and 64.
pub(crate) fn run(arguments: &[&str]) -> ExitCode {
    let number = |index: usize, default: u64| {
        arguments.get(index).map_or(default, |text| text.parse().expect("a number"))
    };
    let (rounds, time) = (number(0, 7), Duration::from_millis(number(1, 1000)));
    let luns = usize::try_from(number(2, 64)).unwrap();
    // A disk would be measured otherwise.
    let memory = tempfile::tempdir().unwrap();
    mount(Some("bricks"), memory.path(), Some("tmpfs"), MsFlags::empty(), Some("size=75%"))
        .unwrap();
    FOLDER.set(memory.path().to_owned()).expect("no cluster yet");
    // Who opens O_DIRECT, as the C handler does, bypasses write-behind, as the plugin does anyway.
    let volume = Volume::start(&[], 1, &[("performance.strict-o-direct", "on")]);
    let ours = host::plugin();
    let instant = host::compile("instant", include_bytes!("instant.c"));
    let mut contestants = vec![
        Contestant::new("instant", &instant, None, luns),
        Contestant::new("ours", &ours, Some(&volume), luns),
    ];
    if let Some(peer) = std::env::var_os("PEER") {
        contestants.push(Contestant::new("peer", Path::new(&peer), Some(&volume), luns));
    }
    for cell in cells(luns) {
        for contestant in &mut contestants {
            contestant.figures.push(Vec::new());
        }
        // The first round only warms up.
        for round in 0..=rounds {
            let count = contestants.len();
            for turn in 0..count {
                let index = if round % 2 == 0 { turn } else { count - 1 - turn };
                let figures = contestants[index].measure(cell, time);
                if round > 0 {
                    contestants[index].figures.last_mut().unwrap().push(figures);
                }
            }
        }
        println!("measured {}", cell.name());
    }
    print_table(&contestants, luns);
    for contestant in &mut contestants {
        for device in std::mem::take(&mut contestant.devices) {
            contestant.host.kernel.remove(&device);
        }
        let (status, _) = contestant.host.stop_daemon();
        assert!(status.success(), "{}: {status}", contestant.name);
    }
    cluster::stop();
    umount2(memory.path(), MntFlags::MNT_DETACH).unwrap();
    ExitCode::SUCCESS
}

fn print_table(contestants: &[Contestant], luns: usize) {
    println!("\nTransfers of {TRANSFER} bytes; LUNs x depth of each; ratios are IOPS of ours.\n");
    println!("| cell | contestant | IOPS | p50 µs | p99 µs | CPU µs | MiB | ours/it (quartiles) |");
    println!("|---|---|---|---|---|---|---|---|");
    for (index, cell) in cells(luns).iter().enumerate() {
        let ours = &contestants[1].figures[index];
        for contestant in contestants {
            let runs = &contestant.figures[index];
            let of = |figure: fn(&Figures) -> f64| quartiles(runs.iter().map(figure).collect()).1;
            let ratios = ours.iter().zip(runs).map(|(ours, it)| ours.iops / it.iops).collect();
            let (low, median, high) = quartiles(ratios);
            println!(
                "| {} | {} | {:.0} | {:.0} | {:.0} | {:.1} | {:.1} | \
                 {median:.2} ({low:.2}-{high:.2}) |",
                cell.name(),
                contestant.name,
                of(|run| run.iops),
                of(|run| run.p50),
                of(|run| run.p99),
                of(|run| run.cpu),
                of(|run| run.resident),
            );
        }
    }
}

fn quartiles(mut values: Vec<f64>) -> (f64, f64, f64) {
    values.sort_by(f64::total_cmp);
    let at = |part: usize| values[(values.len() - 1) * part / 4];
    (at(1), at(2), at(3))
}
