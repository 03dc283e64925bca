// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Extents of an image in memory: blocks of zeros are holes.

use crate::lun::backend::Extent;

/// The extent that begins at `offset`.
pub(super) fn extent(bytes: &[u8], offset: u64, len: u64) -> Extent {
    /// Bytes that are allocated together.
    const BLOCK: u64 = 512;
    let is_allocated = |at: u64| {
        let begin = usize::try_from(at / BLOCK * BLOCK).unwrap();
        let end = (begin + usize::try_from(BLOCK).unwrap()).min(bytes.len());
        bytes.get(begin..end).is_some_and(|block| block.iter().any(|&byte| byte != 0))
    };
    let (allocated, limit) = (is_allocated(offset), offset + len);
    let mut end = (offset / BLOCK + 1) * BLOCK;
    while end < limit && is_allocated(end) == allocated {
        end += BLOCK;
    }
    Extent { allocated, len: end.min(limit) - offset }
}
