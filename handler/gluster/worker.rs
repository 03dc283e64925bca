// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Threads for calls that block.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::sync::{Mutex, PoisonError};
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

/// A thread that does one job after the other, from the first job on until the queue is dropped.
#[derive(Debug)]
pub(super) struct Worker {
    name: &'static str,
    jobs: Mutex<Jobs>,
}

#[derive(Debug)]
enum Jobs {
    /// No thread yet: none was needed, or none could be had.
    Waiting(Vec<Waiting>),
    /// The way to the thread.
    Running(Sender<Job>),
}

struct Waiting(Job);

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Waiting")
    }
}

impl Worker {
    pub(super) const fn new(name: &'static str) -> Self {
        Self { name, jobs: Mutex::new(Jobs::Waiting(Vec::new())) }
    }

    /// Leaves a job to the thread. Where no thread can be had, the job waits for the next one, with
    /// which that is tried again: never is it done here, on the stack of whoever submits a command.
    pub(super) fn run(&self, job: Job) {
        self.run_with(job, |name, jobs| threads::spawn(name, || work(jobs)));
    }

    fn run_with(&self, job: Job, spawn: impl FnOnce(&str, Receiver<Job>) -> bool) {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *jobs {
            // The thread lives as long as this end of the channel.
            Jobs::Running(sender) => {
                let _sent = sender.send(job).is_ok();
            }
            Jobs::Waiting(waiting) => {
                waiting.push(Waiting(job));
                let (sender, receiver) = channel();
                if spawn(self.name, receiver) {
                    for Waiting(job) in waiting.drain(..) {
                        let _sent = sender.send(job).is_ok();
                    }
                    *jobs = Jobs::Running(sender);
                }
            }
        }
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
    fn a_thread_that_could_not_be_had_is_tried_again_and_does_what_has_waited() {
        let queue = Worker::new("tried-again");
        let (sender, done) = channel();
        let job = |number: u32| -> Job {
            let sender = sender.clone();
            Box::new(move || {
                sender.send((number, thread::current().name().map(str::to_owned))).unwrap();
            })
        };
        queue.run_with(job(1), |_, _| false);
        queue.run_with(job(2), |_, _| false);
        assert!(done.recv_timeout(Duration::from_millis(50)).is_err(), "done by whoever submits");
        queue.run(job(3));
        for number in 1..=3 {
            let name = Some(String::from("tried-again"));
            assert_eq!(done.recv_timeout(Duration::from_secs(10)), Ok((number, name)));
        }
    }

    #[test]
    fn a_job_that_panics_does_not_end_the_thread() {
        let queue = Worker::new("panics");
        queue.run(Box::new(|| panic!("for the test")));
        let (sender, done) = channel();
        queue.run(Box::new(move || sender.send(()).unwrap()));
        assert_eq!(done.recv_timeout(Duration::from_secs(10)), Ok(()));
    }
}
