// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The files of libgfapi's meta translator, below `/.meta`: what it knows of itself, answered from
//! its memory.

use std::ffi::{CStr, CString, c_int};
use std::marker::PhantomData;
use std::ptr::{self, NonNull};

use libgfapi_sys as gfapi;
use libgfapi_sys::glfs_fd_t;
use nix::errno::Errno;

use super::volume::Volume;

/// A file of the meta translator, open. Its descriptor is used by one thread.
pub(super) struct MetaFile<'a> {
    fd: NonNull<glfs_fd_t>,
    _volume: PhantomData<&'a Volume>,
}

impl<'a> MetaFile<'a> {
    /// Opens `/.meta/NAME` with `flags` (`open(2)`).
    ///
    /// # Errors
    /// libgfapi's.
    pub(super) fn open(volume: &'a Volume, name: &str, flags: c_int) -> Result<Self, Errno> {
        let path = CString::new(format!("/.meta/{name}")).map_err(|_| Errno::EINVAL)?;
        // SAFETY: the volume is connected; the path is NUL-terminated.
        let fd = unsafe { gfapi::glfs_open(volume.as_ptr(), path.as_ptr(), flags) };
        NonNull::new(fd).map(|fd| Self { fd, _volume: PhantomData }).ok_or_else(Errno::last)
    }

    /// All that is in it.
    ///
    /// # Errors
    /// libgfapi's.
    pub(super) fn read(&self) -> Result<String, Errno> {
        let mut text = Vec::new();
        let mut piece = [0_u8; 8192];
        loop {
            let offset = i64::try_from(text.len()).map_err(|_| Errno::EFBIG)?;
            let (room, none) = (piece.len(), ptr::null_mut());
            // SAFETY: the descriptor is open; the buffer has the room given.
            let read = unsafe {
                gfapi::glfs_pread(
                    self.fd.as_ptr(),
                    piece.as_mut_ptr().cast(),
                    room,
                    offset,
                    0,
                    none,
                )
            };
            let read = usize::try_from(read).map_err(|_| Errno::last())?;
            text.extend_from_slice(piece.get(..read).unwrap_or_default());
            if read == 0 {
                return Ok(String::from_utf8_lossy(&text).into_owned());
            }
        }
    }

    /// Replaces what is in it. It is read up to the NUL.
    ///
    /// # Errors
    /// libgfapi's.
    pub(super) fn write(&self, text: &CStr) -> Result<(), Errno> {
        let bytes = text.to_bytes_with_nul();
        let none = ptr::null_mut();
        // SAFETY: the descriptor is open; the bytes outlive the call.
        let written = unsafe {
            gfapi::glfs_pwrite(
                self.fd.as_ptr(),
                bytes.as_ptr().cast(),
                bytes.len(),
                0,
                0,
                none,
                none,
            )
        };
        if written < 0 { Err(Errno::last()) } else { Ok(()) }
    }
}

impl Drop for MetaFile<'_> {
    fn drop(&mut self) {
        // SAFETY: open, and not used after.
        unsafe { gfapi::glfs_close(self.fd.as_ptr()) };
    }
}
