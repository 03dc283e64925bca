// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! tcmu-runner's C structures of 1.5.4, as far as a handler sees them. Written down anew, so that
//! they check the plugin's own.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::Path;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU32, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use libc::iovec;

type Data =
    unsafe extern "C" fn(*const FakeDevice, *mut c_void, *mut iovec, usize, usize, i64) -> c_int;

type Ranged =
    unsafe extern "C" fn(*const FakeDevice, *mut c_void, u64, u64, *mut iovec, usize) -> c_int;

/// `struct tcmur_handler` of 1.5.4, as far as it is called here.
#[repr(C)]
pub struct Table {
    pub name: *const c_char,
    pub subtype: *const c_char,
    pub cfg_desc: *const c_char,
    pub opaque: *mut c_void,
    pub check_config: unsafe extern "C" fn(*const c_char, *mut *mut c_char) -> bool,
    pub reconfig: unsafe extern "C" fn(*const FakeDevice, *mut CfgInfo) -> c_int,
    pub open: unsafe extern "C" fn(*const FakeDevice, bool) -> c_int,
    pub close: unsafe extern "C" fn(*const FakeDevice),
    pub nr_threads: c_int,
    pub handle_cmd: unsafe extern "C" fn(*const FakeDevice, *mut c_void) -> c_int,
    pub read: Data,
    pub write: Data,
    pub flush: unsafe extern "C" fn(*const FakeDevice, *mut c_void) -> c_int,
    /// NULL in a plugin that serves the command in the disguise of a SYNCHRONIZE CACHE.
    pub unmap: Option<unsafe extern "C" fn(*const FakeDevice, *mut c_void, u64, u64) -> c_int>,
    pub writesame: Option<Ranged>,
    pub caw: Ranged,
    /// What fencing adds: NULL in a plugin without it.
    pub report_event: Option<unsafe extern "C" fn(*const FakeDevice) -> c_int>,
    pub lock: Option<unsafe extern "C" fn(*const FakeDevice, u16) -> c_int>,
    pub unlock: Option<unsafe extern "C" fn(*const FakeDevice) -> c_int>,
    pub get_lock_tag: Option<unsafe extern "C" fn(*const FakeDevice, *mut u16) -> c_int>,
    pub get_lock_state: Option<unsafe extern "C" fn(*const FakeDevice) -> c_int>,
    pub is_dbus_handler: usize,
    pub update_logdir: unsafe extern "C" fn() -> bool,
    pub init: usize,
    pub destroy: unsafe extern "C" fn(),
}

#[repr(C)]
pub struct CfgInfo {
    pub kind: u32,
    pub value: u64,
}

/// Stands for a `struct tcmu_device`.
#[derive(Default)]
pub struct FakeDevice {
    pub cfgstring: CString,
    /// Of the device of the kernel's: this runner has none.
    pub uio_name: CString,
    /// The attribute `cmd_time_out`, in seconds. 0: none.
    pub cmd_time_out: AtomicI32,
    pub block_size: u32,
    pub blocks: AtomicU64,
    pub private: AtomicPtr<c_void>,
    pub size_updates: AtomicU32,
    pub max_xfer_len: AtomicU32,
    pub xcopy_len: AtomicU32,
    pub max_unmap_len: AtomicU32,
    pub unmap_granularity: AtomicU32,
    pub unmap_align: AtomicU32,
    pub unmap_split: AtomicBool,
    pub write_cache: AtomicBool,
    pub solid_state: AtomicBool,
    pub write_protect: AtomicBool,
    /// How often the plugin has said that another gateway has taken the lock.
    pub locks_lost: AtomicU32,
    /// Its configfs directory is being removed: whoever opens a file in it waits until that is
    /// over.
    pub directory_held: AtomicBool,
    /// How many wait so.
    pub waiting: AtomicU32,
    /// `close` has returned: the core frees the device.
    pub freed: AtomicBool,
    /// How often a freed device was touched.
    pub touched_when_freed: AtomicU32,
}

impl FakeDevice {
    /// Returns when no removal of the device's configfs directory is under way.
    pub fn wait_for_directory(&self) {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        while self.directory_held.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(1));
        }
        self.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Loads a handler as the daemon does; the result of its `handler_init`.
pub fn load(so: &Path) -> c_int {
    let path = CString::new(so.to_str().unwrap()).unwrap();
    // SAFETY: a library made to be loaded so.
    let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
    // SAFETY: asked only if dlopen has just failed, so there is a text.
    let why = || unsafe { CStr::from_ptr(libc::dlerror()) };
    assert!(!handle.is_null(), "dlopen {}: {:?}", so.display(), why());
    // SAFETY: the handle is open.
    let init = unsafe { libc::dlsym(handle, c"handler_init".as_ptr()) };
    assert!(!init.is_null());
    // SAFETY: the type of handler_init.
    let init = unsafe { std::mem::transmute::<*mut c_void, unsafe extern "C" fn() -> c_int>(init) };
    // SAFETY: as the daemon does.
    unsafe { init() }
}

/// A command laid out as the core lays it out: `tcmulib_cmd`, iovecs, CDB and `tcmur_cmd` in one
/// block, the last one misaligned behind most CDBs.
pub struct FakeCommand {
    block: *mut u8,
    layout: Layout,
    cmd: *mut c_void,
    count: usize,
    pub data: Vec<u8>,
}

// SAFETY: owned by one thread at a time, apart from what the plugin does with it.
unsafe impl Send for FakeCommand {}

