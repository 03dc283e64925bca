// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! CDBs of a LUN of 1000 blocks of 512 bytes.

use super::*;

fn arrival(data_len: usize) -> Arrival {
    Arrival { block_size: 512, blocks: 1000, max_transfer: 2048, data_len }
}

fn with_data(cdb: &[u8], data_len: usize) -> Option<Status> {
    match filter(&Cdb::new(cdb), &arrival(data_len), Attributes::UNKNOWN) {
        Verdict::End(status) => Some(status),
        Verdict::Pass => None,
        other => panic!("{cdb:x?}: {other:?}"),
    }
}

fn filtered(cdb: &[u8]) -> Option<Status> {
    with_data(cdb, 0)
}

#[expect(clippy::unnecessary_wraps, reason = "compared with what filtered says")]
fn pointing(byte: u16, bit: impl Into<Option<u8>>) -> Option<Status> {
    Some(wrong(byte, bit))
}

#[test]
fn what_is_not_in_the_table_is_refused_and_ordinary_commands_pass() {
    for opcode in [0x01, 0x1e, 0x43, 0x7f, 0x85, 0xa2, 0xc1] {
        assert_eq!(filtered(&[opcode]), Some(Status::InvalidCommand), "{opcode:02x}");
    }
    assert_eq!(filtered(&[0x9e, 0x1f]), pointing(1, 4), "a service action that there is not");
    for opcode in [0x00, 0x08, 0x0a, 0x25, 0x35, 0x9e] {
        let action = if opcode == 0x9e { 0x12 } else { 0 };
        assert_eq!(filtered(&[opcode, action]), None, "{opcode:02x}");
    }
    assert_eq!(filtered(&[0x2a, 0x08, 0, 0, 0, 0, 0, 0, 1, 0]), None);
}

#[test]
fn protection_is_refused_where_there_is_none() {
    for opcode in [
        0x28, 0x2a, 0x2e, 0x2f, 0x41, 0x88, 0x89, 0x8a, 0x8b, 0x8e, 0x8f, 0x93, 0xa8, 0xaa, 0xae,
        0xaf,
    ] {
        for protect in 1..8 {
            assert_eq!(filtered(&[opcode, protect << 5]), pointing(1, 7), "{opcode:02x}");
        }
    }
}

#[test]
fn a_transfer_of_nothing_is_good_within_the_lun() {
    assert_eq!(filtered(&[0x28, 0, 0, 0, 3, 0xe8, 0, 0, 0, 0]), Some(Status::Ok), "at the end");
    assert_eq!(filtered(&[0x28, 0, 0, 0, 3, 0xe9, 0, 0, 0, 0]), Some(Status::OutOfRange), "beyond");
    for opcode in [0x8a, 0x2f, 0x8f, 0xaf, 0x2e, 0x8e, 0xae, 0x8b] {
        assert_eq!(filtered(&[opcode]), Some(Status::Ok), "{opcode:02x}");
    }
    assert_eq!(filtered(&[0x08, 0, 0, 0, 0, 0]), None, "0 means 256 in READ(6)");
    assert_eq!(filtered(&[0x89]), Some(Status::Ok), "COMPARE AND WRITE");
    assert_eq!(with_data(&[0x89], 1024), pointing(13, None), "of nothing, with data");
    assert_eq!(filtered(&[0x41]), pointing(7, None), "WRITE SAME: WSNZ");
}

#[test]
fn a_range_ends_within_the_lun() {
    for (opcode, action) in [(0x2f, 0), (0x34, 0), (0x8f, 0), (0x90, 0), (0x9e, 0x12)] {
        let mut cdb = vec![0; 16];
        (cdb[0], cdb[1]) = (opcode, action);
        let long = opcode >> 5 == 4;
        let (lba, length) = if long { (8, 12) } else { (4, 7) };
        cdb[lba..lba + 2].copy_from_slice(&999_u16.to_be_bytes());
        cdb[length + 1] = 1;
        assert_eq!(filtered(&cdb), None, "{opcode:02x}: the last block");
        cdb[lba..lba + 2].copy_from_slice(&1000_u16.to_be_bytes());
        assert_eq!(filtered(&cdb), Some(Status::OutOfRange), "{opcode:02x}");
    }
}

#[test]
fn the_data_of_a_verify_is_as_bytchk_says() {
    let verify = |check: u8, data| with_data(&[0x2f, check << 1, 0, 0, 0, 0, 0, 0, 2, 0], data);
    assert_eq!((verify(0, 0), verify(1, 1024), verify(3, 512)), (None, None, None));
    assert_eq!((verify(1, 512), verify(3, 0)), (pointing(7, None), pointing(7, None)));
    assert_eq!(verify(2, 1024), pointing(1, 2), "reserved");
    let write = |check: u8| with_data(&[0x2e, check << 1, 0, 0, 0, 0, 0, 0, 2, 0], 1024);
    assert_eq!(
        (write(0), write(1), write(2), write(3)),
        (None, None, pointing(1, 2), pointing(1, 2))
    );
}

#[test]
fn anchors_and_lengths_of_write_same_and_unmap() {
    let same = |flags, blocks, data| {
        with_data(&[0x93, flags, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, blocks], data)
    };
    assert_eq!((same(0x08, 1, 512), same(0x09, 1, 0)), (None, None), "UNMAP; NDOB");
    assert_eq!(same(0x18, 1, 512), pointing(1, 4), "ANCHOR");
    assert_eq!(same(0, 1, 1024), pointing(10, None), "two blocks of data");
    assert_eq!(filtered(&[0x42, 1]), pointing(1, 0), "ANCHOR");
    assert_eq!(filtered(&[0x42]), Some(Status::Ok), "no list");
}

#[test]
fn log_pages_are_those_that_there_are() {
    assert_eq!((filtered(&[0x4d, 0, 0x40]), filtered(&[0x4d, 0, 0x4c])), (None, None));
    assert_eq!(filtered(&[0x4d, 0, 0x42]), pointing(2, 5));
    assert_eq!(filtered(&[0x4d, 0, 0x40, 1]), pointing(3, None));
    assert_eq!(filtered(&[0x4d, 1]), pointing(1, 0));
}
