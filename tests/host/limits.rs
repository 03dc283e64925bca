// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! One command has a price: what cannot end in time is refused, and what is served takes bounded
//! memory.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use support::faults::{self, Fault};
use support::runner::{BUSY, Lun, NOT_HANDLED, OK, PASSTHROUGH_ERR};
use support::usage::Usage;
use support::volume::LocalVolume;

const GIB: u64 = 1 << 30;
/// The status and sense of a CDB with a field that is wrong.
const INVALID_FIELD: (i32, (u8, u8, u8)) = (PASSTHROUGH_ERR, (5, 0x24, 0));
/// More than the daemon may take for hostile commands.
const ALLOWED_KIB: u64 = 100 << 10;

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

/// MAXIMUM WRITE SAME LENGTH in bytes, from VPD page B0h. What is left to the core says 0xffffffff.
fn announced(lun: &Lun) -> u64 {
    let (status, page) = lun.screen(&[0x12, 1, 0xb0, 2, 88, 0]);
    let blocks = if status == OK { number(&page[36..44]) } else { u64::from(u32::MAX) };
    blocks * u64::from(lun.device.block_size)
}

#[test]
fn a_write_same_with_the_unmap_bit_over_200_gib_does_not_take_gigabytes() {
    let volume = LocalVolume::apart();
    volume.image("disk.img", 256 * GIB);
    let path = volume.path("disk.img");
    let lun = Lun::opened(&volume.cfgstring("disk.img", ""), 256 * GIB);
    lun.device.cmd_time_out.store(2, Ordering::SeqCst);
    lun.screen(&[0x12]);
    faults::set(&path, Some(Fault::SlowWrites(Duration::from_millis(300))));
    let before = Usage::now().kib;
    let stays_small = |what: &str| {
        for _ in 0..30 {
            let more = Usage::now().kib.saturating_sub(before);
            assert!(more <= ALLOWED_KIB, "{what}: {more} KiB more");
            thread::sleep(Duration::from_millis(50));
        }
    };
    let (status, command) = lun.submit_unmapping_write_same(0, 200 * GIB, &[7; 512]).wait();
    stays_small("one command");
    assert_eq!((status, command.sense()), INVALID_FIELD, "longer than announced");
    let largest = announced(&lun);
    let blocks = [[7; 512], [0; 512]];
    let steps: Vec<_> = (0..256)
        .map(|n| {
            lun.submit_unmapping_write_same(n / 2 * GIB, largest, &blocks[usize::from(n % 2 == 1)])
        })
        .collect();
    stays_small("many that are as long as may be");
    faults::set(&path, None);
    for step in steps {
        assert!(matches!(step.wait().0, OK | BUSY));
    }
}

#[test]
fn block_limits_announce_what_can_end_in_time_and_what_is_longer_is_refused_when_it_arrives() {
    for block_size in [512, 4096] {
        let volume = LocalVolume::new();
        volume.image("disk.img", GIB);
        let mut lun = Lun::new(&volume.cfgstring("disk.img", ""), GIB, block_size);
        assert_eq!(lun.open(), 0);
        let (status, page) = lun.screen(&[0x12, 1, 0xb0, 2, 88, 0]);
        assert_eq!(status, OK);
        assert_eq!((&page[..4], &page[64..]), (&[0, 0xb0, 0, 60][..], &[0; 536][..]));
        assert_eq!((page[4], page[5]), (1, 1), "WSNZ, MAXIMUM COMPARE AND WRITE LENGTH");
        let blocks = |bytes: u64| bytes / u64::from(block_size);
        let transfer = u64::from(lun.device.max_xfer_len.load(Ordering::SeqCst));
        assert_eq!((number(&page[8..12]), number(&page[12..16])), (transfer, transfer));
        let unmap = u64::from(lun.device.max_unmap_len.load(Ordering::SeqCst));
        assert_eq!((number(&page[20..24]), number(&page[24..28])), (unmap, 256));
        assert_eq!((number(&page[28..32]), number(&page[32..36])), (1, 1 << 31 | 1));
        let most = blocks(64 << 20);
        assert_eq!(number(&page[36..44]), most);
        let cdb16 = |flags: u8, blocks: u64| {
            let mut cdb = [0; 16];
            cdb[..2].copy_from_slice(&[0x93, flags]);
            cdb[10..14].copy_from_slice(&u32::try_from(blocks).unwrap().to_be_bytes());
            cdb
        };
        for flags in [0, 8] {
            let block = vec![0; usize::try_from(block_size).unwrap()];
            let status = |blocks| {
                let (status, command) = lun.submit_cdb(&cdb16(flags, blocks), block.clone()).wait();
                (status, if status == PASSTHROUGH_ERR { command.sense() } else { (0, 0, 0) })
            };
            assert_eq!(status(most), (OK, (0, 0, 0)));
            assert_eq!(status(most + 1), INVALID_FIELD);
            assert_eq!(status(u32::MAX.into()), INVALID_FIELD);
        }
        assert_eq!(lun.screen(&[0x12, 1, 0x83, 0, 255, 0]).0, NOT_HANDLED, "another page");
        assert_eq!(lun.screen(&[0x12, 0, 0, 0, 255, 0]).0, NOT_HANDLED, "no page");
    }
}
