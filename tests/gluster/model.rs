// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! A LUN against a model of it: random commands, 32 in flight, overlapping as they come.
//!
//! Every block that is written says by whom (the write's number) and where. A block that is read
//! must be one of those that can be there: written by a command that is in flight or done, and not
//! overwritten since by one that began after it was done. A READ that overlaps a WRITE in flight
//! may see a block half written, as on any target over a page cache: then every byte must be that
//! of one of those blocks.

mod blocks;

use std::collections::HashSet;
use std::time::{Duration, Instant};

use self::blocks::{ANYWHERE, BLOCK, Leaves, Origin, Random, Write, ZEROS, block};
use crate::types::SHARDED;
use support::cluster::Volume;
use support::eventually;
use support::log;
use support::runner::{BUSY, FakeCommand, Lun, OK, PASSTHROUGH_ERR, Pending};

const DEPTH: usize = 32;
const MIB: u64 = 1 << 20;
const SIZE: u64 = 8 * MIB;
const BLOCKS: usize = 16384;
/// The first blocks are left to COMPARE AND WRITE, one at a time; the others to everything else.
const PLAIN: usize = 64;
/// The LUN is half as large at first.
const FIRST_SIZE: u64 = SIZE / 2;
enum Op {
    /// What each block has been able to hold since the command began.
    Read {
        seen: Vec<HashSet<Origin>>,
    },
    Write {
        number: u64,
        begin: u64,
    },
    Compare {
        expect: i32,
    },
    Flush,
}

struct InFlight {
    pending: Pending,
    op: Op,
    first: usize,
    count: usize,
}

struct Model<'a> {
    lun: &'a Lun,
    random: Random,
    /// Blocks of the LUN.
    size: usize,
    /// Per block: the writes that it may hold.
    blocks: Vec<Vec<Write>>,
    /// A clock of submissions and completions.
    now: u64,
    next: u64,
    in_flight: Vec<InFlight>,
    /// What the blocks of COMPARE AND WRITE hold, and whether one is in flight on it.
    compared: Vec<(u64, bool)>,
    busy: usize,
}

fn bytes(blocks: usize) -> u64 {
    u64::try_from(blocks * BLOCK).unwrap()
}

