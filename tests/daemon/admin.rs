// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! What an admin does to LUNs: creates them with good and bad configurations, grows them, changes
//! their settings.

use std::fs;

use nix::errno::Errno;

use crate::host::Host;
use crate::kernel::Backstore;
use crate::kernel::device::{CHECK_CONDITION, Device};
use crate::kernel::ring::Data;
use crate::life::{MIB, lun};
use crate::scsi::{BLOCK, assert_good, inquiry, read, send_read, write};
use support::eventually;
use support::volume::LocalVolume;

/// READ CAPACITY(16): blocks.
fn capacity(device: &Device) -> u64 {
    let mut cdb = [0; 16];
    (cdb[0], cdb[1], cdb[13]) = (0x9e, 0x10, 32);
    let data = assert_good(device.run(&cdb, Data::In(32)));
    u64::from_be_bytes(data[..8].try_into().unwrap()) + 1
}

/// Takes the unit attention that says so.
fn capacity_has_changed(device: &Device) {
    let attention = device.run(&[0; 6], Data::None);
    assert_eq!((attention.status, attention.sense), (CHECK_CONDITION, (0x6, 0x2a, 0x09)));
}

pub(crate) fn bad_config() {
    let volume = LocalVolume::new();
    volume.image("d0", MIB);
    let host = Host::start();
    let good = volume.cfgstring("d0", "");
    assert_eq!(host.check_config(&good), Ok(()));
    for (options, reason) in
        [(";chache=none", "chache"), (";cache=maybe", "maybe"), (";profile=none-such", "none-such")]
    {
        let config = volume.cfgstring("d0", options);
        let refused = host.check_config(&config).unwrap_err();
        assert!(refused.contains(reason), "{refused}");
        let added = host.kernel.add(Backstore::new("d0", &config, MIB));
        assert_eq!(added.err(), Some(Errno::ENOENT), "{config}");
        // A line of the log has room for 254 bytes.
        let logged = format!("because of {}", refused.get(..100).unwrap_or(&refused));
        assert!(host.log().contains(&logged), "{logged}");
    }
    let no_image = Backstore::new("d0", &volume.cfgstring("none", ""), MIB);
    assert_eq!(host.kernel.add(no_image).err(), Some(Errno::ENOENT));
    // The daemon is none the worse. An image that is smaller than the LUN makes it smaller.
    let device = host.kernel.add(Backstore::new("d0", &good, 2 * MIB)).unwrap();
    capacity_has_changed(&device);
    assert_eq!((capacity(&device), device.backstore().bytes), (MIB / BLOCK as u64, MIB));
    drop(read(&device, 0, BLOCK));
}

pub(crate) fn growth() {
    let volume = LocalVolume::new();
    let host = Host::start();
    let device = lun(&host, &volume, "d0", MIB);
    assert_eq!(capacity(&device), MIB / BLOCK as u64);
    let beyond = send_read(&device, MIB / BLOCK as u64, BLOCK).wait();
    assert_eq!((beyond.status, beyond.sense), (CHECK_CONDITION, (0x5, 0x21, 0x00)));

    // As README.md has it: the image first.
    volume.image("d0", 4 * MIB);
    host.kernel.set_size(&device, 4 * MIB).unwrap();
    capacity_has_changed(&device);
    assert_eq!(capacity(&device), 4 * MIB / BLOCK as u64);
    write(&device, 4 * MIB / BLOCK as u64 - 1, &[9; BLOCK]);
    assert_eq!(volume.bytes_on_brick("d0", 4 * MIB - 512, BLOCK), [9; BLOCK]);

    // More than the image has.
    let refused = host.kernel.set_size(&device, 8 * MIB);
    assert!(refused.is_err(), "a LUN larger than its image");
    assert_eq!(capacity(&device), 4 * MIB / BLOCK as u64);
}

/// WCE in the caching mode page.
fn says_write_cache(device: &Device) -> bool {
    let page = assert_good(device.run(&[0x1a, 0, 0x08, 0, 64, 0], Data::In(64)));
    // A header of 4 bytes.
    page[4 + 2] & 0x04 != 0
}

pub(crate) fn settings_of_a_live_lun() {
    let volume = LocalVolume::new();
    let host = Host::start();
    let device = lun(&host, &volume, "d0", MIB);
    let before = inquiry(&device, None, 36);
    // The bricks cache, so initiators must flush.
    assert!(says_write_cache(&device));
    assert_eq!(host.kernel.set_write_cache(&device, true), Ok(()));
    assert_eq!(host.kernel.set_write_cache(&device, false), Err(Errno::EOPNOTSUPP));
    assert!(says_write_cache(&device));
    let other = host.kernel.set_config(&device, &volume.cfgstring("other", ""));
    assert_eq!(other, Err(Errno::EOPNOTSUPP));
    assert_eq!(inquiry(&device, None, 36), before);
    drop(read(&device, 0, BLOCK));
}

/// The daemon reads its own configuration anew when it changes, and the plugin's site file too.
pub(crate) fn log_level() {
    let volume = LocalVolume::new();
    let host = Host::start();
    let device = lun(&host, &volume, "d0", MIB);
    fs::write(host.configuration("tcmu.conf"), "log_level = 5\n").unwrap();
    eventually("the daemon logs commands", || {
        drop(read(&device, 0, BLOCK));
        host.log().contains("[DEBUG_SCSI_CMD]")
    });
}
