// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Something that goes on while a test does something else.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// Whether work is to go on. For any thread.
pub type GoesOn<'a> = &'a (dyn Fn() -> bool + Sync);

/// Does `work`, which is to go on for as long as the function that it is given says so, in a thread
/// of its own, while `body` runs. What `work` has to tell.
///
/// It ends also when `body` panics: a scope of threads alone would wait for it for ever then, and
/// nobody would hear what went wrong.
pub fn alongside<T: Send>(work: impl FnOnce(GoesOn<'_>) -> T + Send, body: impl FnOnce()) -> T {
    struct Over<'a>(&'a AtomicBool);
    impl Drop for Over<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let working = scope.spawn(|| work(&|| !over.load(Ordering::SeqCst)));
        let end = Over(&over);
        body();
        drop(end);
        working.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
