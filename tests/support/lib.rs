// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! A fake tcmu-runner that loads the real plugin, volumes to serve from, and faults in libgfapi and
//! in thread creation.
//!
//! An executable that links this library defines functions of tcmu-runner, libgfapi and libc
//! ([`faults`], [`log`], [`threads`]), which come before those of the libraries.

pub mod background;
pub mod faults;
pub mod log;
pub mod metrics;
pub mod pending;
pub mod runner;
pub mod threads;
pub mod usage;
pub mod volume;

pub use testbed::{
    c_abi, cluster, eventually, harness, namespaces, prerequisites, scratch, symbols,
};

/// A pattern that differs at every offset and from seed to seed.
pub fn pattern(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        })
        .collect()
}
