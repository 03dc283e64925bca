// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The lives of daemons and LUNs.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use crate::gate::Gate;
use crate::host::{Host, Usage};
use crate::kernel::Backstore;
use crate::kernel::device::{BECOMING_READY, BUSY, CHECK_CONDITION, Device, GOOD};
use crate::kernel::ring::Data;
use crate::model::Model;
use crate::scsi::{BLOCK, cdb16, inquiry, read, send_read, send_write, write};
use support::volume::LocalVolume;
use support::{eventually, pattern};

pub(crate) const MIB: u64 = 1 << 20;

/// A LUN on a new image.
pub(crate) fn lun(host: &Host, volume: &LocalVolume, name: &str, bytes: u64) -> Arc<Device> {
    volume.image(name, bytes);
    lun_of(host, Backstore::new(name, &volume.cfgstring(name, ""), bytes))
}

/// A LUN that serves: if the machine is busy, the plugin does not wait for its brick.
pub(crate) fn lun_of(host: &Host, backstore: Backstore) -> Arc<Device> {
    let device = host.kernel.add(backstore).unwrap();
    is_ready(&device);
    device
}

pub(crate) fn is_ready(device: &Device) {
    eventually("the LUN is ready", || {
        let reply = device.run(&[0; 6], Data::None);
        // If not, it is about to be; a busy daemon may not even say so in time.
        let is_early = BECOMING_READY.contains(&reply.sense) || reply.by_kernel;
        assert!(reply.status == GOOD || is_early, "{reply:?}");
        reply.status == GOOD
    });
}

pub(crate) fn from_start_to_end() {
    let volume = LocalVolume::new();
    let mut host = Host::start();
    let device = lun(&host, &volume, "d0", 16 * MIB);
    let standard = inquiry(&device, None, 36);
    assert_eq!(&standard[8..16], b"LIO-ORG ", "{standard:x?}");

    let bytes = pattern(1, 64 << 10);
    write(&device, 8, &bytes);
    assert_eq!(read(&device, 8, bytes.len()), bytes);
    assert_eq!(volume.bytes_on_brick("d0", 8 * 512, bytes.len()), bytes);

    host.kernel.remove(&device);
    assert!(!device.is_open());
    assert_eq!((device.in_flight(), device.is_broken()), (0, false));
    let (status, time) = host.stop_daemon();
    assert!(status.success(), "{status}\n{}", host.log());
    println!("the daemon ended within {time:.0?}");
}

pub(crate) fn before_the_daemon() {
    let volume = LocalVolume::new();
    let mut host = Host::without_daemon();
    let devices = ["d0", "d1", "d2"].map(|name| {
        volume.image(name, MIB);
        host.kernel.add(Backstore::new(name, &volume.cfgstring(name, ""), MIB)).unwrap()
    });
    host.start_daemon();
    for device in &devices {
        is_ready(device);
        write(device, 1, &pattern(u64::from(device.minor), BLOCK));
    }
    let (status, _) = host.stop_daemon();
    assert!(status.success(), "{status}\n{}", host.log());
    assert!(devices.iter().all(|device| !device.is_open()));
    host.start_daemon();
    for device in &devices {
        is_ready(device);
        assert_eq!(read(device, 1, BLOCK), pattern(u64::from(device.minor), BLOCK));
    }
}

pub(crate) fn killed_with_commands_in_flight() {
    const DEATHS: usize = 3;
    let volume = LocalVolume::new();
    let mut host = Host::start();
    let device = lun(&host, &volume, "d0", 16 * MIB);
    let worker = {
        let device = Arc::clone(&device);
        thread::spawn(move || {
            let mut model = Model::new(16 << 20, 11);
            while device.resets() < DEATHS {
                model.run(&device, 50, 64);
            }
            model.check_everything(&device);
            model.retried
        })
    };
    for death in 1..=DEATHS {
        is_ready(&device);
        eventually("commands are in flight", || device.in_flight() >= 32);
        host.kill_daemon();
        host.start_daemon();
        assert_eq!(device.resets(), death);
    }
    let retried = worker.join().unwrap();
    println!("{retried} commands were sent again");
    assert!(retried > 0, "no command was in flight when the daemon died");
    assert_eq!((device.in_flight(), device.is_broken()), (0, false));
}

