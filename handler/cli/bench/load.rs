// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The load: one thread submits, as tcmu-runner's does; answers come from libgfapi's threads.

use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use handler_glfs::iovec::Buffer;
use handler_glfs::lun::backend::{Backend, Data, Durability, Request};
use nix::errno::Errno;

use crate::interrupt::Interrupt;

/// What is done again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    Read,
    Write,
    /// A write, and a flush after it; the flush is what is timed.
    Flush,
}

/// The way through the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Random,
    Sequential,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    pub(super) work: Work,
    pub(super) order: Order,
    /// Bytes of a command.
    pub(super) block: usize,
    /// Commands in flight.
    pub(super) depth: usize,
}

/// What came of a load.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) elapsed: Duration,
    pub(super) latencies: Vec<Duration>,
}

/// A command, and where its answer goes.
struct Command {
    buffer: Buffer,
    answers: Sender<Answer>,
    offset: u64,
    begin: Instant,
    /// It is the flush of a [`Work::Flush`].
    flushes: bool,
}

struct Answer {
    command: Command,
    end: Instant,
    outcome: Result<usize, Errno>,
}

impl Request for Command {
    fn data(&self) -> &Data {
        self.buffer.data()
    }

    fn done(self, outcome: Result<usize, Errno>) {
        let answers = self.answers.clone();
        // Nobody listens any more after a failure.
        let _unheard =
            answers.send(Answer { command: self, end: Instant::now(), outcome }).is_err();
    }
}

/// Bounds the wait for an answer: longer than the handler's own bound of a call.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(90);

impl Load {
    /// Keeps it up for `time`, and waits for what is under way.
    ///
    /// # Errors
    /// What a command failed with.
    pub(super) fn run(
        self,
        file: &impl Backend,
        bytes: u64,
        time: Duration,
        interrupt: &Interrupt,
    ) -> Result<Outcome, String> {
        let (sender, answers) = channel();
        let mut places = Places::new(bytes / self.block as u64, self.order);
        let mut outcome = Outcome::default();
        let begin = Instant::now();
        for number in 0..self.depth {
            let buffer = Buffer::of([number.to_le_bytes()[0], 0x5a].repeat(self.block / 2));
            let offset = places.next() * self.block as u64;
            let command =
                Command { buffer, answers: sender.clone(), offset, begin, flushes: false };
            self.submit(file, command);
        }
        let mut under_way = self.depth;
        while under_way > 0 {
            let Answer { mut command, end, outcome: answer } = answers
                .recv_timeout(ANSWER_TIMEOUT)
                .map_err(|_| format!("no answer within {} s", ANSWER_TIMEOUT.as_secs()))?;
            let moved = answer.map_err(|errno| format!("{self}: {errno}"))?;
            if !command.flushes && moved != self.block {
                return Err(format!("{self}: {moved} bytes were moved instead of {}", self.block));
            }
            if self.work == Work::Flush && !command.flushes {
                (command.flushes, command.begin) = (true, Instant::now());
                file.sync(command);
                continue;
            }
            outcome.latencies.push(end.saturating_duration_since(command.begin));
            if begin.elapsed() < time && !interrupt.is_asked() {
                command.offset = places.next() * self.block as u64;
                command.flushes = false;
                self.submit(file, command);
            } else {
                under_way -= 1;
            }
        }
        outcome.elapsed = begin.elapsed();
        Ok(outcome)
    }

    fn submit(self, file: &impl Backend, mut command: Command) {
        let offset = command.offset;
        command.begin = Instant::now();
        match self.work {
            Work::Read => file.read(command, offset),
            Work::Write | Work::Flush => file.write(command, offset, Durability::Volatile),
        }
    }
}

/// Flushes, untimed.
///
/// # Errors
/// What it failed with.
pub(super) fn flush(file: &impl Backend) -> Result<(), String> {
    let (answers, answer) = channel();
    file.sync(Command {
        buffer: Buffer::empty(),
        answers,
        offset: 0,
        begin: Instant::now(),
        flushes: true,
    });
    let answer =
        answer.recv_timeout(ANSWER_TIMEOUT).map_err(|_| "no answer to a flush".to_owned())?;
    answer.outcome.map(drop).map_err(|errno| format!("flush: {errno}"))
}

/// Which blocks are next.
struct Places {
    blocks: u64,
    order: Order,
    next: u64,
    state: u64,
}

impl Places {
    fn new(blocks: u64, order: Order) -> Self {
        Self { blocks: blocks.max(1), order, next: 0, state: 0x9e37_79b9_7f4a_7c15 }
    }

    fn next(&mut self) -> u64 {
        match self.order {
            Order::Sequential => self.next = (self.next + 1) % self.blocks,
            Order::Random => {
                // Xorshift.
                self.state ^= self.state << 13;
                self.state ^= self.state >> 7;
                self.state ^= self.state << 17;
                self.next = self.state % self.blocks;
            }
        }
        self.next
    }
}

impl std::fmt::Display for Load {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let size = if self.block >= 1 << 20 {
            format!("{} MiB", self.block >> 20)
        } else {
            format!("{} KiB", self.block >> 10)
        };
        match (self.work, self.order) {
            (Work::Flush, _) => write!(f, "flush after a write of {size}"),
            (work, order) => {
                let work = if work == Work::Read { "read" } else { "write" };
                let order = if order == Order::Random { "random" } else { "sequential" };
                write!(f, "{size} {order} {work}, {} in flight", self.depth)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_stay_within_the_file_and_go_through_all_of_it() {
        let mut random = Places::new(7, Order::Random);
        let seen: std::collections::BTreeSet<u64> = (0..200).map(|_| random.next()).collect();
        assert!(seen.into_iter().eq(0..7));
        let mut sequential = Places::new(3, Order::Sequential);
        let places: [u64; 4] = std::array::from_fn(|_| sequential.next());
        assert_eq!(places, [1, 2, 0, 1]);
    }

    #[test]
    fn loads_are_told_in_words() {
        let load = |work, order, block, depth| Load { work, order, block, depth }.to_string();
        assert_eq!(load(Work::Read, Order::Random, 4 << 10, 16), "4 KiB random read, 16 in flight");
        let stream = load(Work::Write, Order::Sequential, 1 << 20, 4);
        assert_eq!(stream, "1 MiB sequential write, 4 in flight");
        assert_eq!(load(Work::Flush, Order::Random, 4 << 10, 1), "flush after a write of 4 KiB");
    }
}
