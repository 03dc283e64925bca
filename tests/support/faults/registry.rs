// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Which fault each file has, and how many calls of each kind it has seen.

use std::collections::HashMap;
use std::ffi::{c_int, c_void};
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use libc::off_t;

/// What happens to the calls on a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Moves at most so many bytes at a time.
    Short(usize),
    /// Refused at the call.
    AtSubmit(c_int),
    /// Answered on the caller's stack.
    Inline(c_int),
    /// Answered later, by another thread.
    Late(c_int),
    /// Served, and answered on the caller's stack.
    Synchronous,
    /// Claims to have moved nothing.
    Nothing,
    /// Moves half of what it is asked for.
    Half,
    /// Moves what it is asked for, and claims to have moved twice as much.
    Twice,
    /// Not answered until there is another fault, or none; then with ENOTCONN, as what is in
    /// flight on a connection that is lost.
    Never,
    /// Served, but only after this time.
    Slow(Duration),
    /// Served, but passed on only after this time, by another thread.
    Delayed(Duration),
    /// Cannot punch holes.
    NoDiscard(c_int),
    /// Can neither punch holes nor zero ranges.
    NoZerofill(c_int),
    /// Writes, discards and zero-fills fail; other calls work.
    NoSpace,
    /// Only flushes fail, and writes with `O_DSYNC`.
    NoSync(c_int),
    /// Writes are served after this time, each beside the others; a range can be neither punched
    /// nor zeroed.
    SlowWrites(Duration),
    /// Another client holds the lock of the range that begins here.
    LockHeld(off_t),
    /// Flushes wait until there is another fault, or none; then they are served.
    HeldSync,
}

/// The kinds of call, for faults that concern only some.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Read,
    Write,
    /// With `O_DSYNC`.
    DurableWrite,
    Discard,
    Zerofill,
    Sync,
}

#[derive(Default)]
pub(super) struct Faults {
    /// By name of the file.
    wanted: HashMap<String, Fault>,
    calls: HashMap<String, usize>,
    /// Names of open files, by descriptor.
    pub(super) open: HashMap<usize, String>,
}

pub(super) static FAULTS: LazyLock<Mutex<Faults>> = LazyLock::new(Mutex::default);

/// Sets what happens to calls on `file` from now on.
pub fn set(file: &str, fault: Option<Fault>) {
    let mut faults = FAULTS.lock().unwrap();
    match fault {
        Some(fault) => faults.wanted.insert(file.to_owned(), fault),
        None => faults.wanted.remove(file),
    };
}

/// How many calls of a kind there have been on a file: "discard", "zerofill", "write",
/// "durablewrite" (with `O_DSYNC`), "sync", "read".
pub fn calls(file: &str, kind: &str) -> usize {
    let faults = FAULTS.lock().unwrap();
    faults.calls.get(&format!("{file} {kind}")).copied().unwrap_or(0)
}

pub(super) fn count(fd: *mut c_void, kind: Kind) {
    let mut faults = FAULTS.lock().unwrap();
    if let Some(file) = faults.open.get(&fd.addr()) {
        let key = format!("{file} {}", format!("{kind:?}").to_lowercase());
        *faults.calls.entry(key).or_default() += 1;
    }
}

pub(super) fn wanted(fd: *mut c_void) -> Option<Fault> {
    let faults = FAULTS.lock().unwrap();
    faults.open.get(&fd.addr()).and_then(|name| faults.wanted.get(name)).copied()
}
