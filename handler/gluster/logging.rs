// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! libgfapi's own log: a connection has a file and a level of its own.
//!
//! libgfapi never looks whether its file is still the one of that name; and it closes it, when it
//! is given another, under the feet of threads that may be writing to it (10.3, `gf_log_init`; only
//! glusterfsd's way, by SIGHUP, is safe, and belongs to tcmu-runner here). So whoever comes after
//! the file has been renamed (logrotate) or another one is wanted silences it first. The level is
//! set through the translator `meta`, which does nothing else.

use std::ffi::c_int;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::AtomicI32;
use std::thread;
use std::time::{Duration, Instant};

use libgfapi_sys as gfapi;
use nix::errno::Errno;

use super::meta;
use super::volume::{Volume, c_string, check};
use crate::config::LogLevel;
use crate::threads;

/// How libgfapi counts (`gf_loglevel_t`).
pub(super) fn number(level: LogLevel) -> c_int {
    match level {
        LogLevel::Critical => 3,
        LogLevel::Error => 4,
        LogLevel::Warning => 5,
        LogLevel::Info => 7,
        LogLevel::Debug => 8,
        LogLevel::Trace => 9,
    }
}

const SILENT_LEVEL: c_int = 0;
/// For `glfs_set_logging`: as it is.
const SAME_LEVEL: c_int = -1;

/// After it was silenced: how long a thread may still be in the middle of a line.
const LINE_GRACE: Duration = Duration::from_millis(100);

/// The file of all connections.
static LOG_FILE: Mutex<Option<PathBuf>> = Mutex::new(None);

/// Where libgfapi logs, from now on; in a moment for the connections that there are.
pub fn set_log_file(path: &Path) {
    *threads::lock(&LOG_FILE) = Some(path.to_owned());
}

/// Where libgfapi logs. None: no file was set.
pub(super) fn log_file() -> Option<PathBuf> {
    threads::lock(&LOG_FILE).clone()
}

/// A user's request for a level, as libgfapi counts them. Of several the most detailed is granted.
pub(super) type LogLevelRequest = AtomicI32;

/// The log of one connection, as libgfapi was last told to keep it.
#[derive(Debug)]
pub(super) struct Logging(Mutex<LogState>);

#[derive(Debug)]
struct LogState {
    path: PathBuf,
    /// Which file that was: device and inode.
    file: Option<(u64, u64)>,
    level: c_int,
    /// After a change that did not go well: not before then.
    retry_at: Option<Instant>,
}

/// Between two changes that do not go well.
const RETRY_DELAY: Duration = Duration::from_secs(10);

impl Logging {
    /// Before there is anybody who could log.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn begin(volume: &Volume, path: &Path, level: c_int) -> Result<Self, Errno> {
        set_logging(volume, path, level)?;
        let state = LogState { path: path.to_owned(), file: file_id(path), level, retry_at: None };
        Ok(Self(Mutex::new(state)))
    }

    /// Whether there is something to [`change`](Self::change), and nobody is at it.
    pub(super) fn differs(&self, path: &Path, level: c_int) -> bool {
        let Ok(state) = self.0.try_lock() else { return false };
        if state.retry_at.is_some_and(|retry_at| Instant::now() < retry_at) {
            return false;
        }
        state.level != level || state.path != path || state.file != file_id(path)
    }

    /// Changes what differs. Blocks for as long as the bricks do.
    ///
    /// # Errors
    /// The file cannot be written, or the volume not be asked. What has not been done differs
    /// still.
    pub(super) fn change(&self, volume: &Volume, path: &Path, level: c_int) -> Result<(), Errno> {
        let mut state = threads::lock(&self.0);
        state.retry_at = Instant::now().checked_add(RETRY_DELAY);
        if state.path != path || state.file != file_id(path) {
            set_level(volume, SILENT_LEVEL)?;
            state.level = SILENT_LEVEL;
            thread::sleep(LINE_GRACE);
            set_logging(volume, path, SAME_LEVEL)?;
            (state.path, state.file) = (path.to_owned(), file_id(path));
        }
        if state.level != level {
            set_level(volume, level)?;
            state.level = level;
        }
        state.retry_at = None;
        Ok(())
    }
}

fn file_id(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

fn set_logging(volume: &Volume, path: &Path, level: c_int) -> Result<(), Errno> {
    let path = c_string(&path.to_string_lossy())?;
    // SAFETY: the volume is alive; the path is NUL-terminated and copied.
    check(unsafe { gfapi::glfs_set_logging(volume.as_ptr(), path.as_ptr(), level) })
}

fn set_level(volume: &Volume, level: c_int) -> Result<(), Errno> {
    meta::write(volume, "logging/loglevel", &c_string(&level.to_string())?)
}
