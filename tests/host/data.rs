// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! What is written is what is read, and what the brick has.

use support::faults::{self, Fault};
use support::pattern;
use support::runner::{Lun, OK};
use support::volume::LocalVolume;

const MIB: u64 = 1 << 20;

fn round_trip(fault: Option<Fault>, options: &str) {
    let volume = LocalVolume::new();
    faults::set(&volume.path("disk.img"), fault);
    volume.image("disk.img", 16 * MIB);
    let cfgstring = volume.cfgstring("disk.img", options);
    let pieces: [(i64, usize); 5] =
        [(0, 512), (512, 4096), (1 << 20, 1 << 20), (5 << 20, 6 << 20), ((16 << 20) - 512, 512)];
    let mut lun = Lun::opened(&cfgstring, 16 * MIB);
    for (seed, &(offset, len)) in (1..).zip(&pieces) {
        assert_eq!(lun.write(offset, &pattern(seed, len)), OK);
    }
    assert_eq!(lun.flush(), OK);
    for (seed, &(offset, len)) in (1..).zip(&pieces) {
        assert_eq!(lun.read(offset, len), (OK, pattern(seed, len)));
        assert_eq!(
            volume.bytes_on_brick("disk.img", u64::try_from(offset).unwrap(), len),
            pattern(seed, len)
        );
    }
    assert_eq!(lun.read(8192, 512), (OK, vec![0; 512]), "never written");
    lun.close();
    assert_eq!(lun.open(), 0);
    assert_eq!(lun.read(1 << 20, 1 << 20), (OK, pattern(3, 1 << 20)), "after a reopen");
    faults::set(&volume.path("disk.img"), None);
}

#[test]
fn bytes_survive_when_the_volume_answers_later() {
    round_trip(None, "");
}

#[test]
fn bytes_survive_when_the_volume_answers_inside_the_call() {
    round_trip(Some(Fault::Synchronous), "");
}

#[test]
fn bytes_survive_with_a_write_back_cache() {
    round_trip(None, ";cache=writeback;io-threads=on");
}

#[test]
fn a_command_is_never_completed_inside_the_callback_that_submits_it() {
    let volume = LocalVolume::new();
    faults::set(&volume.path("disk.img"), Some(Fault::Synchronous));
    volume.image("disk.img", MIB);
    let lun = Lun::opened(&volume.cfgstring("disk.img", ""), MIB);
    for _ in 0..100 {
        let (status, thread) = lun.submit_write(0, &[1; 512]).answer();
        assert_eq!(status, OK);
        assert_ne!(thread, std::thread::current().id());
    }
}

#[test]
fn many_commands_in_flight_keep_their_own_data() {
    let volume = LocalVolume::new();
    volume.image("disk.img", 16 * MIB);
    let lun = Lun::opened(&volume.cfgstring("disk.img", ""), 16 * MIB);
    let slots = 0..256_u64;
    let offset = |slot: u64| i64::try_from(slot * 65536).unwrap();
    let len = |slot: u64| 512 * (1 + usize::try_from(slot % 128).unwrap());
    let writes: Vec<_> = slots
        .clone()
        .map(|slot| lun.submit_write(offset(slot), &pattern(slot, len(slot))))
        .collect();
    assert!(writes.into_iter().all(|write| write.wait().0 == OK));
    let reads: Vec<_> =
        slots.map(|slot| (slot, lun.submit_read(offset(slot), len(slot)))).collect();
    for (slot, read) in reads {
        let (status, command) = read.wait();
        assert_eq!((status, &command.data), (OK, &pattern(slot, len(slot))));
    }
}

#[test]
fn two_luns_with_equal_strings_are_independent() {
    let volume = LocalVolume::new();
    volume.image("disk.img", MIB);
    let cfgstring = volume.cfgstring("disk.img", "");
    let mut first = Lun::opened(&cfgstring, MIB);
    let second = Lun::opened(&cfgstring, MIB);
    assert_eq!(first.write(0, &[7; 512]), OK);
    first.close();
    assert_eq!(second.read(0, 512), (OK, vec![7; 512]));
}

#[test]
fn luns_opened_and_closed_at_once_share_connections_safely() {
    let volume = LocalVolume::new();
    for disk in 0..8 {
        volume.image(&format!("disk{disk}.img"), MIB);
    }
    std::thread::scope(|scope| {
        for disk in 0..8_u8 {
            let volume = &volume;
            scope.spawn(move || {
                for round in 0..20 {
                    let lun = Lun::opened(&volume.cfgstring(&format!("disk{disk}.img"), ""), MIB);
                    let data = [disk ^ round; 4096];
                    assert_eq!(lun.write(0, &data), OK);
                    assert_eq!(lun.read(0, 4096), (OK, data.to_vec()));
                }
            });
        }
    });
}
