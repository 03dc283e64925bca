// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Two gateways, each with a tcmu-runner of its own, and one image that both export: the core's
//! implicit ALUA with the plugin's fence.

use std::sync::Arc;
use std::time::{Duration, Instant};

use support::cluster::Volume;
use support::pattern;

use crate::host::Host;
use crate::kernel::Backstore;
use crate::kernel::device::{Device, GOOD};
use crate::scsi::{BLOCK, send_read, send_write};

/// What a volume needs to enforce ownership (docs/fencing.md).
const OPTIONS: [(&str, &str); 4] = [
    ("locks.mandatory-locking", "forced"),
    ("features.enforce-mandatory-lock", "on"),
    ("features.locks-revocation-secs", "1"),
    ("features.locks-revocation-clear-all", "on"),
];

const BYTES: u64 = 1 << 20;

fn export(host: &Host, volume: &Volume) -> Arc<Device> {
    let config = volume.cfgstring("disk", ";fence=required");
    let backstore = Backstore { implicit_alua: true, ..Backstore::new("disk", &config, BYTES) };
    host.kernel.add(backstore).unwrap()
}

/// Writes as an initiator does that has only this path: until it is done; how long it took.
fn insist(device: &Device, data: &[u8]) -> Duration {
    let begin = Instant::now();
    loop {
        let reply = send_write(device, 0, data).wait();
        if reply.status == GOOD {
            return begin.elapsed();
        }
        assert!(begin.elapsed() < Duration::from_secs(60), "not written: {reply:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Reads likewise.
fn insist_on_reading(device: &Device, bytes: usize) -> Vec<u8> {
    let begin = Instant::now();
    loop {
        let reply = send_read(device, 0, bytes).wait();
        if reply.status == GOOD {
            return reply.data;
        }
        assert!(begin.elapsed() < Duration::from_secs(60), "not read: {reply:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The LUN follows its initiator from one gateway to the other and back, also from one that was
/// killed, and what was acknowledged through either is read through both.
pub(crate) fn taken_in_turns() {
    let volume = Volume::start(&[], 1, &OPTIONS);
    volume.image("disk", BYTES);
    let mut hosts = [Host::start(), Host::start()];
    let devices = [export(&hosts[0], &volume), export(&hosts[1], &volume)];
    for round in 0..4 {
        let (next, last) = (round % 2, (round + 1) % 2);
        let data = pattern(round as u64 + 1, 16 * BLOCK);
        let took = insist(&devices[next], &data);
        println!("round {round}: taken within {took:.1?}");
        // The other one does not write over it without the initiator's asking, and reads it.
        assert_eq!(insist_on_reading(&devices[next], data.len()), data);
        let refused = send_read(&devices[last], 0, data.len()).wait();
        assert!(refused.status != GOOD || refused.data == data, "stale data");
    }
    // The owner dies: the other one goes on.
    hosts[1].kill_daemon();
    let data = pattern(9, 16 * BLOCK);
    println!("taken from the dead within {:.1?}", insist(&devices[0], &data));
    hosts[1].start_daemon();
    assert_eq!(insist_on_reading(&devices[1], data.len()), data);
    for (host, device) in hosts.iter().zip(&devices) {
        host.kernel.remove(device);
    }
}
