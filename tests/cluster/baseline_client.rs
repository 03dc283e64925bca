// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! A client of Gluster without the handler, for comparison: libgfapi's blocking calls, on the graph
//! that the volume has. What it loses under the same faults, Gluster loses.

use std::ffi::{CString, c_char, c_int, c_short, c_void};
use std::ptr;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use libgfapi_sys as gfapi;
use nix::errno::Errno;

use crate::load::{Answer, Disk};

// What the handler does not call.
unsafe extern "C" {
    fn glfs_fdatasync(fd: *mut gfapi::glfs_fd_t, before: *mut c_void, after: *mut c_void) -> c_int;
    fn glfs_set_volfile_server(
        fs: *mut gfapi::glfs_t,
        transport: *const c_char,
        host: *const c_char,
        port: c_int,
    ) -> c_int;
}

/// What the volume needs so that an acknowledged write has reached the bricks, and nothing is read
/// from memory; and the handler's timeouts.
pub(crate) const OPTIONS: [(&str, &str); 8] = [
    ("performance.write-behind", "off"),
    ("performance.open-behind", "off"),
    ("performance.io-cache", "off"),
    ("performance.read-ahead", "off"),
    ("performance.quick-read", "off"),
    ("performance.stat-prefetch", "off"),
    ("network.ping-timeout", "3"),
    ("network.frame-timeout", "60"),
];

/// How long a descriptor may fail before another is opened.
const REOPEN_AFTER: Duration = Duration::from_secs(10);

/// An open file.
pub(crate) struct BaselineClient {
    fs: *mut gfapi::glfs_t,
    path: CString,
    descriptor: Mutex<(Descriptor, Instant)>,
}

#[derive(Clone, Copy)]
struct Descriptor(*mut gfapi::glfs_fd_t);

// SAFETY: libgfapi's calls may be made from any thread.
unsafe impl Send for Descriptor {}
// SAFETY: as above.
unsafe impl Send for BaselineClient {}
// SAFETY: as above.
unsafe impl Sync for BaselineClient {}

impl BaselineClient {
    /// Opens the image of a cfgstring.
    pub(crate) fn open(cfgstring: &str, log: &str) -> Self {
        let place = cfgstring.strip_prefix("glfs/").unwrap().split(';').next().unwrap();
        let (volume, rest) = place.split_once('@').unwrap();
        let (host, path) = rest.split_once('/').unwrap();
        let c = |text: &str| CString::new(text).unwrap();
        let path = c(path);
        // SAFETY: as libgfapi's header says: new, set up, initialised, and used from then on.
        unsafe {
            let fs = gfapi::glfs_new(c(volume).as_ptr());
            assert_eq!(glfs_set_volfile_server(fs, c"tcp".as_ptr(), c(host).as_ptr(), 24007), 0);
            assert_eq!(gfapi::glfs_set_logging(fs, c(log).as_ptr(), 5), 0);
            let begin = Instant::now();
            while gfapi::glfs_init(fs) != 0 {
                assert!(begin.elapsed() < Duration::from_secs(60), "{}", Errno::last());
                thread::sleep(Duration::from_secs(1));
            }
            let fd = gfapi::glfs_open(fs, path.as_ptr(), libc::O_RDWR);
            assert!(!fd.is_null(), "{}", Errno::last());
            Self { fs, path, descriptor: Mutex::new((Descriptor(fd), Instant::now())) }
        }
    }

    /// Whether nobody holds the mandatory lock of the image, and it could be taken; it is given
    /// back. A gateway in standby looks for that moment in just this way.
    pub(crate) fn could_own(&self) -> bool {
        let (fd, _) = *self.descriptor.lock().unwrap();
        let lock = |command: c_int, kind: c_int| {
            // SAFETY: a plain struct of integers. From 0, for 0 bytes: all of it.
            let mut range: libc::flock = unsafe { std::mem::zeroed() };
            range.l_type = c_short::try_from(kind).unwrap();
            let mode = gfapi::glfs_lock_mode_GLFS_LK_MANDATORY;
            // SAFETY: the descriptor is open; the struct is ours.
            let done = unsafe { gfapi::glfs_file_lock(fd.0, command, &raw mut range, mode) } == 0;
            done.then_some(c_int::from(range.l_type))
        };
        let owned = lock(libc::F_GETLK, libc::F_WRLCK) == Some(libc::F_UNLCK)
            && lock(libc::F_SETLK, libc::F_WRLCK).is_some();
        if owned {
            lock(libc::F_SETLK, libc::F_UNLCK).expect("given back");
        }
        owned
    }

    fn call(&self, call: impl FnOnce(*mut gfapi::glfs_fd_t) -> isize) -> Result<usize, Answer> {
        let (fd, _) = *self.descriptor.lock().unwrap();
        let result = usize::try_from(call(fd.0));
        let mut descriptor = self.descriptor.lock().unwrap();
        if let Ok(moved) = result {
            descriptor.1 = Instant::now();
            return Ok(moved);
        }
        if descriptor.0.0 == fd.0 && descriptor.1.elapsed() > REOPEN_AFTER {
            // SAFETY: initialised; the path is NUL-terminated.
            let fd = unsafe { gfapi::glfs_open(self.fs, self.path.as_ptr(), libc::O_RDWR) };
            if !fd.is_null() {
                // The old one is left: others may be using it.
                *descriptor = (Descriptor(fd), Instant::now());
            }
        }
        Err(Answer::Repeat)
    }
}

impl Disk for BaselineClient {
    fn write(&self, offset: i64, data: &[u8]) -> Answer {
        // SAFETY: the descriptor is open, and the buffer has the length given.
        let written = self.call(|fd| unsafe {
            gfapi::glfs_pwrite(
                fd,
                data.as_ptr().cast(),
                data.len(),
                offset,
                0,
                ptr::null_mut(),
                ptr::null_mut(),
            )
        });
        match written {
            Ok(moved) if moved == data.len() => Answer::Good(Vec::new()),
            Ok(moved) => Answer::Failed(format!("{moved} bytes written")),
            Err(answer) => answer,
        }
    }

    fn read(&self, offset: i64, len: usize) -> Answer {
        let mut data = vec![0; len];
        // SAFETY: the descriptor is open, and the buffer has the length given.
        let read = self.call(|fd| unsafe {
            gfapi::glfs_pread(fd, data.as_mut_ptr().cast(), len, offset, 0, ptr::null_mut())
        });
        match read {
            Ok(moved) if moved == len => Answer::Good(data),
            Ok(moved) => Answer::Failed(format!("{moved} bytes read")),
            Err(answer) => answer,
        }
    }

    fn flush(&self) -> Answer {
        // SAFETY: the descriptor is open.
        let flushed = self
            .call(|fd| unsafe { glfs_fdatasync(fd, ptr::null_mut(), ptr::null_mut()) } as isize);
        flushed.map_or_else(|answer| answer, |_| Answer::Good(Vec::new()))
    }
}
