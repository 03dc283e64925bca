// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The load: one thread per LUN submits, as tcmu-runner's command thread does; answers come from
//! anywhere.

use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use crate::cell::{Cell, Durability, Pattern, Tally};

/// Most commands in flight on a LUN.
pub(crate) const DEEPEST: usize = 128;

/// One step of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    Read,
    Write,
    Flush,
}

/// A slot's command is done: which, when, whether well.
pub(crate) type Done = (usize, Instant, bool);

/// Chooses commands.
#[derive(Debug)]
pub(crate) struct Choice {
    cell: Cell,
    blocks: u64,
    next: u64,
    state: u64,
}

impl Choice {
    pub(crate) fn new(cell: Cell, bytes: u64, seed: u64) -> Self {
        let blocks = bytes / cell.block as u64;
        let mut choice = Self {
            cell,
            blocks,
            next: 0,
            state: (seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
        };
        // Two runs in a row, or two LUNs, shall not begin at the same place.
        choice.next = choice.random() % blocks;
        choice
    }

    fn random(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }

    /// The next command, and where.
    pub(crate) fn command(&mut self) -> (Op, u64) {
        let block = match self.cell.pattern {
            Pattern::Random => self.random() % self.blocks,
            Pattern::Sequential => {
                self.next = (self.next + 1) % self.blocks;
                self.next
            }
        };
        let read = self.random() % 100 < u64::from(self.cell.reads);
        (if read { Op::Read } else { Op::Write }, block * self.cell.block as u64)
    }
}

/// Keeps `depth` commands in flight for `time`, and waits for the last. `submit` starts a step in a
/// slot; its answer comes through `answers`, which nobody else uses meanwhile.
pub(crate) fn pump(
    cell: &Cell,
    time: Duration,
    mut choice: Choice,
    answers: &Receiver<Done>,
    mut submit: impl FnMut(usize, Op, u64),
) -> anyhow::Result<Tally> {
    ensure!(cell.depth <= DEEPEST, "at most {DEEPEST} in flight");
    let mut tally = Tally::new();
    let mut running = [(Op::Flush, Instant::now()); DEEPEST];
    let begin = Instant::now();
    let mut started = 0;
    let mut finished = 0;
    let mut free: Vec<usize> = (0..cell.depth).collect();
    loop {
        if let Some(slot) = free.pop() {
            let (op, offset) = choice.command();
            running[slot] = (op, Instant::now());
            submit(slot, op, offset);
            started += 1;
            continue;
        }
        if started == finished {
            return Ok(tally);
        }
        let (slot, end, good) =
            answers.recv_timeout(Duration::from_secs(60)).context("no answer within 60 s")?;
        let (op, since) = running[slot];
        if cell.durability == Durability::Flush && op == Op::Write && good {
            running[slot].0 = Op::Flush;
            submit(slot, Op::Flush, 0);
            continue;
        }
        tally.count(end.saturating_duration_since(since), good);
        finished += 1;
        if begin.elapsed() < time {
            free.push(slot);
        }
    }
}