const TCMULIB_CMD: usize = 136;
const SENSE: usize = 32;
const CDB_FIELD: usize = 8;
const IOVEC_FIELD: usize = 16;
const COUNT_FIELD: usize = 24;
/// A CDB's length by its first byte.
fn cdb_len(opcode: u8) -> usize {
    [6, 10, 10, 6, 16, 12, 6, 6][usize::from(opcode >> 5)]
}
const TCMUR_CMD: usize = 96;

impl FakeCommand {
    /// With a CDB of six bytes, which leaves it misaligned.
    pub fn new(data: Vec<u8>) -> Self {
        Self::with_cdb(data, &[0x0a])
    }

    /// With a CDB that begins with `head`, zeros following.
    pub fn with_cdb(data: Vec<u8>, head: &[u8]) -> Self {
        // Pieces as the ring has them, and some it has not: a page, an odd bit, the rest.
        Self::in_pieces(data, head, &[4096, 512, 3, usize::MAX])
    }

    /// With data in pieces of these lengths, as far as they are needed.
    pub fn in_pieces(mut data: Vec<u8>, head: &[u8], lengths: &[usize]) -> Self {
        let mut pieces = Vec::new();
        let mut rest = data.as_mut_slice();
        for &len in lengths {
            let (piece, tail) = rest.split_at_mut(len.min(rest.len()));
            rest = tail;
            if !piece.is_empty() {
                pieces.push(iovec { iov_base: piece.as_mut_ptr().cast(), iov_len: piece.len() });
            }
        }
        let iovecs = size_of::<iovec>() * pieces.len();
        let cdb_at = TCMULIB_CMD + iovecs;
        let cmd_at = cdb_at + cdb_len(head[0]);
        let layout = Layout::from_size_align(cmd_at + TCMUR_CMD, 16).unwrap();
        // SAFETY: the size is not zero; all writes are within it.
        unsafe {
            let block = alloc_zeroed(layout);
            ptr::copy_nonoverlapping(pieces.as_ptr(), block.add(TCMULIB_CMD).cast(), pieces.len());
            ptr::copy_nonoverlapping(head.as_ptr(), block.add(cdb_at), head.len());
            block.add(CDB_FIELD).cast::<*mut u8>().write_unaligned(block.add(cdb_at));
            block.add(IOVEC_FIELD).cast::<*mut u8>().write_unaligned(block.add(TCMULIB_CMD));
            block.add(COUNT_FIELD).cast::<usize>().write_unaligned(pieces.len());
            let cmd = block.add(cmd_at);
            cmd.cast::<*mut u8>().write_unaligned(block);
            Self { block, layout, cmd: cmd.cast(), count: pieces.len(), data }
        }
    }

    /// What the callbacks are given: a `tcmur_cmd`.
    pub fn as_ptr(&self) -> *mut c_void {
        self.cmd
    }

    /// Numbers the command, as the kernel does.
    pub fn set_id(&mut self, id: u16) {
        // SAFETY: within the block.
        unsafe { self.block.cast::<u16>().write_unaligned(id) };
    }

    /// One of several commands that the core makes of this one.
    pub fn part(&self) -> Part {
        let mut part = Part(Box::new([0; TCMUR_CMD]));
        // Where the command is: the first word of a tcmur_cmd.
        part.0[..size_of::<usize>()].copy_from_slice(&self.block.expose_provenance().to_ne_bytes());
        part
    }

    /// The number of a command.
    ///
    /// # Safety
    /// `cmd` is what [`as_ptr`](Self::as_ptr) gave, of a command that is alive.
    pub unsafe fn id_of(cmd: *mut c_void) -> u16 {
        // SAFETY: a tcmur_cmd begins with the address of its block, which begins with the number.
        unsafe { cmd.cast::<*const u16>().read_unaligned().read() }
    }

    /// The CDB, as it is now.
    pub fn cdb(&self) -> &[u8] {
        let len = self.layout.size() - TCMUR_CMD - TCMULIB_CMD - size_of::<iovec>() * self.count;
        // SAFETY: within the block, between the iovecs and the tcmur_cmd.
        unsafe { std::slice::from_raw_parts(self.cmd.cast::<u8>().sub(len), len) }
    }

    pub fn iovecs(&self) -> (*mut iovec, usize) {
        // SAFETY: within the block.
        (unsafe { self.block.add(TCMULIB_CMD) }.cast(), self.count)
    }

    /// Sense key, ASC and ASCQ that the plugin has left.
    pub fn sense(&self) -> (u8, u8, u8) {
        // SAFETY: within the block.
        let sense = unsafe { std::slice::from_raw_parts(self.block.add(SENSE), 18) };
        assert!(matches!(sense[0], 0x70 | 0x71 | 0xf0), "not fixed-format sense");
        (sense[2], sense[12], sense[13])
    }

    /// Whether the sense is about an earlier command.
    pub fn is_deferred(&self) -> bool {
        // SAFETY: within the block.
        unsafe { self.block.add(SENSE).read() == 0x71 }
    }

    /// The INFORMATION field of the sense.
    pub fn information(&self) -> u32 {
        // SAFETY: within the block.
        let sense = unsafe { std::slice::from_raw_parts(self.block.add(SENSE), 18) };
        assert_eq!(sense[0] & 0x80, 0x80, "not valid");
        u32::from_be_bytes(sense[3..7].try_into().unwrap())
    }
}

/// A `tcmur_cmd` beside the command that it belongs to, which must outlive it.
pub struct Part(Box<[u8; TCMUR_CMD]>);

impl Part {
    /// What the callbacks are given.
    pub fn as_ptr(&self) -> *mut c_void {
        self.0.as_ptr().cast_mut().cast()
    }
}

impl Drop for FakeCommand {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout.
        unsafe { dealloc(self.block, self.layout) };
    }
}
