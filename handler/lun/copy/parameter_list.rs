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

/// What is to be copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::lun) struct Plan {
    /// LIST IDENTIFIER, where the initiator may ask for the outcome later.
    pub(in crate::lun) list: Option<u8>,
    pub(in crate::lun) segments: Vec<Segment>,
}

impl Plan {
    /// Whether no segment writes what it or another one reads: repeated after a part of it, it
    /// copies the same blocks.
    pub(in crate::lun) fn is_repeatable(&self) -> bool {
        let overlap = |written: &Segment, read: &Segment| {
            written.destination == read.source
                && written.to < read.from.saturating_add(read.blocks)
                && read.from < written.to.saturating_add(written.blocks)
        };
        !self.segments.iter().any(|one| self.segments.iter().any(|other| overlap(one, other)))
    }
}

/// Blocks to copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::lun) struct Segment {
    /// Which of the LUNs that the list may name is read.
    pub(in crate::lun) source: usize,
    pub(in crate::lun) from: u64,
    /// Which of them is written.
    pub(in crate::lun) destination: usize,
    pub(in crate::lun) to: u64,
    pub(in crate::lun) blocks: u64,
}

/// A LUN that a list may name.
#[derive(Debug, Clone, Copy)]
pub(in crate::lun) struct Known {
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

/// The designators in a list, as far as it can be read.
pub(in crate::lun) fn designators(list: &[u8]) -> Vec<Designator> {
    let (header, body) = list.split_at_checked(HEADER).unwrap_or_default();
    let len = header.get(2..4).and_then(|len| len.try_into().ok()).map_or(0, u16::from_be_bytes);
    let targets = body.get(..usize::from(len)).unwrap_or(body).chunks_exact(TARGET);
    let designator = |target: &[u8]| target.get(8..24)?.try_into().ok();
    targets.take(MAX_TARGETS).filter_map(designator).collect()
}

/// Reads a list, which may name the LUNs of `known`.
///
/// # Errors
/// The first thing that is wrong with it; nothing of it is copied then.
pub(in crate::lun) fn parse(list: &[u8], known: &[Known]) -> Result<Plan, Status> {
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
    let named = self::targets(targets, known)?;
    let first = HEADER.saturating_add(targets.len());
    let segments = self::segments(segments, first, &named, known)?;
    Ok(Plan { list: list_id, segments })
}

/// Of each device, which LUN of `known` it is.
fn targets(list: &[u8], known: &[Known]) -> Result<Vec<Option<usize>>, Status> {
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
            lun(descriptor, known).map_err(|wrong| wrong.at(at))
        })
        .collect()
}

/// The LUN of `known` that a descriptor names.
fn lun(descriptor: &[u8; TARGET], known: &[Known]) -> Result<Option<usize>, Wrong> {
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
    if (set & 0x0f, kind & 0x3f, length) != (BINARY, LOGICAL_UNIT_NAA, EXTENDED) {
        return Ok(None);
    }
    let mut luns = known.iter().enumerate();
    let Some((index, lun)) = luns.find(|(_, lun)| d.starts_with(&lun.designator)) else {
        return Ok(None);
    };
    if u32::from_be_bytes([0, b0, b1, b2]) != lun.block_size {
        return Err(Wrong::Field(29));
    }
    Ok(Some(index))
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
fn segments(
    list: &[u8],
    first: usize,
    named: &[Option<usize>],
    known: &[Known],
) -> Result<Vec<Segment>, Status> {
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
        segments.push(segment(descriptor, named, known).map_err(|wrong| wrong.at(at))?);
        (rest, at) = (next, at.saturating_add(SEGMENT));
    }
    Ok(segments)
}

fn segment(
    descriptor: &[u8; SEGMENT],
    named: &[Option<usize>],
    known: &[Known],
) -> Result<Segment, Wrong> {
    const LENGTH: u16 = 0x18;
    let [_, _, l0, l1, s0, s1, d0, d1, _, _, c0, c1, addresses @ ..] = *descriptor;
    if u16::from_be_bytes([l0, l1]) != LENGTH {
        return Err(Wrong::Field(2));
    }
    let lun = |target| {
        let index = match named.get(usize::from(u16::from_be_bytes(target))) {
            Some(Some(index)) => *index,
            Some(None) => return Err(Wrong::Descriptor(Sense::TARGET_NOT_REACHABLE)),
            None => return Err(Wrong::Descriptor(Sense::UNREACHABLE_TARGET)),
        };
        let lun = known.get(index).ok_or(Wrong::Descriptor(Sense::UNREACHABLE_TARGET))?;
        Ok((index, lun))
    };
    let ((source, read), (destination, written)) = (lun([s0, s1])?, lun([d0, d1])?);
    if read.block_size != written.block_size {
        return Err(Wrong::Descriptor(Sense::TARGET_NOT_REACHABLE));
    }
    let [f0, f1, f2, f3, f4, f5, f6, f7, to @ ..] = addresses;
    let from = u64::from_be_bytes([f0, f1, f2, f3, f4, f5, f6, f7]);
    let (to, blocks) = (u64::from_be_bytes(to), u64::from(u16::from_be_bytes([c0, c1])));
    if blocks.saturating_mul(read.block_size.into()) > MAX_SEGMENT.into() {
        return Err(Wrong::Field(10));
    }
    let fits = |lun: &Known, lba: u64| lba.checked_add(blocks).is_some_and(|end| end <= lun.blocks);
    if fits(read, from) && fits(written, to) {
        Ok(Segment { source, from, destination, to, blocks })
    } else {
        Err(Wrong::Descriptor(Sense::COPY_ABORTED))
    }
}

fn wrong(byte: usize) -> Status {
    Status::Sense(Sense::invalid_field_in_parameter_list(byte))
}

#[cfg(test)]
pub(in crate::lun) mod tests;
