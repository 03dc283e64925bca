// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Images, for those who make, copy and resize them: the calls that no LUN needs.
//!
//! All of them block: for a command line, not for the daemon.

use std::ffi::{CString, c_int};
use std::io;
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use libgfapi_sys as gfapi;
use nix::errno::Errno;

use super::connection::Connection;
use super::descriptor::Descriptor;
use super::file::File;
use super::lock;
use super::makeup::Makeup;
use super::volume::check;
use super::{OpenError, Opener, pool, server, worker};
use crate::lun::backend::{self, Space};

/// How long a question may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// A connected volume.
#[derive(Debug, Clone)]
pub struct Store {
    connection: Arc<Connection>,
}

/// What a file is, beside its bytes.
#[derive(Debug, Clone, Copy)]
pub struct Facts {
    /// Its size.
    pub bytes: u64,
    /// What it takes on the volume, copies not counted.
    pub allocated: u64,
}

/// One server of a configuration, and whether it answers.
#[derive(Debug)]
pub struct Answer {
    /// HOST:PORT, or a socket.
    pub server: String,
    /// Why it does not.
    pub answers: io::Result<()>,
}

impl Opener {
    /// Asks all servers at once whether they answer. One that has not within `patience` does not.
    #[must_use]
    pub fn survey(&self, patience: Duration) -> Vec<Answer> {
        server::survey(self.target.servers(), patience)
    }

    /// Connects to the volume, and opens nothing.
    ///
    /// # Errors
    /// Why not.
    pub fn connect(&self, patience: Duration) -> Result<Store, backend::OpenError> {
        let (target, wish) = (self.target.clone(), Arc::clone(&self.log_level));
        let connected =
            worker::run_with_timeout(patience, move || pool::acquire(&target, None, &wish));
        let late =
            || Err(OpenError::TimedOut { after: patience, tried: self.target.origin.to_string() });
        let connection = connected.unwrap_or_else(late)?;
        Ok(Store { connection })
    }
}

impl Store {
    pub(super) fn shared(&self) -> Arc<Connection> {
        Arc::clone(&self.connection)
    }

    /// Which server the volume's graph came from.
    #[must_use]
    pub fn from(&self) -> &str {
        self.connection.volfile_server()
    }

    /// What it is made of.
    #[must_use]
    pub fn makeup(&self) -> Makeup {
        Makeup::of(self.graph())
    }

    /// The client's graph as the server gives it: without what the handler changes in it.
    #[must_use]
    pub fn graph(&self) -> &str {
        self.connection.volfile().text()
    }

    /// Bytes that can still be written, as far as the volume knows: quotas and uneven bricks may
    /// leave less.
    ///
    /// # Errors
    /// The volume's.
    pub fn free(&self) -> Result<u64, Errno> {
        self.connection.volume().space("").map(|Space { free, .. }| free)
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
            gfapi::glfs_creat(self.connection.volume().as_ptr(), path.as_ptr(), flags, OWNER_ONLY)
        };
        let descriptor = Descriptor::new(fd, Arc::clone(&self.connection))?;
        Ok(File::new(descriptor, image))
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
                gfapi::glfs_mkdir(self.connection.volume().as_ptr(), folder.as_ptr(), ALL_MAY_LOOK)
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
        check(unsafe { gfapi::glfs_unlink(self.connection.volume().as_ptr(), path.as_ptr()) })
    }
}

impl File {
    /// The volume it is on.
    #[must_use]
    pub fn store(&self) -> Store {
        Store { connection: self.descriptor().shared_connection() }
    }

    /// Size and space.
    ///
    /// # Errors
    /// The volume's.
    pub fn facts(&self) -> Result<Facts, Errno> {
        const BLOCK: u64 = 512;
        let stat = self.asked(Descriptor::stat)?;
        let number = |field: i64| u64::try_from(field).map_err(|_| Errno::EIO);
        Ok(Facts {
            bytes: number(stat.st_size)?,
            allocated: number(stat.st_blocks)?.saturating_mul(BLOCK),
        })
    }

    /// Whether the volume lets this host change the file. Asked in a way that changes nothing.
    ///
    /// # Errors
    /// It could not be asked.
    pub fn may_change(&self) -> Result<bool, Errno> {
        self.asked(lock::may_change)
    }

