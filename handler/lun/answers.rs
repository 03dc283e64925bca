// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Answers without a look at the image, and those of a fixed form: READ CAPACITY (16), READ DEFECT
//! DATA, REQUEST SENSE, LOG SENSE.

use super::backend::Space;
use crate::runner::{Arrival, Verdict};
use crate::scsi::{Cdb, Sense, Status};

/// What answers say of a LUN, beside its shape.
#[derive(Debug, Clone, Copy)]
pub struct Attributes {
    /// The image may be written.
    pub writable: bool,
}

impl Attributes {
    /// Of a LUN that is not open.
    pub const UNKNOWN: Self = Self { writable: true };
}

/// The field that begins at this byte and bit of the CDB is wrong.
pub(super) fn wrong(byte: u16, bit: impl Into<Option<u8>>) -> Status {
    Status::Sense(Sense::invalid_field_in_cdb(byte, bit))
}

/// GOOD, with as much of `data` as the CDB allows for.
pub(super) fn cut(cdb: &Cdb, mut data: Vec<u8>) -> Verdict {
    data.truncate(cdb.parameter_length());
    Verdict::Data(data)
}

/// Bytes of a physical block: what the bricks' file systems write as a whole.
const PHYSICAL_BLOCK: u32 = 4096;

/// Log page 00h: which pages there are.
pub(super) const SUPPORTED_LOG_PAGES: u8 = 0x00;
/// Log page 0Ch: Logical Block Provisioning (SBC-3, 6.4.5).
pub(super) const PROVISIONING_LOG_PAGE: u8 = 0x0c;

/// Bytes of a threshold set: the unit of log page 0Ch.
const THRESHOLD_SET: u32 = 1 << 20;

/// How many logical blocks a physical one has, as a power of two: more than one where the size of
/// the LUN allows it, so that no physical block lies half within it.
pub(super) fn physical_exponent(arrival: &Arrival) -> u8 {
    let blocks = PHYSICAL_BLOCK.checked_div(arrival.block_size).unwrap_or(0).max(1);
    let whole = blocks.is_power_of_two() && arrival.blocks % u64::from(blocks) == 0;
    let exponent = if whole { blocks.trailing_zeros() } else { 0 };
    u8::try_from(exponent).unwrap_or(0)
}

/// How many logical blocks a threshold set has, as a power of two (VPD B2h).
pub(super) fn threshold_exponent(arrival: &Arrival) -> u8 {
    let blocks = THRESHOLD_SET.checked_div(arrival.block_size).unwrap_or(0).max(1);
    u8::try_from(blocks.ilog2()).unwrap_or(0)
}

/// READ CAPACITY (16): thin, and unmapped blocks read as zeros (SBC-3, 5.16.2).
pub(super) fn capacity(arrival: &Arrival) -> Vec<u8> {
    const LBPME: u8 = 0x80;
    const LBPRZ: u8 = 0x40;
    let mut answer = Vec::with_capacity(32);
    answer.extend(arrival.blocks.saturating_sub(1).to_be_bytes());
    answer.extend(arrival.block_size.to_be_bytes());
    answer.extend([0, physical_exponent(arrival), LBPME | LBPRZ, 0]);
    answer.resize(32, 0);
    answer
}

/// READ DEFECT DATA: the lists that are asked for, which are empty (SBC-3, 5.18, 5.19).
pub(super) fn defects(cdb: &Cdb) -> Vec<u8> {
    let is_long = cdb.opcode() == 0xb7;
    let flags = if is_long { cdb.flags() } else { cdb.byte(2) };
    let mut answer = vec![0, flags & 0x1f];
    answer.resize(if is_long { 8 } else { 4 }, 0);
    answer
}

/// REQUEST SENSE: what a TEST UNIT READY would be told (SPC-4, 6.39).
pub(super) fn sense(cdb: &Cdb, status: Status) -> Vec<u8> {
    const DESC: u8 = 1;
    let sense = if let Status::Sense(sense) = status { sense } else { Sense::NONE };
    if cdb.flags() & DESC != 0 {
        return sense.to_descriptor_format().to_vec();
    }
    let mut answer = sense.to_bytes().to_vec();
    answer.truncate(18);
    answer
}

