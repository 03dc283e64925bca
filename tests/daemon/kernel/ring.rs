// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The shared memory of a device: mailbox, command ring and data area, from the kernel's side
//! (`target_core_user.h`, mailbox version 2; `target_core_user.c`; Linux 6.1).
//!
//! Only one thread at a time uses a [`Ring`]. The daemon's side changes the same memory, but only
//! entries and data of commands in flight, and `cmd_tail`.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

/// Mailbox and command ring (`MB_CMDR_SIZE_DEF`).
const RING_BYTES: usize = 8 << 20;
/// Where the command ring begins: `sizeof(struct tcmu_mailbox)`.
const RING_OFFSET: usize = 128;
const RING_SIZE: usize = RING_BYTES - RING_OFFSET;
/// `DATA_PAGES_PER_BLK_DEF`: a page.
pub(crate) const DATA_BLOCK: usize = 4096;

// Offsets in the mailbox.
const CMD_HEAD: usize = 12;
const CMD_TAIL: usize = 64;

// Offsets in an entry.
const ENTRY_ID: usize = 4;
const ENTRY_FLAGS: usize = 7;
const IOV_COUNT: usize = 8;
const CDB_OFFSET: usize = 24;
const IOVECS: usize = 48;
const STATUS: usize = 8;
const READ_LEN: usize = 12;
const SENSE: usize = 16;
/// `sizeof(struct tcmu_cmd_entry)`.
const ENTRY_BYTES: usize = 112;
pub(crate) const SENSE_BYTES: usize = 96;

const OP_PAD: u32 = 0;
const OP_CMD: u32 = 1;
const OP_MASK: u32 = 7;
const UNKNOWN_OP: u8 = 1;
const READ_LEN_VALID: u8 = 2;

/// A command for the daemon.
#[derive(Debug, Clone)]
pub(crate) struct Command {
    pub(crate) cdb: Vec<u8>,
    pub(crate) data: Data,
}

#[derive(Debug, Clone)]
pub(crate) enum Data {
    None,
    /// To the device.
    Out(Vec<u8>),
    /// So many bytes from the device.
    In(usize),
}

impl Data {
    fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::Out(bytes) => bytes.len(),
            Self::In(bytes) => *bytes,
        }
    }
}

/// What the daemon has answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u8,
    pub(crate) sense: [u8; SENSE_BYTES],
    pub(crate) data: Vec<u8>,
}

/// Why a command cannot be put into the ring.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// It will find room when others have been answered.
    Now,
    /// It never will.
    Always,
}

struct InFlight {
    reading: Option<usize>,
    blocks: Vec<usize>,
}

pub(crate) struct Ring {
    memory: NonNull<u8>,
    bytes: usize,
    /// The daemon maps this.
    pub(crate) file: OwnedFd,
    head: usize,
    /// Up to where entries have been taken back.
    cleaned: usize,
    /// One bit a block of the data area: used.
    used: Vec<u64>,
    commands: BTreeMap<u16, InFlight>,
    /// The daemon has answered a command that is not in flight.
    broken: bool,
}

// SAFETY: the memory belongs to the ring, whichever thread uses it.
unsafe impl Send for Ring {}

impl Ring {
    /// `data_bytes` are the size of the data area.
    pub(crate) fn new(data_bytes: usize) -> Self {
        let bytes = RING_BYTES + data_bytes;
        let file = memfd_create(c"tcmu", MFdFlags::MFD_CLOEXEC).unwrap();
        nix::unistd::ftruncate(&file, i64::try_from(bytes).unwrap()).unwrap();
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        let length = NonZeroUsize::new(bytes).unwrap();
        // SAFETY: a new mapping of a file that only grows.
        let memory = unsafe { mmap(None, length, protection, MapFlags::MAP_SHARED, &file, 0) };
        let mut ring = Self {
            memory: memory.unwrap().cast(),
            bytes,
            file,
            head: 0,
            cleaned: 0,
            used: vec![0; (data_bytes / DATA_BLOCK).div_ceil(64)],
            commands: BTreeMap::new(),
            broken: false,
        };
        // Version 2, out-of-order completion, READ_LEN.
        ring.put(0, &2_u16.to_ne_bytes());
        ring.put(2, &3_u16.to_ne_bytes());
        ring.put(4, &u32::try_from(RING_OFFSET).unwrap().to_ne_bytes());
        ring.put(8, &u32::try_from(RING_SIZE).unwrap().to_ne_bytes());
        ring
    }

