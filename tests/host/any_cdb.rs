// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! CDBs as nobody would send them: every operation code, with fields at and beyond their limits,
//! and data that is too short or too long.

use std::time::{Duration, Instant};

use support::runner::{Lun, NOT_HANDLED, OK, PASSTHROUGH_ERR};
use support::volume::LocalVolume;

const SIZE: u64 = 1 << 20;
/// How many CDBs, and for how long at most: `make check` does both, and `CDBS` says another number.
const CDBS: u64 = 1_000_000;
const LONGEST: Duration = Duration::from_secs(60);

/// A generator of numbers that are the same in every run (xorshift64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(limit).unwrap()).unwrap()
    }

    /// A byte, often one at a limit.
    fn byte(&mut self) -> u8 {
        match self.below(6) {
            0..3 => 0,
            3 => 1,
            4 => 0xff,
            _ => self.next().to_le_bytes()[0],
        }
    }

    fn cdb(&mut self) -> Vec<u8> {
        /// Those that the handler serves itself, more often than others.
        const OWN: [u8; 26] = [
            0x00, 0x03, 0x12, 0x1a, 0x2e, 0x2f, 0x34, 0x37, 0x41, 0x42, 0x4d, 0x5a, 0x83, 0x84,
            0x89, 0x8b, 0x8e, 0x8f, 0x90, 0x93, 0x9e, 0xa3, 0xae, 0xaf, 0xb7, 0x28,
        ];
        let opcode = if self.below(4) > 0 {
            OWN[self.below(OWN.len())]
        } else {
            // Groups 3, 6 and 7 do not come through the core.
            let groups = [0x00, 0x20, 0x40, 0x80, 0xa0];
            groups[self.below(groups.len())] | (self.next().to_le_bytes()[0] & 0x1f)
        };
        let length = match opcode >> 5 {
            0 => 6,
            1 | 2 => 10,
            5 => 12,
            _ => 16,
        };
        let mut cdb: Vec<u8> = (0..length).map(|_| self.byte()).collect();
        cdb[0] = opcode;
        if self.below(2) == 0 {
            // A service action, or flags, of its own.
            let actions = [0x00, 0x03, 0x0a, 0x0c, 0x10, 0x12];
            cdb[1] = actions[self.below(actions.len())];
        }
        cdb
    }

    fn data_len(&mut self) -> usize {
        let lengths = [0, 1, 4, 7, 8, 23, 24, 36, 255, 256, 511, 512, 513, 1024, 4096, 70_000];
        lengths[self.below(lengths.len())]
    }
}

/// What becomes of a CDB: its status, and the buffer. `None`: the core goes on with it.
fn answer(lun: &Lun, cdb: &[u8], data: Vec<u8>) -> Option<(i32, Vec<u8>)> {
    let (status, command) = lun.submit_cdb(cdb, data).wait();
    if status == PASSTHROUGH_ERR {
        let (key, asc, ascq) = command.sense();
        assert!((1..=0x0e).contains(&key), "{cdb:02x?}: {key:x} {asc:02x}/{ascq:02x}");
        assert!(key == 0x0a || asc != 0, "{cdb:02x?}: {key:x} {asc:02x}/{ascq:02x}");
    }
    (status != NOT_HANDLED).then(|| (status, command.data.clone()))
}

/// Whether the handler answers it with data.
fn is_data_in(cdb: &[u8]) -> bool {
    matches!(cdb[0], 0x03 | 0x12 | 0x1a | 0x37 | 0x4d | 0x5a | 0x84 | 0x9e | 0xa3 | 0xb7)
}

#[test]
fn any_cdb_has_one_answer_and_none_has_a_byte_of_other_memory() {
    let volume = LocalVolume::new();
    volume.image("disk.img", SIZE);
    let lun = Lun::opened(&volume.cfgstring("disk.img", ""), SIZE);
    let most = std::env::var("CDBS").ok().and_then(|n| n.parse().ok()).unwrap_or(CDBS);
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let (mut good, mut count, begin) = (0_u64, 0_u64, Instant::now());
    while count < most && (begin.elapsed() < LONGEST || most != CDBS) {
        count += 1;
        let (cdb, len) = (random.cdb(), random.data_len());
        if is_data_in(&cdb) {
            // Whatever the buffer held before is not in the answer.
            let one = answer(&lun, &cdb, vec![0xa5; len]);
            let other = answer(&lun, &cdb, vec![0x5a; len]);
            if one.as_ref().is_some_and(|(status, _)| *status == OK) {
                assert!(one == other, "{cdb:02x?} leaves old data in {len} bytes");
                good += 1;
            }
            continue;
        }
        let data = (0..len.min(64)).map(|_| random.byte()).collect::<Vec<_>>();
        let data = data.into_iter().chain(std::iter::repeat(0)).take(len).collect();
        good += u64::from(answer(&lun, &cdb, data).is_some_and(|(status, _)| status == OK));
    }
    eprintln!("{count} CDBs in {:?}, {good} of them good", begin.elapsed());
    assert!(count >= 1000 && good > count / 100, "{good} of {count}");
    assert_eq!(lun.write(0, &[7; 512]), OK);
    assert_eq!(lun.read(0, 512), (OK, vec![7; 512]), "the LUN serves on");
}
