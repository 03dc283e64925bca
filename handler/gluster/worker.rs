//! Threads for calls that block.

use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel, sync_channel};
use std::thread::Builder;
use std::time::Duration;

/// Runs `work` on a thread called `name` and waits for its result, at most for `patience`. None: it takes longer (it goes on, and
/// its result is dropped when it comes), it panicked, or no thread could be had.
pub(super) fn bounded<T: Send + 'static>(
    name: &str,
    patience: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (sender, result) = sync_channel(1);
    let thread = Builder::new().name(name.to_owned());
    let spawned = thread.spawn(move || {
        // Fails if the waiter has given up.
        let _given_up = sender.send(work()).is_err();
    });
    spawned.ok().and_then(|_| result.recv_timeout(patience).ok())
}

/// Does `work` with `value` on a thread called `name`.
///
/// # Errors
/// No thread could be had: the value.
pub(super) fn hand_over<T: Send + 'static>(
    name: &str,
    value: T,
    work: impl FnOnce(T) + Send + 'static,
) -> Result<(), T> {
    let (sender, receiver) = sync_channel(1);
    let thread = Builder::new().name(name.to_owned());
    // A closure that no thread could be had for is dropped, and what it holds with it.
    match thread.spawn(move || receiver.recv().map(work)) {
        Ok(_) => sender.send(value).map_err(|unsent| unsent.0),
        Err(_) => Err(value),
    }
}

/// What a [`Queue`] is given.
pub(super) type Job = Box<dyn FnOnce() + Send>;

/// A thread that does one job after the other, from the first job on until the queue is dropped.
#[derive(Debug)]
pub(super) struct Queue {
    name: &'static str,
    jobs: OnceLock<Option<Sender<Job>>>,
}

impl Queue {
    pub(super) const fn new(name: &'static str) -> Self {
        Self { name, jobs: OnceLock::new() }
    }

    /// Leaves a job to the thread. Without a thread, because none could be had, it is done here: that beats never.
    pub(super) fn run(&self, job: Job) {
        let jobs = self.jobs.get_or_init(|| {
            let (sender, jobs) = channel::<Job>();
            let thread = Builder::new().name(self.name.to_owned());
            thread.spawn(move || jobs.into_iter().for_each(|job| job())).ok().map(|_| sender)
        });
        let unsent = match jobs {
            Some(jobs) => jobs.send(job).err().map(|unsent| unsent.0),
            None => Some(job),
        };
        if let Some(job) = unsent {
            job();
        }
    }
}
