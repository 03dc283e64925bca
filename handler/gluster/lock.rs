// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The lock of an image: over the whole file, enforced by the bricks.
//!
//! Experiments behind all this (10.3): docs/fencing.md. In short: where the volume has
//! `locks.mandatory-locking forced` and `features.enforce-mandatory-lock on`, a brick refuses I/O
//! on a file with the mark [`ENFORCE_XATTR`] to every connection that holds no lock on it, and
//! gives the lock to whoever asks, taking it from the holder. A holder that was frozen, and wakes
//! up, is refused.
//!
//! The lock belongs to the connection and to no owner within it (`glfs_fd_set_lkowner` is never
//! called on such a descriptor): asynchronous calls carry no owner. Closing any descriptor of the
//! file on that connection drops it.

use std::ffi::{CStr, c_int};
use std::mem;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use libgfapi_sys as gfapi;
use nix::errno::Errno;

use super::fd::Fd;
use super::file::File;
use super::mark::{self, ENFORCE_XATTR, set};
use super::topology::Topology;
use super::volume::{check, read_at};
use crate::lun::backend::{AcquireError, Acquired, Enforcement, ImageLock, Preempt};
use crate::{log, threads};

/// The owner's heartbeat.
pub(super) const OWNER_XATTR: &CStr = c"trusted.tcmu-glfs.owner";
/// Bytes of a heartbeat.
const LONGEST_HEARTBEAT: usize = 256;

/// A frozen owner may hold locks of its client's translators, in which others' writes would queue
/// up behind it for ever. With `features.locks-revocation-secs 1` and
/// `features.locks-revocation-clear-all on` they are taken from it, if they are older than a second
/// when the first write comes.
const REVOCATION_DELAY: Duration = Duration::from_millis(2200);

/// How long commands that were submitted before may take to be answered.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a call about the lock may take. It may be in the way of a failover.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);

/// Acquires the lock. Blocks.
///
/// Not while a call is in flight: one that was submitted by an owner who has been robbed since, and
/// has not been refused yet, would be let through.
fn acquire(fd: &Fd, heartbeat: &str, preempt: &Preempt) -> Result<Acquired, AcquireError> {
    let topology = fd.connection.topology;
    let counted = fd.begin().is_some();
    let quiet = fd.drains_to(1, DRAIN_TIMEOUT);
    fd.end();
    if !counted || !quiet {
        return Err(AcquireError::InFlight);
    }
    // A descriptor of this LUN has it, as the caller knows.
    let is_own = matches!(preempt, Preempt::Own(_));
    let held = !is_own && may_be_held(has_holder(fd), topology)?;
    match preempt {
        Preempt::Never | Preempt::Silent if held => return Err(AcquireError::Held),
        Preempt::Never if topology.has_redundancy() => match read_heartbeat(fd) {
            Err(Errno::ENODATA) => {}
            Ok(none) if none.is_empty() => {}
            found => return Err(AcquireError::Unconfirmed(found?)),
        },
        _ => {}
    }
    // Another holder has set it, and to set it again would queue up behind one that is frozen. Set
    // along with a lock of this LUN, it reaches a brick that has taken another's place: until it is
    // healed there, that brick lets commands without the lock wait instead of refusing them.
    if !held {
        set(fd, ENFORCE_XATTR, b"1", 0)?;
    }
    lock(fd, libc::F_SETLK, libc::F_WRLCK)?;
    finish(fd, heartbeat, preempt, held).inspect_err(|_| {
        // The heartbeat may be another's.
        if let Err(errno) = lock(fd, libc::F_SETLK, libc::F_UNLCK) {
            log::warning!(
                log::PLUGIN,
                "A lock that is not wanted could not be given back: {errno}"
            );
        }
    })
}

/// What there is to do before the first command, with the lock.
fn finish(
    fd: &Fd,
    heartbeat: &str,
    preempt: &Preempt,
    held: bool,
) -> Result<Acquired, AcquireError> {
    let previous = match preempt {
        Preempt::Own(prefix) => {
            let last = read_heartbeat(fd)?;
            if !last.starts_with(prefix.as_str()) {
                return Err(AcquireError::Foreign(last));
            }
            None
        }
        Preempt::Always if held => {
            if fd.connection.topology.has_redundancy() {
                thread::sleep(REVOCATION_DELAY);
            }
            Some(read_heartbeat(fd).unwrap_or_default())
        }
        Preempt::Never | Preempt::Silent | Preempt::Always => None,
    };
    write_heartbeat(fd, heartbeat)?;
    Ok(Acquired { previous })
}

impl From<Errno> for AcquireError {
    fn from(errno: Errno) -> Self {
        Self::Storage(errno)
    }
}

/// Takes the heartbeat away, as long as nobody else can have left one, and gives the lock back.
fn release(fd: &Fd) -> Result<(), Errno> {
    let silent = write_heartbeat(fd, "");
    lock(fd, libc::F_SETLK, libc::F_UNLCK).and(silent)
}

/// Whether another connection is seen to hold the lock. Replicas answer with what one brick says:
/// the last in the order of bricks if the lock is advisory, and else the last to answer (10.3,
/// `afr_lk_cbk`, `afr_lk_txn_wind_cbk`). A brick that was replaced or restarted under a living
/// owner does not know of its lock, so that "no" is not the last word there: the heartbeat is.
fn has_holder(fd: &Fd) -> Result<bool, Errno> {
    let found = lock(fd, libc::F_GETLK, libc::F_WRLCK)?;
    Ok(c_int::from(found.l_type) != libc::F_UNLCK)
}