impl Model<'_> {
    fn new(lun: &Lun, seed: u64) -> Model<'_> {
        let zeros = Write { number: ZEROS, leaves: (ZEROS, 0), end: Some(0) };
        Model {
            lun,
            random: Random(seed | 1),
            size: BLOCKS / 2,
            blocks: vec![vec![zeros]; BLOCKS],
            now: 1,
            next: 1,
            in_flight: Vec::new(),
            compared: vec![(ZEROS, false); PLAIN],
            busy: 0,
        }
    }

    fn tick(&mut self) -> u64 {
        self.now += 1;
        self.now
    }

    fn submit(&mut self) {
        let span = if self.random.below(50) == 0 { 4000 } else { 64 };
        let count = 1 + self.random.below(span);
        let first = PLAIN + self.random.below(self.size - PLAIN - count);
        let (offset, len) = (bytes(first), bytes(count));
        let at = i64::try_from(offset).unwrap();
        match self.random.below(100) {
            0..40 => {
                let seen = self.candidates(first, count);
                self.push(self.lun.submit_read(at, count * BLOCK), Op::Read { seen }, first, count);
            }
            40..70 => {
                let number = self.begin(first, count, Leaves::Places);
                let data: Vec<u8> = (first..first + count)
                    .flat_map(|b| block((number, u64::try_from(b).unwrap())))
                    .collect();
                let pending = if number % 16 == 0 {
                    self.lun.submit_forced_write(at, &data)
                } else {
                    self.lun.submit_write(at, &data)
                };
                self.pushed_write(pending, number, first, count);
            }
            70..78 => {
                let number = self.begin(first, count, Leaves::Zeros);
                self.pushed_write(self.lun.submit_unmap(offset, len), number, first, count);
            }
            78..82 => {
                let number = self.begin(first, count, Leaves::Zeros);
                self.pushed_write(
                    self.lun.submit_write_same(offset, len, &[0; BLOCK]),
                    number,
                    first,
                    count,
                );
            }
            82..88 => {
                let number = self.begin(first, count, Leaves::Alike);
                let pattern = block((number, ANYWHERE));
                let pending = if number % 2 == 0 {
                    self.lun.submit_write_same(offset, len, &pattern)
                } else {
                    self.lun.submit_unmapping_write_same(offset, len, &pattern)
                };
                self.pushed_write(pending, number, first, count);
            }
            88..96 => self.compare_and_write(),
            _ => self.push(self.lun.submit_flush(), Op::Flush, 0, 0),
        }
    }

    fn compare_and_write(&mut self) {
        let index = self.random.below(self.compared.len());
        let (holds, in_flight) = self.compared[index];
        if in_flight {
            return;
        }
        let place = u64::try_from(index).unwrap();
        let right = self.random.below(3) > 0;
        let number = self.next;
        self.next += 1;
        let mut expected = block((holds, place));
        if !right {
            expected[100] ^= 0xff;
        }
        self.compared[index] = (if right { number } else { holds }, true);
        let pending =
            self.lun.submit_compare_and_write(bytes(index), &expected, &block((number, place)));
        self.push(
            pending,
            Op::Compare { expect: if right { OK } else { PASSTHROUGH_ERR } },
            index,
            1,
        );
    }

    fn begin(&mut self, first: usize, count: usize, leaves: Leaves) -> u64 {
        let number = self.next;
        self.next += 1;
        self.tick();
        for (place, writes) in (first..).zip(&mut self.blocks[first..first + count]) {
            let leaves = match leaves {
                Leaves::Zeros => (ZEROS, 0),
                Leaves::Places => (number, u64::try_from(place).unwrap()),
                Leaves::Alike => (number, ANYWHERE),
            };
            writes.push(Write { number, leaves, end: None });
            // A READ that is in flight may see it, even if yet another write is over before the
            // READ is.
            for in_flight in &mut self.in_flight {
                if let Op::Read { seen } = &mut in_flight.op
                    && let Some(seen) =
                        place.checked_sub(in_flight.first).and_then(|index| seen.get_mut(index))
                {
                    seen.insert(leaves);
                }
            }
        }
        number
    }

    fn pushed_write(&mut self, pending: Pending, number: u64, first: usize, count: usize) {
        let begin = self.now;
        self.push(pending, Op::Write { number, begin }, first, count);
    }

    fn push(&mut self, pending: Pending, op: Op, first: usize, count: usize) {
        self.in_flight.push(InFlight { pending, op, first, count });
    }

    /// What each block may hold now.
    fn candidates(&self, first: usize, count: usize) -> Vec<HashSet<Origin>> {
        self.blocks[first..first + count]
            .iter()
            .map(|writes| writes.iter().map(|write| write.leaves).collect())
            .collect()
    }

    /// Takes in what has been answered.
    fn collect(&mut self) {
        let answered: Vec<_> = {
            let (done, waiting): (Vec<_>, Vec<_>) = self
                .in_flight
                .drain(..)
                .map(|i| (i.pending.answered(), i))
                .partition(|(status, _)| status.is_some());
            self.in_flight = waiting.into_iter().map(|(_, in_flight)| in_flight).collect();
            done
        };
        if answered.is_empty() {
            std::thread::sleep(Duration::from_micros(50));
        }
        for (status, InFlight { pending, op, first, count }) in answered {
            self.take(status.unwrap(), &pending.into_command(), op, first, count);
        }
    }

    fn take(&mut self, status: i32, command: &FakeCommand, op: Op, first: usize, count: usize) {
        let now = self.tick();
        if status == BUSY {
            self.busy += 1;
        }
        match op {
            Op::Flush => assert!(matches!(status, OK | BUSY), "flush: {status}"),
            Op::Write { number, begin } => {
                assert!(
                    matches!(status, OK | BUSY),
                    "write {number}: {status}; {:?}",
                    log::lines("failed")
                );
                for writes in &mut self.blocks[first..first + count] {
                    // Those that were done before this one began are gone. One that failed may have
                    // been done, or not.
                    if status == OK {
                        writes.retain(|write| {
                            write.number == number || write.end.is_none_or(|end| end > begin)
                        });
                    }
                    writes
                        .iter_mut()
                        .filter(|write| write.number == number)
                        .for_each(|write| write.end = Some(now));
                }
            }
            Op::Read { seen } if status == OK => {
                for (index, (data, seen)) in command.data.chunks(BLOCK).zip(&seen).enumerate() {
                    self.check(data, first + index, seen);
                }
            }
            Op::Read { .. } => assert_eq!(status, BUSY, "read"),
            Op::Compare { expect } => {
                self.compared[first].1 = false;
                assert_eq!(status, expect, "compare and write at block {first}");
            }
        }
    }

    fn check(&self, data: &[u8], place: usize, origins: &HashSet<Origin>) {
        let possible: Vec<Vec<u8>> = origins.iter().map(|&origin| block(origin)).collect();
        let whole = possible.iter().any(|block| block == data);
        // With one candidate, nothing was in flight, and no byte may be another's.
        let mixed = || {
            data.iter()
                .enumerate()
                .all(|(index, byte)| possible.iter().any(|block| block[index] == *byte))
        };
        assert!(
            whole || mixed(),
            "block {place} holds {:?}...; possible: {origins:?}; {:?}",
            &data[..16],
            self.blocks[place]
        );
    }

    fn drain(&mut self) {
        let begin = Instant::now();
        while !self.in_flight.is_empty() {
            self.collect();
            assert!(begin.elapsed() < Duration::from_secs(120), "commands are not answered");
        }
    }

    fn run(&mut self, operations: usize) {
        for _ in 0..operations {
            while self.in_flight.len() >= DEPTH {
                self.collect();
            }
            self.submit();
        }
        self.drain();
    }

    /// Reads everything, when nothing is in flight.
    fn read_all(&mut self) {
        for first in (PLAIN..self.size).step_by(1024) {
            let count = 1024.min(self.size - first);
            let (status, data) = self.lun.read(i64::try_from(bytes(first)).unwrap(), count * BLOCK);
            assert_eq!(status, OK);
            let candidates = self.candidates(first, count);
            for (index, data) in data.chunks(BLOCK).enumerate() {
                self.check(data, first + index, &candidates[index]);
            }
        }
    }
}

