// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Waits for the commands that began before a change, without holding up those that begin after it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering, fence};
use std::thread;
use std::time::{Duration, Instant};

/// Token of a command in flight; dropped when the command is answered.
pub(super) type Admission = Arc<()>;

/// Counts commands by the reference counts of two tokens, of which new commands take the current
/// one.
#[derive(Debug, Default)]
pub(super) struct Admissions {
    even: Admission,
    odd: Admission,
    current: AtomicUsize,
}

impl Admissions {
    /// Counts a command. From here on the command sees every change that the caller of
    /// [`drain`](Self::drain) made before, or it is waited for.
    pub(super) fn begin(&self) -> Admission {
        let admission = Arc::clone(self.token(self.current.load(Ordering::Relaxed)));
        fence(Ordering::SeqCst);
        admission
    }

    /// Waits for the commands that have begun, at most for `timeout`. Whether all have ended. One
    /// caller at a time.
    pub(super) fn drain(&self, timeout: Duration) -> bool {
        fence(Ordering::SeqCst);
        let begin = Instant::now();
        let current = self.current.load(Ordering::Relaxed);
        let ended = |current| {
            while Arc::strong_count(self.token(current)) > 1 {
                if begin.elapsed() >= timeout {
                    return false;
                }
                thread::sleep(Duration::from_millis(1));
            }
            true
        };
        // The other token is kept only by commands that an earlier call has given up waiting for.
        if !ended(current.wrapping_add(1)) {
            return false;
        }
        self.current.store(current.wrapping_add(1), Ordering::Relaxed);
        ended(current)
    }

    fn token(&self, current: usize) -> &Admission {
        if current % 2 == 0 { &self.even } else { &self.odd }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(20);

    #[test]
    fn what_began_before_is_waited_for_and_what_begins_meanwhile_is_not() {
        let admissions = Admissions::default();
        let first = admissions.begin();
        assert!(!admissions.drain(SHORT));
        let second = admissions.begin();
        assert!(!admissions.drain(SHORT), "the first has not ended");
        drop(first);
        let current = admissions.current.load(Ordering::Relaxed);
        thread::scope(|scope| {
            let drained = scope.spawn(|| admissions.drain(Duration::from_secs(10)));
            while admissions.current.load(Ordering::Relaxed) == current {
                thread::yield_now();
            }
            let _third = admissions.begin();
            assert!(!drained.is_finished(), "the second has not ended");
            drop(second);
            assert!(drained.join().unwrap());
        });
        assert!(admissions.drain(SHORT));
    }
}
