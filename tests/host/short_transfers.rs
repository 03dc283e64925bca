// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! tcmu-runner takes a GOOD for the whole length: what the volume does only in part is continued.

use support::faults::{self, Fault};
use support::pattern;
use support::runner::{Lun, OK, RD_ERR, WR_ERR};
use support::volume::LocalVolume;

const MIB: u64 = 1 << 20;

#[test]
fn short_reads_and_writes_are_continued() {
    let volume = LocalVolume::new();
    volume.image("short.img", MIB);
    let lun = Lun::opened(&volume.cfgstring("short.img", ""), MIB);
    for limit in [1, 511, 4099, 65536] {
        faults::set(&volume.path("short.img"), Some(Fault::Short(limit)));
        let len = (limit * 9).min(65536);
        let data = pattern(7, len);
        assert_eq!(lun.write(4096, &data), OK);
        assert_eq!(volume.bytes_on_brick("short.img", 4096, len), data);
        assert_eq!(lun.read(4096, len), (OK, data));
    }
    faults::set(&volume.path("short.img"), None);
}

#[test]
fn a_read_past_the_end_of_a_file_that_was_cut_off_fails_and_invents_nothing() {
    let volume = LocalVolume::new();
    volume.image("eof.img", MIB);
    let lun = Lun::opened(&volume.cfgstring("eof.img", ""), MIB);
    assert_eq!(lun.write(0, &[1; 8192]), OK);
    // Behind the LUN's back.
    volume.image_shrinks("eof.img", 4096);
    assert_eq!(lun.read(0, 8192).0, RD_ERR);
    assert_eq!(lun.read(0, 4096), (OK, vec![1; 4096]), "what is left can be read");
}

#[test]
fn a_write_that_moves_nothing_is_an_error_and_no_endless_loop() {
    let volume = LocalVolume::new();
    volume.image("stuck.img", MIB);
    let lun = Lun::opened(&volume.cfgstring("stuck.img", ""), MIB);
    faults::set(&volume.path("stuck.img"), Some(Fault::Nothing));
    assert_eq!(lun.write(0, &[1; 512]), WR_ERR);
    faults::set(&volume.path("stuck.img"), None);
    assert_eq!(lun.write(0, &[1; 512]), OK);
}
