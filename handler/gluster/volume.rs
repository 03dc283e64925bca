// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! A `glfs_t`, from new to fini: one graph, for its whole life.
//!
//! libgfapi can take a new graph under open files, but not with calls in flight: each answer then
//! gives up a reference of a file that is not its own, and a file that could not be taken along
//! makes the next READ end the process (10.3: `glfs_io_async_cbk`, `glfs_preadv_async`; glusterfs
//! issue 4799). So it is given its volfile, and no server to hear of another one from.

use std::ffi::{CStr, CString, c_int};
use std::fs::File;
use std::io::Write as _;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd as _;
use std::ptr::{self, NonNull};

use libgfapi_sys as gfapi;
use libgfapi_sys::{glfs_fd_t, glfs_t};
use nix::errno::Errno;
use nix::sys::memfd::{MFdFlags, memfd_create};

use super::error::OpenError;
use super::volfile::Volfile;
use super::xlator_options::XlatorOption;
use crate::log;
use crate::lun::backend::Space;

/// Bytes: one place, with the names of a brick, its host and the image.
const LONGEST_PATHINFO: usize = 16 << 10;

/// A connected volume. Dropping it disconnects, which takes up to 10 s, or as long as a brick is
/// silent.
#[derive(Debug)]
pub(super) struct Volume {
    fs: NonNull<glfs_t>,
    pub(super) name: String,
    connected: bool,
}

// SAFETY: libgfapi's calls on an initialised glfs_t may be made from any thread, concurrently.
unsafe impl Send for Volume {}
// SAFETY: as above.
unsafe impl Sync for Volume {}

impl Volume {
    /// A client of the volume, not connected yet.
    ///
    /// # Errors
    /// libgfapi's.
    pub(super) fn new(name: &str) -> Result<Self, Errno> {
        let c_name = c_string(name)?;
        // SAFETY: the name is NUL-terminated.
        let fs = unsafe { gfapi::glfs_new(c_name.as_ptr()) };
        let fs = NonNull::new(fs).ok_or_else(Errno::last)?;
        Ok(Self { fs, name: name.to_owned(), connected: false })
    }

    /// Connects, once, with the volfile that `from` gave. Blocks until the bricks have answered, or
    /// cannot be reached. Whether any has answered: if not, libgfapi goes on trying to reach them,
    /// and calls succeed as soon as it has (10.3, `pub_glfs_init`, `glfs_graph_setup`).
    ///
    /// # Errors
    /// [`OpenError::Setup`] before `glfs_init`, [`OpenError::Init`] in it.
    pub(super) fn connect(
        &mut self,
        volfile: &Volfile,
        options: impl Iterator<Item = XlatorOption>,
        from: &str,
    ) -> Result<bool, OpenError> {
        let setup = |errno| OpenError::Setup(self.name.clone(), errno);
        // Read by glfs_init. In memory: it may hold a password.
        let file = memory_file(volfile.text()).map_err(setup)?;
        self.set_up(&file, options).map_err(setup)?;
        // SAFETY: set up, and initialised once.
        let failed = unsafe { gfapi::glfs_init(self.as_ptr()) } != 0;
        let errno = Errno::last();
        // With EIO, what failed is `chdir("/")`, the last thing that glfs_init does; the graph is
        // there.
        if failed && errno != Errno::EIO {
            return Err(OpenError::Init(errno, from.to_owned()));
        }
        self.connected = true;
        Ok(!failed)
    }

    fn set_up(
        &self,
        volfile: &File,
        options: impl Iterator<Item = XlatorOption>,
    ) -> Result<(), Errno> {
        let path = c_string(&format!("/proc/self/fd/{}", volfile.as_raw_fd()))?;
        // SAFETY: not initialised yet; the path is NUL-terminated and copied.
        check(unsafe { gfapi::glfs_set_volfile(self.as_ptr(), path.as_ptr()) })?;
        for (translators, key, value) in options {
            let (translators, key, value) =
                (c_string(translators)?, c_string(key)?, c_string(&value)?);
            // SAFETY: not initialised yet; the strings are NUL-terminated and copied.
            check(unsafe {
                gfapi::glfs_set_xlator_option(
                    self.as_ptr(),
                    translators.as_ptr(),
                    key.as_ptr(),
                    value.as_ptr(),
                )
            })?;
        }
        Ok(())
    }

    /// Where a file is: `(<DISTRIBUTE:v-dht> <POSIX(/brick):host:/brick/path>)` (10.3,
    /// `dht_getxattr`). Blocks.
    ///
    /// # Errors
    /// The volume's.
    pub(super) fn pathinfo(&self, path: &str) -> Result<String, Errno> {
        let path = c_string(&format!("/{path}"))?;
        let value = self.xattr(&path, c"trusted.glusterfs.pathinfo", LONGEST_PATHINFO)?;
        Ok(String::from_utf8_lossy(&value).into_owned())
    }

