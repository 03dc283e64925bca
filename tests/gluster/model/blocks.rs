// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! What blocks hold: each says which write it is of, and where it was written.

pub(super) const BLOCK: usize = 512;

/// The place that blocks of a WRITE SAME, which are all alike, claim.
pub(super) const ANYWHERE: u64 = u64::MAX;
/// The write that made everything zeros.
pub(super) const ZEROS: u64 = 0;

/// A write, and the place that its block claims.
pub(super) type Origin = (u64, u64);

/// What the write of this number leaves in a block.
pub(super) fn block((number, place): Origin) -> Vec<u8> {
    if number == ZEROS {
        return vec![0; BLOCK];
    }
    [number.to_le_bytes(), place.to_le_bytes()].concat().repeat(BLOCK / 16)
}

/// A write that may be what a block holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Write {
    pub(super) number: u64,
    pub(super) leaves: Origin,
    /// None while it is in flight.
    pub(super) end: Option<u64>,
}

/// What a command leaves in the blocks of its range.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Leaves {
    Zeros,
    /// Blocks that claim their place.
    Places,
    /// Blocks that are all alike.
    Alike,
}

/// xorshift: the run can be repeated from its seed.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap() % limit
    }
}
