// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! MODE SENSE: that FUA is worth while, and whether the LUN may be written (SBC-3, 6.4).
//!
//! The pages are those of the core (`scsi.c`, `modesense_handlers`), byte for byte: it serves MODE
//! SELECT, and takes what equals its own.

use super::answers::{Attributes, wrong};
use crate::scsi::{Cdb, Sense, Status};

/// Read-Write Error Recovery.
const RECOVERY: [u8; 12] = [0x01, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
/// Caching: WCE. The bricks have a cache even where the client has none.
const CACHING: [u8; 20] = [0x08, 0x12, 0x04, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
/// Control: GLTSD, TAS, and no limit to how long a LUN may be busy.
const CONTROL: [u8; 12] = [0x0a, 0x0a, 0x02, 0, 0, 0x40, 0, 0, 0xff, 0xff, 0, 0];

/// All of them, in ascending order.
const PAGES: [&[u8]; 3] = [&RECOVERY, &CACHING, &CONTROL];

/// Values of PC (page control).
const CHANGEABLE: u8 = 1;
const SAVED: u8 = 3;

/// Answers MODE SENSE (6), (10).
pub(super) fn sense(cdb: &Cdb, lun: Attributes) -> Result<Vec<u8>, Status> {
    const WP: u8 = 0x80;
    const DPOFUA: u8 = 0x10;
    const ALL: u8 = 0x3f;
    const ALL_SUBPAGES: u8 = 0xff;
    let (control, page, subpage) = (cdb.byte(2) >> 6, cdb.byte(2) & ALL, cdb.byte(3));
    let is_all = page == ALL;
    if control == SAVED {
        return Err(Status::Sense(Sense::SAVING_NOT_SUPPORTED));
    }
    if subpage != 0 && !(is_all && subpage == ALL_SUBPAGES) {
        return Err(wrong(3, None));
    }
    let pages: Vec<_> =
        PAGES.into_iter().filter(|bytes| is_all || bytes.first() == Some(&page)).collect();
    if pages.is_empty() {
        return Err(wrong(2, 5));
    }
    let specific = DPOFUA | if lun.writable { 0 } else { WP };
    let body: Vec<_> = pages.into_iter().flat_map(|page| shown(page, control)).collect();
    // MODE DATA LENGTH does not count itself.
    let length = |header: usize| u8::try_from(body.len().saturating_add(header)).unwrap_or(u8::MAX);
    let header = if cdb.opcode() == 0x1a {
        vec![length(3), 0, specific, 0]
    } else {
        vec![0, length(6), 0, specific, 0, 0, 0, 0]
    };
    Ok([header, body].concat())
}

/// A page, or which bits of it can be changed: none.
fn shown(page: &[u8], control: u8) -> Vec<u8> {
    const HEADER: usize = 2;
    let mut bytes = page.to_vec();
    if control == CHANGEABLE {
        bytes.iter_mut().skip(HEADER).for_each(|byte| *byte = 0);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const LUN: Attributes = Attributes::UNKNOWN;

    #[test]
    fn both_sizes_have_the_pages_and_dpofua() {
        let six = sense(&Cdb::new(&[0x1a, 0, 0x3f]), LUN).unwrap();
        assert_eq!((six[0], six[2], six.len()), (47, 0x10, 48));
        let ten = sense(&Cdb::new(&[0x5a, 0, 0x3f]), LUN).unwrap();
        assert_eq!((&ten[..2], ten[3], &ten[8..]), (&[0, 50][..], 0x10, &six[4..]));
        let read_only = sense(&Cdb::new(&[0x1a, 0, 0x08]), Attributes { writable: false });
        assert_eq!(read_only.unwrap()[2..8], [0x90, 0, 0x08, 0x12, 0x04, 0]);
    }

    #[test]
    fn nothing_can_be_changed_or_saved() {
        let changeable = sense(&Cdb::new(&[0x1a, 0, 0x48]), LUN).unwrap();
        assert_eq!((changeable[4], &changeable[6..]), (0x08, &[0; 18][..]));
        let saved = Status::Sense(Sense::SAVING_NOT_SUPPORTED);
        assert_eq!(sense(&Cdb::new(&[0x1a, 0, 0xc8]), LUN), Err(saved));
    }

    #[test]
    fn pages_that_there_are_not_are_pointed_at() {
        assert_eq!(sense(&Cdb::new(&[0x1a, 0, 0x05]), LUN), Err(wrong(2, 5)));
        assert_eq!(sense(&Cdb::new(&[0x5a, 0, 0x0a, 1]), LUN), Err(wrong(3, None)));
    }
}
