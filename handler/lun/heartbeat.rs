// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Heartbeats of the gateway that holds an image's lock, as it leaves them and as another one sees
//! them, whose own initiators want the image.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// An owner without a new heartbeat for this long, while commands are refused in its favour, does
/// not serve. Longer than between two heartbeats (`monitor.rs`) and over a busy volume.
pub(super) const OWNER_TIMEOUT: Duration = Duration::from_secs(8);
/// Likewise for one that is not seen to hold the lock: it has died, or a brick does not know of its
/// lock. One heartbeat, and a second for its way.
pub(super) const ABSENT_OWNER_TIMEOUT: Duration = Duration::from_secs(4);
/// An owner is taken for alive for this long after a heartbeat.
const ALIVE: Duration = Duration::from_secs(5);
/// After this long without an attempt, the next one starts a new series.
const ATTEMPT_WINDOW: Duration = Duration::from_secs(10);

/// A series of refused commands: time of the first, and of the last.
#[derive(Debug, Default)]
struct Attempts(Option<(Instant, Instant)>);

impl Attempts {
    /// Adds an attempt. Start of its series.
    fn record(&mut self, now: Instant) -> Instant {
        let first = match self.0 {
            Some((first, last)) if now.duration_since(last) < ATTEMPT_WINDOW => first,
            _ => now,
        };
        self.0 = Some((first, now));
        first
    }
}

/// The owner's heartbeat as seen from a gateway in standby, and this gateway's own.
#[derive(Debug, Default)]
pub(super) struct OwnerHeartbeat {
    /// Refused commands of every kind.
    attempts: Attempts,
    /// Requests of the core for WRITEs. Apart from the others: path checkers read from every path,
    /// for ever.
    writes: Attempts,
    /// The owner's last heartbeat, and since when it has been the last one.
    seen: Option<(String, Instant)>,
    /// Time of the last heartbeat that was seen to change.
    alive: Option<Instant>,
    /// Time of the last query of the owner.
    queried: Option<Instant>,
    /// Number of this LUN among those of the process, once it has been needed.
    number: Option<u64>,
    count: u64,
}

impl OwnerHeartbeat {
    /// Records that commands are refused for an owner with this heartbeat. True if they have been
    /// for `timeout`, without another one: it does not serve.
    pub(super) fn owner_timed_out(
        &mut self,
        heartbeat: String,
        timeout: Duration,
        now: Instant,
    ) -> bool {
        let first = self.attempts.record(now);
        let unchanged = match &self.seen {
            Some((last, since)) if *last == heartbeat => *since,
            seen => {
                // The first one tells nothing: it may be old.
                if seen.is_some() && first != now {
                    self.alive = Some(now);
                }
                self.seen = Some((heartbeat, now));
                now
            }
        };
        now.duration_since(unchanged.max(first)) >= timeout
    }

    /// Records a request for WRITEs; for how long they have been coming.
    pub(super) fn record_write_attempt(&mut self, now: Instant) -> Duration {
        now.duration_since(self.writes.record(now))
    }

    /// The lock is held here: forgets the last owner.
    pub(super) fn acquired(&mut self) {
        *self = Self { number: self.number, count: self.count, ..Self::default() };
    }

    /// Whether the owner was seen to serve of late.
    pub(super) fn is_alive(&self, now: Instant) -> bool {
        self.alive.is_some_and(|alive| now.duration_since(alive) < ALIVE)
    }

    /// Whether the owner is to be queried again; it is taken for done.
    pub(super) fn is_query_due(&mut self, interval: Duration, now: Instant) -> bool {
        let due = self.queried.is_none_or(|queried| now.duration_since(queried) >= interval);
        if due {
            self.queried = Some(now);
        }
        due
    }

    /// Prefix of all heartbeats of this LUN on this gateway, and of no others.
    pub(super) fn prefix(&mut self) -> String {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let number = *self.number.get_or_insert_with(|| NEXT.fetch_add(1, Ordering::Relaxed));
        let mut text =
            nix::unistd::gethostname().unwrap_or_default().to_string_lossy().into_owned();
        // A string takes all that is written to it.
        let _ = write!(text, " {} {number}.", std::process::id());
        text
    }

    /// The next heartbeat of this gateway.
    pub(super) fn next(&mut self) -> String {
        self.count = self.count.wrapping_add(1);
        self.prefix() + &self.count.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(begin: Instant, seconds: u64) -> Instant {
        begin + Duration::from_secs(seconds)
    }

    #[test]
    fn an_owner_without_a_heartbeat_while_commands_are_refused_serves_nobody() {
        let (mut owner, begin) = (OwnerHeartbeat::default(), Instant::now());
        assert!(!owner.owner_timed_out(String::from("a 1"), OWNER_TIMEOUT, begin));
        assert!(!owner.owner_timed_out(String::from("a 1"), OWNER_TIMEOUT, at(begin, 7)));
        assert!(!owner.is_alive(at(begin, 7)));
        assert!(owner.owner_timed_out(String::from("a 1"), OWNER_TIMEOUT, at(begin, 8)));
    }

    #[test]
    fn an_owner_that_lives_and_a_command_long_ago_are_no_reason() {
        let (mut owner, begin) = (OwnerHeartbeat::default(), Instant::now());
        for second in 0..100 {
            let (heartbeat, now) = (format!("a {}", second / 3), at(begin, second));
            assert!(!owner.owner_timed_out(heartbeat, OWNER_TIMEOUT, now), "beats every 3 s");
            assert_eq!(owner.is_alive(now), second >= 3);
        }
        // A day later: that the heartbeat is another one by now tells nothing, nor that it does not
        // change at once.
        assert!(!owner.owner_timed_out(String::from("a 99"), OWNER_TIMEOUT, at(begin, 86_400)));
        assert!(!owner.is_alive(at(begin, 86_400)));
        assert!(!owner.owner_timed_out(String::from("a 99"), OWNER_TIMEOUT, at(begin, 86_407)));
        assert!(owner.owner_timed_out(String::from("a 99"), OWNER_TIMEOUT, at(begin, 86_408)));
    }

    #[test]
    fn reads_of_a_path_checker_do_not_count_for_a_write() {
        let (mut owner, begin) = (OwnerHeartbeat::default(), Instant::now());
        for second in 0..60 {
            owner.owner_timed_out(format!("a {second}"), OWNER_TIMEOUT, at(begin, second));
        }
        assert_eq!(owner.record_write_attempt(at(begin, 60)), Duration::ZERO, "the first WRITE");
        assert_eq!(owner.record_write_attempt(at(begin, 62)), Duration::from_secs(2));
    }
}
