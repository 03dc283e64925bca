// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! `handle_cmd`: what must not reach the core's own emulation.

use support::runner::{INVALID_CDB, Lun, NOT_HANDLED, OK, RANGE};
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
        assert_eq!(status(&[0x83]), INVALID_CMD, "EXTENDED COPY");
        assert_eq!(status(&[0x2a, 0x20]), INVALID_CDB, "WRPROTECT");
        assert_eq!(status(&[0x93, 0x18]), INVALID_CDB, "ANCHOR");
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
    for opcode in [0x12, 0x1a, 0x5a, 0x25, 0x9e, 0xa3] {
        assert_eq!(lun.screen(&[opcode]), (NOT_HANDLED, vec![0; 600]), "{opcode:02x}");
    }
    assert_eq!(
        lun.screen(&[0x2a, 0, 0, 0, 0, 0, 0, 0, 1]).1,
        vec![0xee; 600],
        "a WRITE's data is the initiator's"
    );
}
