//! `handle_cmd`: what must not reach the core's own emulation.

use crate::support::runner::{INVALID_CDB, Lun, OK, RANGE};
use crate::support::volume::LocalVolume;

const INVALID_CMD: i32 = 7;
const NOT_HANDLED: i32 = -1;

#[test]
fn commands_that_the_core_gets_wrong_are_answered_before_it() {
    let volume = LocalVolume::new();
    volume.image("disk.img", 1 << 20);
    let mut lun = Lun::opened(&volume.cfgstring("disk.img", ""), 1 << 20);
    for closed in [false, true] {
        if closed {
            lun.close();
        }
        assert_eq!(lun.screen(&[0x83]), INVALID_CMD, "EXTENDED COPY");
        assert_eq!(lun.screen(&[0x2a, 0x20]), INVALID_CDB, "WRPROTECT");
        assert_eq!(lun.screen(&[0x28]), OK, "READ of nothing");
        assert_eq!(lun.screen(&[0x88, 0, 0, 0, 0, 0, 0, 0, 8, 1]), RANGE, "of nothing, beyond the end");
        assert_eq!(lun.screen(&[0x28, 0, 0, 0, 0, 0, 0, 0, 1]), NOT_HANDLED);
        assert_eq!(lun.screen(&[0x12]), NOT_HANDLED, "INQUIRY");
    }
    assert_eq!(lun.open(), 0);
}
