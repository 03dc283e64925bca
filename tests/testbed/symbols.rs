// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The functions of tcmu-runner 1.5.4 and libtcmu that the plugin looks up, exported by the test
//! executable.
//!
//! They do what the originals do, on a [`FakeDevice`], and record what a test may ask about.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};

use super::c_abi::{FakeDevice, Table};

/// What `tcmur_register_handler` was given.
pub static TABLE: AtomicPtr<Table> = AtomicPtr::new(ptr::null_mut());
/// What `tcmur_cmd_complete` does: device, command, status.
pub type Complete = fn(*mut FakeDevice, *mut c_void, c_int);
/// Set by whoever loads a plugin.
pub static ON_COMPLETION: OnceLock<Complete> = OnceLock::new();
/// The directory that `tcmu_make_absolute_logfile` answers with.
pub static LOG_DIR: Mutex<String> = Mutex::new(String::new());

macro_rules! device_functions {
    ($(
        fn $name:ident($device:ident $(, $arg:ident: $type:ty)?) $(-> $result:ty)? $body:block
    )*) => { $(
        #[unsafe(no_mangle)]
        extern "C" fn $name($device: *mut FakeDevice $(, $arg: $type)?) $(-> $result)? {
            // SAFETY: the plugin passes the device it was called with, which outlives the call.
            let $device = unsafe { &*$device };
            $body
        }
    )* };
}

device_functions! {
    fn tcmur_dev_set_private(device, private: *mut c_void) {
        device.private.store(private, Ordering::SeqCst);
    }
    fn tcmur_dev_get_private(device) -> *mut c_void { device.private.load(Ordering::SeqCst) }
    fn tcmur_dev_update_size(device, bytes: u64) -> c_int {
        if bytes == 0 {
            return -libc::EINVAL;
        }
        device.wait_for_directory();
        // tcmur_set_pending_ua, which comes last.
        let touched = u32::from(device.freed.load(Ordering::SeqCst));
        device.touched_when_freed.fetch_add(touched, Ordering::SeqCst);
        device.blocks.store(bytes / u64::from(device.block_size), Ordering::SeqCst);
        device.size_updates.fetch_add(1, Ordering::SeqCst);
        0
    }
    fn tcmu_dev_get_uio_name(device) -> *const c_char { device.uio_name.as_ptr() }
    fn tcmu_dev_get_cfgstring(device) -> *const c_char { device.cfgstring.as_ptr() }
    fn tcmu_dev_get_num_lbas(device) -> u64 { device.blocks.load(Ordering::SeqCst) }
    fn tcmu_dev_get_block_size(device) -> u32 { device.block_size }
    fn tcmu_dev_get_max_xfer_len(device) -> u32 { device.max_xfer_len.load(Ordering::SeqCst) }
    fn tcmu_dev_set_max_xfer_len(device, blocks: u32) {
        device.max_xfer_len.store(blocks, Ordering::SeqCst);
    }
    fn tcmu_dev_set_opt_xcopy_rw_len(device, blocks: u32) {
        device.xcopy_len.store(blocks, Ordering::SeqCst);
    }
    fn tcmu_dev_set_max_unmap_len(device, blocks: u32) {
        device.max_unmap_len.store(blocks, Ordering::SeqCst);
    }
    fn tcmu_dev_set_unmap_gran_align(device, blocks: u32) {
        device.unmap_align.store(blocks, Ordering::SeqCst);
    }
    fn tcmu_dev_set_solid_state_media(device, enabled: bool) {
        device.solid_state.store(enabled, Ordering::SeqCst);
    }
    fn tcmu_dev_set_write_protect_enabled(device, enabled: bool) {
        device.write_protect.store(enabled, Ordering::SeqCst);
    }
    fn tcmu_dev_set_write_cache_enabled(device, enabled: bool) {
        device.write_cache.store(enabled, Ordering::SeqCst);
    }
    fn tcmu_notify_lock_lost(device) { device.locks_lost.fetch_add(1, Ordering::SeqCst); }
}

