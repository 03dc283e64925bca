// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Commands that no decent initiator sends.

use std::fs;
use std::time::Duration;

use crate::gate::Gate;
use crate::host::{Host, Usage};
use crate::kernel::Backstore;
use crate::kernel::device::{BUSY, CHECK_CONDITION, Device, GOOD, Pending, TASK_SET_FULL};
use crate::kernel::ring::Data;
use crate::life::{MIB, lun, lun_of};
use crate::model::Random;
use crate::scsi::{BLOCK, cdb16, inquiry, read, write};
use support::volume::LocalVolume;

/// What the daemon may take for hostile commands (KiB).
const ALLOWED_KIB: u64 = 100 << 10;

/// libtcmu 1.5.4 has no length for these, and drops such commands: they only expire
/// (`tcmulib_get_next_command`).
fn is_dropped(opcode: u8) -> bool {
    matches!(opcode, 0x60..=0x7e | 0xc0..=0xff)
}

#[track_caller]
fn assert_answered(cdb: &[u8], pending: Pending) {
    let reply = pending.wait();
    assert!(!reply.by_kernel, "{cdb:02x?} was not answered");
    match reply.status {
        GOOD | BUSY | TASK_SET_FULL => {}
        CHECK_CONDITION => assert_ne!(reply.sense.0, 0, "{cdb:02x?}: no sense"),
        other => panic!("{cdb:02x?}: status {other:#x}"),
    }
}

fn assert_alive(host: &Host, device: &Device) {
    assert_eq!(inquiry(device, None, 36).len(), 36);
    write(device, 3, &[0x5a; BLOCK]);
    assert_eq!(read(device, 3, BLOCK), [0x5a; BLOCK]);
    assert!(fs::exists(format!("/proc/{}", host.pid())).unwrap());
    assert_eq!((device.in_flight(), device.is_broken()), (0, false));
}

/// All operation codes with parameters of zeros, ones and rubbish, and with data of all kinds of
/// lengths in either direction, also where the command has none.
pub(crate) fn every_opcode() {
    let volume = LocalVolume::new();
    let host = Host::start();
    let device = lun(&host, &volume, "d0", 4 * MIB);
    assert_alive(&host, &device);
    let before = Usage::of(host.pid()).kib;
    let mut random = Random::new(5);
    let mut sent = 0;
    for opcode in (0..=0xff).filter(|&opcode| !is_dropped(opcode)) {
        let mut pending = Vec::new();
        for parameters in 0..4 {
            let mut cdb = match parameters {
                0 => [0; 16],
                1 => [0xff; 16],
                _ => std::array::from_fn(|_| random.below(256).to_le_bytes()[0]),
            };
            cdb[0] = opcode;
            if parameters == 3 {
                // Within the LUN.
                cdb[2..13].fill(0);
            }
            for length in [0, 1, 24, 512, 513, 4096, 70_000] {
                let rubbish = (0..length).map(|_| random.below(256).to_le_bytes()[0]).collect();
                for data in [Data::In(length), Data::Out(rubbish)] {
                    // A command of variable length says it in byte 7.
                    let long = [cdb.as_slice(), &[cdb[15]; 260]].concat();
                    let cdb = if opcode == 0x7f { &long } else { cdb.as_slice() };
                    pending.push((cdb.to_vec(), device.send(cdb, data)));
                    sent += 1;
                }
            }
        }
        for (cdb, pending) in pending {
            assert_answered(&cdb, pending);
        }
    }
    assert_alive(&host, &device);
    let more = Usage::of(host.pid()).kib.saturating_sub(before);
    println!("{sent} commands; {more} KiB more");
    assert!(more <= ALLOWED_KIB, "{more} KiB more");
    host.kernel.remove(&device);
}

/// Commands that are as large as they can be, many at once, to a brick that does not answer.
pub(crate) fn large_and_slow() {
    const LUN: u64 = 1 << 40;
    let (volume, gate) = Gate::before(LocalVolume::new());
    volume.image("d0", LUN);
    let host = Host::start();
    let backstore = Backstore {
        cmd_time_out: Some(Duration::from_secs(2)),
        ..Backstore::new("d0", &volume.cfgstring("d0", ""), LUN)
    };
    let device = lun_of(&host, backstore);
    assert_alive(&host, &device);
    let before = Usage::of(host.pid()).kib;
    gate.shut();
    let mut pending = Vec::new();
    for n in 0..32_u64 {
        let block = || Data::Out(vec![7; BLOCK]);
        // WRITE SAME of all that 32 bits can say, with and without UNMAP; UNMAP of as much in 256
        // descriptors; COMPARE AND WRITE on one block.
        pending.push(device.send(&cdb16(0x93, 0x08, n, u32::MAX), block()));
        pending.push(device.send(&cdb16(0x93, 0x00, n, u32::MAX), block()));
        let mut list = 4102_u16.to_be_bytes().to_vec();
        list.extend(4096_u16.to_be_bytes());
        list.extend([0; 4]);
        for _ in 0..256 {
            list.extend(n.to_be_bytes());
            list.extend([0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
        }
        let mut unmap = [0; 10];
        unmap[0] = 0x42;
        unmap[7..9].copy_from_slice(&u16::try_from(list.len()).unwrap().to_be_bytes());
        pending.push(device.send(&unmap, Data::Out(list)));
        let mut compare = cdb16(0x89, 0, 9, 0);
        compare[13] = 1;
        pending.push(device.send(&compare, Data::Out(vec![0; 2 * BLOCK])));
    }
    for pending in pending {
        // Refused, or expired.
        drop(pending.wait());
    }
    let more = Usage::of(host.pid()).kib.saturating_sub(before);
    println!("{more} KiB more");
    assert!(more <= ALLOWED_KIB, "{more} KiB more");
    gate.open();
    support::eventually("all commands have ended", || device.in_flight() == 0);
    assert_alive(&host, &device);
}
