//! Threads for calls that block.

use std::sync::mpsc::sync_channel;
use std::time::Duration;

/// Runs `work` on a thread called `name` and waits for its result, at most for `patience`. None: it takes longer (it goes on, and
/// its result is dropped when it comes), it panicked, or no thread could be had.
pub(super) fn bounded<T: Send + 'static>(
    name: &str,
    patience: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (sender, result) = sync_channel(1);
    let thread = std::thread::Builder::new().name(name.to_owned());
    let spawned = thread.spawn(move || {
        // Fails if the waiter has given up.
        let _given_up = sender.send(work()).is_err();
    });
    spawned.ok().and_then(|_| result.recv_timeout(patience).ok())
}