    /// Value of a file's attribute, of at most `room` bytes. Blocks.
    ///
    /// # Errors
    /// The volume's; ENODATA if there is none.
    pub(super) fn xattr(&self, path: &CStr, name: &CStr, room: usize) -> Result<Vec<u8>, Errno> {
        let mut value = vec![0_u8; room];
        let (path, name, into) = (path.as_ptr(), name.as_ptr(), value.as_mut_ptr().cast());
        // SAFETY: the volume is connected; the strings are NUL-terminated; the buffer has the room
        // given.
        let found = unsafe { gfapi::glfs_getxattr(self.as_ptr(), path, name, into, room) };
        value.truncate(usize::try_from(found).map_err(|_| Errno::last())?);
        Ok(value)
    }

    /// Space of the volume, as its folder `path` sees it: a quota of the folder counts, if the
    /// volume has `features.quota-deem-statfs on`. Blocks.
    ///
    /// # Errors
    /// The volume's.
    pub(super) fn space(&self, path: &str) -> Result<Space, Errno> {
        let path = c_string(&format!("/{path}"))?;
        let mut found = MaybeUninit::<libc::statvfs>::zeroed();
        // SAFETY: the volume is connected; the path is NUL-terminated; there is room for the
        // result.
        check(unsafe { gfapi::glfs_statvfs(self.as_ptr(), path.as_ptr(), found.as_mut_ptr()) })?;
        // SAFETY: all bytes were initialised, with zeros, and any bytes are a valid statvfs.
        let found = unsafe { found.assume_init() };
        let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
        Ok(Space { total: bytes(found.f_blocks), free: bytes(found.f_bavail) })
    }

    pub(super) fn as_ptr(&self) -> *mut glfs_t {
        self.fs.as_ptr()
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        // SAFETY: nothing uses the volume any more: its files, which hold references, are closed.
        let outstanding = unsafe { gfapi::glfs_fini(self.fs.as_ptr()) } != 0;
        if self.connected {
            let how = if outstanding { ", with calls outstanding" } else { "" };
            log::info_always!(log::PLUGIN, "Volume {}: disconnected{how}", self.name);
        }
    }
}

/// A file without a name, which holds `text`.
fn memory_file(text: &str) -> Result<File, Errno> {
    let mut file = File::from(memfd_create(c"volfile", MFdFlags::MFD_CLOEXEC)?);
    file.write_all(text.as_bytes())
        .map_err(|why| why.raw_os_error().map_or(Errno::EIO, Errno::from_raw))?;
    Ok(file)
}

pub(super) fn c_string(text: &str) -> Result<CString, Errno> {
    CString::new(text).map_err(|_| Errno::EINVAL)
}

/// Reads from byte `at` on until the buffer is full or the file ends: how much that was. Blocks.
///
/// # Errors
/// The volume's.
///
/// # Safety
/// `fd` is open meanwhile.
pub(super) unsafe fn read_at(
    fd: *mut glfs_fd_t,
    buffer: &mut [u8],
    at: u64,
) -> Result<usize, Errno> {
    let mut done = 0;
    while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
        let (from, none) = (offset(at, done)?, ptr::null_mut());
        // SAFETY: the descriptor is open (caller); the buffer has room.
        let read =
            unsafe { gfapi::glfs_pread(fd, rest.as_mut_ptr().cast(), rest.len(), from, 0, none) };
        match usize::try_from(read).map_err(|_| Errno::last())? {
            0 => break,
            read => done += read,
        }
    }
    Ok(done)
}

/// Writes at byte `to`, with flags of `open(2)`: how many bytes. Blocks.
///
/// # Errors
/// The volume's.
///
/// # Safety
/// `fd` is open meanwhile.
pub(super) unsafe fn write(
    fd: *mut glfs_fd_t,
    bytes: &[u8],
    to: i64,
    flags: c_int,
) -> Result<usize, Errno> {
    let (from, none) = (bytes.as_ptr().cast(), ptr::null_mut());
    // SAFETY: the descriptor is open (caller); the bytes are there.
    let written = unsafe { gfapi::glfs_pwrite(fd, from, bytes.len(), to, flags, none, none) };
    usize::try_from(written).map_err(|_| Errno::last())
}

/// Byte `done` behind `at`, as libgfapi counts.
pub(super) fn offset(at: u64, done: usize) -> Result<i64, Errno> {
    let done = u64::try_from(done).map_err(|_| Errno::EFBIG)?;
    at.checked_add(done).and_then(|at| i64::try_from(at).ok()).ok_or(Errno::EFBIG)
}

pub(super) fn check(result: c_int) -> Result<(), Errno> {
    if result == 0 { Ok(()) } else { Err(Errno::last()) }
}
