// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! A fake tcmu-runner: loads the real plugin as the daemon does and drives it through its table of
//! callbacks.

use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::fs;
use std::path::PathBuf;
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, LazyLock, Mutex};
use std::thread;

use libc::iovec;
use tempfile::TempDir;

pub use super::c_abi::{CfgInfo, FakeCommand, FakeDevice, Table};
use super::pending::COMMANDS;
pub use super::pending::{Pending, completed};
use super::{c_abi, symbols};

pub const OK: c_int = 0;
pub const PASSTHROUGH_ERR: c_int = 2;
pub const BUSY: c_int = 3;
pub const WR_ERR: c_int = 4;
pub const RD_ERR: c_int = 5;
pub const INVALID_CDB: c_int = 8;
/// `handle_cmd` leaves the command to the core.
pub const NOT_HANDLED: c_int = -1;
pub const HW_ERR: c_int = 13;
pub const RANGE: c_int = 14;

/// The plugin under test, loaded and registered once per process.
pub fn table() -> &'static Table {
    static LOADED: LazyLock<c_int> = LazyLock::new(load);
    assert_eq!(*LOADED, 0, "handler_init failed");
    // SAFETY: registered with a table that lives for ever.
    unsafe { &*symbols::TABLE.load(Ordering::SeqCst) }
}

/// Loads the plugin as the daemon does; the result of its `handler_init`.
pub fn load() -> c_int {
    super::metrics::keep_to_this_process();
    *symbols::CONFIGFS.lock().unwrap() = Some(write_configfs);
    symbols::ON_COMPLETION.set(completed).expect("loaded once");
    c_abi::load(&plugin())
}

/// Cargo puts the library beside the test executable.
pub fn plugin() -> PathBuf {
    std::env::current_exe().unwrap().with_file_name("libhandler_glfs.so")
}

/// What the handler has against a cfgstring. None: nothing.
pub fn check(cfgstring: &str) -> Option<String> {
    let text = CString::new(cfgstring).unwrap();
    let mut reason: *mut c_char = ptr::null_mut();
    // SAFETY: as the daemon does.
    let accepted = unsafe { (table().check_config)(text.as_ptr(), &raw mut reason) };
    if accepted {
        assert!(reason.is_null(), "a reason for accepting would leak");
        return None;
    }
    // SAFETY: a C string, which is ours to free as the daemon frees it.
    let why = unsafe { CStr::from_ptr(reason) }.to_str().unwrap().to_owned();
    // SAFETY: as above.
    unsafe { libc::free(reason.cast()) };
    Some(why)
}

/// A device of this fake runner, with the plugin behind it.
pub struct Lun {
    pub device: Arc<FakeDevice>,
    open: bool,
}

impl Lun {
    /// A device that is not open yet.
    pub fn new(cfgstring: &str, bytes: u64, block_size: u32) -> Self {
        let device = Arc::new(FakeDevice {
            cfgstring: CString::new(cfgstring).unwrap(),
            block_size,
            blocks: AtomicU64::new(bytes.checked_div(u64::from(block_size)).unwrap_or(0)),
            max_xfer_len: AtomicU32::new(128),
            cmd_time_out: AtomicI32::new(30),
            ..FakeDevice::default()
        });
        Self { device, open: false }
    }

    /// A device of 512-byte blocks, open.
    pub fn opened(cfgstring: &str, bytes: u64) -> Self {
        let mut lun = Self::new(cfgstring, bytes, 512);
        assert_eq!(lun.open(), 0, "{cfgstring}: {:?}", super::log::lines(""));
        lun
    }

    /// A device of 512-byte blocks that the kernel knows by the name of `backstore`: its size can
    /// be set through configfs.
    pub fn named(backstore: &str, cfgstring: &str, bytes: u64) -> Self {
        let mut lun = Self::new(cfgstring, bytes, 512);
        let uio = KERNEL.directory.path().join(backstore);
        fs::create_dir(&uio).unwrap();
        fs::write(uio.join("name"), format!("tcm-user/7/{backstore}/{cfgstring}\n")).unwrap();
        Arc::get_mut(&mut lun.device).unwrap().uio_name =
            CString::new(uio.to_str().unwrap()).unwrap();
        KERNEL.backstores.lock().unwrap().insert(backstore.to_owned(), Arc::clone(&lun.device));
        lun
    }

    /// Such a device, open.
    pub fn in_configfs(backstore: &str, cfgstring: &str, bytes: u64) -> Self {
        let mut lun = Self::named(backstore, cfgstring, bytes);
        assert_eq!(lun.open(), 0, "{cfgstring}: {:?}", super::log::lines(""));
        lun
    }

    /// An admin's `targetcli ... set attribute dev_size=BYTES`; 0 or `-errno`.
    pub fn set_dev_size(&self, bytes: u64) -> c_int {
        set_dev_size(&self.device, bytes)
    }

    pub fn open(&mut self) -> c_int {
        self.device.freed.store(false, Ordering::SeqCst);
        // SAFETY: as the daemon does, from one thread.
        let result = unsafe { (table().open)(&raw const *self.device, false) };
        self.open = result == 0;
        result
    }

