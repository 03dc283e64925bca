// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Requests of a LUN to its `glfs-recover` thread, and whether there is one.

use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use crate::threads;

/// Requests of one LUN. The thread keeps this, and the LUN only while it works: a LUN that is
/// closed meanwhile is freed.
#[derive(Debug, Default)]
pub(in crate::lun) struct Recovery {
    requests: Mutex<Requests>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct Requests {
    /// There is a thread.
    running: bool,
    tasks: BTreeSet<Task>,
}

/// Task of the thread, beside ending an outage. In the order of execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::lun) enum Task {
    /// Bricks have been disconnected, perhaps the quorum.
    CheckQuorum,
    /// The image must be opened anew before its lock can be acquired.
    Reopen,
    /// Commands that need the lock have come.
    Acquire,
    /// The volume has another graph.
    Move,
}

impl Recovery {
    /// Adds a task. `recovery::start` starts a thread for it, now or at the monitor's next tick.
    pub(in crate::lun) fn request(&self, task: Task) {
        threads::lock(&self.requests).tasks.insert(task);
        self.wake.notify_all();
    }

    /// Ends the thread's sleep: the LUN is closed.
    pub(in crate::lun) fn wake(&self) {
        self.wake.notify_all();
    }

    /// Whether the caller is to start a thread: there is none, and there are tasks, or it is
    /// `wanted` without.
    pub(super) fn claim(&self, wanted: bool) -> bool {
        let mut requests = threads::lock(&self.requests);
        let start = !requests.running && (wanted || !requests.tasks.is_empty());
        requests.running |= start;
        start
    }

    pub(super) fn take(&self) -> Option<Task> {
        threads::lock(&self.requests).tasks.pop_first()
    }

    pub(super) fn clear(&self) {
        threads::lock(&self.requests).tasks.clear();
    }

    /// Sleeps until there is a task, for `time` at most.
    pub(super) fn sleep(&self, time: Duration) {
        let requests = threads::lock(&self.requests);
        if requests.tasks.is_empty() {
            drop(self.wake.wait_timeout(requests, time));
        }
    }

    /// Notes that the thread ends, unless a task has come meanwhile. Whether it ends.
    pub(super) fn finish(&self) -> bool {
        let mut requests = threads::lock(&self.requests);
        requests.running = !requests.tasks.is_empty();
        !requests.running
    }

    /// Notes that the thread has ended, or could not be started.
    pub(super) fn stopped(&self) {
        threads::lock(&self.requests).running = false;
    }

    #[cfg(test)]
    pub(super) fn is_running(&self) -> bool {
        threads::lock(&self.requests).running
    }
}
