// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! A load: so many random commands of 4 KiB in flight on each LUN, each followed by the next.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::kernel::device::{Device, GOOD};
use crate::kernel::ring::{Command, Data};
use crate::model::Random;
use crate::scsi::{BLOCK, cdb16};
use support::eventually;

pub(crate) const TRANSFER: usize = 4096;

/// What is measured at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cell {
    pub(crate) writes: bool,
    pub(crate) luns: usize,
    /// Of each LUN.
    pub(crate) depth: usize,
}

impl Cell {
    pub(crate) fn name(&self) -> String {
        let kind = if self.writes { "rw" } else { "rr" };
        format!("{kind} {} x {}", self.luns, self.depth)
    }
}

/// What was measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figures {
    pub(crate) iops: f64,
    /// Latency in microseconds: median, and 99th percentile.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    /// CPU time of the daemon, in microseconds per command.
    pub(crate) cpu: f64,
    /// Memory of the daemon, in MiB.
    pub(crate) resident: f64,
}

struct Load {
    device: Arc<Device>,
    bytes: usize,
    writes: bool,
    random: Mutex<Random>,
    /// Of commands that were answered, in microseconds.
    latencies: Mutex<Vec<f64>>,
    in_flight: AtomicUsize,
    ends: AtomicBool,
}

impl Load {
    fn issue(self: &Arc<Self>) {
        let place = self.random.lock().unwrap().below(self.bytes / TRANSFER);
        let lba = (place * TRANSFER / BLOCK) as u64;
        let (opcode, data) = if self.writes {
            (0x8a, Data::Out(vec![place.to_le_bytes()[0]; TRANSFER]))
        } else {
            (0x88, Data::In(TRANSFER))
        };
        let blocks = u32::try_from(TRANSFER / BLOCK).unwrap();
        let command = Command { cdb: cdb16(opcode, 0, lba, blocks).to_vec(), data };
        let load = Arc::clone(self);
        let begin = Instant::now();
        let done = move |reply: crate::kernel::device::Reply| {
            assert_eq!(reply.status, GOOD, "{:?}", reply.sense);
            load.latencies.lock().unwrap().push(begin.elapsed().as_secs_f64() * 1e6);
            if load.ends.load(Ordering::SeqCst) {
                load.in_flight.fetch_sub(1, Ordering::SeqCst);
            } else {
                load.issue();
            }
        };
        self.device.submit(command, Box::new(done));
    }
}

/// Runs a cell. `cpu` and `resident_kib` tell of the daemon.
pub(crate) fn measure(
    devices: &[Arc<Device>],
    bytes: usize,
    cell: Cell,
    time: Duration,
    cpu: impl Fn() -> Duration,
    resident_kib: impl Fn() -> u64,
) -> Figures {
    let loads: Vec<Arc<Load>> = devices[..cell.luns]
        .iter()
        .enumerate()
        .map(|(seed, device)| {
            Arc::new(Load {
                device: Arc::clone(device),
                bytes,
                writes: cell.writes,
                random: Mutex::new(Random::new(seed as u64 + 1)),
                latencies: Mutex::default(),
                in_flight: AtomicUsize::new(cell.depth),
                ends: AtomicBool::new(false),
            })
        })
        .collect();
    for load in &loads {
        (0..cell.depth).for_each(|_| load.issue());
    }
    thread::sleep(time / 5);
    let take = || -> Vec<f64> {
        loads.iter().flat_map(|load| std::mem::take(&mut *load.latencies.lock().unwrap())).collect()
    };
    drop(take());
    let (begin, cpu_before) = (Instant::now(), cpu());
    thread::sleep(time);
    let (cpu_after, elapsed) = (cpu(), begin.elapsed().as_secs_f64());
    let mut latencies = take();
    let resident = f64::from(u32::try_from(resident_kib()).unwrap()) / 1024.0;
    for load in &loads {
        load.ends.store(true, Ordering::SeqCst);
    }
    eventually("the load has ended", || {
        loads.iter().all(|load| load.in_flight.load(Ordering::SeqCst) == 0)
    });
    latencies.sort_by(f64::total_cmp);
    let count = f64::from(u32::try_from(latencies.len()).unwrap());
    let at = |part: usize| latencies.get(latencies.len() * part / 100).copied().unwrap_or(f64::NAN);
    Figures {
        iops: count / elapsed,
        p50: at(50),
        p99: at(99),
        cpu: cpu_after.saturating_sub(cpu_before).as_secs_f64() * 1e6 / count,
        resident,
    }
}
