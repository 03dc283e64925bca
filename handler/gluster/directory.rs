// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Directories of a volume, and the fence of files that are not open. For a command line: all calls
//! block.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::sync::Arc;

use libgfapi_sys as gfapi;
use nix::errno::Errno;

use super::admin::{AdminClient, absolute};
use super::connection::Connection;
use super::lock::OWNER_XATTR;
use super::mark::ENFORCE_XATTR;
use super::volume::check;

/// An entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name in the directory.
    pub name: String,
    /// Kind, with size and space of a file.
    pub kind: EntryKind,
}

/// Kind of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A directory.
    Directory,
    /// A regular file: size, and bytes allocated on the volume, both without copies.
    File {
        /// Size in bytes.
        bytes: u64,
        /// Allocated bytes.
        allocated: u64,
    },
    /// A link, device, pipe or socket: never an image.
    Other,
}

/// An open directory.
struct Directory {
    fd: NonNull<gfapi::glfs_fd_t>,
    _connection: Arc<Connection>,
}

impl Drop for Directory {
    fn drop(&mut self) {
        // SAFETY: opened by glfs_opendir, and closed once.
        let _unread = unsafe { gfapi::glfs_closedir(self.fd.as_ptr()) };
    }
}

impl Directory {
    /// The next entry. `None` at the end.
    fn next(&mut self) -> Result<Option<Entry>, Errno> {
        let mut found = MaybeUninit::<libc::stat>::zeroed();
        Errno::clear();
        // SAFETY: the directory is open; there is room for a stat.
        let entry = unsafe { gfapi::glfs_readdirplus(self.fd.as_ptr(), found.as_mut_ptr()) };
        let Some(entry) = NonNull::new(entry) else {
            return match Errno::last() {
                Errno::UnknownErrno => Ok(None),
                errno => Err(errno),
            };
        };
        // SAFETY: all bytes were initialised, with zeros, and any bytes are a valid stat.
        let found = unsafe { found.assume_init() };
        // SAFETY: libgfapi returned an entry that lives until the next call on this directory.
        let name = unsafe { &raw const (*entry.as_ptr()).d_name };
        // SAFETY: d_name is NUL-terminated.
        let name = unsafe { CStr::from_ptr(name.cast()) };
        let number = |field: i64| u64::try_from(field).unwrap_or_default();
        let kind = match found.st_mode & libc::S_IFMT {
            libc::S_IFDIR => EntryKind::Directory,
            libc::S_IFREG => EntryKind::File {
                bytes: number(found.st_size),
                allocated: number(found.st_blocks).saturating_mul(512),
            },
            _ => EntryKind::Other,
        };
        Ok(Some(Entry { name: name.to_string_lossy().into_owned(), kind }))
    }
}

impl AdminClient {
    /// The entries of a directory, by name, without `.` and `..`.
    ///
    /// # Errors
    /// The volume's; ENOENT, ENOTDIR.
    pub fn entries(&self, path: &str) -> Result<Vec<Entry>, Errno> {
        let path = absolute(path)?;
        let connection = Arc::clone(&self.connection);
        // SAFETY: the volume is connected; the path is NUL-terminated.
        let fd = unsafe { gfapi::glfs_opendir(connection.volume.as_ptr(), path.as_ptr()) };
        let fd = NonNull::new(fd).ok_or_else(Errno::last)?;
        let mut directory = Directory { fd, _connection: connection };
        let mut entries = Vec::new();
        while let Some(entry) = directory.next()? {
            if entry.name != "." && entry.name != ".." {
                entries.push(entry);
            }
        }
        entries.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(entries)
    }

    /// Whether the bricks enforce locks on a file.
    ///
    /// # Errors
    /// The volume's.
    pub fn is_fenced(&self, path: &str) -> Result<bool, Errno> {
        match self.connection.volume.xattr(&absolute(path)?, ENFORCE_XATTR, 16) {
            Ok(_) => Ok(true),
            Err(Errno::ENODATA) => Ok(false),
            Err(errno) => Err(errno),
        }
    }

    /// Removes the fence of a file: the bricks enforce no lock on it any more. Nothing happens
    /// where there is none.
    ///
    /// # Errors
    /// The volume's.
    pub fn unfence(&self, path: &str) -> Result<(), Errno> {
        let (path, volume) = (absolute(path)?, self.connection.volume.as_ptr());
        // The heartbeat first: without the fence it would name an owner that owns nothing.
        for name in [OWNER_XATTR, ENFORCE_XATTR] {
            // SAFETY: the volume is connected; the strings are NUL-terminated.
            match check(unsafe { gfapi::glfs_removexattr(volume, path.as_ptr(), name.as_ptr()) }) {
                Ok(()) | Err(Errno::ENODATA) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }
}
