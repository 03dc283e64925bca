// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Blocks and bytes, and the only conversions between them.

/// Bytes of a logical block: a power of two from 512 to 65536.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BlockSize(u32);

/// A LUN cannot have this shape.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum BadGeometry {
    /// What the kernel passed as `hw_block_size`.
    #[error("a logical block of {0} bytes is not supported: a power of two from 512 to 65536 is")]
    BlockSize(u32),
    /// The image.
    #[error(
        "the image has {bytes} bytes, less than one logical block of {block}: grow it first \
         (tcmu-glfs resize)"
    )]
    Empty { bytes: u64, block: u32 },
}

impl BlockSize {
    /// # Errors
    /// Not a power of two, or out of range.
    pub(super) fn new(bytes: u32) -> Result<Self, BadGeometry> {
        if bytes.is_power_of_two() && (512..=65536).contains(&bytes) {
            Ok(Self(bytes))
        } else {
            Err(BadGeometry::BlockSize(bytes))
        }
    }

    /// Bytes of a block.
    pub(super) fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    /// How many whole blocks `bytes` are, as the 32 bits that SCSI limits have.
    #[must_use]
    pub(super) fn blocks_in(self, bytes: u32) -> u32 {
        bytes / self.0
    }

    /// Size in bytes of the largest LUN that an image of `bytes` holds: whole blocks only.
    ///
    /// # Errors
    /// Not even one block.
    pub(super) fn lun_in(self, bytes: u64) -> Result<u64, BadGeometry> {
        match bytes - bytes % u64::from(self.0) {
            0 => Err(BadGeometry::Empty { bytes, block: self.0 }),
            whole => Ok(whole),
        }
    }
}

/// Whether `len` bytes at `offset` lie within a LUN of `lun` bytes. The core checks that for most
/// commands, but lets FORMAT UNIT run past the end of a LUN of 2^32 blocks.
#[must_use]
pub(super) fn fits(lun: u64, offset: u64, len: u64) -> bool {
    offset.checked_add(len).is_some_and(|end| end <= lun)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn odd_block_sizes_are_refused() {
        for bytes in [0, 1, 256, 513, 4095, 131_072] {
            assert_eq!(BlockSize::new(bytes), Err(BadGeometry::BlockSize(bytes)));
        }
    }

    #[test]
    fn ranges_at_the_very_end() {
        assert!(fits(4096, 4095, 1));
        assert!(fits(4096, 4096, 0));
        assert!(!fits(4096, 4096, 1));
        assert!(!fits(u64::MAX, u64::MAX, 1));
        assert!(!fits(4096, 0, u64::MAX));
    }

    proptest! {
        #[test]
        fn a_lun_never_exceeds_its_image(shift in 9_u32..=16, bytes: u64) {
            let block = 1_u32 << shift;
            if let Ok(lun) = BlockSize::new(block).unwrap().lun_in(bytes) {
                let block = u64::from(block);
                prop_assert!(lun <= bytes && bytes - lun < block && lun % block == 0);
            }
        }
    }
}