/// Commands expire in the kernel while the daemon still has them; then they, and the LUN, end.
pub(crate) fn removed_with_expired_commands() {
    let (volume, gate) = Gate::before(LocalVolume::new());
    volume.image("d0", MIB);
    let host = Host::start();
    let backstore = Backstore {
        cmd_time_out: Some(Duration::from_secs(1)),
        ..Backstore::new("d0", &volume.cfgstring("d0", ""), MIB)
    };
    let device = lun_of(&host, backstore);
    drop(read(&device, 0, BLOCK));
    gate.shut();
    let reads: Vec<_> = (0..16).map(|lba| send_read(&device, lba, BLOCK)).collect();
    let writes: Vec<_> = (0..16).map(|lba| send_write(&device, lba, &[7; BLOCK])).collect();
    for pending in reads.into_iter().chain(writes) {
        let reply = pending.wait();
        assert_eq!((reply.status, reply.sense), (CHECK_CONDITION, (0x2, 0x08, 0x00)));
        assert!(reply.by_kernel);
    }
    assert_eq!((device.in_flight(), device.late_answers()), (32, 0));

    let begin = Instant::now();
    let remover = {
        let (kernel, device) = (host.kernel.clone(), Arc::clone(&device));
        thread::spawn(move || kernel.remove(&device))
    };
    thread::sleep(Duration::from_secs(1));
    assert!(!remover.is_finished(), "removed while it has commands");
    gate.open();
    remover.join().unwrap();
    println!("removed within {:.0?}", begin.elapsed());
    assert!(!device.is_broken());
    // The next LUN works.
    let next = lun(&host, &volume, "d1", MIB);
    write(&next, 0, &[1; BLOCK]);
}

pub(crate) fn ends_with_commands_in_flight() {
    let (volume, gate) = Gate::before(LocalVolume::new());
    let mut host = Host::start();
    let device = lun(&host, &volume, "d0", MIB);
    gate.shut();
    let writes: Vec<_> =
        (0..64).map(|lba| send_write(&device, lba, &pattern(lba, BLOCK))).collect();
    eventually("the daemon has them", || device.in_flight() == 64);
    let opener = thread::spawn(move || {
        thread::sleep(Duration::from_millis(500));
        gate.open();
        gate
    });
    let (status, time) = host.stop_daemon();
    assert!(status.success(), "{status}\n{}", host.log());
    assert!(time >= Duration::from_millis(400), "it did not wait for commands: {time:?}");
    for pending in writes {
        crate::scsi::assert_good(pending.wait());
    }
    // Nothing is lost, and commands that come now are the kernel's to answer.
    for lba in 0..64 {
        let on_brick = volume.bytes_on_brick("d0", lba * BLOCK as u64, BLOCK);
        assert_eq!(on_brick, pattern(lba, BLOCK));
    }
    drop(opener.join().unwrap());
    assert!(device.resets() == 0 && !device.is_open());
}

/// Answers that come after the kernel has given a command up free its room in the ring, and
/// nothing else.
pub(crate) fn late_answers() {
    let (volume, gate) = Gate::before(LocalVolume::new());
    volume.image("d0", MIB);
    let host = Host::start();
    let backstore = Backstore {
        cmd_time_out: Some(Duration::from_secs(1)),
        ..Backstore::new("d0", &volume.cfgstring("d0", ""), MIB)
    };
    let device = lun_of(&host, backstore);
    write(&device, 0, &pattern(1, 64 * BLOCK));
    for round in 0..2 {
        gate.shut();
        let reads: Vec<_> = (0..64).map(|lba| send_read(&device, lba, BLOCK)).collect();
        let all = reads.into_iter().map(|pending| pending.wait().sense);
        assert!(all.into_iter().all(|sense| sense == (0x2, 0x08, 0x00)));
        gate.open();
        eventually("late answers arrive", || device.in_flight() == 0);
        assert_eq!((device.late_answers(), device.is_broken()), (64 * (round + 1), false));
        assert_eq!(read(&device, 0, 64 * BLOCK), pattern(1, 64 * BLOCK));
    }
}

