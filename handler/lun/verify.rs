// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! VERIFY and WRITE AND VERIFY: blocks are read from the bricks, and compared with the initiator's
//! (SBC-3, 5.22 to 5.24 and 5.35 to 5.37).
//!
//! In pieces, one after the other, so that the memory of a command is bounded: one piece that is
//! read and, of WRITE AND VERIFY, one that is written, which is on stable storage before it is
//! read.

use std::cmp::min;
use std::sync::Arc;

use super::Lun;
use super::backend::{Backend, Durability};
use super::whole::{self, Failure, PIECE, Place};
use crate::runner::Command;
use crate::scsi::{Op, Operation, Sense, Status};

/// A VERIFY or WRITE AND VERIFY under way.
struct Verification<B: Backend> {
    lun: Arc<Lun<B>>,
    /// Its data is what has not been compared yet.
    command: Command,
    compare: Comparison,
    writes: bool,
    /// Where the next piece begins, in bytes, and how many there are from there on.
    offset: u64,
    left: u64,
    /// How many have been compared.
    compared: u64,
}

/// What the blocks are compared with.
enum Comparison {
    /// With nothing: that they can be read is enough.
    Nothing,
    /// With the data of the command.
    Data,
    /// Each of them with this one.
    Block(Vec<u8>),
}

/// Starts one over `len` bytes at `offset`; the command's data is as long as BYTCHK demands.
pub(super) fn start<B: Backend>(lun: Arc<Lun<B>>, command: Command, offset: u64, len: u64) {
    let writes = command.cdb().operation() == Some(Operation::WriteAndVerify);
    let compare = match command.cdb().byte_check() {
        0 => Comparison::Nothing,
        3 => {
            let mut block = vec![0; lun.block_size.bytes()];
            command.data().copy_to(&mut block);
            Comparison::Block(block)
        }
        _ => Comparison::Data,
    };
    Verification { lun, command, compare, writes, offset, left: len, compared: 0 }.proceed();
}

impl<B: Backend> Verification<B> {
    fn place(&self) -> Place {
        Place { offset: self.offset, deadline: self.command.deadline() }
    }

    fn op(&self) -> Op {
        if self.writes { Op::Write } else { Op::Verify }
    }

    /// Goes on with the next piece.
    fn proceed(self) {
        let len = usize::try_from(min(self.left, PIECE)).unwrap_or(usize::MAX);
        if len == 0 {
            return self.command.complete(Status::Ok);
        }
        if !self.writes {
            return self.read(len);
        }
        let mut bytes = vec![0; len];
        self.command.data().copy_to(&mut bytes);
        let (lun, place) = (Arc::clone(&self.lun), self.place());
        whole::write(&lun, place, bytes, Durability::Durable, move |outcome| match outcome {
            Ok(_) => self.read(len),
            Err(failure) => self.fail(failure),
        });
    }

    fn read(self, len: usize) {
        let (lun, place) = (Arc::clone(&self.lun), self.place());
        whole::read(&lun, place, len, move |outcome| match outcome {
            Ok(bytes) => self.compare(&bytes),
            Err(failure) => self.fail(failure),
        });
    }

    fn compare(mut self, bytes: &[u8]) {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if let Some(byte) = self.difference(bytes) {
            let compared = usize::try_from(self.compared).unwrap_or(usize::MAX);
            let sense = Sense::miscompare(compared.saturating_add(byte));
            return self.command.complete(Status::Sense(sense));
        }
        if self.writes || matches!(self.compare, Comparison::Data) {
            self.command.data_mut().advance(bytes.len());
        }
        self.offset = self.offset.saturating_add(length);
        self.left = self.left.saturating_sub(length);
        self.compared = self.compared.saturating_add(length);
        self.proceed();
    }

    /// The first byte that is not as it is to be.
    fn difference(&self, bytes: &[u8]) -> Option<usize> {
        let position = |expected: &mut dyn Iterator<Item = &u8>| {
            bytes.iter().zip(expected).position(|(is, expected)| is != expected)
        };
        match &self.compare {
            Comparison::Nothing => None,
            Comparison::Data => {
                let mut expected = vec![0; bytes.len()];
                self.command.data().copy_to(&mut expected);
                position(&mut expected.iter())
            }
            Comparison::Block(block) => position(&mut block.iter().cycle()),
        }
    }

    fn fail(self, failure: Failure) {
        let op = self.op();
        failure.answer(&self.lun, self.command, op, self.offset);
    }
}
