// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Administration of images: create, resize, copy. For the command `tcmu-glfs`; all of it blocks.

use std::ffi::CString;
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use libgfapi_sys as gfapi;
use nix::errno::Errno;

use super::connection::Connection;
use super::fd::Fd;
use super::file::File;
use super::mark;
use super::opener::Opener;
use super::pool;
use super::server::{self, ServerProbe};
use super::topology::Topology;
use super::volume::{c_string, check, offset, read_at, write};
use crate::lun::backend::{self, ImageStat, Space};

/// Bounds a call that reads metadata.
const QUERY_TIMEOUT: Duration = Duration::from_secs(5);

/// A connected volume.
#[derive(Debug, Clone)]
pub struct AdminClient {
    pub(super) connection: Arc<Connection>,
}

impl Opener {
    /// Asks all servers at once whether they answer. One that has not within `patience` does not.
    #[must_use]
    pub fn probe_servers(&self, patience: Duration) -> Vec<ServerProbe> {
        server::probe_servers(self.target.servers(), patience)
    }

    /// Connects to the volume, and opens nothing.
    ///
    /// # Errors
    /// Why not.
    pub fn connect(&self, patience: Duration) -> Result<AdminClient, backend::OpenError> {
        self.blocking(patience, |this| {
            let connection = pool::acquire(&this.target, None, &this.log_level)?;
            Ok(AdminClient { connection })
        })
    }
}

impl AdminClient {
    /// The server that gave the volume's graph.
    #[must_use]
    pub fn volfile_server(&self) -> &str {
        &self.connection.volfile_server
    }

    /// How the volume is put together.
    #[must_use]
    pub fn topology(&self) -> Topology {
        self.connection.topology
    }

    /// The client's graph as the server gives it: without what the handler changes in it.
    #[must_use]
    pub fn graph(&self) -> &str {
        self.connection.volfile.text()
    }

    /// Bytes that can still be written, as far as the volume knows: quotas and uneven bricks may
    /// leave less.
    ///
    /// # Errors
    /// The volume's.
    pub fn free(&self) -> Result<u64, Errno> {
        self.connection.volume.space("").map(|Space { free, .. }| free)
    }

    /// Creates a file that is not there yet, for its owner alone.
    ///
    /// # Errors
    /// The volume's; EEXIST.
    pub fn create(&self, image: &str) -> Result<File, Errno> {
        const OWNER_ONLY: libc::mode_t = 0o600;
        let path = absolute(image)?;
        let flags = libc::O_CREAT | libc::O_EXCL | libc::O_RDWR;
        // SAFETY: the volume is connected; the path is NUL-terminated.
        let fd = unsafe {
            gfapi::glfs_creat(self.connection.volume.as_ptr(), path.as_ptr(), flags, OWNER_ONLY)
        };
        let fd = Fd::new(fd, Arc::clone(&self.connection))?;
        Ok(File::new(fd, image))
    }

    /// Creates the folders on the way to `path` that are missing.
    ///
    /// # Errors
    /// The volume's.
    pub fn create_folders_for(&self, path: &str) -> Result<(), Errno> {
        const ALL_MAY_LOOK: libc::mode_t = 0o755;
        let ends = path.match_indices('/').map(|(end, _)| end);
        for folder in ends.filter_map(|end| path.get(..end)).filter(|folder| !folder.is_empty()) {
            let folder = absolute(folder)?;
            // SAFETY: the volume is connected; the path is NUL-terminated.
            match check(unsafe {
                gfapi::glfs_mkdir(self.connection.volume.as_ptr(), folder.as_ptr(), ALL_MAY_LOOK)
            }) {
                Err(errno) if errno != Errno::EEXIST => return Err(errno),
                _ => {}
            }
        }
        Ok(())
    }

    /// Removes a file.
    ///
    /// # Errors
    /// The volume's.
    pub fn remove(&self, path: &str) -> Result<(), Errno> {
        let path = absolute(path)?;
        // SAFETY: the volume is connected; the path is NUL-terminated.
        check(unsafe { gfapi::glfs_unlink(self.connection.volume.as_ptr(), path.as_ptr()) })
    }
}

impl File {
    /// The volume it is on.
    #[must_use]
    pub fn admin_client(&self) -> AdminClient {
        AdminClient { connection: Arc::clone(&self.fd.connection) }
    }

    /// Size and space.
    ///
    /// # Errors
    /// The volume's.
    pub fn metadata(&self) -> Result<ImageStat, Errno> {
        self.image_stat(QUERY_TIMEOUT)
    }

    /// Whether the volume lets this host change the file. Asked in a way that changes nothing.
    ///
    /// # Errors
    /// It could not be asked.
    pub fn may_change(&self) -> Result<bool, Errno> {
        self.blocking(QUERY_TIMEOUT, mark::may_change)
    }

    /// Cuts it off, or lets it grow by zeros that take no space.
    ///
    /// # Errors
    /// The volume's.
    pub fn set_size(&self, bytes: u64) -> Result<(), Errno> {
        let (bytes, none) = (offset(bytes, 0)?, ptr::null_mut());
        // SAFETY: the descriptor is open and counted.
        self.fd.with(|fd| check(unsafe { gfapi::glfs_ftruncate(fd, bytes, none, none) }))
    }

    /// Gives a range space on the bricks; the file grows to its end.
    ///
    /// # Errors
    /// The volume's; EOPNOTSUPP where it cannot.
    pub fn allocate(&self, at: u64, len: u64) -> Result<(), Errno> {
        self.fd.allocate(at, len)
    }

    /// Reads from `at` until the buffer is full or the file ends. How much that was.
    ///
    /// # Errors
    /// The volume's.
    pub fn read_at(&self, buffer: &mut [u8], at: u64) -> Result<usize, Errno> {
        // SAFETY: the descriptor is open and counted.
        self.fd.with(|fd| unsafe { read_at(fd, buffer, at) })
    }

    /// Writes all of `bytes` at `at`.
    ///
    /// # Errors
    /// The volume's.
    pub fn write_at(&self, bytes: &[u8], at: u64) -> Result<(), Errno> {
        let mut done = 0;
        while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
            let to = offset(at, done)?;
            // SAFETY: the descriptor is open and counted.
            match self.fd.with(|fd| unsafe { write(fd, rest, to, 0) })? {
                0 => return Err(Errno::EIO),
                written => done += written,
            }
        }
        Ok(())
    }

    /// The next place from `at` on that holds data. None: there is none.
    ///
    /// # Errors
    /// The volume's; EINVAL or EOPNOTSUPP where it does not know.
    pub fn next_data(&self, at: u64) -> Result<Option<u64>, Errno> {
        match self.fd.seek(at, libc::SEEK_DATA) {
            Err(Errno::ENXIO) => Ok(None),
            other => other.map(Some),
        }
    }

    /// The next place from `at` on that holds no data, at the latest the end.
    ///
    /// # Errors
    /// As of [`next_data`](Self::next_data).
    pub fn next_hole(&self, at: u64) -> Result<u64, Errno> {
        self.fd.seek(at, libc::SEEK_HOLE)
    }

    /// Waits until everything written is on the bricks' disks.
    ///
    /// # Errors
    /// The volume's.
    pub fn sync_all(&self) -> Result<(), Errno> {
        self.fd.sync()
    }
}

/// A path of the volume, from its root.
pub(super) fn absolute(path: &str) -> Result<CString, Errno> {
    c_string(&format!("/{}", path.trim_start_matches('/')))
}
