// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! `handle_cmd`: what must not reach the core's own emulation.

use support::runner::{Lun, NOT_HANDLED, OK, PASSTHROUGH_ERR, RANGE};
use support::volume::LocalVolume;

const INVALID_CMD: i32 = 7;

#[test]
fn commands_that_the_core_gets_wrong_are_answered_before_it() {
    let volume = LocalVolume::new();
    volume.image("disk.img", 1 << 20);
    let mut lun = Lun::opened(&volume.cfgstring("disk.img", ""), 1 << 20);
    for closed in [false, true] {
        if closed {
            lun.close();
        }
        let status = |cdb: &[u8]| lun.screen(cdb).0;
        assert_eq!(status(&[0x85]), INVALID_CMD, "ATA PASS-THROUGH");
        assert_eq!(status(&[0x2a, 0x20]), PASSTHROUGH_ERR, "WRPROTECT");
        assert_eq!(status(&[0x93, 0x18]), PASSTHROUGH_ERR, "ANCHOR");
        assert_eq!(status(&[0x28]), OK, "READ of nothing");
        assert_eq!(status(&[0x88, 0, 0, 0, 0, 0, 0, 0, 8, 1]), RANGE, "of nothing, beyond the end");
        assert_eq!(status(&[0x28, 0, 0, 0, 0, 0, 0, 0, 1]), NOT_HANDLED);
        assert_eq!(status(&[0x12]), NOT_HANDLED, "INQUIRY");
    }
    assert_eq!(lun.open(), 0);
}

/// The core fills 36 bytes of an INQUIRY's buffer; the rest of it went to the initiator as the ring
/// had it.
#[test]
fn no_old_data_is_left_in_the_buffer_of_an_answer() {
    let volume = LocalVolume::new();
    volume.image("disk.img", 1 << 20);
    let lun = Lun::opened(&volume.cfgstring("disk.img", ""), 1 << 20);
    for cdb in [&[0x25][..], &[0xa3, 0x0a], &[0x12, 1, 0x83]] {
        assert_eq!(lun.screen(cdb), (NOT_HANDLED, vec![0; 600]), "{cdb:02x?}");
    }
    for cdb in [&[0x1a, 0, 0x3f, 0, 4][..], &[0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4]] {
        let (status, data) = lun.screen(cdb);
        assert_eq!((status, &data[4..]), (OK, &[0; 596][..]), "{cdb:02x?}");
    }
    assert_eq!(
        lun.screen(&[0x2a, 0, 0, 0, 0, 0, 0, 0, 1]).1,
        vec![0xee; 600],
        "a WRITE's data is the initiator's"
    );
}
