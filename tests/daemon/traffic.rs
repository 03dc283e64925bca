// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Many commands at once, on one LUN and on several.

use std::sync::Arc;
use std::thread;

use crate::host::Host;
use crate::life::{MIB, lun};
use crate::model::Model;
use support::volume::LocalVolume;

fn random_commands(host: &Host, volume: &LocalVolume, name: &str, seed: u64, commands: usize) {
    let device = lun(host, volume, name, 32 * MIB);
    let mut model = Model::new(32 << 20, seed);
    model.run(&device, commands, 64);
    model.check_everything(&device);
    assert_eq!((device.in_flight(), device.is_broken(), model.retried), (0, false, 0));
    println!("{name}: {} READs and {} writing commands", model.reads, model.writes);
    host.kernel.remove(&device);
}

pub(crate) fn one_lun() {
    let host = Host::start();
    random_commands(&host, &LocalVolume::new(), "d0", 1, 10_000);
}

/// On one volume and on another, so that they share all, or nothing but the daemon.
pub(crate) fn three_luns() {
    let host = Arc::new(Host::start());
    let (shared, other) = (Arc::new(LocalVolume::new()), Arc::new(LocalVolume::apart()));
    let luns = [(&shared, "d0"), (&shared, "d1"), (&other, "d2")];
    let threads: Vec<_> = luns
        .into_iter()
        .enumerate()
        .map(|(seed, (volume, name))| {
            let (host, volume) = (Arc::clone(&host), Arc::clone(volume));
            thread::spawn(move || random_commands(&host, &volume, name, seed as u64 + 2, 3_000))
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
}