    /// Bytes to be mapped.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.commands.len()
    }

    /// Whether the daemon has answered a command that it did not have.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Puts a command into the ring; its number (`queue_cmd_ring`).
    pub(crate) fn push(&mut self, command: &Command) -> Result<u16, Full> {
        let needed = command.data.len().div_ceil(DATA_BLOCK);
        // As if no two blocks were neighbours.
        let most = entry_bytes(needed) + command.cdb.len().next_multiple_of(8);
        if most > RING_SIZE / 2 || needed > (self.bytes - RING_BYTES) / DATA_BLOCK {
            return Err(Full::Always);
        }
        let end = RING_SIZE - self.head;
        let space = (self.cleaned + RING_SIZE - self.head - 1) % RING_SIZE;
        if space < if end >= most { most } else { most + end } {
            return Err(Full::Now);
        }
        let blocks = self.allocate(needed).ok_or(Full::Now)?;
        if end < most {
            self.put_entry(end, OP_PAD, 0);
        }

        let iovecs = iovecs(&blocks, command.data.len());
        let base = entry_bytes(iovecs.len());
        let length = base + command.cdb.len().next_multiple_of(8);
        let entry = RING_OFFSET + self.head;
        self.put(entry, &vec![0; length]);
        self.put(entry + IOV_COUNT, &u32::try_from(iovecs.len()).unwrap().to_ne_bytes());
        self.put(entry + CDB_OFFSET, &(entry + base).to_ne_bytes());
        for (index, (offset, bytes)) in iovecs.into_iter().enumerate() {
            self.put(entry + IOVECS + 16 * index, &offset.to_ne_bytes());
            self.put(entry + IOVECS + 16 * index + 8, &bytes.to_ne_bytes());
        }
        self.put(entry + base, &command.cdb);
        if let Data::Out(bytes) = &command.data {
            for (block, bytes) in blocks.iter().zip(bytes.chunks(DATA_BLOCK)) {
                self.put(RING_BYTES + block * DATA_BLOCK, bytes);
            }
        }
        let id = (1..u16::MAX).find(|id| !self.commands.contains_key(id)).ok_or(Full::Now)?;
        let reading = if let Data::In(bytes) = command.data { Some(bytes) } else { None };
        self.commands.insert(id, InFlight { reading, blocks });
        self.put_entry(length, OP_CMD, id);
        Ok(id)
    }

    /// Completes the entry at the head, and moves the head on.
    fn put_entry(&mut self, length: usize, op: u32, id: u16) {
        let entry = RING_OFFSET + self.head;
        self.put(entry, &(u32::try_from(length).unwrap() | op).to_ne_bytes());
        self.put(entry + ENTRY_ID, &id.to_ne_bytes());
        self.put(entry + 6, &[0, 0]);
        self.head = (self.head + length) % RING_SIZE;
        self.index(CMD_HEAD).store(u32::try_from(self.head).unwrap(), Ordering::SeqCst);
    }

    /// Takes back the commands that the daemon has answered (`tcmu_handle_completions`).
    pub(crate) fn reap(&mut self) -> Vec<(u16, Answer)> {
        let mut answers = Vec::new();
        while !self.broken {
            let tail = self.index(CMD_TAIL).load(Ordering::SeqCst) as usize;
            if self.cleaned == tail {
                break;
            }
            let entry = RING_OFFSET + self.cleaned;
            let length_and_op = u32::from_ne_bytes(self.get(entry));
            if length_and_op & OP_MASK == OP_CMD {
                let id = u16::from_ne_bytes(self.get(entry + ENTRY_ID));
                let Some(command) = self.commands.remove(&id) else {
                    self.broken = true;
                    break;
                };
                answers.push((id, self.answer(entry, &command)));
                self.free(&command.blocks);
            }
            self.cleaned = (self.cleaned + (length_and_op & !OP_MASK) as usize) % RING_SIZE;
        }
        answers
    }

    fn answer(&self, entry: usize, command: &InFlight) -> Answer {
        let [flags] = self.get(entry + ENTRY_FLAGS);
        let [status] = self.get(entry + STATUS);
        assert_eq!(flags & UNKNOWN_OP, 0, "the daemon does not know an opcode of the ring");
        let mut bytes = command.reading.unwrap_or(0);
        let read_len = u32::from_ne_bytes(self.get(entry + READ_LEN)) as usize;
        if flags & READ_LEN_VALID != 0 && read_len != 0 {
            bytes = bytes.min(read_len);
        } else if status == 2 {
            bytes = 0;
        }
        let mut data = Vec::with_capacity(bytes);
        for block in &command.blocks {
            let part = (bytes - data.len()).min(DATA_BLOCK);
            data.extend_from_slice(self.slice(RING_BYTES + block * DATA_BLOCK, part));
        }
        Answer { status, sense: self.get(entry + SENSE), data }
    }

    /// Forgets all commands in flight (`tcmu_reset_ring`).
    pub(crate) fn reset(&mut self) {
        for command in std::mem::take(&mut self.commands).into_values() {
            self.free(&command.blocks);
        }
        (self.head, self.cleaned, self.broken) = (0, 0, false);
        self.index(CMD_TAIL).store(0, Ordering::SeqCst);
        self.index(CMD_HEAD).store(0, Ordering::SeqCst);
    }

    /// The lowest free blocks, as the kernel takes them.
    fn allocate(&mut self, count: usize) -> Option<Vec<usize>> {
        let mut blocks = Vec::with_capacity(count);
        for (index, word) in self.used.iter().enumerate() {
            let mut free = !word;
            while free != 0 && blocks.len() < count {
                blocks.push(index * 64 + free.trailing_zeros() as usize);
                free &= free - 1;
            }
            if blocks.len() == count {
                break;
            }
        }
        if blocks.len() < count {
            return None;
        }
        for block in &blocks {
            self.used[block / 64] |= 1 << (block % 64);
        }
        Some(blocks)
    }

    fn free(&mut self, blocks: &[usize]) {
        for block in blocks {
            self.used[block / 64] &= !(1 << (block % 64));
        }
    }

    fn put(&mut self, offset: usize, bytes: &[u8]) {
        assert!(offset + bytes.len() <= self.bytes);
        // SAFETY: within the mapping (just checked).
        let place = unsafe { self.memory.add(offset) };
        // SAFETY: as many bytes are there; the daemon does not use them: the command that they are
        // for is not in the ring yet.
        unsafe { place.as_ptr().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
    }

    fn slice(&self, offset: usize, bytes: usize) -> &[u8] {
        assert!(offset + bytes <= self.bytes);
        // SAFETY: within the mapping (just checked).
        let place = unsafe { self.memory.add(offset) };
        // SAFETY: as many bytes are there; the daemon has answered the command that they are of,
        // and changes them no more.
        unsafe { std::slice::from_raw_parts(place.as_ptr(), bytes) }
    }

    fn get<const N: usize>(&self, offset: usize) -> [u8; N] {
        self.slice(offset, N).try_into().unwrap()
    }

    /// A word that both sides read while the other one writes it.
    fn index(&self, offset: usize) -> &AtomicU32 {
        // SAFETY: within the mapping, which is longer than a mailbox.
        let place = unsafe { self.memory.add(offset) };
        // SAFETY: aligned, and alive as long as `self`; only atomic accesses are made here.
        unsafe { AtomicU32::from_ptr(place.as_ptr().cast()) }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: nothing that borrows from the mapping outlives the ring.
        unsafe { munmap(self.memory.cast(), self.bytes) }.unwrap();
    }
}

/// Bytes of an entry with so many iovecs, without its CDB.
fn entry_bytes(iovecs: usize) -> usize {
    (IOVECS + 16 * iovecs).max(ENTRY_BYTES)
}

/// Offsets and lengths of the pieces of a command's data: neighbours are one (`scatter_data_area`).
fn iovecs(blocks: &[usize], bytes: usize) -> Vec<(u64, u64)> {
    let mut pieces: Vec<(u64, u64)> = Vec::new();
    for (index, block) in blocks.iter().enumerate() {
        let offset = (RING_BYTES + block * DATA_BLOCK) as u64;
        let length = (bytes - index * DATA_BLOCK).min(DATA_BLOCK) as u64;
        match pieces.last_mut() {
            Some(last) if last.0 + last.1 == offset => last.1 += length,
            _ => pieces.push((offset, length)),
        }
    }
    pieces
}
