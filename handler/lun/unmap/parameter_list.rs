// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The parameter list of UNMAP (SBC-3, 5.28.2).

use std::ops::Range;

use crate::scsi::{Sense, Status};

/// Block descriptors of the longest list (VPD B0h).
pub(in crate::lun) const MAX_DESCRIPTORS: usize = 256;

const HEADER: usize = 8;
const DESCRIPTOR: usize = 16;

/// Bytes of the longest list that is looked at.
pub(in crate::lun) const LONGEST: usize = HEADER + (MAX_DESCRIPTORS + 1) * DESCRIPTOR;

/// The ranges of a list, in blocks; those of no blocks are left out. `blocks` is the size of the
/// LUN, `max` how many may be unmapped at once.
///
/// # Errors
/// A list that is cut off within its header, or has too many descriptors or blocks; a range beyond
/// the end. Nothing of it is unmapped then.
pub(in crate::lun) fn parse(list: &[u8], blocks: u64, max: u64) -> Result<Vec<Range<u64>>, Status> {
    let (header, body) =
        list.split_at_checked(HEADER).ok_or(Status::Sense(Sense::PARAMETER_LIST_LENGTH_ERROR))?;
    let [_, _, high, low, ..] = header else {
        return Err(Status::Sense(Sense::PARAMETER_LIST_LENGTH_ERROR));
    };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    let body = body.get(..length).unwrap_or(body);
    // One that is cut off is ignored.
    let descriptors = body.chunks_exact(DESCRIPTOR);
    if descriptors.len() > MAX_DESCRIPTORS {
        return Err(Status::Sense(Sense::invalid_field_in_parameter_list(2)));
    }
    let mut ranges = Vec::new();
    let mut total = 0_u64;
    for (index, descriptor) in descriptors.enumerate() {
        let (lba, rest) = descriptor.split_first_chunk::<8>().unwrap_or((&[0; 8], &[]));
        let lba = u64::from_be_bytes(*lba);
        let count = u32::from_be_bytes(rest.first_chunk().copied().unwrap_or_default());
        let count = u64::from(count);
        let end = lba.checked_add(count).filter(|end| *end <= blocks).ok_or(Status::OutOfRange)?;
        total = total.saturating_add(count);
        if total > max {
            let byte = HEADER.saturating_add(index.saturating_mul(DESCRIPTOR)).saturating_add(8);
            return Err(Status::Sense(Sense::invalid_field_in_parameter_list(byte)));
        }
        if count > 0 {
            ranges.push(lba..end);
        }
    }
    Ok(ranges)
}

#[cfg(test)]
pub(in crate::lun) mod tests {
    use super::*;

    /// A list of these LBAs and numbers of blocks.
    pub(in crate::lun) fn list(descriptors: &[(u64, u32)]) -> Vec<u8> {
        let length = u16::try_from(descriptors.len() * DESCRIPTOR).unwrap();
        let mut list = [(length + 6).to_be_bytes(), length.to_be_bytes(), [0; 2], [0; 2]].concat();
        for (lba, count) in descriptors {
            list.extend(lba.to_be_bytes());
            list.extend(count.to_be_bytes());
            list.extend([0; 4]);
        }
        list
    }

    fn parsed(list: &[u8]) -> Result<Vec<Range<u64>>, Status> {
        parse(list, 1000, 500)
    }

    #[test]
    fn ranges_are_taken_in_order_and_empty_ones_left_out() {
        assert_eq!(
            parsed(&list(&[(5, 3), (9, 0), (0, 1), (999, 1)])),
            Ok(vec![5..8, 0..1, 999..1000])
        );
        assert_eq!(parsed(&list(&[])), Ok(vec![]));
        assert_eq!(parsed(&list(&[(1000, 0)])), Ok(vec![]));
    }

    #[test]
    fn a_descriptor_that_is_cut_off_is_ignored_and_a_header_is_an_error() {
        let mut cut = list(&[(5, 3), (9, 1)]);
        cut.truncate(HEADER + 31);
        let range = 5..8;
        let first = Ok(vec![range]);
        assert_eq!(parsed(&cut), first);
        let mut short = list(&[(5, 3), (9, 1)]);
        short[3] = 31;
        assert_eq!(parsed(&short), first);
        for len in 0..HEADER {
            let error = Err(Status::Sense(Sense::PARAMETER_LIST_LENGTH_ERROR));
            assert_eq!(parsed(&cut[..len]), error);
        }
    }

    #[test]
    fn what_is_too_far_or_too_much_is_refused_as_a_whole() {
        assert_eq!(parsed(&list(&[(0, 1), (999, 2)])), Err(Status::OutOfRange));
        assert_eq!(parsed(&list(&[(u64::MAX, 1)])), Err(Status::OutOfRange));
        let much = Err(Status::Sense(Sense::invalid_field_in_parameter_list(8 + 16 + 8)));
        assert_eq!(parsed(&list(&[(0, 300), (300, 201)])), much);
        let many = Err(Status::Sense(Sense::invalid_field_in_parameter_list(2)));
        assert_eq!(parsed(&list(&[(0, 0); MAX_DESCRIPTORS + 1])), many);
        assert_eq!(parsed(&list(&[(0, 0); MAX_DESCRIPTORS])), Ok(vec![]));
    }
}