/// Commands for each kind of volume: `SHADOW_OPS`, or enough for every day.
fn operations() -> usize {
    std::env::var("SHADOW_OPS").ok().map_or(5000, |text| text.parse().unwrap())
}

fn against_model(volume: &Volume, options: &str, seed: u64, accident: impl FnOnce(&mut Model<'_>)) {
    volume.image("disk.img", FIRST_SIZE);
    let cfgstring = volume.cfgstring("disk.img", options);
    let mut lun =
        Lun::in_configfs(&format!("model-{}-{seed}", volume.name), &cfgstring, FIRST_SIZE);
    let begin = Instant::now();
    let mut model = Model::new(&lun, seed);
    model.run(operations() / 4);
    volume.image("disk.img", SIZE);
    eventually("the LUN grows", || lun.bytes() == SIZE);
    model.size = BLOCKS;
    model.run(operations() / 4);
    accident(&mut model);
    // What was there before a reopen is there after it.
    let Model { random, size, blocks, now, next, compared, busy, .. } = model;
    lun.close();
    assert_eq!(lun.open(), 0);
    let mut model =
        Model { lun: &lun, random, size, blocks, now, next, in_flight: Vec::new(), compared, busy };
    model.read_all();
    model.run(operations() / 2);
    model.read_all();
    println!("{} operations in {:?}, {} busy", operations(), begin.elapsed(), model.busy);
}

pub(crate) fn single() {
    against_model(&Volume::start(&[], 1, &[]), "", 11, |_| {});
}

pub(crate) fn disperse() {
    against_model(&Volume::start(&["disperse", "3", "redundancy", "1"], 3, &[]), "", 13, |_| {});
}

pub(crate) fn sharded() {
    against_model(&Volume::start(&[], 1, &SHARDED), "", 17, |_| {});
}

pub(crate) fn replica_that_loses_a_brick() {
    let volume = Volume::start(&["replica", "3"], 3, &[]);
    against_model(&volume, "", 19, |model| {
        volume.kill_brick(1);
        model.run(operations() / 4);
        volume.restart_bricks();
        model.run(operations() / 4);
    });
}

/// Every tuning that is not the default.
pub(crate) fn tuned() {
    for options in
        [";cache=writeback", ";io-threads=on", ";cache=writeback;io-threads=on", ";connection=own"]
    {
        against_model(&Volume::start(&[], 1, &[]), options, 23, |_| {});
    }
}
