// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The parameter list of EXTENDED COPY (LID1) (SPC-4, 6.4): a header, the devices that take part,
//! and segments to copy.

use crate::scsi::{Sense, Status};

/// Devices that one list may name.
pub(in crate::lun) const MAX_TARGETS: usize = 2;
/// Segments of one list.
pub(in crate::lun) const MAX_SEGMENTS: usize = 16;
/// Bytes of the longest segment: 65535 blocks of 512 bytes.
pub(in crate::lun) const MAX_SEGMENT: u32 = 65_535 * 512;
/// Bytes of both lists of descriptors together.
pub(in crate::lun) const MAX_DESCRIPTORS_LEN: usize = 1024;
/// Bytes of the longest list that is looked at.
pub(in crate::lun) const LONGEST: usize = HEADER + MAX_DESCRIPTORS_LEN;

const HEADER: usize = 16;
const TARGET: usize = 32;
const SEGMENT: usize = 28;
/// Identification descriptor: of a target.
pub(in crate::lun) const IDENTIFICATION: u8 = 0xe4;
/// From block device to block device: of a segment.
pub(in crate::lun) const BLOCK_TO_BLOCK: u8 = 0x02;

/// Designator of a device: NAA 6h, IEEE Registered Extended.
pub(in crate::lun) type Designator = [u8; 16];

/// What is to be copied within one LUN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::lun) struct Plan {
    /// LIST IDENTIFIER, where the initiator may ask for the outcome later.
    pub(in crate::lun) list: Option<u8>,
    pub(in crate::lun) segments: Vec<Segment>,
}

/// Blocks to copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::lun) struct Segment {
    pub(in crate::lun) from: u64,
    pub(in crate::lun) to: u64,
    pub(in crate::lun) blocks: u64,
}

/// The LUN that a list must name.
#[derive(Debug, Clone, Copy)]
pub(in crate::lun) struct Own {
    pub(in crate::lun) designator: Designator,
    pub(in crate::lun) block_size: u32,
    pub(in crate::lun) blocks: u64,
}

