// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Which commands are under way, for whoever must wait until those that began before a change have
//! ended, and cannot hold up those that begin after it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering, fence};
use std::thread;
use std::time::{Duration, Instant};

/// Kept by a command until it is answered.
pub(super) type Admission = Arc<()>;

/// Counts commands by the reference counts of two tokens, of which new commands take the one whose
/// turn it is.
#[derive(Debug, Default)]
pub(super) struct Admissions {
    even: Admission,
    odd: Admission,
    turn: AtomicUsize,
}

impl Admissions {
    /// Counts a command. Whatever [`drain`](Self::drain)'s caller has changed before is seen by the
    /// command from here on, or the command is waited for.
    pub(super) fn begin(&self) -> Admission {
        let admission = Arc::clone(self.token(self.turn.load(Ordering::Relaxed)));
        fence(Ordering::SeqCst);
        admission
    }

    /// Waits for the commands that have begun, at most for `timeout`. Whether all have ended. One
    /// caller at a time.
    pub(super) fn drain(&self, timeout: Duration) -> bool {
        fence(Ordering::SeqCst);
        let begin = Instant::now();
        let turn = self.turn.load(Ordering::Relaxed);
        let ended = |turn| {
            while Arc::strong_count(self.token(turn)) > 1 {
                if begin.elapsed() >= timeout {
                    return false;
                }
                thread::sleep(Duration::from_millis(1));
            }
            true
        };
        // The other token is kept only by commands that an earlier call has given up waiting for.
        if !ended(turn.wrapping_add(1)) {
            return false;
        }
        self.turn.store(turn.wrapping_add(1), Ordering::Relaxed);
        ended(turn)
    }

    fn token(&self, turn: usize) -> &Admission {
        if turn % 2 == 0 { &self.even } else { &self.odd }
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
        let turn = admissions.turn.load(Ordering::Relaxed);
        thread::scope(|scope| {
            let drained = scope.spawn(|| admissions.drain(Duration::from_secs(10)));
            while admissions.turn.load(Ordering::Relaxed) == turn {
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
