//! Owning an image: a lock over the whole file that the bricks enforce.
//!
//! Experiments behind all this (10.3): docs/fencing.md. In short: where the volume has `locks.mandatory-locking forced` and
//! `features.enforce-mandatory-lock on`, a brick refuses I/O on a file with the mark [`MARK`] to every connection that holds no lock
//! on it, and gives the lock to whoever asks, taking it from the holder. A holder that was frozen, and wakes up, is refused.
//!
//! The lock belongs to the connection and to no owner within it (`glfs_fd_set_lkowner` is never called on such a descriptor):
//! asynchronous calls carry no owner. Closing any descriptor of the file on that connection drops it.

use std::ffi::{CStr, c_int};
use std::mem;
use std::time::Duration;

use libgfapi_sys as gfapi;
use nix::errno::Errno;

use super::descriptor::Descriptor;
use super::volfile::Volfile;
use crate::lun::backend::Enforcement;

/// Makes the bricks enforce locks on a file. Anything may be its value.
const MARK: &CStr = c"trusted.glusterfs.enforce-mandatory-lock";
/// What the owner has to say.
const NOTE: &CStr = c"trusted.tcmu-glfs.owner";
/// No file has this.
const NOBODYS: &CStr = c"trusted.tcmu-glfs.nobody";
/// Of a note.
const LONGEST: usize = 256;

/// A frozen owner may hold locks of its client's translators, in which others' writes would queue up behind it for ever. With
/// `features.locks-revocation-secs 1` and `features.locks-revocation-clear-all on` they are taken from it, if they are older than a
/// second when the first write comes.
const SETTLING: Duration = Duration::from_millis(2200);

/// What of a volume's graph decides how its files can be owned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    /// Pieces of a file are files of their own, which its lock does not cover.
    sharded: bool,
    /// A client takes locks of its own for a write.
    replicated: bool,
    /// Replicas of which one is an arbiter, or that are not three: there a mandatory lock brings the client down
    /// (`afr_lk_transaction`), and an advisory one, which the volume option makes mandatory all the same, does not.
    advisory: bool,
}

impl Layout {
    /// Reads a volfile.
    pub(super) fn of(volfile: &Volfile) -> Self {
        let mut layout = Self { sharded: false, replicated: false, advisory: false };
        for translator in volfile.translators() {
            layout.sharded |= translator.kind == "features/shard";
            layout.replicated |= matches!(translator.kind, "cluster/replicate" | "cluster/disperse");
            layout.advisory |= ["arbiter-count", "thin-arbiter"].iter().any(|key| translator.option(key).is_some())
                || translator.kind == "cluster/replicate" && translator.children.len() != 3;
        }
        layout
    }

    pub(super) fn is_sharded(self) -> bool {
        self.sharded
    }

    /// Whether there is more than one copy of each byte, or redundancy.
    pub(super) fn is_replicated(self) -> bool {
        self.replicated
    }

    pub(super) fn settling(self) -> Duration {
        if self.replicated { SETTLING } else { Duration::ZERO }
    }
}

/// What the volume can do for this file.
pub(super) fn enforcement(descriptor: &Descriptor, layout: Layout) -> Result<Enforcement, Errno> {
    if layout.sharded {
        return Ok(Enforcement::Impossible("the volume is sharded (features.shard), and shards are not covered"));
    }
    // Changes a mark that is there; asks what is possible where there is none.
    match set(descriptor, MARK, b"1", libc::XATTR_REPLACE) {
        Ok(()) => Ok(Enforcement::Active),
        Err(Errno::ENODATA) => Ok(Enforcement::Possible),
        Err(Errno::EINVAL) => Ok(Enforcement::Impossible(
            "it needs the volume options locks.mandatory-locking forced and features.enforce-mandatory-lock on",
        )),
        Err(Errno::EPERM | Errno::EACCES | Errno::EROFS | Errno::EOPNOTSUPP) => {
            Ok(Enforcement::Impossible("the volume does not let this host set trusted attributes on the image"))
        }
        Err(errno) => Err(errno),
    }
}

