// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The volumes whose graphs change, and the changes of each.

use crate::changes::Change::{Add, Quota, Replace, ResetBrick, Shard};
use crate::changes::{
    BRICK_LOG, CACHE_SIZE, Change, OPEN_BEHIND, RESET, STAT_PREFETCH, WRITE_BEHIND,
};
use crate::replica::NOT_EAGER;

/// A kind of volume, and what happens to it, in turns.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) name: &'static str,
    pub(super) words: &'static [&'static str],
    pub(super) bricks: usize,
    pub(super) options: &'static [(&'static str, &'static str)],
    pub(super) is_fenced: bool,
    pub(super) changes: &'static [Change],
}

pub(super) const BRICK: Layout = Layout {
    name: "one brick",
    words: &[],
    bricks: 1,
    options: &[],
    is_fenced: true,
    changes: &[STAT_PREFETCH, Quota, WRITE_BEHIND, BRICK_LOG, RESET, OPEN_BEHIND, CACHE_SIZE],
};

pub(super) const DISTRIBUTE: Layout = Layout {
    name: "distribute",
    words: &[],
    bricks: 2,
    options: &[],
    is_fenced: false,
    changes: &[
        Add(1),
        STAT_PREFETCH,
        Shard,
        WRITE_BEHIND,
        RESET,
        BRICK_LOG,
        Quota,
        OPEN_BEHIND,
        CACHE_SIZE,
    ],
};

pub(super) const FENCED_DISTRIBUTE: Layout = Layout {
    name: "distribute, fenced",
    words: &[],
    bricks: 2,
    options: &[],
    is_fenced: true,
    changes: &[
        WRITE_BEHIND,
        Add(1),
        RESET,
        STAT_PREFETCH,
        Quota,
        BRICK_LOG,
        OPEN_BEHIND,
        CACHE_SIZE,
    ],
};

pub(super) const REPLICA: Layout = Layout {
    name: "replica 3",
    words: &["replica", "3"],
    bricks: 3,
    options: &NOT_EAGER,
    is_fenced: true,
    changes: &[
        OPEN_BEHIND,
        Replace,
        STAT_PREFETCH,
        ResetBrick,
        WRITE_BEHIND,
        RESET,
        Add(3),
        Quota,
        BRICK_LOG,
    ],
};

pub(super) const DISPERSE: Layout = Layout {
    name: "disperse 2+1",
    words: &["disperse", "3", "redundancy", "1"],
    bricks: 3,
    options: &[],
    is_fenced: true,
    changes: &[
        WRITE_BEHIND,
        ResetBrick,
        OPEN_BEHIND,
        Replace,
        RESET,
        Add(3),
        STAT_PREFETCH,
        Quota,
        BRICK_LOG,
    ],
};

pub(super) const SHARDED: Layout = Layout {
    name: "sharded",
    words: &["replica", "3"],
    bricks: 3,
    options: &[("features.shard", "on"), ("features.shard-block-size", "4MB"), NOT_EAGER[0]],
    is_fenced: false,
    changes: &[
        STAT_PREFETCH,
        WRITE_BEHIND,
        RESET,
        ResetBrick,
        OPEN_BEHIND,
        Replace,
        Quota,
        BRICK_LOG,
        Add(3),
    ],
};