/// The designator that the core makes of a serial number (`scsi.c`, `tcmu_emulate_evpd_inquiry`;
/// `tcmur_cmd_handler.c`, `xcopy_gen_naa_ieee`): NAA 6h, the company 001405h, and its hexadecimal
/// digits.
pub(in crate::lun) fn designator(serial: &str) -> Designator {
    let mut bytes = [0x60, 0x01, 0x40, 0x50, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let digits = serial.chars().filter_map(|digit| digit.to_digit(16));
    // The first digit completes byte 3.
    for (place, digit) in (7_usize..32).zip(digits) {
        let digit = u8::try_from(digit).unwrap_or(0);
        if let Some(byte) = bytes.get_mut(place.div_euclid(2)) {
            *byte |= if place % 2 == 0 { digit << 4 } else { digit };
        }
    }
    bytes
}

/// Reads a list.
///
/// # Errors
/// The first thing that is wrong with it; nothing of it is copied then.
pub(in crate::lun) fn parse(list: &[u8], own: &Own) -> Result<Plan, Status> {
    const CUT_OFF: Status = Status::Sense(Sense::PARAMETER_LIST_LENGTH_ERROR);
    let header = list.first_chunk::<HEADER>().ok_or(CUT_OFF)?;
    let [id, usage, t0, t1, _, _, _, _, s0, s1, s2, s3, i0, i1, i2, i3] = *header;
    let targets = usize::from(u16::from_be_bytes([t0, t1]));
    let segments = usize::try_from(u32::from_be_bytes([s0, s1, s2, s3])).unwrap_or(usize::MAX);
    let list_id = match (usage >> 3) & 0b11 {
        0b00 | 0b10 => Some(id),
        0b11 if id == 0 => None,
        0b11 => return Err(wrong(0)),
        _ => return Err(wrong(1)),
    };
    let whole = targets.saturating_add(segments);
    if whole > MAX_DESCRIPTORS_LEN || u32::from_be_bytes([i0, i1, i2, i3]) != 0 {
        return Err(CUT_OFF);
    }
    let body = list.get(HEADER..HEADER.saturating_add(whole)).ok_or(CUT_OFF)?;
    let (targets, segments) = body.split_at_checked(targets).ok_or(CUT_OFF)?;
    let ours = self::targets(targets, own)?;
    let first = HEADER.saturating_add(targets.len());
    let segments = self::segments(segments, first, &ours, own)?;
    Ok(Plan { list: list_id, segments })
}

/// Of each device, whether it is this LUN.
fn targets(list: &[u8], own: &Own) -> Result<Vec<bool>, Status> {
    let descriptors = list.chunks_exact(TARGET);
    if !descriptors.remainder().is_empty() {
        return Err(wrong(2));
    }
    if descriptors.len() > MAX_TARGETS {
        return Err(Status::Sense(Sense::TOO_MANY_TARGETS));
    }
    descriptors
        .filter_map(|descriptor| descriptor.first_chunk::<TARGET>())
        .enumerate()
        .map(|(index, descriptor)| {
            let at = HEADER.saturating_add(index.saturating_mul(TARGET));
            is_own(descriptor, own).map_err(|wrong| wrong.at(at))
        })
        .collect()
}

/// Whether a descriptor names this LUN.
fn is_own(descriptor: &[u8; TARGET], own: &Own) -> Result<bool, Wrong> {
    const BINARY: u8 = 1;
    /// ASSOCIATION 0 (the logical unit), DESIGNATOR TYPE 3 (NAA).
    const LOGICAL_UNIT_NAA: u8 = 0x03;
    const NUL: u8 = 0x20;
    const TYPE: u8 = 0x1f;
    const EXTENDED: u8 = 16;
    let [code, flags, _, _, set, kind, _, length, id @ ..] = *descriptor;
    if code != IDENTIFICATION {
        return Err(Wrong::Descriptor(Sense::UNSUPPORTED_TARGET));
    }
    if flags & NUL != 0 {
        return Err(Wrong::Descriptor(Sense::UNREACHABLE_TARGET));
    }
    if flags & TYPE != 0 {
        return Err(Wrong::Field(1));
    }
    let [d @ .., _, _, _, _, _, b0, b1, b2] = id;
    let matches = (set & 0x0f, kind & 0x3f, length) == (BINARY, LOGICAL_UNIT_NAA, EXTENDED)
        && d.starts_with(&own.designator);
    if matches && u32::from_be_bytes([0, b0, b1, b2]) != own.block_size {
        return Err(Wrong::Field(29));
    }
    Ok(matches)
}

/// What is wrong with a descriptor: all of it, or a field at some byte.
enum Wrong {
    Descriptor(Sense),
    Field(usize),
}

impl Wrong {
    /// Of the descriptor that begins at this byte of the list.
    fn at(self, byte: usize) -> Status {
        match self {
            Self::Descriptor(sense) => Status::Sense(sense.at(byte)),
            Self::Field(field) => wrong(byte.saturating_add(field)),
        }
    }
}

/// The segments, the first of which begins at this byte of the list.
fn segments(list: &[u8], first: usize, ours: &[bool], own: &Own) -> Result<Vec<Segment>, Status> {
    let mut segments = Vec::new();
    let (mut rest, mut at) = (list, first);
    while let Some(code) = rest.first() {
        if *code != BLOCK_TO_BLOCK {
            return Err(Status::Sense(Sense::UNSUPPORTED_SEGMENT.at(at)));
        }
        if segments.len() == MAX_SEGMENTS {
            return Err(Status::Sense(Sense::TOO_MANY_SEGMENTS));
        }
        let Some((descriptor, next)) = rest.split_first_chunk::<SEGMENT>() else {
            return Err(Status::Sense(Sense::PARAMETER_LIST_LENGTH_ERROR));
        };
        segments.push(segment(descriptor, ours, own).map_err(|wrong| wrong.at(at))?);
        (rest, at) = (next, at.saturating_add(SEGMENT));
    }
    Ok(segments)
}

fn segment(descriptor: &[u8; SEGMENT], ours: &[bool], own: &Own) -> Result<Segment, Wrong> {
    const LENGTH: u16 = 0x18;
    let [_, _, l0, l1, s0, s1, d0, d1, _, _, c0, c1, addresses @ ..] = *descriptor;
    if u16::from_be_bytes([l0, l1]) != LENGTH {
        return Err(Wrong::Field(2));
    }
    for index in [[s0, s1], [d0, d1]] {
        match ours.get(usize::from(u16::from_be_bytes(index))) {
            Some(true) => {}
            Some(false) => return Err(Wrong::Descriptor(Sense::TARGET_NOT_REACHABLE)),
            None => return Err(Wrong::Descriptor(Sense::UNREACHABLE_TARGET)),
        }
    }
    let [f0, f1, f2, f3, f4, f5, f6, f7, to @ ..] = addresses;
    let from = u64::from_be_bytes([f0, f1, f2, f3, f4, f5, f6, f7]);
    let (to, blocks) = (u64::from_be_bytes(to), u64::from(u16::from_be_bytes([c0, c1])));
    if blocks.saturating_mul(own.block_size.into()) > MAX_SEGMENT.into() {
        return Err(Wrong::Field(10));
    }
    let fits = |lba: u64| lba.checked_add(blocks).is_some_and(|end| end <= own.blocks);
    if fits(from) && fits(to) {
        Ok(Segment { from, to, blocks })
    } else {
        Err(Wrong::Descriptor(Sense::COPY_ABORTED))
    }
}

fn wrong(byte: usize) -> Status {
    Status::Sense(Sense::invalid_field_in_parameter_list(byte))
}

#[cfg(test)]
pub(in crate::lun) mod tests {
    use super::*;

    const OWN: Own = Own { designator: [0x61; 16], block_size: 512, blocks: 1000 };

    pub(in crate::lun) fn target(designator: Designator, block_size: u32) -> Vec<u8> {
        let mut bytes = vec![IDENTIFICATION, 0, 0, 0, 1, 3, 0, 16];
        bytes.extend(designator);
        bytes.resize(28, 0);
        bytes.extend(block_size.to_be_bytes());
        bytes
    }

    pub(in crate::lun) fn segment(from: u64, to: u64, blocks: u16) -> Vec<u8> {
        let mut bytes = vec![BLOCK_TO_BLOCK, 0, 0, 0x18, 0, 0, 0, 0, 0, 0];
        bytes.extend(blocks.to_be_bytes());
        bytes.extend(from.to_be_bytes());
        bytes.extend(to.to_be_bytes());
        bytes
    }

    pub(in crate::lun) fn list(targets: &[Vec<u8>], segments: &[Vec<u8>]) -> Vec<u8> {
        let (targets, segments) = (targets.concat(), segments.concat());
        let mut list = vec![1, 0];
        list.extend(u16::try_from(targets.len()).unwrap().to_be_bytes());
        list.extend([0; 4]);
        list.extend(u32::try_from(segments.len()).unwrap().to_be_bytes());
        list.extend([0; 4]);
        [list, targets, segments].concat()
    }

    fn plain() -> Vec<u8> {
        list(&[target([0x61; 16], 512)], &[segment(0, 500, 8)])
    }

    fn changed(byte: usize, value: u8) -> Result<Plan, Status> {
        let mut list = plain();
        list[byte] = value;
        parse(&list, &OWN)
    }

    #[test]
    fn a_list_of_one_lun_and_its_segments_is_a_plan() {
        let segments = vec![Segment { from: 0, to: 500, blocks: 8 }];
        assert_eq!(parse(&plain(), &OWN), Ok(Plan { list: Some(1), segments }));
        let none = parse(&list(&[target([0x61; 16], 512)], &[]), &OWN).unwrap();
        assert!(none.segments.is_empty());
    }

    #[test]
    fn a_list_that_is_cut_off_anywhere_is_too_short() {
        let list = plain();
        for len in 0..list.len() {
            let error = Err(Status::Sense(Sense::PARAMETER_LIST_LENGTH_ERROR));
            assert_eq!(parse(&list[..len], &OWN), error, "{len}");
        }
    }

    #[test]
    fn fields_that_are_wrong_are_pointed_at() {
        assert_eq!(changed(1, 0x08), Err(wrong(1)), "LIST ID USAGE 01b");
        assert_eq!(changed(1, 0x18), Err(wrong(0)), "no list, but an identifier");
        assert_eq!(changed(17, 1), Err(wrong(17)), "a tape");
        assert_eq!(changed(46, 0x10), Err(wrong(45)), "its blocks have 4096 bytes");
        assert_eq!(changed(51, 0x19), Err(wrong(50)), "DESCRIPTOR LENGTH");
        assert_eq!(changed(16, 0xe0), Err(Status::Sense(Sense::UNSUPPORTED_TARGET.at(16))));
        assert_eq!(changed(48, 0x03), Err(Status::Sense(Sense::UNSUPPORTED_SEGMENT.at(48))));
    }

    #[test]
    fn another_device_or_none_aborts_the_copy() {
        assert_eq!(changed(24, 0), Err(Status::Sense(Sense::TARGET_NOT_REACHABLE.at(48))));
        assert_eq!(changed(55, 1), Err(Status::Sense(Sense::UNREACHABLE_TARGET.at(48))));
        assert_eq!(changed(17, 0x20), Err(Status::Sense(Sense::UNREACHABLE_TARGET.at(16))), "NUL");
        // One that no segment names does not matter.
        let both = list(&[target([0x61; 16], 512), target([7; 16], 512)], &[segment(0, 8, 8)]);
        assert!(parse(&both, &OWN).is_ok());
    }

    #[test]
    fn segments_end_within_the_lun() {
        for (from, to, blocks) in [(993, 0, 8), (0, 993, 8), (u64::MAX, 0, 1), (0, u64::MAX, 1)] {
            let list = list(&[target([0x61; 16], 512)], &[segment(from, to, blocks)]);
            assert_eq!(parse(&list, &OWN), Err(Status::Sense(Sense::COPY_ABORTED.at(48))));
        }
        let list = list(&[target([0x61; 16], 512)], &[segment(992, 992, 8), segment(1000, 0, 0)]);
        assert_eq!(parse(&list, &OWN).unwrap().segments.len(), 2);
    }

    #[test]
    fn there_are_limits() {
        let own = target([0x61; 16], 512);
        let targets = vec![own.clone(); MAX_TARGETS + 1];
        let segments = vec![segment(0, 8, 8); MAX_SEGMENTS + 1];
        let parsed =
            |targets: &[Vec<u8>], segments: &[Vec<u8>]| parse(&list(targets, segments), &OWN);
        let error = |sense| Err(Status::Sense(sense));
        assert_eq!(parsed(&targets, &segments[..1]), error(Sense::TOO_MANY_TARGETS));
        assert_eq!(parsed(&targets[..1], &segments), error(Sense::TOO_MANY_SEGMENTS));
        assert_eq!(
            parsed(&targets[..1], &vec![segment(0, 8, 8); 40]),
            error(Sense::PARAMETER_LIST_LENGTH_ERROR)
        );
        assert_eq!(parsed(&targets[..2], &segments[..16]).unwrap().segments.len(), 16);
    }

    #[test]
    fn the_designator_is_the_cores() {
        let serial = "5ed9c1c8-7a3f-4a05-9bfb-0d5b4f6ec3d1";
        let expected = [
            0x60, 0x01, 0x40, 0x55, 0xed, 0x9c, 0x1c, 0x87, 0xa3, 0xf4, 0xa0, 0x59, 0xbf, 0xb0,
            0xd5, 0xb4,
        ];
        assert_eq!(designator(serial), expected);
        assert_eq!(designator("")[..4], [0x60, 0x01, 0x40, 0x50]);
    }
}