/// Whether the volume lets this host change the file. An attribute that no file has cannot be replaced: nothing changes.
pub(super) fn may_change(descriptor: &Descriptor) -> Result<bool, Errno> {
    match set(descriptor, NOBODYS, b"", libc::XATTR_REPLACE) {
        Ok(()) | Err(Errno::ENODATA) => Ok(true),
        Err(Errno::EROFS | Errno::EACCES | Errno::EPERM) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// How long commands that were submitted before may take to be answered.
const DRAIN: Duration = Duration::from_secs(2);

/// Takes the lock.
///
/// Not while a call is in flight: one that was submitted by an owner who has been robbed since, and has not been refused yet, would
/// be let through.
pub(super) fn take(descriptor: &Descriptor, layout: Layout) -> Result<(), Errno> {
    let counted = descriptor.begin().is_some();
    let quiet = descriptor.drains_to(1, DRAIN);
    descriptor.end();
    if !counted || !quiet {
        return Err(Errno::EINPROGRESS);
    }
    // Where there is a holder there is a mark, and to set it would queue up behind a holder that is frozen.
    if !is_taken(descriptor, layout)? {
        set(descriptor, MARK, b"1", 0)?;
    }
    lock(descriptor, layout, libc::F_SETLK, libc::F_WRLCK).map(drop)
}

/// Gives the lock back.
pub(super) fn release(descriptor: &Descriptor, layout: Layout) -> Result<(), Errno> {
    lock(descriptor, layout, libc::F_SETLK, libc::F_UNLCK).map(drop)
}

/// Whether another connection holds the lock.
pub(super) fn is_taken(descriptor: &Descriptor, layout: Layout) -> Result<bool, Errno> {
    let found = lock(descriptor, layout, libc::F_GETLK, libc::F_WRLCK)?;
    Ok(c_int::from(found.l_type) != libc::F_UNLCK)
}

fn lock(descriptor: &Descriptor, layout: Layout, command: c_int, kind: c_int) -> Result<libc::flock, Errno> {
    let narrow = |number: c_int| libc::c_short::try_from(number).map_err(|_| Errno::EINVAL);
    // SAFETY: a plain struct of integers. From 0, for 0 bytes: all of it, whatever it grows to.
    let mut range: libc::flock = unsafe { mem::zeroed() };
    range.l_type = narrow(kind)?;
    range.l_whence = narrow(libc::SEEK_SET)?;
    let mode =
        if layout.advisory { gfapi::glfs_lock_mode_GLFS_LK_ADVISORY } else { gfapi::glfs_lock_mode_GLFS_LK_MANDATORY };
    // SAFETY: the descriptor is open and counted; the struct is ours.
    descriptor.with(|fd| unsafe { gfapi::glfs_file_lock(fd, command, &raw mut range, mode) } == 0)?;
    Ok(range)
}

pub(super) fn note(descriptor: &Descriptor) -> Result<String, Errno> {
    let mut value = vec![0_u8; LONGEST];
    let mut len = 0;
    descriptor.with(|fd| {
        // SAFETY: the descriptor is open and counted; the name is NUL-terminated; the buffer has room.
        let found = unsafe { gfapi::glfs_fgetxattr(fd, NOTE.as_ptr(), value.as_mut_ptr().cast(), LONGEST) };
        usize::try_from(found).map(|found| len = found).is_ok()
    })?;
    value.truncate(len);
    Ok(String::from_utf8_lossy(&value).into_owned())
}

pub(super) fn set_note(descriptor: &Descriptor, note: &str) -> Result<(), Errno> {
    set(descriptor, NOTE, note.as_bytes().get(..LONGEST).unwrap_or(note.as_bytes()), 0)
}

fn set(descriptor: &Descriptor, name: &CStr, value: &[u8], flags: c_int) -> Result<(), Errno> {
    // SAFETY: the descriptor is open and counted; the name is NUL-terminated, and the value has the length given.
    descriptor
        .with(|fd| unsafe { gfapi::glfs_fsetxattr(fd, name.as_ptr(), value.as_ptr().cast(), value.len(), flags) } == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(text: &str) -> (bool, bool, bool) {
        let Layout { sharded, replicated, advisory } = Layout::of(&Volfile::local(text.to_owned()));
        (sharded, replicated, advisory)
    }

    #[test]
    fn a_volfile_tells_how_its_files_can_be_owned() {
        let replicate = |options: &str, children: &str| {
            format!("volume r\n    type cluster/replicate\n{options}    subvolumes {children}\nend-volume\n")
        };
        assert_eq!(layout("volume c\n    type protocol/client\nend-volume\n"), (false, false, false));
        assert_eq!(layout(&replicate("", "a b c")), (false, true, false));
        assert_eq!(layout(&replicate("", "a b")), (false, true, true));
        assert_eq!(layout(&replicate("    option arbiter-count 1\n", "a b c")), (false, true, true));
        assert_eq!(layout("volume e\n    type cluster/disperse\n    subvolumes a b c\n"), (false, true, false));
        assert_eq!(layout("volume s\n    type features/shard\n    subvolumes d\n"), (true, false, false));
    }
}
