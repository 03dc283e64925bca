// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Calls that end when they are told to.

use std::sync::atomic::AtomicUsize;
use std::sync::{Condvar, Mutex};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;

/// The calls that an image is asked to do.
#[derive(Debug, Default)]
pub(super) struct Calls {
    pub(super) made: AtomicUsize,
    pub(super) in_flight: AtomicUsize,
    /// They do not end before this is false.
    pub(super) frozen: Mutex<bool>,
    pub(super) thawed: Condvar,
    pub(super) delay: Mutex<Duration>,
}

impl Calls {
    pub(super) fn wait(&self) {
        thread::sleep(*self.delay.lock().unwrap());
        drop(self.thawed.wait_while(self.frozen.lock().unwrap(), |frozen| *frozen).unwrap());
    }
}

/// What an image does with the next calls, in order; then it behaves.
#[derive(Debug, Clone, Copy)]
pub(in crate::lun) enum Fault {
    /// Moves at most so many bytes.
    Short(usize),
    Fails(Errno),
}
