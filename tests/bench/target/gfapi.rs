// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! libgfapi itself: what a handler can reach at best, and what it reaches with the graph as the
//! volume has it.

use std::collections::HashMap;
use std::ffi::{CString, c_char, c_int, c_void};
use std::ptr::NonNull;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, ensure};
use handler_glfs::config::Config;
use handler_glfs::gluster;
use libc::iovec;
use libgfapi_sys::{self as gfapi, glfs_fd_t, glfs_stat, glfs_t};
use nix::errno::Errno;

use super::Disk;
use crate::cell::{Cell, Tally};
use crate::load::{Choice, Done, Op, pump};

// What the handler does not call: it asks glusterd itself.
unsafe extern "C" {
    fn glfs_set_volfile_server(
        fs: *mut glfs_t,
        transport: *const c_char,
        host: *const c_char,
        port: c_int,
    ) -> c_int;
}

/// The connections of a client: one per volume, as the C handler does.
pub(crate) struct Connections {
    open: HashMap<String, NonNull<glfs_t>>,
    /// A graph option more: PATTERN,KEY,VALUE.
    lever: Option<String>,
}

/// A file on a volume, open.
pub(crate) struct File {
    fd: NonNull<glfs_fd_t>,
    bytes: u64,
    sender: Sender<Done>,
    answers: Mutex<Receiver<Done>>,
}

// SAFETY: libgfapi's descriptors may be used from any thread.
unsafe impl Sync for File {}
// SAFETY: as above.
unsafe impl Send for File {}

impl Connections {
    pub(crate) fn new(lever: Option<String>) -> Self {
        Self { open: HashMap::new(), lever }
    }

    fn connect(&self, config: &Config, tuned: bool) -> anyhow::Result<NonNull<glfs_t>> {
        let (name, host) =
            (CString::new(config.volume.as_str())?, CString::new(config.hosts[0].as_str())?);
        // SAFETY: the name is NUL-terminated.
        let fs = NonNull::new(unsafe { gfapi::glfs_new(name.as_ptr()) }).context("glfs_new")?;
        // SAFETY: not initialised yet; NUL-terminated strings.
        let set =
            unsafe { glfs_set_volfile_server(fs.as_ptr(), c"tcp".as_ptr(), host.as_ptr(), 24007) };
        ensure!(set == 0, "glfs_set_volfile_server");
        // SAFETY: as above.
        unsafe { gfapi::glfs_set_logging(fs.as_ptr(), c"/dev/null".as_ptr(), 5) };
        let options = if tuned { gluster::xlator_options(config) } else { Vec::new() };
        let lever = self.lever.iter().filter_map(|lever| {
            let mut parts = lever.splitn(3, ',');
            Some((parts.next()?, parts.next()?, parts.next()?.to_owned().into()))
        });
        for (translators, key, value) in options.into_iter().chain(lever) {
            let (translators, key, value) =
                (CString::new(translators)?, CString::new(key)?, CString::new(&*value)?);
            // SAFETY: as above.
            let set = unsafe {
                gfapi::glfs_set_xlator_option(
                    fs.as_ptr(),
                    translators.as_ptr(),
                    key.as_ptr(),
                    value.as_ptr(),
                )
            };
            ensure!(set == 0, "glfs_set_xlator_option {key:?}");
        }
        // SAFETY: set up, initialised once.
        let failed = unsafe { gfapi::glfs_init(fs.as_ptr()) };
        ensure!(failed == 0, "glfs_init {}: {}", config.volume, Errno::last());
        Ok(fs)
    }

    /// Opens the image of a cfgstring, with the plugin's graph or with the volume's own.
    pub(crate) fn open(
        &mut self,
        cfgstring: &str,
        bytes: u64,
        tuned: bool,
    ) -> anyhow::Result<File> {
        let config: Config = cfgstring.parse()?;
        let volume = if let Some(volume) = self.open.get(&config.volume) {
            *volume
        } else {
            let volume = self.connect(&config, tuned)?;
            self.open.insert(config.volume.clone(), volume);
            volume
        };
        let path = CString::new(config.path.as_str())?;
        let flags = if tuned { libc::O_RDWR } else { libc::O_RDWR | libc::O_DIRECT };
        // SAFETY: the volume is connected; the path is NUL-terminated.
        let fd = unsafe { gfapi::glfs_open(volume.as_ptr(), path.as_ptr(), flags) };
        let fd = NonNull::new(fd).ok_or_else(|| anyhow!("{cfgstring}: {}", Errno::last()))?;
        let (sender, answers) = channel();
        Ok(File { fd, bytes, sender, answers: Mutex::new(answers) })
    }
}

/// A command's memory, and what libgfapi carries for it.
struct Slot {
    number: usize,
    sender: Sender<Done>,
    block: usize,
    iov: iovec,
    _data: Vec<u8>,
}

unsafe extern "C" fn answered(
    _: *mut glfs_fd_t,
    result: isize,
    _: *mut glfs_stat,
    _: *mut glfs_stat,
    cookie: *mut c_void,
) {
    // SAFETY: the slot given with the call, which nobody changes while it is in flight.
    let slot = unsafe { &*cookie.cast::<Slot>() };
    let good = usize::try_from(result).is_ok_and(|moved| moved == slot.block || moved == 0);
    // Whoever waited in vain for a minute is gone.
    let _nobody_waits = slot.sender.send((slot.number, Instant::now(), good)).is_err();
}

impl Disk for File {
    fn run(&self, cell: &Cell, time: Duration, seed: u64) -> anyhow::Result<Tally> {
        let answers = self.answers.lock().expect("not poisoned");
        let slots: Vec<Slot> = (0..cell.depth)
            .map(|number| {
                let mut data = vec![u8::try_from(number).unwrap_or(0xff); cell.block];
                let iov = iovec { iov_base: data.as_mut_ptr().cast(), iov_len: data.len() };
                Slot { number, sender: self.sender.clone(), block: cell.block, iov, _data: data }
            })
            .collect();
        let fd = self.fd.as_ptr();
        pump(cell, time, Choice::new(*cell, self.bytes, seed), &answers, |number, op, offset| {
            let slot = &raw const slots[number];
            // SAFETY: within the slot.
            let iov = unsafe { &raw const (*slot).iov };
            let (offset, cookie) =
                (i64::try_from(offset).expect("an offset"), slot.cast_mut().cast());
            let refused: c_int = match op {
                // SAFETY: the descriptor is open; slot and data live until all is answered.
                Op::Read => unsafe {
                    gfapi::glfs_preadv_async(fd, iov, 1, offset, 0, Some(answered), cookie)
                },
                // SAFETY: as above.
                Op::Write => unsafe {
                    gfapi::glfs_pwritev_async(fd, iov, 1, offset, 0, Some(answered), cookie)
                },
                // SAFETY: as above.
                Op::Flush => unsafe { gfapi::glfs_fdatasync_async(fd, Some(answered), cookie) },
            };
            if refused != 0 {
                let _nobody_waits = self.sender.send((number, Instant::now(), false)).is_err();
            }
        })
    }
}
