// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Background work beside the body of a test.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// Whether background work is to continue. For any thread.
pub type KeepGoing<'a> = &'a (dyn Fn() -> bool + Sync);

/// Runs `work` in a thread of its own while `body` runs, and returns the result of `work`, which
/// must end once its argument returns false.
///
/// Also stops `work` when `body` panics: a scope of threads alone would wait for `work` forever,
/// and the panic would never be reported.
pub fn with_background<T: Send>(
    work: impl FnOnce(KeepGoing<'_>) -> T + Send,
    body: impl FnOnce(),
) -> T {
    struct SetOnDrop<'a>(&'a AtomicBool);
    impl Drop for SetOnDrop<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let working = scope.spawn(|| work(&|| !done.load(Ordering::SeqCst)));
        let end = SetOnDrop(&done);
        body();
        drop(end);
        working.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
