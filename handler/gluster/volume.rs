// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! A `glfs_t`, from new to fini: one graph, for its whole life.
//!
//! libgfapi can take a new graph under open files, but not with calls in flight: each answer then
//! gives up a reference of a file that is not its own, and a file that could not be taken along
//! makes the next READ end the process (10.3: `glfs_io_async_cbk`, `glfs_preadv_async`; glusterfs
//! issue 4799). So it is given its volfile, and no server to hear of another one from.

use std::borrow::Cow;
use std::ffi::{CString, c_int};
use std::fs::File;
use std::io::Write as _;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd as _;
use std::ptr::NonNull;

use libgfapi_sys as gfapi;
use libgfapi_sys::glfs_t;
use nix::errno::Errno;
use nix::sys::memfd::{MFdFlags, memfd_create};

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
    name: String,
    connected: bool,
}

// SAFETY: libgfapi's calls on an initialised glfs_t may be made from any thread, concurrently.
unsafe impl Send for Volume {}
// SAFETY: as above.
unsafe impl Sync for Volume {}

/// Where a connection did not get any further.
#[derive(Debug)]
pub(super) enum ConnectError {
    /// Before `glfs_init`.
    Setup(Errno),
    /// In it.
    Init(Errno),
}

/// Whether any brick answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bricks {
    Answer,
    /// libgfapi goes on trying to reach them, and calls succeed as soon as it has (10.3,
    /// `pub_glfs_init`, `glfs_graph_setup`).
    Silent,
}

impl Volume {
    /// A client of the volume, not connected yet.
    ///
    /// # Errors
    /// [`ConnectError::Setup`].
    pub(super) fn new(name: &str) -> Result<Self, ConnectError> {
        let c_name = c_string(name).map_err(ConnectError::Setup)?;
        // SAFETY: the name is NUL-terminated.
        let fs = NonNull::new(unsafe { gfapi::glfs_new(c_name.as_ptr()) });
        let fs = fs.ok_or_else(|| ConnectError::Setup(Errno::last()))?;
        Ok(Self { fs, name: name.to_owned(), connected: false })
    }

    /// Connects, once. Blocks until the bricks have answered, or cannot be reached.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub(super) fn connect(
        &mut self,
        volfile: &Volfile,
        options: impl Iterator<Item = XlatorOption>,
    ) -> Result<Bricks, ConnectError> {
        // Read by glfs_init. In memory: it may hold a password.
        let file = memory_file(volfile.text()).map_err(ConnectError::Setup)?;
        self.set_up(&file, options).map_err(ConnectError::Setup)?;
        // SAFETY: set up, and initialised once.
        let failed = unsafe { gfapi::glfs_init(self.as_ptr()) } != 0;
        let bricks = match Errno::last() {
            _ if !failed => Bricks::Answer,
            // What failed is `chdir("/")`, the last thing that glfs_init does; the graph is there.
            Errno::EIO => Bricks::Silent,
            errno => return Err(ConnectError::Init(errno)),
        };
        self.connected = true;
        Ok(bricks)
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
        let mut value = vec![0_u8; LONGEST_PATHINFO];
        let (name, room) = (c"trusted.glusterfs.pathinfo", value.len());
        // SAFETY: the volume is connected; the strings are NUL-terminated; the buffer has the room
        // given.
        let found = unsafe {
            gfapi::glfs_getxattr(
                self.as_ptr(),
                path.as_ptr(),
                name.as_ptr(),
                value.as_mut_ptr().cast(),
                room,
            )
        };
        value.truncate(usize::try_from(found).map_err(|_| Errno::last())?);
        Ok(String::from_utf8_lossy(&value).into_owned())
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

    /// The volume's name.
    pub(super) fn name(&self) -> &str {
        &self.name
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

/// An option that a snapshot daemon's client needs: a volfile has no host for it, because it runs
/// wherever glusterd does (10.3, `client_check_remote_host`).
pub(super) fn snapd_host(host: &str) -> XlatorOption {
    ("*-snapd-client", "remote-host", Cow::Owned(host.to_owned()))
}

pub(super) fn c_string(text: &str) -> Result<CString, Errno> {
    CString::new(text).map_err(|_| Errno::EINVAL)
}

pub(super) fn check(result: c_int) -> Result<(), Errno> {
    if result == 0 { Ok(()) } else { Err(Errno::last()) }
}