/// Whether to take the lock for held. An owner whose brick was restarted under it has no lock on
/// that brick any more: bricks that disagree about the holder are EIO where a file has redundancy
/// (10.3, `ec_lock_check`: more than one kind of good answer).
fn may_be_held(found: Result<bool, Errno>, topology: Topology) -> Result<bool, Errno> {
    match found {
        Err(Errno::EIO) if topology.has_redundancy() => Ok(true),
        found => found,
    }
}

impl File {
    /// Whether another connection than this image's is seen to hold the lock. Blocks, for 5 s at
    /// most.
    ///
    /// # Errors
    /// What the storage said.
    pub fn has_other_holder(&self) -> Result<bool, Errno> {
        self.blocking(LOCK_TIMEOUT, has_holder)
    }
}

impl ImageLock for File {
    fn enforcement(&self) -> Result<Enforcement, Errno> {
        self.blocking(LOCK_TIMEOUT, mark::enforcement)
    }

    fn acquire(&self, heartbeat: &str, preempt: Preempt) -> Result<Acquired, AcquireError> {
        if self.caw.has_owner() {
            return Err(AcquireError::Reopen);
        }
        let heartbeat = heartbeat.to_owned();
        let patience = match preempt {
            Preempt::Always => LOCK_TIMEOUT + REVOCATION_DELAY,
            Preempt::Never | Preempt::Silent | Preempt::Own(_) => LOCK_TIMEOUT,
        };
        self.blocking(patience, move |fd| Ok(acquire(fd, &heartbeat, &preempt)))?
    }

    fn release(&self) -> Result<(), Errno> {
        self.blocking(LOCK_TIMEOUT, release)
    }

    fn holds_lock(&self) -> Result<bool, Errno> {
        // SAFETY: the descriptor is open and counted.
        let read = |fd: &Fd| fd.with(|fd| unsafe { read_at(fd, &mut [0], 0) });
        match self.blocking(LOCK_TIMEOUT, read) {
            Ok(_) => Ok(true),
            // Held by another gateway, or by none; lost with its brick; lost on too few bricks.
            Err(Errno::EBUSY | Errno::EAGAIN | Errno::EBADFD | Errno::EBADF) => Ok(false),
            Err(errno) => Err(errno),
        }
    }

    fn heartbeat(&self) -> Result<String, Errno> {
        self.blocking(LOCK_TIMEOUT, read_heartbeat)
    }

    fn send_heartbeat(
        &self,
        heartbeat: String,
        done: impl FnOnce(Result<(), Errno>) + Send + 'static,
    ) {
        let fd = Arc::clone(&self.fd);
        // Nobody waits for it: without a thread it is dropped.
        let send = move |fd: Arc<Fd>| done(write_heartbeat(&fd, &heartbeat));
        if threads::hand_over("glfs-call", fd, send).is_err() {
            log::warning!(log::PLUGIN, "No thread could be had for a call");
        }
    }
}

fn lock(fd: &Fd, command: c_int, kind: c_int) -> Result<libc::flock, Errno> {
    let narrow = |number: c_int| libc::c_short::try_from(number).map_err(|_| Errno::EINVAL);
    // SAFETY: a plain struct of integers. From 0, for 0 bytes: all of it, whatever it grows to.
    let mut range: libc::flock = unsafe { mem::zeroed() };
    range.l_type = narrow(kind)?;
    range.l_whence = narrow(libc::SEEK_SET)?;
    let mode = if fd.connection.topology.advisory_locks {
        gfapi::glfs_lock_mode_GLFS_LK_ADVISORY
    } else {
        gfapi::glfs_lock_mode_GLFS_LK_MANDATORY
    };
    fd.with(|fd| {
        // SAFETY: the descriptor is open and counted; the struct is ours.
        check(unsafe { gfapi::glfs_file_lock(fd, command, &raw mut range, mode) })
    })?;
    Ok(range)
}

fn read_heartbeat(fd: &Fd) -> Result<String, Errno> {
    let mut value = vec![0_u8; LONGEST_HEARTBEAT];
    let len = fd.with(|fd| {
        // SAFETY: the descriptor is open and counted; the name is NUL-terminated; the buffer has
        // room.
        let found = unsafe {
            gfapi::glfs_fgetxattr(
                fd,
                OWNER_XATTR.as_ptr(),
                value.as_mut_ptr().cast(),
                LONGEST_HEARTBEAT,
            )
        };
        usize::try_from(found).map_err(|_| Errno::last())
    })?;
    value.truncate(len);
    Ok(String::from_utf8_lossy(&value).into_owned())
}

fn write_heartbeat(fd: &Fd, heartbeat: &str) -> Result<(), Errno> {
    let bytes = heartbeat.as_bytes();
    set(fd, OWNER_XATTR, bytes.get(..LONGEST_HEARTBEAT).unwrap_or(bytes), 0)
}

#[cfg(test)]
mod tests {
    use super::super::volfile::Volfile;
    use super::*;

    #[test]
    fn a_lock_that_bricks_disagree_about_is_held() {
        let on = |text: &str| Topology::of(&Volfile::local(text.to_owned()));
        let disperse = on("volume e\n    type cluster/disperse\n    subvolumes a b c\n");
        let brick = on("volume c\n    type protocol/client\nend-volume\n");
        assert_eq!(may_be_held(Err(Errno::EIO), disperse), Ok(true));
        assert_eq!(may_be_held(Err(Errno::ENOTCONN), disperse), Err(Errno::ENOTCONN));
        assert_eq!(may_be_held(Err(Errno::EIO), brick), Err(Errno::EIO));
        assert_eq!(
            [true, false].map(|held| may_be_held(Ok(held), disperse)),
            [Ok(true), Ok(false)]
        );
    }
}
