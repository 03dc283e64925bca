// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Waiting for things that happen elsewhere.

use std::time::{Duration, Instant};

/// Waits until `condition` holds.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < Duration::from_secs(30), "not within 30 s: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
