// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! What this process holds.

use std::fs;

#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// Resident memory.
    pub kib: u64,
    pub fds: usize,
    pub threads: u64,
}

impl Usage {
    pub fn now() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
        };
        let fds = fs::read_dir("/proc/self/fd").unwrap().count();
        Self { kib: field("VmRSS:"), fds, threads: field("Threads:") }
    }
}
