// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! What the test hosts share: a fake tcmu-runner, volumes to serve from, and faults in libgfapi.
#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test binary uses its part")]

pub mod alongside;
pub mod faults;
pub mod log;
pub mod metrics;
pub mod prerequisites;
pub mod runner;
pub mod symbols;
pub mod threads;
pub mod trials;
pub mod usage;
pub mod volume;
pub mod wait;
pub mod wire;

pub use wait::eventually;

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