/// LOG SENSE: the list of pages, or what is left of the volume's space and what is used of it.
pub(super) fn log_page(cdb: &Cdb, space: Option<Space>) -> Vec<u8> {
    const AVAILABLE: u16 = 1;
    const USED: u16 = 2;
    let mut parameters = Vec::new();
    let page = cdb.byte(2) & 0x3f;
    match space {
        None => parameters.extend([SUPPORTED_LOG_PAGES, PROVISIONING_LOG_PAGE]),
        Some(space) => {
            let used = space.total.saturating_sub(space.free);
            for (code, bytes) in [(AVAILABLE, space.free), (USED, used)] {
                parameters.extend(resource_count(code, bytes));
            }
        }
    }
    let length = u16::try_from(parameters.len()).unwrap_or(u16::MAX);
    let mut answer = vec![page, 0];
    answer.extend(length.to_be_bytes());
    answer.extend(parameters);
    answer
}

/// A parameter of log page 0Ch, in threshold sets. The space is shared by all LUNs of the volume.
fn resource_count(code: u16, bytes: u64) -> [u8; 12] {
    /// Binary, and a list.
    const FORMAT: u8 = 0b11;
    const LENGTH: u8 = 8;
    const NOT_DEDICATED: u8 = 0b10;
    let sets = u32::try_from(bytes.div_euclid(THRESHOLD_SET.into())).unwrap_or(u32::MAX);
    let ([c0, c1], [s0, s1, s2, s3]) = (code.to_be_bytes(), sets.to_be_bytes());
    [c0, c1, FORMAT, LENGTH, s0, s1, s2, s3, NOT_DEDICATED, 0, 0, 0]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrival(block_size: u32, blocks: u64) -> Arrival {
        Arrival { block_size, blocks, max_transfer: 2048, data_len: 0 }
    }

    #[test]
    fn physical_blocks_have_4_kib_where_the_size_is_a_multiple_of_that() {
        let exponent = |block_size, blocks| physical_exponent(&arrival(block_size, blocks));
        assert_eq!([exponent(512, 8000), exponent(512, 8004), exponent(1024, 4)], [3, 0, 2]);
        assert_eq!([exponent(4096, 5), exponent(65536, 5), exponent(0, 5)], [0, 0, 0]);
        let capacity = capacity(&arrival(512, 8000));
        assert_eq!(
            (capacity.len(), &capacity[6..16]),
            (32, &[0x1f, 0x3f, 0, 0, 2, 0, 0, 3, 0xc0, 0][..])
        );
    }

    #[test]
    fn no_defects_are_listed_and_each_list_that_is_asked_for_is_there() {
        assert_eq!(defects(&Cdb::new(&[0x37, 0, 0x1d])), [0, 0x1d, 0, 0]);
        assert_eq!(defects(&Cdb::new(&[0xb7, 0x18])), [0, 0x18, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn sense_that_is_asked_for_has_either_format() {
        let status = Status::Sense(Sense::NOT_READY);
        let fixed = sense(&Cdb::new(&[3]), status);
        assert_eq!((fixed.len(), fixed[0], fixed[2], fixed[12]), (18, 0x70, 2, 4));
        assert_eq!(sense(&Cdb::new(&[3, 1]), status), [0x72, 2, 4, 0, 0, 0, 0, 0]);
        assert_eq!(sense(&Cdb::new(&[3]), Status::Ok)[2], 0);
    }

    #[test]
    fn space_is_told_in_threshold_sets() {
        let space = Space { total: 5 << 30, free: (3 << 30) + 5 };
        let page = log_page(&Cdb::new(&[0x4d, 0, 0x4c]), Some(space));
        assert_eq!(page[..12], [0x0c, 0, 0, 24, 0, 1, 3, 8, 0, 0, 0x0c, 0]);
        assert_eq!(page[16..24], [0, 2, 3, 8, 0, 0, 7, 0xff]);
        assert_eq!(threshold_exponent(&arrival(512, 1)), 11);
        assert_eq!(log_page(&Cdb::new(&[0x4d]), None), [0, 0, 0, 2, 0, 0x0c]);
    }
}
