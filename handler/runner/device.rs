// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The core's object for a LUN, as `open` sees it.

use std::ffi::{CStr, CString, OsStr, c_char};
use std::marker::PhantomData;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::ptr::NonNull;

use nix::errno::Errno;

use super::abi::TcmuDevice;
use super::device_handle::DeviceHandle;
use super::symbols::{self, Symbols};

/// A `tcmu_device` for the duration of `open`.
#[derive(Debug)]
pub struct Device<'a> {
    symbols: &'static Symbols,
    raw: NonNull<TcmuDevice>,
    is_reopened: bool,
    _callback: PhantomData<&'a ()>,
}

/// What the core announces to initiators and uses to cut compound commands, in logical blocks.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Largest READ or WRITE (VPD B0h, MAXIMUM TRANSFER LENGTH).
    pub max_transfer: u32,
    /// Largest descriptor of an UNMAP.
    pub max_unmap: u32,
    /// Bytes of an EXTENDED COPY moved at a time.
    pub xcopy: u32,
}

/// What `open` must set on every device.
impl<'a> Device<'a> {
    /// # Safety
    /// `raw` is the argument of a running `open`, which outlives the result.
    pub(super) unsafe fn new(
        symbols: &'static Symbols,
        raw: NonNull<TcmuDevice>,
        is_reopened: bool,
    ) -> Self {
        Self { symbols, raw, is_reopened, _callback: PhantomData }
    }

    /// The configuration as the admin wrote it, with `glfs/` before it.
    ///
    /// # Errors
    /// The bytes that are not UTF-8, shown as well as they can be.
    pub fn cfgstring(&self) -> Result<&'a str, String> {
        // SAFETY: the device is alive (invariant of the type).
        let text: *const c_char =
            unsafe { (self.symbols.tcmu_dev_get_cfgstring)(self.raw.as_ptr()) };
        if text.is_null() {
            return Err(String::from("(none)"));
        }
        // SAFETY: a NUL-terminated buffer inside the device, which only the core changes, before
        // `open`.
        let text = unsafe { CStr::from_ptr(text) };
        text.to_str().map_err(|_| text.to_string_lossy().into_owned())
    }

    /// The name that the admin gave the LUN: the backstore's in targetcli. None if the kernel does
    /// not tell.
    #[must_use]
    pub fn name(&self) -> Option<String> {
        backstore(&self.kernel_name()?).map(|(_hba, name)| name.to_owned())
    }

    /// Place of the backstore in configfs, from the folder of all: `user_1/d0`. None if the kernel
    /// does not tell.
    #[must_use]
    pub fn backstore(&self) -> Option<String> {
        let name = self.kernel_name()?;
        let (hba, backstore) = backstore(&name)?;
        Some(format!("user_{hba}/{backstore}"))
    }

    /// The name that the kernel gives the device. None if it does not tell.
    fn kernel_name(&self) -> Option<String> {
        // SAFETY: the device is alive (invariant of the type).
        let uio: *const c_char = unsafe { (self.symbols.tcmu_dev_get_uio_name)(self.raw.as_ptr()) };
        if uio.is_null() {
            return None;
        }
        // SAFETY: a NUL-terminated buffer inside the device, which is not changed after it was
        // added.
        let uio = unsafe { CStr::from_ptr(uio) };
        let file =
            PathBuf::from("/sys/class/uio").join(OsStr::from_bytes(uio.to_bytes())).join("name");
        std::fs::read_to_string(file).ok()
    }

    /// Bytes of a logical block.
    #[must_use]
    pub fn block_size(&self) -> u32 {
        // SAFETY: the device is alive (invariant of the type).
        unsafe { (self.symbols.tcmu_dev_get_block_size)(self.raw.as_ptr()) }
    }

    /// Logical blocks of the LUN, as the kernel was told at creation.
    #[must_use]
    pub fn blocks(&self) -> u64 {
        // SAFETY: the device is alive (invariant of the type).
        unsafe { (self.symbols.tcmu_dev_get_num_lbas)(self.raw.as_ptr()) }
    }

    /// Largest transfer as the kernel was told (`hw_max_sectors`), in logical blocks.
    #[must_use]
    pub fn max_transfer(&self) -> u32 {
        // SAFETY: the device is alive (invariant of the type).
        unsafe { (self.symbols.tcmu_dev_get_max_xfer_len)(self.raw.as_ptr()) }
    }

    /// Whether the LUN has been closed a moment ago, and is only opened anew: for the lock, or
    /// after a lost connection.
    #[must_use]
    pub fn is_reopened(&self) -> bool {
        self.is_reopened
    }

    /// Tells the kernel that the LUN has another size than it had at creation. Not for a LUN that
    /// is opened anew: its backstore may be being removed, which waits for the thread that this is
    /// called on, and is waited for here.
    ///
    /// # Errors
    /// The kernel's.
    pub fn set_size(&self, bytes: u64) -> Result<(), Errno> {
        // SAFETY: the device is alive (invariant of the type); none of the core's locks is held.
        match unsafe { (self.symbols.tcmur_dev_update_size)(self.raw.as_ptr(), bytes) } {
            0 => Ok(()),
            error => Err(Errno::from_raw(error.saturating_neg())),
        }
    }

    /// What the LUN can say to the core and the kernel later.
    #[must_use]
    pub fn handle(&self) -> DeviceHandle {
        // As libtcmu builds it (`configfs.c`, CFGFS_CORE; `libtcmu.c`, `device_parse_cfg`).
        let attribute = self.backstore().and_then(|backstore| {
            CString::new(format!("/sys/kernel/config/target/core/{backstore}/attrib/dev_size")).ok()
        });
        DeviceHandle::new(self.symbols, self.raw, attribute)
    }

    /// Sets the limits.
    ///
    /// The granularity and alignment of UNMAP are set too, to one block: the core's own default
    /// alignment of 0 makes it divide by zero in WRITE SAME with the UNMAP bit, which any `mkfs`
    /// sends, and with its splitting an UNMAP arrives in thousands of pieces.
    pub fn set_limits(&self, limits: Limits) {
        let (symbols, raw) = (self.symbols, self.raw.as_ptr());
        // SAFETY: the device is alive (invariant of the type).
        unsafe { (symbols.tcmu_dev_set_max_xfer_len)(raw, limits.max_transfer) };
        // SAFETY: as above.
        unsafe { (symbols.tcmu_dev_set_max_unmap_len)(raw, limits.max_unmap) };
        // SAFETY: as above.
        unsafe { (symbols.tcmu_dev_set_opt_xcopy_rw_len)(raw, limits.xcopy) };
        // SAFETY: as above.
        unsafe { (symbols.tcmu_dev_set_opt_unmap_gran)(raw, 1, false) };
        // SAFETY: as above.
        unsafe { (symbols.tcmu_dev_set_unmap_gran_align)(raw, 1) };
    }

    /// Says that the LUN does not rotate (VPD B1h): seek times mean nothing on a volume.
    pub fn set_solid_state(&self) {
        // SAFETY: the device is alive (invariant of the type).
        unsafe { (self.symbols.tcmu_dev_set_solid_state_media)(self.raw.as_ptr(), true) };
    }

    /// Sets the write cache bit (WCE) of the caching mode page: with it, initiators send
    /// SYNCHRONIZE CACHE.
    pub fn set_write_cache(&self, enabled: bool) {
        // SAFETY: the device is alive (invariant of the type).
        unsafe { (self.symbols.tcmu_dev_set_write_cache_enabled)(self.raw.as_ptr(), enabled) };
    }
}

