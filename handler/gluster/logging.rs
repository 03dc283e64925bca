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
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use libgfapi_sys as gfapi;
use libgfapi_sys::glfs_t;
use nix::errno::Errno;

use super::meta::File;
use super::volume::{Volume, c_string, check};
use crate::config::LogLevel;

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

const SILENCE: c_int = 0;
/// For `glfs_set_logging`: as it is.
const SAME_LEVEL: c_int = -1;

/// After it was silenced: how long a thread may still be in the middle of a line.
const SETTLING: Duration = Duration::from_millis(100);

/// What libgfapi has been told, for one connection.
#[derive(Debug)]
pub(super) struct Logging(Mutex<Told>);

#[derive(Debug)]
struct Told {
    path: PathBuf,
    /// Which file that was: device and inode.
    file: Option<(u64, u64)>,
    level: c_int,
    /// After a change that did not go well: not before then.
    again: Option<Instant>,
}

/// Between two changes that do not go well.
const RESPITE: Duration = Duration::from_secs(10);

impl Logging {
    /// Before there is anybody who could log.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn begin(fs: *mut glfs_t, path: &Path, level: c_int) -> Result<Self, Errno> {
        set_logging(fs, path, level)?;
        let told = Told { path: path.to_owned(), file: identity(path), level, again: None };
        Ok(Self(Mutex::new(told)))
    }

    /// Whether there is something to [`change`](Self::change), and nobody is at it.
    pub(super) fn differs(&self, path: &Path, level: c_int) -> bool {
        let Ok(told) = self.0.try_lock() else { return false };
        if told.again.is_some_and(|again| Instant::now() < again) {
            return false;
        }
        told.level != level || told.path != path || told.file != identity(path)
    }

    /// Changes what differs. Blocks for as long as the bricks do.
    ///
    /// # Errors
    /// The file cannot be written, or the volume not be asked. What has not been done differs
    /// still.
    pub(super) fn change(&self, volume: &Volume, path: &Path, level: c_int) -> Result<(), Errno> {
        let mut told = self.told();
        told.again = Instant::now().checked_add(RESPITE);
        if told.path != path || told.file != identity(path) {
            set_level(volume, SILENCE)?;
            told.level = SILENCE;
            thread::sleep(SETTLING);
            set_logging(volume.as_ptr(), path, SAME_LEVEL)?;
            (told.path, told.file) = (path.to_owned(), identity(path));
        }
        if told.level != level {
            set_level(volume, level)?;
            told.level = level;
        }
        told.again = None;
        Ok(())
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

fn set_logging(fs: *mut glfs_t, path: &Path, level: c_int) -> Result<(), Errno> {
    let path = c_string(&path.to_string_lossy())?;
    // SAFETY: the connection is alive; the path is NUL-terminated and copied.
    check(unsafe { gfapi::glfs_set_logging(fs, path.as_ptr(), level) })
}

fn set_level(volume: &Volume, level: c_int) -> Result<(), Errno> {
    let file = File::open(volume, "logging/loglevel", libc::O_WRONLY)?;
    file.write(&c_string(&level.to_string())?)
}
