// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! INQUIRY: which standards the LUN keeps to, and its limits (SPC-4, 6.6; SBC-3, 6.5).
//!
//! The core answers the pages that name the LUN (00h, 80h, 83h), which need the kernel's numbers,
//! and the standard data, in which it tells the ALUA state; the rest of that is laid over it.

use super::MAX_UNMAP;
use super::answers::{cut, physical_exponent, threshold_exponent, wrong};
use super::unmap::{MAX_DESCRIPTORS, MAX_WRITE_SAME};
use crate::runner::{Arrival, Overlay, Verdict};
use crate::scsi::Cdb;

/// Block Limits.
const BLOCK_LIMITS: u8 = 0xb0;
/// Block Device Characteristics.
const CHARACTERISTICS: u8 = 0xb1;
/// Logical Block Provisioning.
const PROVISIONING: u8 = 0xb2;

/// What becomes of an INQUIRY.
pub(super) fn answer(cdb: &Cdb, arrival: &Arrival) -> Verdict {
    const RESERVED: u8 = 0b1111_1110;
    match (cdb.flags() & RESERVED, cdb.vpd_page(), cdb.byte(2)) {
        (0, None, 0) => Verdict::Overlay(standard()),
        (0, Some(0x00 | 0x80 | 0x83), _) => Verdict::Pass,
        (0, Some(BLOCK_LIMITS), _) => cut(cdb, block_limits(arrival)),
        (0, Some(CHARACTERISTICS), _) => cut(cdb, characteristics()),
        (0, Some(PROVISIONING), _) => cut(cdb, provisioning(arrival)),
        (0, ..) => Verdict::End(wrong(2, None)),
        _ => Verdict::End(wrong(1, 1)),
    }
}

/// What the core does not say (`scsi.c`, `tcmu_emulate_std_inquiry`): SPC-4, and that this is a
/// disk as of SBC-3. It leaves its own ALUA bits, vendor and product in the bytes between.
fn standard() -> Overlay {
    const VERSION: usize = 2;
    const ADDITIONAL_LENGTH: usize = 4;
    const LENGTH: u8 = 74;
    const DESCRIPTORS: [[u8; 2]; 3] = [
        // SAM-5, SPC-4, SBC-3, without a claim of a revision.
        [0x00, 0xa0],
        [0x04, 0x60],
        [0x04, 0xc0],
    ];
    let mut answer = vec![0, 0, 0x06, 0, LENGTH - 5];
    answer.resize(58, 0);
    answer.extend(DESCRIPTORS.iter().flatten());
    answer.resize(LENGTH.into(), 0);
    Overlay { answer, ours: &[VERSION, ADDITIONAL_LENGTH], core_len: 36 }
}

/// Block Limits. The core's has `0xffff_ffff` as MAXIMUM WRITE SAME LENGTH whatever the handler can
/// do (`scsi.c`, `tcmu_emulate_evpd_inquiry`).
fn block_limits(arrival: &Arrival) -> Vec<u8> {
    const WRITE_SAME_NON_ZERO: u8 = 1;
    const MAX_COMPARE_AND_WRITE: u8 = 1;
    const ALIGNMENT_IS_VALID: u32 = 1 << 31;
    let granularity = 1_u16.checked_shl(physical_exponent(arrival).into()).unwrap_or(1);
    let [high, low] = granularity.to_be_bytes();
    let mut page = page(BLOCK_LIMITS, 60);
    page.extend([WRITE_SAME_NON_ZERO, MAX_COMPARE_AND_WRITE, high, low]);
    let fields = [
        // Maximum and optimal transfer length, maximum prefetch length.
        arrival.max_transfer,
        arrival.max_transfer,
        0,
        MAX_UNMAP.checked_div(arrival.block_size).unwrap_or(0),
        u32::try_from(MAX_DESCRIPTORS).unwrap_or(u32::MAX),
        // Optimal granularity of UNMAP, and alignment.
        1,
        ALIGNMENT_IS_VALID | 1,
        // Maximum WRITE SAME length: the upper half, and the lower.
        0,
        MAX_WRITE_SAME.checked_div(arrival.block_size).unwrap_or(0),
    ];
    page.extend(fields.into_iter().flat_map(u32::to_be_bytes));
    page.resize(64, 0);
    page
}

/// Block Device Characteristics: nothing rotates. Seek times mean nothing on a volume.
fn characteristics() -> Vec<u8> {
    const NON_ROTATING: [u8; 2] = [0, 1];
    let mut page = page(CHARACTERISTICS, 60);
    page.extend(NON_ROTATING);
    page.resize(64, 0);
    page
}

/// Logical Block Provisioning: thin, by UNMAP and WRITE SAME, and unmapped blocks read as zeros.
fn provisioning(arrival: &Arrival) -> Vec<u8> {
    const LBPU_LBPWS_LBPWS10: u8 = 0xe0;
    const LBPRZ: u8 = 0x04;
    const THIN: u8 = 2;
    let mut page = page(PROVISIONING, 4);
    page.extend([threshold_exponent(arrival), LBPU_LBPWS_LBPWS10 | LBPRZ, THIN, 0]);
    page
}

fn page(code: u8, length: u8) -> Vec<u8> {
    vec![0, code, 0, length]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(cdb: &[u8]) -> Verdict {
        let arrival = Arrival { block_size: 512, blocks: 8000, max_transfer: 2048, data_len: 255 };
        answer(&Cdb::new(cdb), &arrival)
    }

    #[test]
    fn pages_are_cut_to_the_allocation_length_and_no_shorter() {
        for page in [BLOCK_LIMITS, CHARACTERISTICS, PROVISIONING] {
            let Verdict::Data(whole) = asked(&[0x12, 1, page, 0, 255]) else { panic!("{page:x}") };
            assert_eq!((whole.len(), whole[1]), (usize::from(whole[3]) + 4, page));
            assert_eq!(asked(&[0x12, 1, page, 0, 5]), Verdict::Data(whole[..5].to_vec()));
        }
    }

    #[test]
    fn the_core_names_the_lun_and_nobody_has_other_pages() {
        for page in [0, 0x80, 0x83] {
            assert_eq!(asked(&[0x12, 1, page, 0, 255]), Verdict::Pass);
        }
        assert_eq!(asked(&[0x12, 1, 0xb3, 0, 255]), Verdict::End(wrong(2, None)));
        assert_eq!(asked(&[0x12, 0, 0xb0, 0, 255]), Verdict::End(wrong(2, None)), "without EVPD");
        assert_eq!(asked(&[0x12, 2, 0, 0, 255]), Verdict::End(wrong(1, 1)), "CMDDT");
    }

    #[test]
    fn standard_data_has_what_the_length_says() {
        let Verdict::Overlay(overlay) = asked(&[0x12, 0, 0, 0, 255]) else { panic!() };
        assert_eq!(overlay.answer.len(), usize::from(overlay.answer[4]) + 5);
        assert_eq!(overlay.answer[58..64], [0, 0xa0, 4, 0x60, 4, 0xc0]);
    }
}