/// HBA and backstore in the name that the kernel gives a device:
/// `tcm-user/HBA/BACKSTORE/CONFIGURATION`.
fn backstore(name: &str) -> Option<(&str, &str)> {
    let mut parts = name.trim_end().strip_prefix("tcm-user/")?.splitn(3, '/');
    let (hba, backstore) = (parts.next()?, parts.next()?);
    (!backstore.is_empty()).then_some((hba, backstore))
}

/// Where the daemon keeps its logs: the path of `name` there. None outside the daemon.
#[must_use]
pub fn log_file(name: &CStr) -> Option<PathBuf> {
    const PATH_MAX: usize = 4096;
    let symbols = symbols::loaded()?;
    let mut path = [0_u8; PATH_MAX];
    // SAFETY: the buffer has the PATH_MAX bytes the function asks for; the name is NUL-terminated.
    let failed =
        unsafe { (symbols.tcmu_make_absolute_logfile)(path.as_mut_ptr().cast(), name.as_ptr()) };
    if failed < 0 {
        return None;
    }
    let path = CStr::from_bytes_until_nul(&path).ok()?;
    Some(PathBuf::from(OsStr::from_bytes(path.to_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_backstore_is_the_third_part_of_the_name() {
        assert_eq!(backstore("tcm-user/0/d0/glfs/vol@host/disk.img\n"), Some(("0", "d0")));
        assert_eq!(backstore("tcm-user/12/a b"), Some(("12", "a b")));
        for other in ["", "uio_pci_generic", "tcm-user/0", "tcm-user/0//glfs/v@h/p"] {
            assert_eq!(backstore(other), None, "{other}");
        }
    }
}
