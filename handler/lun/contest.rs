//! What a gateway knows of another one that owns the image which its own initiators want.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// An owner that shows no other sign of life for so long, while somebody insists, serves nobody. Longer than it takes from one sign
/// to the next (`watch.rs`) and over a busy volume.
const SILENCE: Duration = Duration::from_secs(8);
/// How long a sign of life is good for.
const ALIVE: Duration = Duration::from_secs(5);
/// Who has not asked for this long does not insist.
const FORGOTTEN: Duration = Duration::from_secs(10);

/// What is known of an owner that commands here are refused for.
#[derive(Debug, Default)]
pub(super) struct Contest {
    /// The first request that was refused, and the last. Forgotten when nobody insists.
    refused: Option<(Instant, Instant)>,
    /// The owner's last sign of life, and since when it has been the last one.
    sign: Option<(String, Instant)>,
    /// When the owner was last seen to serve.
    alive: Option<Instant>,
    /// When somebody last looked.
    looked: Option<Instant>,
    signs: u64,
}

impl Contest {
    /// Notes that commands are refused for an owner that shows `sign`. True if they have been for long enough, without another sign, to
    /// say that it serves nobody.
    pub(super) fn is_silent(&mut self, sign: String, now: Instant) -> bool {
        let first = self.asked(now);
        self.looked = Some(now);
        let unchanged = match &self.sign {
            Some((last, since)) if *last == sign => *since,
            seen => {
                // The first look tells nothing: the sign may be old.
                if seen.is_some() && first != now {
                    self.alive = Some(now);
                }
                self.sign = Some((sign, now));
                now
            }
        };
        now.duration_since(unchanged.max(first)) >= SILENCE
    }

    /// The image is ours: nothing of this holds any more.
    pub(super) fn end(&mut self) {
        *self = Self { signs: self.signs, ..Self::default() };
    }

    /// Whether somebody has looked within `time`.
    pub(super) fn was_looked_at_within(&self, time: Duration) -> bool {
        self.looked.is_some_and(|looked| looked.elapsed() < time)
    }

    /// Whether the owner was seen to serve of late.
    pub(super) fn is_alive(&self, now: Instant) -> bool {
        self.alive.is_some_and(|alive| now.duration_since(alive) < ALIVE)
    }

    /// Notes a request. Since when there have been such.
    pub(super) fn asked(&mut self, now: Instant) -> Instant {
        let first = match self.refused {
            Some((first, last)) if now.duration_since(last) < FORGOTTEN => first,
            _ => now,
        };
        self.refused = Some((first, now));
        first
    }

    /// A sign of life of ours.
    pub(super) fn sign(&mut self) -> String {
        self.signs = self.signs.wrapping_add(1);
        let mut text = nix::unistd::gethostname().unwrap_or_default().to_string_lossy().into_owned();
        // A string takes all that is written to it.
        let _ = write!(text, " {} {}", std::process::id(), self.signs);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(begin: Instant, seconds: u64) -> Instant {
        begin + Duration::from_secs(seconds)
    }

    #[test]
    fn an_owner_that_is_silent_while_somebody_insists_serves_nobody() {
        let (mut contest, begin) = (Contest::default(), Instant::now());
        assert!(!contest.is_silent(String::from("a 1"), begin));
        assert!(!contest.is_silent(String::from("a 1"), at(begin, 7)));
        assert!(!contest.is_alive(at(begin, 7)));
        assert!(contest.is_silent(String::from("a 1"), at(begin, 8)));
    }

    #[test]
    fn an_owner_that_lives_and_a_command_long_ago_are_no_reason() {
        let (mut contest, begin) = (Contest::default(), Instant::now());
        for second in 0..100 {
            assert!(!contest.is_silent(format!("a {}", second / 3), at(begin, second)), "beats every 3 s");
            assert_eq!(contest.is_alive(at(begin, second)), second >= 3);
        }
        // A day later: that the sign is another one by now tells nothing, nor that it does not change at once.
        assert!(!contest.is_silent(String::from("a 99"), at(begin, 86_400)));
        assert!(!contest.is_alive(at(begin, 86_400)));
        assert!(!contest.is_silent(String::from("a 99"), at(begin, 86_407)));
        assert!(contest.is_silent(String::from("a 99"), at(begin, 86_408)));
    }
}