    pub fn close(&mut self) {
        self.open = false;
        let _main_thread = MAIN_THREAD.lock();
        // SAFETY: as the daemon does, once per successful open.
        unsafe { (table().close)(&raw const *self.device) };
        self.device.freed.store(true, Ordering::SeqCst);
    }

    pub fn reconfig(&self, kind: u32, value: u64) -> c_int {
        // SAFETY: as the daemon does.
        unsafe { (table().reconfig)(&raw const *self.device, &mut CfgInfo { kind, value }) }
    }

    pub fn bytes(&self) -> u64 {
        self.device.blocks.load(Ordering::SeqCst) * u64::from(self.device.block_size)
    }

    /// Submits a READ into `len` bytes of rubbish.
    pub fn submit_read(&self, offset: i64, len: usize) -> Pending {
        let command = FakeCommand::new(vec![0xee; len]);
        self.submit(command, |device, cmd, iov, count, len| {
            // SAFETY: as the daemon does, with a live command.
            unsafe { (table().read)(device, cmd, iov, count, len, offset) }
        })
    }

    pub fn submit_write(&self, offset: i64, data: &[u8]) -> Pending {
        let command = FakeCommand::new(data.to_vec());
        self.submit(command, |device, cmd, iov, count, len| {
            // SAFETY: as the daemon does, with a live command.
            unsafe { (table().write)(device, cmd, iov, count, len, offset) }
        })
    }

    pub fn submit_flush(&self) -> Pending {
        let command = FakeCommand::new(Vec::new());
        // SAFETY: as the daemon does, with a live command.
        self.submit(command, |device, cmd, _, _, _| unsafe { (table().flush)(device, cmd) })
    }

    /// Submits an UNMAP of one range.
    pub fn submit_unmap(&self, offset: u64, len: u64) -> Pending {
        let size = u64::from(self.device.block_size);
        let mut list = vec![0; 24];
        (list[1], list[3]) = (22, 16);
        list[8..16].copy_from_slice(&(offset / size).to_be_bytes());
        list[16..20].copy_from_slice(&blocks(len, size).to_be_bytes());
        self.submit_cdb(&[0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0], list)
    }

    /// Submits a WRITE SAME(16) with the UNMAP bit.
    pub fn submit_unmapping_write_same(&self, offset: u64, len: u64, block: &[u8]) -> Pending {
        self.submit_write_same_of(0x08, offset, len, block)
    }

    /// Submits a WRITE SAME(16).
    pub fn submit_write_same(&self, offset: u64, len: u64, block: &[u8]) -> Pending {
        self.submit_write_same_of(0, offset, len, block)
    }

    fn submit_write_same_of(&self, flags: u8, offset: u64, len: u64, block: &[u8]) -> Pending {
        let size = u64::from(self.device.block_size);
        let mut cdb = [0_u8; 16];
        cdb[..2].copy_from_slice(&[0x93, flags]);
        cdb[2..10].copy_from_slice(&(offset / size).to_be_bytes());
        cdb[10..14].copy_from_slice(&blocks(len, size).to_be_bytes());
        self.submit_cdb(&cdb, block.to_vec())
    }

    /// A command as the core takes it from the ring (1.5.4): it asks `handle_cmd` first; what that
    /// makes a SYNCHRONIZE CACHE of goes to `flush`. Any other that it leaves to the core ends
    /// here, with -1.
    pub fn submit_cdb(&self, cdb: &[u8], data: Vec<u8>) -> Pending {
        const SYNCHRONIZE_CACHE: u8 = 0x35;
        let command = FakeCommand::with_cdb(data, cdb);
        // SAFETY: as the daemon does, with a live command.
        let screened = unsafe { (table().handle_cmd)(&raw const *self.device, command.as_ptr()) };
        if screened != NOT_HANDLED || command.cdb()[0] != SYNCHRONIZE_CACHE {
            let (sender, answers) = channel();
            // GOOD at once.
            sender.send((screened, thread::current().id())).unwrap();
            return Pending { command, answers, returned: screened };
        }
        self.submit(command, |device, cmd, _, _, _| {
            // SAFETY: as the daemon does, with a live command.
            unsafe { (table().flush)(device, cmd) }
        })
    }

    pub fn submit_compare_and_write(&self, offset: u64, expected: &[u8], new: &[u8]) -> Pending {
        self.submit_compare_and_write_of(&[0x89], offset, expected, new)
    }

    /// A WRITE(10) with FUA.
    pub fn submit_forced_write(&self, offset: i64, data: &[u8]) -> Pending {
        self.submit_write_of(&[0x2a, 0x08], offset, data)
    }

    /// A WRITE, WRITE AND VERIFY or the like, as the core hands its data to `write`.
    pub fn submit_write_of(&self, head: &[u8], offset: i64, data: &[u8]) -> Pending {
        let command = FakeCommand::with_cdb(data.to_vec(), head);
        self.submit(command, |device, cmd, iov, count, len| {
            // SAFETY: as the daemon does, with a live command.
            unsafe { (table().write)(device, cmd, iov, count, len, offset) }
        })
    }

