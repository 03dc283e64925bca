// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Random commands at a depth, and a model of the LUN that says what each READ must return.

use std::collections::VecDeque;
use std::ops::Range;

use crate::kernel::device::{BECOMING_READY, BUSY, Device, Pending};
use crate::scsi::{BLOCK, assert_good, cdb16, read, send_read, send_write};
use support::pattern;

/// Numbers that are the same each time (xorshift64).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap() % end
    }
}

enum Kind {
    Read,
    /// What the range then contains.
    Write(Vec<u8>),
}

struct InFlight {
    kind: Kind,
    range: Range<usize>,
    pending: Pending,
}

/// What a LUN contains, and the commands that are changing it.
pub(crate) struct Model {
    contents: Vec<u8>,
    in_flight: VecDeque<InFlight>,
    random: Random,
    /// Commands that had to be sent again.
    pub(crate) retried: usize,
    pub(crate) reads: usize,
    pub(crate) writes: usize,
}

impl Model {
    /// Of a LUN full of zeros.
    pub(crate) fn new(bytes: usize, seed: u64) -> Self {
        Self {
            contents: vec![0; bytes],
            in_flight: VecDeque::new(),
            random: Random::new(seed),
            retried: 0,
            reads: 0,
            writes: 0,
        }
    }

    /// Sends so many random commands, as many at a time as `depth` says, and checks the answers to
    /// those that had to make room.
    pub(crate) fn run(&mut self, device: &Device, commands: usize, depth: usize) {
        for _ in 0..commands {
            while self.in_flight.len() >= depth {
                self.take_one(device);
            }
            let range = self.free_range(device);
            let sent = self.random_command(device, range);
            self.in_flight.push_back(sent);
        }
    }

    /// Waits for all answers.
    pub(crate) fn finish(&mut self, device: &Device) {
        while !self.in_flight.is_empty() {
            self.take_one(device);
        }
    }

    /// Reads all of the LUN.
    pub(crate) fn check_everything(&mut self, device: &Device) {
        const STEP: usize = 1 << 20;
        self.finish(device);
        for (index, expected) in self.contents.chunks(STEP).enumerate() {
            let lba = (index * STEP / BLOCK) as u64;
            assert!(read(device, lba, expected.len()) == expected, "differs within MiB {index}");
        }
    }

    /// A range that no command in flight touches: what overlaps has no order.
    fn free_range(&mut self, device: &Device) -> Range<usize> {
        for _ in 0..100 {
            let longest = [1, 8, 64, 256][self.random.below(4)];
            let blocks = 1 + self.random.below(longest);
            let start = self.random.below(self.contents.len() / BLOCK - blocks + 1) * BLOCK;
            let range = start..start + blocks * BLOCK;
            let overlaps =
                |other: &InFlight| other.range.start < range.end && range.start < other.range.end;
            if !self.in_flight.iter().any(overlaps) {
                return range;
            }
        }
        self.take_one(device);
        self.free_range(device)
    }

    fn random_command(&mut self, device: &Device, range: Range<usize>) -> InFlight {
        let kind = match self.random.below(10) {
            0..4 => Kind::Read,
            4..9 => Kind::Write(pattern(self.random.below(usize::MAX >> 16) as u64, range.len())),
            _ => Kind::Write(vec![0; range.len()]),
        };
        send(device, kind, range)
    }

    fn take_one(&mut self, device: &Device) {
        let InFlight { kind, range, pending } = self.in_flight.pop_front().unwrap();
        let reply = pending.wait();
        // A LUN of a daemon that has just started may not have reached its brick yet.
        if reply.status == BUSY || BECOMING_READY.contains(&reply.sense) {
            self.retried += 1;
            std::thread::sleep(std::time::Duration::from_millis(20));
            self.in_flight.push_back(send(device, kind, range));
            return;
        }
        let data = assert_good(reply);
        match kind {
            Kind::Read => {
                self.reads += 1;
                assert!(data == self.contents[range.clone()], "READ of {range:?} differs");
            }
            Kind::Write(data) => {
                self.writes += 1;
                self.contents[range].copy_from_slice(&data);
            }
        }
    }
}

fn send(device: &Device, kind: Kind, range: Range<usize>) -> InFlight {
    let lba = (range.start / BLOCK) as u64;
    let pending = match &kind {
        Kind::Read => send_read(device, lba, range.len()),
        Kind::Write(data) if data.iter().any(|&byte| byte != 0) => send_write(device, lba, data),
        // Zeros: WRITE SAME(16) with the UNMAP bit.
        Kind::Write(data) => {
            let blocks = u32::try_from(data.len() / BLOCK).unwrap();
            let block = crate::kernel::ring::Data::Out(vec![0; BLOCK]);
            device.send(&cdb16(0x93, 0x08, lba, blocks), block)
        }
    };
    InFlight { kind, range, pending }
}