    /// Cuts it off, or lets it grow by zeros that take no space.
    ///
    /// # Errors
    /// The volume's.
    pub fn set_size(&self, bytes: u64) -> Result<(), Errno> {
        let (bytes, none) = (offset(bytes)?, ptr::null_mut());
        // SAFETY: the descriptor is open and counted.
        self.descriptor().with(|fd| unsafe { gfapi::glfs_ftruncate(fd, bytes, none, none) } == 0)
    }

    /// Gives a range space on the bricks; the file grows to its end.
    ///
    /// # Errors
    /// The volume's; EOPNOTSUPP where it cannot.
    pub fn allocate(&self, at: u64, len: u64) -> Result<(), Errno> {
        const AND_GROW: c_int = 0;
        let (at, len) = (offset(at)?, usize::try_from(len).map_err(|_| Errno::EFBIG)?);
        // SAFETY: the descriptor is open and counted.
        self.descriptor().with(|fd| unsafe { gfapi::glfs_fallocate(fd, AND_GROW, at, len) } == 0)
    }

    /// Reads from `at` until the buffer is full or the file ends. How much that was.
    ///
    /// # Errors
    /// The volume's.
    pub fn read_at(&self, buffer: &mut [u8], at: u64) -> Result<usize, Errno> {
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let (from, none) = (offset_in(at, done)?, ptr::null_mut());
            let moved = self.moved(|fd| {
                // SAFETY: the descriptor is open and counted; the buffer has room.
                unsafe {
                    gfapi::glfs_pread(fd, rest.as_mut_ptr().cast(), rest.len(), from, 0, none)
                }
            })?;
            if moved == 0 {
                break;
            }
            done += moved;
        }
        Ok(done)
    }

    /// Writes all of `bytes` at `at`.
    ///
    /// # Errors
    /// The volume's.
    pub fn write_at(&self, bytes: &[u8], at: u64) -> Result<(), Errno> {
        let mut done = 0;
        while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
            let (to, none) = (offset_in(at, done)?, ptr::null_mut());
            done += self.moved_on(|fd| {
                // SAFETY: the descriptor is open and counted; the bytes are there.
                unsafe {
                    gfapi::glfs_pwrite(fd, rest.as_ptr().cast(), rest.len(), to, 0, none, none)
                }
            })?;
        }
        Ok(())
    }

    /// The next place from `at` on that holds data. None: there is none.
    ///
    /// # Errors
    /// The volume's; EINVAL or EOPNOTSUPP where it does not know.
    pub fn next_data(&self, at: u64) -> Result<Option<u64>, Errno> {
        match self.descriptor().seek(at, libc::SEEK_DATA) {
            Err(Errno::ENXIO) => Ok(None),
            other => other.map(Some),
        }
    }

    /// The next place from `at` on that holds no data, at the latest the end.
    ///
    /// # Errors
    /// As of [`next_data`](Self::next_data).
    pub fn next_hole(&self, at: u64) -> Result<u64, Errno> {
        self.descriptor().seek(at, libc::SEEK_HOLE)
    }

    /// Asks the volume for something that it should know, and not for ever.
    fn asked<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Descriptor) -> Result<T, Errno> + Send + 'static,
    ) -> Result<T, Errno> {
        self.blocking(PATIENCE, question)
    }

    /// Waits until everything written is on the bricks' disks.
    ///
    /// # Errors
    /// The volume's.
    pub fn sync_all(&self) -> Result<(), Errno> {
        self.descriptor().sync()
    }

    /// Makes a call that moves bytes: how many.
    fn moved(&self, call: impl FnOnce(*mut gfapi::glfs_fd_t) -> isize) -> Result<usize, Errno> {
        let mut moved = 0;
        self.descriptor()
            .with(|fd| usize::try_from(call(fd)).map(|bytes| moved = bytes).is_ok())?;
        Ok(moved)
    }

    /// The same, of one that must move some.
    fn moved_on(&self, call: impl FnOnce(*mut gfapi::glfs_fd_t) -> isize) -> Result<usize, Errno> {
        match self.moved(call)? {
            0 => Err(Errno::EIO),
            moved => Ok(moved),
        }
    }
}

fn absolute(path: &str) -> Result<CString, Errno> {
    CString::new(format!("/{path}")).map_err(|_| Errno::EINVAL)
}

fn offset(at: u64) -> Result<i64, Errno> {
    i64::try_from(at).map_err(|_| Errno::EFBIG)
}

fn offset_in(at: u64, done: usize) -> Result<i64, Errno> {
    let done = u64::try_from(done).map_err(|_| Errno::EFBIG)?;
    offset(at.checked_add(done).ok_or(Errno::EFBIG)?)
}