/// Commands for which the ring has no room wait in the kernel.
pub(crate) fn full_ring() {
    let (volume, gate) = Gate::before(LocalVolume::new());
    volume.image("d0", 4 * MIB);
    let host = Host::start();
    let backstore = Backstore {
        data_area_bytes: 1 << 20,
        ..Backstore::new("d0", &volume.cfgstring("d0", ""), 4 * MIB)
    };
    let device = lun_of(&host, backstore);
    gate.shut();
    let bytes = 64 << 10;
    let lba = |index: usize| (index * bytes / BLOCK) as u64;
    let writes: Vec<_> = (0..64)
        .map(|index| send_write(&device, lba(index), &pattern(index as u64, bytes)))
        .collect();
    eventually("the data area is full", || device.in_flight() == 16);
    gate.open();
    for pending in writes {
        crate::scsi::assert_good(pending.wait());
    }
    for index in 0..64 {
        assert_eq!(read(&device, lba(index), bytes), pattern(index as u64, bytes));
    }
}

pub(crate) fn blocked() {
    let volume = LocalVolume::new();
    let host = Host::start();
    let device = lun(&host, &volume, "d0", MIB);
    device.block(true);
    let reply = send_read(&device, 0, BLOCK).wait();
    assert_eq!((reply.status, reply.by_kernel), (BUSY, true));
    device.block(false);
    drop(read(&device, 0, BLOCK));
}

/// LUNs that come and go leave neither threads, nor descriptors, nor memory behind.
pub(crate) fn come_and_go() {
    const OFTEN: usize = 40;
    let volume = LocalVolume::new();
    let host = Host::start();
    // The volume's connection stays.
    let first = lun(&host, &volume, "first", MIB);
    let round = || {
        let device = lun(&host, &volume, "d0", MIB);
        write(&device, 0, &pattern(3, 64 * BLOCK));
        host.kernel.remove(&device);
    };
    (0..10).for_each(|_| round());
    let before = Usage::of(host.pid());
    (0..OFTEN).for_each(|_| round());
    let mut after = Usage::of(host.pid());
    // A thread may be just about to end.
    eventually("threads and descriptors are as before", || {
        after = Usage::of(host.pid());
        after.threads <= before.threads && after.fds <= before.fds
    });
    println!("{before:?} {after:?}");
    assert!(after.kib <= before.kib + 20 * OFTEN as u64, "{before:?} {after:?}");
    drop(read(&first, 0, BLOCK));
}

/// No thread can be created: LUNs are refused, those that are there serve.
pub(crate) fn no_threads() {
    let volume = LocalVolume::new();
    let host = Host::start();
    let first = lun(&host, &volume, "first", MIB);
    host.set_out_of_threads(true);
    volume.image("d0", MIB);
    let backstore = || Backstore::new("d0", &volume.cfgstring("d0", ""), MIB);
    assert_eq!(host.kernel.add(backstore()).err(), Some(Errno::ENOENT));
    // Another connection would be needed.
    let apart = LocalVolume::apart();
    apart.image("d1", MIB);
    let config = apart.cfgstring("d1", "");
    assert_eq!(host.kernel.add(Backstore::new("d1", &config, MIB)).err(), Some(Errno::ENOENT));
    write(&first, 0, &[1; BLOCK]);
    assert_eq!(read(&first, 0, BLOCK), [1; BLOCK]);
    crate::scsi::assert_good(first.run(&cdb16(0x91, 0, 0, 0), Data::None));
    host.set_out_of_threads(false);
    let device = lun_of(&host, backstore());
    write(&device, 0, &[2; BLOCK]);
    let other = lun_of(&host, Backstore::new("d1", &config, MIB));
    write(&other, 0, &[2; BLOCK]);
    for device in [first, device, other] {
        host.kernel.remove(&device);
    }
}

/// The core's own timeout, which only tells: the commands are answered when the brick answers.
pub(crate) fn slow_commands() {
    let (volume, gate) = Gate::before(LocalVolume::new());
    volume.image("d0", MIB);
    let host = Host::start();
    let config = volume.cfgstring("d0", ";tcmur_cmd_time_out=1");
    let device = lun_of(&host, Backstore::new("d0", &config, MIB));
    write(&device, 0, &[1; BLOCK]);
    gate.shut();
    let reads: Vec<_> = (0..8).map(|lba| send_read(&device, lba, BLOCK)).collect();
    eventually("the core says so", || host.log().matches("timed out").count() >= 8);
    gate.open();
    for pending in reads {
        drop(crate::scsi::assert_good(pending.wait()));
    }
}
