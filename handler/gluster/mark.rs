// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The mark on a file that makes bricks enforce locks, and what the volume lets this host change.

use std::ffi::{CStr, c_int};

use libgfapi_sys as gfapi;
use nix::errno::Errno;

use super::fd::Fd;
use super::volume::check;
use crate::lun::backend::Enforcement;

/// Makes the bricks enforce locks on a file. Anything may be its value.
pub(super) const ENFORCE_XATTR: &CStr = c"trusted.glusterfs.enforce-mandatory-lock";
/// No file has this.
const PROBE_XATTR: &CStr = c"trusted.tcmu-glfs.nobody";

/// What the volume can do for this file.
pub(super) fn enforcement(fd: &Fd) -> Result<Enforcement, Errno> {
    if fd.connection.topology.is_sharded() {
        return Ok(Enforcement::Impossible(
            "the volume is sharded (features.shard), and shards are not covered",
        ));
    }
    // Changes a mark that is there; asks what is possible where there is none.
    match set(fd, ENFORCE_XATTR, b"1", libc::XATTR_REPLACE) {
        Ok(()) => Ok(Enforcement::Active),
        Err(Errno::ENODATA) => Ok(Enforcement::Possible),
        Err(Errno::EINVAL) => Ok(Enforcement::Impossible(
            "it needs the volume options locks.mandatory-locking forced and \
             features.enforce-mandatory-lock on",
        )),
        Err(Errno::EPERM | Errno::EACCES | Errno::EROFS | Errno::EOPNOTSUPP) => {
            Ok(Enforcement::Impossible(
                "the volume does not let this host set trusted attributes on the image",
            ))
        }
        Err(errno) => Err(errno),
    }
}

/// Whether the volume lets this host change the file. An attribute that no file has cannot be
/// replaced: nothing changes.
pub(super) fn may_change(fd: &Fd) -> Result<bool, Errno> {
    match set(fd, PROBE_XATTR, b"", libc::XATTR_REPLACE) {
        Ok(()) | Err(Errno::ENODATA) => Ok(true),
        Err(Errno::EROFS | Errno::EACCES | Errno::EPERM) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// Sets an attribute. Blocks.
pub(super) fn set(fd: &Fd, name: &CStr, value: &[u8], flags: c_int) -> Result<(), Errno> {
    let (name, len) = (name.as_ptr(), value.len());
    fd.with(|fd| {
        // SAFETY: the descriptor is open and counted; the name is NUL-terminated, and the value has
        // the length given.
        check(unsafe { gfapi::glfs_fsetxattr(fd, name, value.as_ptr().cast(), len, flags) })
    })
}
