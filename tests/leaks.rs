// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Opening and closing, in vain or not, leaves nothing behind.

use support::eventually;
use support::log;
use support::runner::{Lun, OK};
use support::usage::Usage;
use support::volume::LocalVolume;

const MIB: u64 = 1 << 20;

/// Repeats `work` until the process has settled, then `times` more, and compares.
fn stays_flat(what: &str, warm_up: u32, times: u32, allowed_kib: u64, work: impl Fn()) {
    (0..warm_up).for_each(|_| work());
    log::forget();
    let before = Usage::now();
    (0..times).for_each(|_| work());
    log::forget();
    // Threads end a moment after their work.
    eventually("the threads end", || Usage::now().threads <= before.threads);
    let after = Usage::now();
    println!("{what}: {times} times: {before:?} -> {after:?}");
    assert!(after.kib <= before.kib + allowed_kib, "memory grew");
    assert!(after.fds <= before.fds, "descriptors grew");
}

#[test]
fn a_thousand_cycles_and_two_hundred_failures_leave_memory_and_descriptors_flat() {
    let volume = LocalVolume::new();
    volume.image("disk.img", MIB);
    let good = volume.cfgstring("disk.img", "");
    stays_flat("open, write, read, close", 3000, 1000, 1024, || {
        let lun = Lun::opened(&good, MIB);
        assert_eq!(lun.write(0, &[1; 4096]), OK);
        assert_eq!(lun.read(0, 4096).0, OK);
    });
    let bad = [
        volume.cfgstring("missing.img", ""),
        volume.cfgstring("", "").replace("/;", ";"),
        "glfs/v@127.0.0.1/d;port=9;open=fail".to_owned(),
        "glfs/v@h/d;volfile=/no/such".to_owned(),
        "glfs/malformed".to_owned(),
    ];
    stays_flat("opens that fail", 10, 40, 1024, || {
        for cfgstring in &bad {
            assert!(Lun::new(cfgstring, MIB, 512).open() < 0, "{cfgstring}");
        }
    });
}
