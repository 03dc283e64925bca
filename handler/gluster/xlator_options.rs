// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! How the client's graph of translators is set up.
//!
//! Whatever the volume's own options are: they are an admin's, meant for FUSE mounts, and change
//! under a LUN. Figures behind the choices are in tests/bench/README.md.

use std::borrow::Cow;
use std::fmt;
use std::thread::available_parallelism;
use std::time::Duration;

use crate::config::{Cache, Config, Fence, IoThreads};

/// What distinguishes the graphs of two connections to one volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct XlatorOptions {
    cache: Cache,
    io_threads: IoThreads,
    ping_timeout: Duration,
    /// Some LUN must never write on a descriptor that has lost its lock.
    fenced: bool,
    /// No cores to spare for the threads that the volume would have answers fetched by.
    few_cores: bool,
    /// As the volume has it: for comparison.
    volume_defaults: bool,
}

/// One option: the translators it goes to (a pattern over their names), key and value. Options are
/// applied to every graph that libgfapi builds, so they survive `gluster volume set`.
pub(super) type XlatorOption = (&'static str, &'static str, Cow<'static, str>);

/// One whose value is always this.
type Fixed = (&'static str, &'static str, &'static str);

/// Translators that answer from a client's memory what another gateway may have changed on the
/// bricks: data, sizes, and whether the file can be opened at all. Whatever the volume's options
/// say, a LUN goes past them. quick-read cannot be passed through, so it is given nothing to keep.
const UNCACHED: [Fixed; 6] = [
    ("*-open-behind", "pass-through", "true"),
    ("*-md-cache", "pass-through", "true"),
    ("*-nl-cache", "pass-through", "true"),
    ("*-io-cache", "pass-through", "true"),
    ("*-read-ahead", "pass-through", "true"),
    ("*-quick-read", "max-file-size", "0"),
];

/// A call that a brick does not answer, although it answers pings, fails after this many seconds
/// (Gluster's own bound is 30 minutes). No command hangs for longer: the core cannot remove a LUN
/// that one hangs in.
const FRAME_TIMEOUT: Fixed = ("*-client-*", "frame-timeout", "60");

/// Acknowledges writes that have not left the gateway.
const WRITE_THROUGH: Fixed = ("*-write-behind", "pass-through", "true");

/// With write-behind: keep what a failed flush could not write, and try it again with the next one.
const WRITE_BEHIND: Fixed = ("*-write-behind", "resync-failed-syncs-after-fsync", "on");

/// With a lock, a descriptor that a brick has lost (it was restarted) is opened anew by libgfapi,
/// without the lock; and a brick that was restarted enforces nothing before a lock is taken. This
/// keeps such a descriptor from being used again.
const STRICT_LOCKS: Fixed = ("*-client-*", "strict-locks", "on");

/// The hand-over to another thread for each call. It costs a third of the client's CPU time, on all
/// types of volume, and buys nothing: the daemon has a thread for each LUN already, and answers
/// that come inside a call are dealt with (`aio`).
const NO_IO_THREADS: Fixed = ("*-io-threads", "pass-through", "true");

/// Answers are fetched by one thread. Two, the default, contend for what few cores there are: a
/// tenth of the CPU time for small blocks, a fifth for large ones. With more cores they are left as
/// the volume has them.
const ONE_EVENT_THREAD: Fixed = ("*-client-*", "event-threads", "1");
const FEW_CORES: usize = 2;

impl XlatorOptions {
    pub(super) fn new(config: &Config) -> Self {
        let few_cores = available_parallelism().is_ok_and(|cores| cores.get() <= FEW_CORES);
        Self {
            cache: config.cache,
            io_threads: config.io_threads,
            ping_timeout: config.ping_timeout,
            fenced: config.fence == Fence::Required,
            few_cores,
            volume_defaults: false,
        }
    }

    /// The volume's own, whatever it caches.
    pub(super) fn volume_defaults(config: &Config) -> Self {
        Self { volume_defaults: true, ..Self::new(config) }
    }

    /// Whether acknowledged writes may be held back on this host.
    pub(super) fn holds_writes_back(self) -> bool {
        self.volume_defaults || self.cache == Cache::Writeback
    }

    pub(super) fn list(self) -> Vec<XlatorOption> {
        if self.volume_defaults {
            return Vec::new();
        }
        let mut options = UNCACHED.to_vec();
        options.push(FRAME_TIMEOUT);
        options.push(match self.cache {
            Cache::None | Cache::Through => WRITE_THROUGH,
            Cache::Writeback => WRITE_BEHIND,
        });
        if self.io_threads != IoThreads::On {
            options.push(NO_IO_THREADS);
        }
        if self.few_cores {
            options.push(ONE_EVENT_THREAD);
        }
        if self.fenced {
            options.push(STRICT_LOCKS);
        }
        let ping = Cow::Owned(self.ping_timeout.as_secs().to_string());
        options
            .into_iter()
            .map(|(translators, key, value)| (translators, key, Cow::Borrowed(value)))
            .chain([("*-client-*", "ping-timeout", ping)])
            .collect()
    }
}

/// What was chosen, and why: for the log.
impl fmt::Display for XlatorOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.volume_defaults {
            return f.write_str("the volume's own graph");
        }
        f.write_str(match self.cache {
            Cache::None => "nothing cached (cache=none), ",
            Cache::Through => "nothing cached, each write durable (cache=through), ",
            Cache::Writeback => "writes held back until a flush (cache=writeback), ",
        })?;
        f.write_str(match self.io_threads {
            IoThreads::Auto => "without io-threads (auto: they only cost), ",
            IoThreads::Off => "without io-threads (off), ",
            IoThreads::On => "with the volume's io-threads (on), ",
        })?;
        f.write_str(if self.few_cores {
            "one event thread (few cores)"
        } else {
            "the volume's event threads"
        })?;
        write!(f, ", ping-timeout {} s", self.ping_timeout.as_secs())
    }
}
