// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Threads for calls that block.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::time::Duration;

use crate::{log, threads};

/// Threads of one call that may hang as long as the volume does.
const CALL: &str = "glfs-call";

/// Runs `work` on a thread of its own and waits for its result, at most for `patience`. None: it
/// takes longer (it goes on, and its result is dropped when it comes), it panicked, no thread could
/// be had, or there is no patience.
pub(super) fn run_with_timeout<T: Send + 'static>(
    patience: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    // A call that hangs would keep its thread: whoever tries again every few seconds would have
    // thousands.
    if patience.is_zero() {
        return None;
    }
    let (sender, result) = sync_channel(1);
    let spawned = threads::spawn(CALL, move || {
        // Fails if the waiter has given up.
        let _given_up = sender.send(work()).is_err();
    });
    if spawned { result.recv_timeout(patience).ok() } else { None }
}

/// What a [`Worker`] is given.
pub(super) type Job = Box<dyn FnOnce() + Send>;

/// A thread that does one job after the other, until this is dropped.
#[derive(Debug)]
pub(super) struct Worker(Sender<Job>);

impl Worker {
    /// None: no thread could be had.
    pub(super) fn start(name: &str) -> Option<Self> {
        let (sender, jobs) = channel();
        threads::spawn(name, || work(jobs)).then_some(Self(sender))
    }

    /// Leaves a job to the thread: never is it done here, on the stack of whoever submits a
    /// command.
    pub(super) fn run(&self, job: Job) {
        // The thread lives as long as this end of the channel.
        let _sent = self.0.send(job).is_ok();
    }
}

/// The thread. A panic costs a job, not those after it.
fn work(jobs: Receiver<Job>) {
    for job in jobs {
        if catch_unwind(AssertUnwindSafe(job)).is_err() {
            log::error!(log::PLUGIN, "PANIC in a job of a worker thread; it goes on with the next");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn who_has_no_time_left_starts_no_thread() {
        let begun = Arc::new(AtomicBool::new(false));
        let work = Arc::clone(&begun);
        assert_eq!(
            run_with_timeout(Duration::ZERO, move || work.store(true, Ordering::SeqCst)),
            None
        );
        thread::sleep(Duration::from_millis(100));
        assert!(!begun.load(Ordering::SeqCst));
    }

    #[test]
    fn a_job_that_panics_does_not_end_the_thread() {
        let queue = Worker::start("panics").unwrap();
        queue.run(Box::new(|| panic!("for the test")));
        let (sender, done) = channel();
        queue.run(Box::new(move || sender.send(()).unwrap()));
        assert_eq!(done.recv_timeout(Duration::from_secs(10)), Ok(()));
    }
}
