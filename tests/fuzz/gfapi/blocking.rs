// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The calls that block: connections, files, and what COMPARE AND WRITE makes.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

use libc::{flock, off_t};

use super::{BLOCKING_ERRNO, SIZE, set_errno, volume};

/// Handles: addresses that are never looked at.
fn handle() -> *mut c_void {
    static NEXT: AtomicUsize = AtomicUsize::new(0x1000);
    ptr::without_provenance_mut(NEXT.fetch_add(16, Ordering::Relaxed))
}

#[unsafe(no_mangle)]
extern "C" fn glfs_new(_: *const c_char) -> *mut c_void {
    handle()
}

#[unsafe(no_mangle)]
extern "C" fn glfs_open(_: *mut c_void, path: *const c_char, _: c_int) -> *mut c_void {
    // SAFETY: a C string of the plugin's.
    let path = unsafe { CStr::from_ptr(path) };
    if path.to_bytes().ends_with(b"disk.img") {
        return handle();
    }
    set_errno(libc::ENOENT);
    ptr::null_mut()
}

/// A blocking call's result.
fn blocking(success: isize) -> isize {
    match BLOCKING_ERRNO.load(Ordering::SeqCst) {
        0 => success,
        errno => {
            set_errno(errno);
            -1
        }
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn glfs_pread(
    _: *mut c_void,
    buffer: *mut u8,
    len: usize,
    offset: off_t,
    _: c_int,
    _: *mut c_void,
) -> isize {
    let volume = volume();
    let offset = usize::try_from(offset).expect("an offset").min(volume.image.len());
    let piece = &volume.image[offset..(offset + len).min(volume.image.len())];
    // SAFETY: the plugin's buffer has `len` bytes.
    unsafe { ptr::copy_nonoverlapping(piece.as_ptr(), buffer, piece.len()) };
    blocking(piece.len().cast_signed())
}

#[unsafe(no_mangle)]
unsafe extern "C" fn glfs_pwrite(
    _: *mut c_void,
    buffer: *const u8,
    len: usize,
    offset: off_t,
    _: c_int,
    _: *mut c_void,
    _: *mut c_void,
) -> isize {
    let done = blocking(len.cast_signed());
    if done >= 0 {
        let offset = usize::try_from(offset).expect("an offset");
        // SAFETY: the plugin's buffer has `len` bytes.
        let data = unsafe { std::slice::from_raw_parts(buffer, len) };
        volume().image[offset..offset + len].copy_from_slice(data);
    }
    done
}

#[unsafe(no_mangle)]
unsafe extern "C" fn glfs_fstat(_: *mut c_void, stat: *mut libc::stat) -> c_int {
    // SAFETY: a plain struct of integers.
    let mut result: libc::stat = unsafe { std::mem::zeroed() };
    result.st_size = SIZE as i64;
    result.st_blocks = (SIZE / 512) as i64;
    result.st_mode = libc::S_IFREG | 0o600;
    // SAFETY: the plugin's struct.
    unsafe { stat.write(result) };
    0
}

#[unsafe(no_mangle)]
extern "C" fn glfs_posix_lock(_: *mut c_void, _: c_int, _: *mut flock) -> c_int {
    if blocking(0) == 0 { 0 } else { -1 }
}

/// No attribute is set, nothing is fenced.
#[unsafe(no_mangle)]
extern "C" fn glfs_getxattr(
    _: *mut c_void,
    _: *const c_char,
    _: *const c_char,
    _: *mut c_void,
    _: usize,
) -> isize {
    set_errno(libc::ENODATA);
    -1
}

#[unsafe(no_mangle)]
extern "C" fn glfs_fgetxattr(_: *mut c_void, _: *const c_char, _: *mut c_void, _: usize) -> isize {
    set_errno(libc::ENODATA);
    -1
}

macro_rules! succeed {
    ($($name:ident($($argument:ty),*);)*) => { $(
        #[unsafe(no_mangle)]
        extern "C" fn $name($(_: $argument),*) -> c_int {
            0
        }
    )* };
}

succeed! {
    glfs_init(*mut c_void);
    glfs_fini(*mut c_void);
    glfs_close(*mut c_void);
    glfs_set_volfile(*mut c_void, *const c_char);
    glfs_set_logging(*mut c_void, *const c_char, c_int);
    glfs_set_xlator_option(*mut c_void, *const c_char, *const c_char, *const c_char);
    glfs_setfsuid(libc::uid_t);
    glfs_setfsgid(libc::gid_t);
    glfs_setfsgroups(usize, *const libc::gid_t);
    glfs_fd_set_lkowner(*mut c_void, *mut c_void, c_int);
    glfs_file_lock(*mut c_void, c_int, *mut flock, c_int);
    glfs_fallocate(*mut c_void, c_int, off_t, usize);
}
