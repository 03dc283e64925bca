// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! What can go wrong on purpose: processes that die or freeze. Cables are cut in `network.rs`,
//! options set in `volumes.rs`.

use nix::sys::signal::{Signal, kill};

use crate::nodes::{cluster, kill_process};
use crate::volumes::Volume;

/// kill -9. [`Volume::restart_bricks`] brings it back.
pub(crate) fn kill_brick(volume: &Volume, brick: usize) {
    kill_process(volume.pid(brick).expect("a brick"));
}

/// SIGSTOP: its kernel goes on to acknowledge what it gets, and nobody reads it.
pub(crate) fn freeze_brick(volume: &Volume, brick: usize) {
    kill(volume.pid(brick).expect("a brick"), Signal::SIGSTOP).unwrap();
}

pub(crate) fn thaw_brick(volume: &Volume, brick: usize) {
    kill(volume.pid(brick).expect("a brick"), Signal::SIGCONT).unwrap();
}

/// kill -9. [`Node::start_glusterd`](crate::nodes::Node::start_glusterd) brings it back.
pub(crate) fn kill_glusterd(node: usize) {
    kill_process(cluster().node(node).glusterd());
}

pub(crate) fn freeze_glusterd(node: usize) {
    kill(cluster().node(node).glusterd(), Signal::SIGSTOP).unwrap();
}

pub(crate) fn thaw_glusterd(node: usize) {
    kill(cluster().node(node).glusterd(), Signal::SIGCONT).unwrap();
}