    /// A COMPARE AND WRITE with FUA.
    pub fn submit_forced_compare_and_write(
        &self,
        offset: u64,
        expected: &[u8],
        new: &[u8],
    ) -> Pending {
        self.submit_compare_and_write_of(&[0x89, 0x08], offset, expected, new)
    }

    fn submit_compare_and_write_of(
        &self,
        head: &[u8],
        offset: u64,
        expected: &[u8],
        new: &[u8],
    ) -> Pending {
        let command = FakeCommand::with_cdb([expected, new].concat(), head);
        self.submit(command, |device, cmd, iov, count, len| {
            // SAFETY: as the daemon does, with a live command.
            unsafe {
                (table().caw)(device, cmd, offset, u64::try_from(len).unwrap() / 2, iov, count)
            }
        })
    }

    /// What `handle_cmd` says of a CDB (-1 leaves it to the core), and of 600 bytes of rubbish in
    /// the initiator's buffer.
    pub fn screen(&self, cdb: &[u8]) -> (c_int, Vec<u8>) {
        let command = FakeCommand::with_cdb(vec![0xee; 600], cdb);
        // SAFETY: as the daemon does, with a live command.
        let status = unsafe { (table().handle_cmd)(&raw const *self.device, command.as_ptr()) };
        (status, command.data.clone())
    }

    /// Makes a command known, and hands it to a callback of the plugin.
    pub fn submit(
        &self,
        command: FakeCommand,
        callback: impl FnOnce(*const FakeDevice, *mut c_void, *mut iovec, usize, usize) -> c_int,
    ) -> Pending {
        let (sender, answers) = channel();
        COMMANDS.lock().unwrap().insert(command.as_ptr().addr(), sender);
        let (iov, count) = command.iovecs();
        let returned =
            callback(&raw const *self.device, command.as_ptr(), iov, count, command.data.len());
        if returned != OK {
            // The core answers the command itself.
            let late = COMMANDS.lock().unwrap().remove(&command.as_ptr().addr());
            assert!(late.is_some(), "answered by completion and by return value {returned}");
        }
        Pending { command, answers, returned }
    }

    /// The status of a READ, and what the initiator gets.
    pub fn read(&self, offset: i64, len: usize) -> (c_int, Vec<u8>) {
        let (status, command) = self.submit_read(offset, len).wait();
        (status, command.data.clone())
    }

    pub fn write(&self, offset: i64, data: &[u8]) -> c_int {
        self.submit_write(offset, data).wait().0
    }

    pub fn flush(&self) -> c_int {
        self.submit_flush().wait().0
    }
}

/// Does what the kernel and the core do when `attrib/dev_size` is written (`tcmu_dev_size_store`,
/// `dev_resize`).
fn set_dev_size(device: &FakeDevice, bytes: u64) -> c_int {
    let _main_thread = MAIN_THREAD.lock();
    if device.freed.load(Ordering::SeqCst) {
        return -libc::ENODEV;
    }
    let blocks = bytes / u64::from(device.block_size);
    if device.blocks.load(Ordering::SeqCst) == blocks {
        return 0;
    }
    // SAFETY: as the daemon does, on its main thread.
    let refused = unsafe { (table().reconfig)(device, &mut CfgInfo { kind: 1, value: bytes }) };
    if refused == 0 {
        device.blocks.store(blocks, Ordering::SeqCst);
        device.size_updates.fetch_add(1, Ordering::SeqCst);
    }
    refused
}

/// The daemon's main thread does one thing at a time.
static MAIN_THREAD: Mutex<()> = Mutex::new(());

/// The kernel's target.
struct Kernel {
    /// Stands for `/sys/class/uio`.
    directory: TempDir,
    backstores: Mutex<HashMap<String, Arc<FakeDevice>>>,
}

static KERNEL: LazyLock<Kernel> = LazyLock::new(|| Kernel {
    directory: tempfile::Builder::new()
        .prefix("uio-")
        .tempdir_in(super::scratch::folder())
        .unwrap(),
    backstores: Mutex::default(),
});

/// Writes to a file of the target: a backstore's `dev_size`, there is no other.
fn write_configfs(path: &str, text: &str) -> c_int {
    let parts = path
        .strip_prefix("/sys/kernel/config/target/core/user_7/")
        .and_then(|rest| rest.split_once('/'));
    let Some((backstore, "attrib/dev_size")) = parts else { return -libc::ENOENT };
    let found = KERNEL.backstores.lock().unwrap().get(backstore).cloned();
    let Some(device) = found else { return -libc::ENOENT };
    device.wait_for_directory();
    set_dev_size(&device, text.parse().unwrap())
}

impl Drop for Lun {
    fn drop(&mut self) {
        if self.open {
            self.close();
        }
    }
}

/// Blocks that so many bytes have, as a CDB can say it.
fn blocks(bytes: u64, size: u64) -> u32 {
    u32::try_from(bytes / size).unwrap_or(u32::MAX)
}
