// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! What a gateway has been asked to do, written down before and after, so that it survives the
//! gateway.
//!
//! Times are of `CLOCK_MONOTONIC`, which all processes of a host share. A line is one `write`: a
//! killed gateway leaves whole lines. A begin is noted before the command is submitted, an end
//! after it was answered: commands seem longer than they were, never shorter.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Mutex;

use crate::checker::{History, Read, Write};
use crate::stamp::{Content, Stamp};

/// Nanoseconds of the clock that all processes share.
pub(crate) fn now() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a live structure.
    assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) }, 0);
    u64::try_from(time.tv_sec).unwrap() * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap()
}

#[derive(Debug)]
pub(crate) struct Journal(Mutex<File>);

impl Journal {
    pub(crate) fn create(path: &Path) -> Self {
        Self(Mutex::new(File::options().create(true).append(true).open(path).unwrap()))
    }

    fn line(&self, line: &str) {
        self.0.lock().unwrap().write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// A write is about to be submitted.
    pub(crate) fn begin(&self, stamp: Stamp, block: u64) {
        self.line(&format!("begin {} {} {block} {}", stamp.gateway, stamp.number, now()));
    }

    /// It was acknowledged, or given up after an answer that was no success.
    pub(crate) fn end(&self, stamp: Stamp, acknowledged: bool) {
        let how = if acknowledged { "acknowledged" } else { "refused" };
        self.line(&format!("{how} {} {} {}", stamp.gateway, stamp.number, now()));
    }

    /// A read that was submitted at `begin` has been answered.
    pub(crate) fn read(&self, gateway: u64, block: u64, begin: u64, seen: Content) {
        let seen = match seen {
            Content::Zeros => "zeros".to_owned(),
            Content::Torn => "torn".to_owned(),
            Content::Write(stamp) => format!("{} {}", stamp.gateway, stamp.number),
        };
        self.line(&format!("read {gateway} {block} {begin} {} {seen}", now()));
    }
}

impl History {
    /// Adds what a journal tells. The last line of a killed gateway may be cut off.
    pub(crate) fn add(&mut self, path: &Path) {
        let text = std::fs::read_to_string(path).unwrap();
        for line in text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
            let (what, rest) = line.split_once(' ').unwrap();
            let words: Vec<&str> = rest.split(' ').collect();
            let number = |at: usize| words[at].parse::<u64>().unwrap();
            match (what, words.len()) {
                ("begin", 4) => self.begins(
                    Stamp { gateway: number(0), number: number(1) },
                    Write { block: number(2), begin: number(3), end: None, acknowledged: false },
                ),
                ("acknowledged" | "refused", 3) => {
                    self.ends(
                        Stamp { gateway: number(0), number: number(1) },
                        number(2),
                        what == "acknowledged",
                    );
                }
                ("read", 5 | 6) => {
                    let seen = match words[4] {
                        "zeros" => Content::Zeros,
                        "torn" => Content::Torn,
                        _ => Content::Write(Stamp { gateway: number(4), number: number(5) }),
                    };
                    self.reads.push(Read {
                        block: number(1),
                        begin: number(2),
                        end: number(3),
                        seen,
                    });
                }
                _ => panic!("not a line of a journal: {line}"),
            }
        }
    }
}
