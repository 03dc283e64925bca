// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! What a range is filled with, and in pieces of which size.

use std::sync::Arc;

use super::super::backend::ZeroMethod;

/// Bytes of the largest piece: no call should take longer than the margin between a command's
/// deadline and the kernel's.
pub(super) fn piece_size(method: ZeroMethod) -> u64 {
    match method {
        ZeroMethod::Discard => 128 << 20,
        // A brick whose file system cannot zero a range writes it, and answers when it is done.
        ZeroMethod::Zerofill => 64 << 20,
        ZeroMethod::Write => 1 << 20,
    }
}

/// What a range is filled with.
#[derive(Debug)]
pub(super) enum Pattern {
    Zeros,
    Block(Vec<u8>),
}

impl Pattern {
    pub(super) fn of(block: Vec<u8>) -> Self {
        if block.iter().all(|&byte| byte == 0) { Self::Zeros } else { Self::Block(block) }
    }

    /// Bytes after which it repeats itself.
    pub(super) fn period(&self) -> usize {
        match self {
            Self::Zeros => 1,
            Self::Block(block) => block.len(),
        }
    }

    /// Enough of it for a piece that begins anywhere in a block: a short write may have stopped
    /// there.
    pub(super) fn repeated(&self) -> Arc<[u8]> {
        let piece = usize::try_from(piece_size(ZeroMethod::Write)).unwrap_or(usize::MAX);
        match self {
            Self::Zeros => vec![0; piece].into(),
            Self::Block(block) => {
                block.repeat(piece.div_ceil(block.len()).saturating_add(1)).into()
            }
        }
    }
}
