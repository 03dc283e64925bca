// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Commands of the LUN's own over a backend in memory that does what real ones do on bad days.

use std::sync::Arc;
use std::time::Instant;

use nix::errno::Errno;

use super::super::Lun;
use super::super::testing::{Fault, Memory, image, numbered, submit};
use super::super::unmap::list;
use crate::runner::testing::Answer;
use crate::scsi::Cdb;

/// LBA and blocks in the CDB of a 10 or 16-byte command.
fn cdb(opcode: u8, flags: u8, lba: u8, blocks: u8) -> Vec<u8> {
    let mut cdb = vec![0; Cdb::length(opcode)];
    let (at, length) = if cdb.len() == 16 { (9, 13) } else { (5, 8) };
    (cdb[0], cdb[1], cdb[at], cdb[length]) = (opcode, flags, lba, blocks);
    cdb
}

fn serve(lun: &Arc<Lun<Memory>>, cdb: &[u8], data: Vec<u8>) -> Answer {
    submit(lun, cdb, data, None).recv().unwrap()
}

/// The status of a command whose deadline has passed.
fn late(lun: &Arc<Lun<Memory>>, cdb: &[u8], data: Vec<u8>) -> i32 {
    submit(lun, cdb, data, Some(Instant::now())).recv().unwrap().status
}

const GOOD: i32 = 0;
const SENSE: i32 = 2;
const BUSY: i32 = 3;
const READ_ERROR: i32 = 5;

fn block(lun: &Arc<Lun<Memory>>, number: usize) -> Vec<u8> {
    image(lun).volume.state().bytes[number * 512..][..512].to_vec()
}

#[test]
fn verify_compares_as_bytchk_says_and_tells_the_byte_that_differs() {
    let lun = numbered(vec![Fault::Short(700)]);
    let data = [vec![3; 512], vec![4; 512]].concat();
    assert_eq!(serve(&lun, &cdb(0x8f, 0, 2, 2), Vec::new()).status, GOOD, "nothing to compare");
    assert_eq!(serve(&lun, &cdb(0x8f, 2, 2, 2), data.clone()).status, GOOD);
    let mut other = data;
    other[777] = 0;
    let answer = serve(&lun, &cdb(0x2f, 2, 2, 2), other);
    assert_eq!((answer.status, answer.sense.0, answer.sense.1), (SENSE, 0x0e, 0x1d));
    assert_eq!(serve(&lun, &cdb(0x2f, 6, 2, 1), vec![3; 512]).status, GOOD, "one block for each");
    assert_eq!(serve(&lun, &cdb(0x2f, 6, 2, 2), vec![3; 512]).status, SENSE);
}

#[test]
fn verify_begins_nothing_late() {
    let lun = numbered(Vec::new());
    assert_eq!(late(&lun, &cdb(0x2f, 0, 0, 4), Vec::new()), BUSY);
    assert_eq!(image(&lun).calls(), 0);
}

#[test]
fn orwrite_sets_bits_and_loses_none_of_others() {
    let lun = numbered(Vec::new());
    assert_eq!(serve(&lun, &cdb(0x8b, 0, 0, 2), vec![0x10; 1024]).status, GOOD);
    assert_eq!((block(&lun, 0), block(&lun, 1)), (vec![0x11; 512], vec![0x12; 512]));
    // Eight at once, each with a bit of its own.
    let threads: Vec<_> = (0..8)
        .map(|bit| {
            let lun = Arc::clone(&lun);
            std::thread::Builder::new()
                .spawn(move || serve(&lun, &cdb(0x8b, 8, 15, 1), vec![1 << bit; 512]).status)
                .unwrap()
        })
        .collect();
    assert!(threads.into_iter().all(|thread| thread.join().unwrap() == GOOD));
    assert_eq!(block(&lun, 15), vec![0xff; 512]);
    assert_eq!(late(&lun, &cdb(0x8b, 0, 0, 1), vec![1; 512]), BUSY);
}

#[test]
fn an_unmap_with_less_data_than_its_cdb_says_frees_nothing() {
    let lun = numbered(Vec::new());
    let list = list(&[(3, 2)]);
    assert_eq!(serve(&lun, &cdb(0x42, 0, 0, 25), list.clone()).sense.1, 0x1a);
    assert_eq!(block(&lun, 3), vec![4; 512]);
    assert_eq!(serve(&lun, &cdb(0x42, 0, 0, 24), list).status, GOOD);
}

#[test]
fn lba_status_tells_what_is_stored() {
    let lun = numbered(Vec::new());
    image(&lun).volume.state().bytes[4096..].fill(0);
    let ask = |lba, length: u8, room| {
        let mut cdb = cdb(0x9e, 0x12, lba, length);
        cdb[13] = length;
        serve(&lun, &cdb, vec![0xee; room])
    };
    let answer = ask(1, 40, 40);
    assert_eq!(answer.status, GOOD);
    assert_eq!(u32::from_be_bytes(answer.data[..4].try_into().unwrap()) as usize % 16, 4);
    assert_eq!(answer.data[8..24], [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 7, 0, 0, 0, 0]);
    assert_eq!(answer.data[24..40], [0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 8, 1, 0, 0, 0]);
    assert_eq!(ask(1, 4, 64).data[4..], [0; 60], "cut, and the rest of the buffer cleared");
    image(&lun).faults.lock().unwrap().push(Fault::Fails(Errno::ENXIO));
    assert_eq!(ask(1, 40, 40).status, READ_ERROR);
}

#[test]
fn the_log_tells_the_volumes_space() {
    let lun = numbered(Vec::new());
    let ask = |page| serve(&lun, &[0x4d, 0, page, 0, 0, 0, 0, 0, 64, 0], vec![0xee; 64]);
    assert_eq!(ask(0x40).data[..6], [0, 0, 0, 2, 0, 0x0c]);
    // 1 GiB, half of it free, in MiB.
    assert_eq!(ask(0x4c).data[..12], [0x0c, 0, 0, 24, 0, 1, 3, 8, 0, 0, 2, 0]);
    *image(&lun).space.lock().unwrap() = Err(Errno::ENOTCONN);
    assert_eq!(ask(0x4c).status, BUSY);
}
