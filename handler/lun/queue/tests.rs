// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Commands of the LUN's own over a backend in memory that does what real ones do on bad days.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use nix::errno::Errno;

use super::super::Lun;
use super::super::testing::{Fault, Memory, image, lun};
use crate::runner::Lun as _;
use crate::runner::testing::{Answer, command_of};
use crate::scsi::Cdb;

/// LBA and blocks in the CDB of a 10 or 16-byte command.
fn cdb(opcode: u8, flags: u8, lba: u8, blocks: u8) -> Vec<u8> {
    let mut cdb = vec![0; Cdb::length(opcode)];
    let (at, length) = if cdb.len() == 16 { (9, 13) } else { (5, 8) };
    (cdb[0], cdb[1], cdb[at], cdb[length]) = (opcode, flags, lba, blocks);
    cdb
}

fn submit(lun: &Arc<Lun<Memory>>, cdb: &[u8], data: Vec<u8>, expired: bool) -> Answer {
    let (mut command, answers) = command_of(cdb, data, 700);
    command.set_deadline(expired.then(Instant::now));
    if let Err(rejected) = Arc::clone(lun).serve(command) {
        rejected.0.complete(rejected.1);
    }
    answers.recv().unwrap()
}

fn serve(lun: &Arc<Lun<Memory>>, cdb: &[u8], data: Vec<u8>) -> Answer {
    submit(lun, cdb, data, false)
}

const GOOD: i32 = 0;
const SENSE: i32 = 2;
const BUSY: i32 = 3;
const WRITE_ERROR: i32 = 4;
const READ_ERROR: i32 = 5;

/// A LUN of sixteen blocks, each full of its number plus one.
fn numbered(faults: Vec<Fault>) -> Arc<Lun<Memory>> {
    let lun = lun(faults);
    for (number, block) in (1..).zip(image(&lun).volume.state().bytes.chunks_mut(512)) {
        block.fill(number);
    }
    lun
}

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
fn verify_that_cannot_read_says_so_and_begins_nothing_late() {
    let failing = numbered(vec![Fault::Fails(Errno::ENXIO)]);
    assert_eq!(serve(&failing, &cdb(0x2f, 0, 0, 4), Vec::new()).status, READ_ERROR);
    let away = numbered(vec![Fault::Fails(Errno::ENOTCONN)]);
    assert_eq!(serve(&away, &cdb(0x2f, 0, 0, 4), Vec::new()).status, BUSY);
    let lun = numbered(Vec::new());
    assert_eq!(submit(&lun, &cdb(0x2f, 0, 0, 4), Vec::new(), true).status, BUSY);
    assert_eq!(image(&lun).calls(), 0);
}

#[test]
fn what_is_written_and_verified_is_durable() {
    let lun = numbered(Vec::new());
    for (opcode, flags, number) in [(0x2e, 0, 90), (0x8e, 2, 91)] {
        let written = image(&lun).durable_writes.load(Ordering::SeqCst);
        let answer = serve(&lun, &cdb(opcode, flags, 3, 2), vec![number; 1024]);
        assert_eq!((answer.status, block(&lun, 4)), (GOOD, vec![number; 512]));
        assert!(image(&lun).durable_writes.load(Ordering::SeqCst) > written);
    }
    let failing = numbered(vec![Fault::Fails(Errno::ENOSPC)]);
    let answer = serve(&failing, &cdb(0x2e, 0, 3, 1), vec![1; 512]);
    assert_eq!((answer.sense.0, answer.sense.1, answer.sense.2), (7, 0x27, 7));
    let lost = numbered(vec![Fault::Fails(Errno::EIO)]);
    assert_eq!(serve(&lost, &cdb(0x2e, 0, 3, 1), vec![1; 512]).status, WRITE_ERROR);
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
    assert_eq!(submit(&lun, &cdb(0x8b, 0, 0, 1), vec![1; 512], true).status, BUSY);
}

#[test]
fn an_unmap_that_fails_says_so_itself() {
    let list = |lba: u8, blocks: u8| {
        let mut list = vec![0; 24];
        (list[1], list[3], list[15], list[19]) = (22, 16, lba, blocks);
        list
    };
    let cdb = |length| cdb(0x42, 0, 0, length);
    let lun = numbered(Vec::new());
    assert_eq!(serve(&lun, &cdb(24), list(3, 2)).status, GOOD);
    assert_eq!(
        (block(&lun, 2), block(&lun, 3), block(&lun, 5)),
        (vec![3; 512], vec![0; 512], vec![6; 512])
    );
    assert_eq!(serve(&lun, &cdb(24), list(3, 0)).status, GOOD, "no blocks");
    for (errno, sense) in [(Errno::ENOSPC, (7, 0x27)), (Errno::EROFS, (7, 0x27))] {
        image(&lun).faults.lock().unwrap().push(Fault::Fails(errno));
        let answer = serve(&lun, &cdb(24), list(3, 2));
        assert_eq!((answer.status, answer.sense.0, answer.sense.1), (SENSE, sense.0, sense.1));
        assert_eq!(serve(&lun, &cdb(24), list(3, 2)).status, GOOD, "and the next one is not told");
    }
    assert_eq!(serve(&lun, &cdb(25), list(3, 2)).sense.1, 0x1a, "less data than the CDB says");
    assert_eq!(serve(&lun, &cdb(24), list(15, 2)).status, 14, "beyond the end");
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
    let ask = |page: u8| {
        let mut cdb = vec![0x4d, 0, page, 0, 0, 0, 0, 0, 64, 0];
        cdb.truncate(10);
        serve(&lun, &cdb, vec![0xee; 64])
    };
    assert_eq!(ask(0x40).data[..6], [0, 0, 0, 2, 0, 0x0c]);
    // 1 GiB, half of it free, in MiB.
    assert_eq!(ask(0x4c).data[..12], [0x0c, 0, 0, 24, 0, 1, 3, 8, 0, 0, 2, 0]);
    *image(&lun).space.lock().unwrap() = Err(Errno::ENOTCONN);
    assert_eq!(ask(0x4c).status, BUSY);
}
