// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! GET LBA STATUS: which blocks take space (SBC-3, 5.5). A block of which any byte is stored is
//! mapped.

use std::cmp::min;
use std::sync::Arc;

use nix::errno::Errno;

use super::backend::{Backend, Extent};
use super::rw::{expire, fail};
use super::{Lun, space};
use crate::runner::Command;
use crate::scsi::Op;

/// Extents that one command asks the storage for: each is a call.
const MAX_CALLS: usize = 32;
/// Bytes of the header of the answer, and of a descriptor.
const HEADER: usize = 8;
const DESCRIPTOR: usize = 16;

/// Blocks that are alike, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Range {
    offset: u64,
    len: u64,
    mapped: bool,
}

/// A GET LBA STATUS under way.
struct Query<B: Backend> {
    lun: Arc<Lun<B>>,
    command: Command,
    /// Where the LUN ends.
    end: u64,
    ranges: Vec<Range>,
    calls: usize,
    /// How many ranges the initiator has room for: at least one.
    room: usize,
}

/// Starts one at `offset`, which is within the LUN.
pub(super) fn start<B: Backend>(lun: Arc<Lun<B>>, image: &B, command: Command, offset: u64) {
    let allowed = min(command.cdb().parameter_length(), command.data().len());
    let room = allowed.saturating_sub(HEADER).div_euclid(DESCRIPTOR).max(1);
    let end = lun.size.bytes();
    Query { lun, command, end, ranges: Vec::new(), calls: 0, room }.ask(image, offset);
}

impl<B: Backend> Query<B> {
    fn ask(mut self, image: &B, offset: u64) {
        self.calls = self.calls.saturating_add(1);
        let len = self.end.saturating_sub(offset);
        image.block_status(offset, len, move |outcome| self.proceed(offset, len, outcome));
    }

    fn proceed(mut self, offset: u64, len: u64, outcome: Result<Extent, Errno>) {
        const OP: Op = Op::LbaStatus;
        let extent = match outcome {
            Ok(extent) => extent,
            Err(errno) => return fail(&self.lun, self.command, OP, offset, errno),
        };
        self.lun.served(OP);
        let block = u64::try_from(self.lun.block_size.bytes()).unwrap_or(u64::MAX);
        let range = whole_blocks(offset, extent, block, len);
        match self.ranges.last_mut() {
            Some(last) if last.mapped == range.mapped => {
                last.len = last.len.saturating_add(range.len);
            }
            _ => self.ranges.push(range),
        }
        let next = offset.saturating_add(range.len);
        let is_full = self.ranges.len() > self.room || self.calls >= MAX_CALLS;
        if next >= self.end || is_full {
            return self.answer(block);
        }
        if self.command.is_expired() {
            return expire(&self.lun, self.command, OP, offset);
        }
        match self.lun.gate.image() {
            Some(image) => self.ask(&image, next),
            None => fail(&self.lun, self.command, OP, offset, Errno::ENOTCONN),
        }
    }

    fn answer(mut self, block: u64) {
        const DEALLOCATED: u8 = 1;
        self.ranges.truncate(self.room);
        let mut answer = vec![0; HEADER];
        for range in &self.ranges {
            let blocks = |bytes: u64| bytes.checked_div(block).unwrap_or(0);
            answer.extend(blocks(range.offset).to_be_bytes());
            let count = u32::try_from(blocks(range.len)).unwrap_or(u32::MAX);
            answer.extend(count.to_be_bytes());
            answer.extend([if range.mapped { 0 } else { DEALLOCATED }, 0, 0, 0]);
        }
        // PARAMETER DATA LENGTH does not count itself.
        let length = u32::try_from(answer.len().saturating_sub(4)).unwrap_or(u32::MAX);
        answer.splice(..4, length.to_be_bytes());
        space::answer(self.command, answer);
    }
}

/// The blocks of an extent that begins at the first byte of a block: at least one, and no more than
/// there are in `len` bytes.
fn whole_blocks(offset: u64, extent: Extent, block: u64, len: u64) -> Range {
    let stored = extent.len.div_ceil(block).saturating_mul(block);
    let free = extent.len.saturating_sub(extent.len.checked_rem(block).unwrap_or(0));
    let mapped = extent.allocated || free == 0;
    let range = if extent.allocated { stored } else { free.max(block) };
    Range { offset, len: range.clamp(block, len.max(block)), mapped }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_that_is_stored_in_part_is_mapped() {
        let range = |allocated, len| {
            let range = whole_blocks(0, Extent { allocated, len }, 512, 8192);
            (range.mapped, range.len)
        };
        assert_eq!([range(true, 1), range(true, 513)], [(true, 512), (true, 1024)]);
        assert_eq!([range(false, 1), range(false, 1023)], [(true, 512), (false, 512)]);
        assert_eq!(range(true, 9000), (true, 8192), "never beyond the end");
    }
}
