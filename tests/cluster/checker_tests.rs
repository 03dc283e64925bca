// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The checker against histories that are made up: what it must catch, and what it must let pass.

use crate::checker::{History, Read, Write};
use crate::stamp::{BLOCK, Content, Stamp};

fn stamp(number: u64) -> Stamp {
    Stamp { gateway: 1, number }
}

fn seen(number: u64) -> Content {
    Content::Write(stamp(number))
}

/// Writes of gateway 1 to block 0, numbered from 1: begin, end (0: never answered), acknowledged.
fn history(writes: &[(u64, u64, bool)]) -> History {
    let mut history = History::default();
    for (number, &(begin, end, acknowledged)) in (1..).zip(writes) {
        history.begins(stamp(number), Write { block: 0, begin, end: None, acknowledged: false });
        if end > 0 {
            history.ends(stamp(number), end, acknowledged);
        }
    }
    history
}

fn objects(history: &History, content: Content, why: &str) {
    let wrong = history.wrong_blocks(&[content]);
    assert!(wrong.len() == 1 && wrong[0].contains(why), "{content:?}: {wrong:?}");
}

fn agrees(history: &History, content: Content) {
    assert_eq!(history.wrong_blocks(&[content]), [""; 0]);
}

pub(crate) fn a_lost_write() {
    let history = history(&[(10, 20, true)]);
    agrees(&history, seen(1));
    objects(&history, Content::Zeros, "it is lost");
}

pub(crate) fn a_stale_write() {
    let history = history(&[(10, 20, true), (30, 40, true)]);
    agrees(&history, seen(2));
    objects(&history, seen(1), "the later");
    objects(&history, Content::Zeros, "it is lost");
}

/// The first was refused, and comes all the same: after the second has been acknowledged.
pub(crate) fn a_late_duplicate() {
    objects(&history(&[(10, 20, false), (30, 40, true)]), seen(1), "the later");
    // Never answered at all, as of a gateway that died: it may come when it likes, unless its
    // gateway has been fenced.
    let mut history = history(&[(10, 0, false), (30, 40, true)]);
    agrees(&history, seen(1));
    history.fence(1, 25);
    objects(&history, seen(1), "the later");
}

pub(crate) fn a_write_of_a_fenced_gateway() {
    let mut history = history(&[(10, 20, true), (30, 40, false)]);
    agrees(&history, seen(2));
    history.fence(1, 25);
    objects(&history, seen(2), "was fenced");
    objects(&history, Content::Write(Stamp { gateway: 2, number: 1 }), "nobody wrote");
}

pub(crate) fn a_torn_block() {
    let mut bytes = stamp(1).fill(0);
    assert_eq!(Content::of(&bytes, 0), seen(1));
    assert_eq!(Content::of(&bytes, 1), Content::Torn, "it belongs elsewhere");
    bytes[BLOCK - 512..].copy_from_slice(&stamp(2).fill(0)[BLOCK - 512..]);
    assert_eq!(Content::of(&bytes, 0), Content::Torn);
    bytes[..BLOCK - 32].fill(0);
    assert_eq!(Content::of(&bytes, 0), Content::Torn);
    objects(&history(&[(10, 20, true), (15, 25, true)]), Content::Torn, "torn");
}

/// Overlapping writes may end in either order, and a failed one may or may not have been done.
pub(crate) fn what_may_be_is_let_pass() {
    let history = history(&[(10, 20, true), (15, 25, true), (24, 30, false)]);
    (1..=3).for_each(|number| agrees(&history, seen(number)));
}

pub(crate) fn reads() {
    let mut history = history(&[(10, 20, true), (30, 40, true)]);
    let mut objections = |begin, end, seen| {
        history.reads = vec![Read { block: 0, begin, end, seen }];
        history.wrong_reads().len()
    };
    assert_eq!(objections(21, 25, seen(1)), 0);
    assert_eq!(objections(21, 25, Content::Zeros), 1, "lost");
    assert_eq!(objections(21, 25, seen(2)), 1, "from the future");
    assert_eq!(objections(21, 35, seen(2)), 0);
    assert_eq!(objections(35, 45, Content::Torn), 0, "a write is under way");
    assert_eq!(objections(45, 50, Content::Torn), 1);
    assert_eq!(objections(41, 50, seen(1)), 1, "stale");
    assert_eq!(objections(5, 8, Content::Zeros), 0);
}
