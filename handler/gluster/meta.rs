// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The files of libgfapi's meta translator, below `/.meta`: what it knows of itself, answered from
//! its memory.

use std::ffi::{CStr, c_int};
use std::marker::PhantomData;
use std::ptr::NonNull;

use libgfapi_sys as gfapi;
use libgfapi_sys::glfs_fd_t;
use nix::errno::Errno;

use super::volume::{self, Volume, c_string, read_at};

/// A file of the meta translator, open. Its descriptor is used by one thread.
struct MetaFile<'a> {
    fd: NonNull<glfs_fd_t>,
    _volume: PhantomData<&'a Volume>,
}

impl<'a> MetaFile<'a> {
    /// Opens `/.meta/NAME` with `flags` (`open(2)`).
    fn open(volume: &'a Volume, name: &str, flags: c_int) -> Result<Self, Errno> {
        let path = c_string(&format!("/.meta/{name}"))?;
        // SAFETY: the volume is connected; the path is NUL-terminated.
        let fd = unsafe { gfapi::glfs_open(volume.as_ptr(), path.as_ptr(), flags) };
        NonNull::new(fd).map(|fd| Self { fd, _volume: PhantomData }).ok_or_else(Errno::last)
    }
}

impl Drop for MetaFile<'_> {
    fn drop(&mut self) {
        // SAFETY: open, and not used after.
        unsafe { gfapi::glfs_close(self.fd.as_ptr()) };
    }
}

/// All that is in `/.meta/NAME`.
///
/// # Errors
/// libgfapi's.
pub(super) fn read(volume: &Volume, name: &str) -> Result<String, Errno> {
    let file = MetaFile::open(volume, name, libc::O_RDONLY)?;
    let mut text = Vec::new();
    let mut piece = [0_u8; 8192];
    loop {
        let at = u64::try_from(text.len()).map_err(|_| Errno::EFBIG)?;
        // SAFETY: the descriptor is open.
        let read = unsafe { read_at(file.fd.as_ptr(), &mut piece, at) }?;
        text.extend_from_slice(piece.get(..read).unwrap_or_default());
        if read < piece.len() {
            return Ok(String::from_utf8_lossy(&text).into_owned());
        }
    }
}

/// Replaces what is in `/.meta/NAME`. It is read up to the NUL.
///
/// # Errors
/// libgfapi's.
pub(super) fn write(volume: &Volume, name: &str, text: &CStr) -> Result<(), Errno> {
    let file = MetaFile::open(volume, name, libc::O_WRONLY)?;
    // SAFETY: the descriptor is open.
    unsafe { volume::write(file.fd.as_ptr(), text.to_bytes_with_nul(), 0, 0) }.map(drop)
}
