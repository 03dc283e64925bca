// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! What a block holds: who wrote it, with which write, and where it belongs, all over.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// The unit of the load. Every write is of one block.
pub(crate) const BLOCK: usize = 4096;

/// Told from data that nobody here has written.
const MAGIC: u64 = 0x7465_7374_2d67_6c66;

/// A write, by gateway and number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Stamp {
    pub(crate) gateway: u64,
    pub(crate) number: u64,
}

/// What has been found in a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    Zeros,
    Write(Stamp),
    /// A mixture, rubbish, or what belongs to another block.
    Torn,
}

impl Stamp {
    /// The block that this write leaves.
    pub(crate) fn fill(self, block: u64) -> Vec<u8> {
        let words = [MAGIC, self.gateway, self.number, block];
        words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>().repeat(BLOCK / 32)
    }
}

impl Content {
    /// What `bytes`, found at `block`, are.
    pub(crate) fn of(bytes: &[u8], block: u64) -> Self {
        if bytes.iter().all(|&byte| byte == 0) {
            return Self::Zeros;
        }
        let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        let stamp = Stamp { gateway: word(8), number: word(16) };
        if bytes == stamp.fill(block) { Self::Write(stamp) } else { Self::Torn }
    }

    /// The blocks of an image, or of a brick's copy of it.
    pub(crate) fn of_file(path: &Path, blocks: u64) -> Vec<Self> {
        let file = File::open(path).unwrap();
        let mut bytes = vec![0; BLOCK];
        (0..blocks)
            .map(|block| {
                file.read_exact_at(&mut bytes, block * 4096).unwrap();
                Self::of(&bytes, block)
            })
            .collect()
    }
}