/// The serial number of every device, malloc'ed, as configfs has it.
pub const SERIAL: &CStr = c"0123456789abcdef0123456789abcdef";

#[unsafe(no_mangle)]
extern "C" fn tcmu_cfgfs_dev_get_wwn(_: *mut FakeDevice) -> *mut c_char {
    // SAFETY: a NUL-terminated string; the result is the caller's.
    unsafe { libc::strdup(SERIAL.as_ptr()) }
}

#[unsafe(no_mangle)]
extern "C" fn tcmu_cfgfs_dev_get_attr_int(device: *mut FakeDevice, name: *const c_char) -> c_int {
    // SAFETY: the plugin passes the device it was called with, which outlives the call, and a C
    // string.
    let (device, name) = unsafe { (&*device, CStr::from_ptr(name)) };
    if name == c"cmd_time_out" { device.cmd_time_out.load(Ordering::SeqCst) } else { -libc::ENOENT }
}

#[unsafe(no_mangle)]
extern "C" fn tcmu_dev_set_opt_unmap_gran(device: *mut FakeDevice, blocks: u32, split: bool) {
    // SAFETY: the plugin passes the device it was called with, which outlives the call.
    let device = unsafe { &*device };
    device.unmap_granularity.store(blocks, Ordering::SeqCst);
    device.unmap_split.store(split, Ordering::SeqCst);
}

/// What a write to a file of the kernel's target does: path and text, 0 or `-errno`.
pub type WriteConfigfs = fn(&str, &str) -> c_int;
/// None: there is no such file.
pub static CONFIGFS: Mutex<Option<WriteConfigfs>> = Mutex::new(None);

#[unsafe(no_mangle)]
extern "C" fn tcmu_cfgfs_set_str(path: *const c_char, text: *const c_char, len: c_int) -> c_int {
    // SAFETY: NUL-terminated strings of the caller's.
    let (path, text) = unsafe { (CStr::from_ptr(path), CStr::from_ptr(text)) };
    let (path, text) = (path.to_str().unwrap(), text.to_str().unwrap());
    assert_eq!(usize::try_from(len), Ok(text.len()));
    let write = *CONFIGFS.lock().unwrap();
    write.map_or(-libc::ENOENT, |write| write(path, text))
}

#[unsafe(no_mangle)]
extern "C" fn tcmur_register_handler(table: *mut Table) -> c_int {
    if TABLE.swap(table, Ordering::SeqCst).is_null() { 0 } else { -1 }
}

#[unsafe(no_mangle)]
extern "C" fn tcmur_cmd_complete(device: *mut FakeDevice, cmd: *mut c_void, status: c_int) {
    ON_COMPLETION.get().expect("set before a plugin is loaded")(device, cmd, status);
}

/// Present from 1.5.3 on: part of how a handler recognises the daemon. Never called.
#[unsafe(no_mangle)]
extern "C" fn tcmu_notify_cmd_timed_out(_: *mut FakeDevice) {}

/// The daemon's level, in its own numbers: 6 is info, the default; 7 debug.
pub static LOG_LEVEL: AtomicU32 = AtomicU32::new(6);

#[unsafe(no_mangle)]
extern "C" fn tcmu_get_log_level() -> u32 {
    LOG_LEVEL.load(Ordering::SeqCst)
}

#[unsafe(no_mangle)]
extern "C" fn tcmu_make_absolute_logfile(path: *mut c_char, name: *const c_char) -> c_int {
    let dir = LOG_DIR.lock().unwrap().clone();
    if dir.is_empty() {
        return -libc::ENOENT;
    }
    // SAFETY: a NUL-terminated string of the caller's.
    let name = unsafe { CStr::from_ptr(name) }.to_str().unwrap();
    let full = format!("{dir}/{name}\0");
    // SAFETY: the caller's buffer has PATH_MAX bytes, more than any path here.
    unsafe { ptr::copy_nonoverlapping(full.as_ptr().cast(), path, full.len()) };
    0
}
