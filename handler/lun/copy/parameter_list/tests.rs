// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
use super::*;

const OWN: Known = Known { designator: [0x61; 16], block_size: 512, blocks: 1000 };

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
    parse(&list, &[OWN])
}

#[test]
fn a_list_of_one_lun_and_its_segments_is_a_plan() {
    let segment = Segment { source: 0, from: 0, destination: 0, to: 500, blocks: 8 };
    let segments = vec![segment];
    assert_eq!(parse(&plain(), &[OWN]), Ok(Plan { list: Some(1), segments }));
    let none = parse(&list(&[target([0x61; 16], 512)], &[]), &[OWN]).unwrap();
    assert!(none.segments.is_empty());
}

#[test]
fn a_list_that_is_cut_off_anywhere_is_too_short() {
    let list = plain();
    for len in 0..list.len() {
        let error = Err(Status::Sense(Sense::PARAMETER_LIST_LENGTH_ERROR));
        assert_eq!(parse(&list[..len], &[OWN]), error, "{len}");
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
    assert!(parse(&both, &[OWN]).is_ok());
}

#[test]
fn segments_lead_from_one_known_lun_to_another() {
    let other = Known { designator: [7; 16], block_size: 512, blocks: 100 };
    let named = [target([0x61; 16], 512), target([7; 16], 512)];
    let to = |lba, blocks| {
        let mut segment = segment(900, lba, blocks);
        segment[7] = 1;
        list(&named, &[segment])
    };
    assert_eq!(designators(&to(0, 1)), [[0x61; 16], [7; 16]]);
    let plan = parse(&to(92, 8), &[OWN, other]).unwrap();
    let expected = Segment { source: 0, from: 900, destination: 1, to: 92, blocks: 8 };
    assert_eq!(plan.segments, [expected]);
    let error = |sense: Sense| Err(Status::Sense(sense.at(80)));
    assert_eq!(parse(&to(92, 8), &[OWN]), error(Sense::TARGET_NOT_REACHABLE));
    assert_eq!(parse(&to(93, 8), &[OWN, other]), error(Sense::COPY_ABORTED), "its end");
    let mut large = to(92, 8);
    large[78] = 0x10;
    let large_blocks = Known { block_size: 4096, ..other };
    let refused = parse(&large, &[OWN, large_blocks]);
    assert_eq!(refused, error(Sense::TARGET_NOT_REACHABLE), "4096 bytes a block");
}

#[test]
fn segments_end_within_the_lun() {
    for (from, to, blocks) in [(993, 0, 8), (0, 993, 8), (u64::MAX, 0, 1), (0, u64::MAX, 1)] {
        let list = list(&[target([0x61; 16], 512)], &[segment(from, to, blocks)]);
        assert_eq!(parse(&list, &[OWN]), Err(Status::Sense(Sense::COPY_ABORTED.at(48))));
    }
    let list = list(&[target([0x61; 16], 512)], &[segment(992, 992, 8), segment(1000, 0, 0)]);
    assert_eq!(parse(&list, &[OWN]).unwrap().segments.len(), 2);
}

#[test]
fn there_are_limits() {
    let own = target([0x61; 16], 512);
    let targets = vec![own.clone(); MAX_TARGETS + 1];
    let segments = vec![segment(0, 8, 8); MAX_SEGMENTS + 1];
    let parsed =
        |targets: &[Vec<u8>], segments: &[Vec<u8>]| parse(&list(targets, segments), &[OWN]);
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
        0x60, 0x01, 0x40, 0x55, 0xed, 0x9c, 0x1c, 0x87, 0xa3, 0xf4, 0xa0, 0x59, 0xbf, 0xb0, 0xd5,
        0xb4,
    ];
    assert_eq!(designator(serial), expected);
    assert_eq!(designator("")[..4], [0x60, 0x01, 0x40, 0x50]);
}
