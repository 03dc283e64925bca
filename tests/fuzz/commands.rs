// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Commands through the plugin's table of callbacks, on libgfapi in memory ([`gfapi`]), against a
//! model of the disk: every command is answered once, and what is read is what was written.
//!
//! Several commands are in flight, on ranges of their own; libgfapi answers them in any order,
//! inline, cut short, or not well.

use std::ffi::{CString, c_int};
use std::sync::Mutex;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64};
use std::time::{Duration, Instant};

use testbed::c_abi::{FakeCommand, FakeDevice};

use crate::gfapi::{self, Answer, BLOCKING_ERRNO, Outcome, SIZE};
use crate::runner::{answer, table, wait};

const BLOCK: usize = 512;
const BLOCKS: usize = SIZE / BLOCK;
/// Blocks of the longest command that is in range.
const LONGEST: usize = 24;
const OK: c_int = 0;
/// `handle_cmd` leaves the command to the core.
const NOT_HANDLED: c_int = -1;
/// The statuses of tcmu-runner 1.5.4 (`libtcmu_common.h`, `TCMU_STS_*`).
const STATUSES: std::ops::RangeInclusive<c_int> = 0..=30;
const ANSWER_TIMEOUT: Duration = Duration::from_secs(120);

/// Errors of bricks and of the network. (EAGAIN, ENOTCONN and the like are outages, which last for
/// seconds: the tests have those.)
const ERRNOS: [c_int; 8] = [
    libc::EIO,
    libc::ENOSPC,
    libc::EINVAL,
    libc::EOPNOTSUPP,
    libc::EROFS,
    libc::EDQUOT,
    libc::EPERM,
    libc::EFBIG,
];

/// The input, as numbers; zeros when it has ended.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::from(self.byte()) % limit
    }

    fn word(&mut self) -> i64 {
        i64::from_le_bytes(std::array::from_fn(|_| self.byte()))
    }
}

/// A LUN that inputs share, as long as none of them has brought faults.
struct Lun(Box<FakeDevice>);

impl Lun {
    fn open() -> Self {
        let volfile = std::env::temp_dir().join("tcmu-glfs-fuzz.vol");
        if !volfile.exists() {
            let text = "volume v-client-0\n  type protocol/client\nend-volume\n";
            std::fs::write(&volfile, text).unwrap();
        }
        let options = "fence=off;connection=own;open=fail";
        let cfgstring = format!("glfs/v@h/disk.img;volfile={};{options}", volfile.display());
        let device = Box::new(FakeDevice {
            cfgstring: CString::new(cfgstring).unwrap(),
            block_size: 512,
            blocks: AtomicU64::new(BLOCKS as u64),
            max_xfer_len: AtomicU32::new(128),
            cmd_time_out: AtomicI32::new(30),
            ..FakeDevice::default()
        });
        // SAFETY: as the daemon does; the device lives until it is closed.
        let opened = unsafe { (table().open)(&raw const *device, false) };
        assert_eq!(opened, 0, "open failed");
        Self(device)
    }

    fn close(self) {
        // SAFETY: as the daemon does, once.
        unsafe { (table().close)(&raw const *self.0) };
    }
}

/// What a command does to the disk, if it is done.
enum Effect {
    Read,
    Fill(Vec<u8>),
    CompareAndWrite { expected: Vec<u8>, new: Vec<u8> },
    None,
}

struct InFlight {
    command: FakeCommand,
    effect: Effect,
    /// Bytes.
    begin: usize,
    len: usize,
}

/// The disk: its bytes, as far as they are known.
struct Disk {
    bytes: Vec<Option<u8>>,
    in_flight: Vec<InFlight>,
    /// A fault has been planned: commands may fail.
    faults: bool,
}

impl Disk {
    fn overlaps(&self, begin: usize, len: usize) -> bool {
        self.in_flight
            .iter()
            .any(|other| begin < other.begin + other.len && other.begin < begin + len)
    }

    /// Takes the answer of a command into account.
    fn done(&mut self, InFlight { command, effect, begin, len }: InFlight, status: c_int) {
        assert!(STATUSES.contains(&status), "status {status}");
        let is_compare = matches!(effect, Effect::CompareAndWrite { .. });
        assert!(status == OK || self.faults || is_compare, "refused without a fault: {status}");
        let range = &mut self.bytes[begin..begin + len];
        match effect {
            Effect::Read if status == OK => {
                for (offset, (known, read)) in range.iter().zip(&command.data).enumerate() {
                    assert!(
                        known.is_none_or(|byte| byte == *read),
                        "byte {} reads {read:#x}, not {known:x?}",
                        begin + offset
                    );
                }
            }
            Effect::Read | Effect::None => {}
            Effect::Fill(data) if status == OK => {
                range.iter_mut().zip(data.iter().cycle()).for_each(|(to, byte)| *to = Some(*byte));
            }
            Effect::Fill(_) => range.fill(None),
            Effect::CompareAndWrite { expected, new } => {
                let differs = range.iter().zip(&expected).any(|(a, b)| a.is_some_and(|a| a != *b));
                if status == OK {
                    assert!(!differs, "COMPARE AND WRITE of what is not there");
                    range.iter_mut().zip(&new).for_each(|(to, byte)| *to = Some(*byte));
                } else if self.faults {
                    range.fill(None);
                } else {
                    assert!(differs, "status {status} for COMPARE AND WRITE of what is there");
                }
            }
        }
    }

    /// Takes the answers that have come.
    fn take_answers(&mut self) {
        let mut index = 0;
        while let Some(in_flight) = self.in_flight.get(index) {
            match answer(in_flight.command.as_ptr()) {
                Some(status) => {
                    let done = self.in_flight.swap_remove(index);
                    self.done(done, status);
                }
                None => index += 1,
            }
        }
    }

    /// Answers everything.
    fn drain(&mut self) {
        let begin = Instant::now();
        while !self.in_flight.is_empty() {
            assert!(begin.elapsed() < ANSWER_TIMEOUT, "not answered");
            if !gfapi::deliver(0) {
                wait(Duration::from_millis(1));
            }
            self.take_answers();
        }
        while gfapi::deliver(0) {}
    }
}

type Submit<'a> = &'a dyn Fn(*const FakeDevice, &FakeCommand) -> c_int;

fn submit(lun: &Lun, disk: &mut Disk, in_flight: InFlight, call: Submit<'_>) {
    let device = &raw const *lun.0;
    // SAFETY: as the daemon does, with a live command.
    let handled = unsafe { (table().handle_cmd)(device, in_flight.command.as_ptr()) };
    let status = if handled == NOT_HANDLED { call(device, &in_flight.command) } else { handled };
    if handled == NOT_HANDLED && status == OK {
        disk.in_flight.push(in_flight);
    } else {
        disk.done(in_flight, status);
    }
}

/// SYNCHRONIZE CACHE, and what `handle_cmd` has made one of.
fn flush(device: *const FakeDevice, command: &FakeCommand) -> c_int {
    assert_eq!(command.cdb()[0], 0x35, "the core would not call `flush`");
    // SAFETY: as the daemon does, with a live command.
    unsafe { (table().flush)(device, command.as_ptr()) }
}

/// UNMAP of one range.
fn unmap(block: usize, blocks: usize) -> FakeCommand {
    let mut list = vec![0, 22, 0, 16, 0, 0, 0, 0];
    list.extend((block as u64).to_be_bytes());
    list.extend((blocks as u32).to_be_bytes());
    list.extend([0; 4]);
    FakeCommand::with_cdb(list, &[0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0])
}

fn cdb(opcode: u8, flags: u8, block: usize, blocks: usize) -> Vec<u8> {
    let (block, blocks) = (block as u64, blocks as u32);
    let mut cdb = vec![opcode, flags];
    match opcode {
        0x28 | 0x2a => {
            cdb.extend((block as u32).to_be_bytes());
            cdb.push(0);
            cdb.extend((blocks as u16).to_be_bytes());
            cdb.push(0);
        }
        _ => {
            cdb.extend(block.to_be_bytes());
            cdb.extend(blocks.to_be_bytes());
            cdb.extend([0, 0]);
        }
    }
    cdb
}

fn data(input: &mut Input<'_>, len: usize) -> Vec<u8> {
    let seed = input.byte();
    (0..len).map(|at| if seed == 0 { 0 } else { seed ^ (at / BLOCK) as u8 ^ at as u8 }).collect()
}

fn plan(input: &mut Input<'_>, disk: &mut Disk) {
    let byte = input.byte();
    let answer = [Answer::Later, Answer::Inline, Answer::AtSubmit, Answer::Later][input.below(4)];
    let outcome = match byte {
        ..0xa0 => Outcome::Served,
        0xa0..0xe0 => Outcome::Short(1 + usize::from(byte & 0x3f) * 200),
        _ => Outcome::Failed(ERRNOS[usize::from(byte) % ERRNOS.len()]),
    };
    disk.faults |= matches!(outcome, Outcome::Failed(_));
    gfapi::plan(answer, outcome);
}

fn step(lun: &Lun, disk: &mut Disk, input: &mut Input<'_>) {
    let operation = input.byte() % 12;
    let (block, blocks) = (input.below(BLOCKS), 1 + input.below(LONGEST));
    let blocks = blocks.min(BLOCKS - block).min(if operation == 7 { 1 } else { LONGEST });
    let (begin, len) = (block * BLOCK, blocks * BLOCK);
    let pieces = [1 + 16 * input.below(64), 4096, usize::MAX];
    if disk.overlaps(begin, len) {
        disk.drain();
    }
    let start = |disk: &mut Disk, command: FakeCommand, effect: Effect, call: Submit<'_>| {
        submit(lun, disk, InFlight { command, effect, begin, len }, call);
    };
    let (offset, length) = (begin as u64, len as u64);
    match operation {
        0 => {
            let command =
                FakeCommand::in_pieces(vec![0xee; len], &cdb(0x28, 0, block, blocks), &pieces);
            start(disk, command, Effect::Read, &|device, command| {
                let (iov, count) = command.iovecs();
                // SAFETY: as the daemon does, with a live command.
                unsafe { (table().read)(device, command.as_ptr(), iov, count, len, offset as i64) }
            });
        }
        1 | 2 => {
            let (data, fua) = (data(input, len), if operation == 2 { 8 } else { 0 });
            let cdb = cdb(0x2a, fua, block, blocks);
            let command = FakeCommand::in_pieces(data.clone(), &cdb, &pieces);
            start(disk, command, Effect::Fill(data), &|device, command| {
                let (iov, count) = command.iovecs();
                // SAFETY: as the daemon does, with a live command.
                unsafe { (table().write)(device, command.as_ptr(), iov, count, len, offset as i64) }
            });
        }
        3 => start(disk, FakeCommand::with_cdb(Vec::new(), &[0x35]), Effect::None, &flush),
        4 => start(disk, unmap(block, blocks), Effect::Fill(vec![0]), &flush),
        5 | 6 => {
            let (data, unmap) = (data(input, BLOCK), if operation == 6 { 8 } else { 0 });
            let cdb = cdb(0x93, unmap, block, blocks);
            let command = FakeCommand::in_pieces(data.clone(), &cdb, &pieces);
            start(disk, command, Effect::Fill(data), &flush);
        }
        7 => {
            let known: Vec<u8> =
                disk.bytes[begin..begin + len].iter().map(|byte| byte.unwrap_or(0)).collect();
            let expected = if input.byte() & 1 == 0 { known } else { data(input, len) };
            let new = data(input, len);
            let both = [expected.clone(), new.clone()].concat();
            let command = FakeCommand::in_pieces(both, &cdb(0x89, 0, block, blocks), &pieces);
            let effect = Effect::CompareAndWrite { expected, new };
            start(disk, command, effect, &|device, command| {
                let (iov, count) = command.iovecs();
                // SAFETY: as the daemon does, with a live command.
                unsafe { (table().caw)(device, command.as_ptr(), offset, length, iov, count) }
            });
        }
        // Any CDB: what `handle_cmd` says, and what it leaves in the buffer.
        8 => {
            let opcode = input.byte();
            let len = [6, 10, 10, 6, 16, 12, 6, 6][usize::from(opcode >> 5)];
            let mut cdb = vec![opcode];
            cdb.extend((1..len).map(|_| input.byte()));
            let command = FakeCommand::in_pieces(vec![0xee; input.below(256)], &cdb, &pieces);
            // SAFETY: as the daemon does, with a live command.
            let status = unsafe { (table().handle_cmd)(&raw const *lun.0, command.as_ptr()) };
            assert!(status == NOT_HANDLED || STATUSES.contains(&status), "status {status}");
        }
        // Out of range, or unaligned.
        9 => {
            let offset = input.word();
            let len = input.below(96) * 100;
            let is_within = u64::try_from(offset)
                .is_ok_and(|offset| offset.saturating_add(len as u64) <= SIZE as u64);
            if is_within {
                return;
            }
            let is_read = input.byte() & 1 == 0;
            let head = [if is_read { 0x28 } else { 0x2a }];
            let command = FakeCommand::in_pieces(vec![0xee; len], &head, &pieces);
            let (iov, count) = command.iovecs();
            let call = if is_read { table().read } else { table().write };
            // SAFETY: as the daemon does, with a live command.
            let status =
                unsafe { call(&raw const *lun.0, command.as_ptr(), iov, count, len, offset) };
            assert!(status != OK && STATUSES.contains(&status), "status {status} at {offset}");
        }
        // More bytes for the plan of calls to come.
        10 => (0..=input.below(4)).for_each(|_| plan(input, disk)),
        _ => {
            let errno = input.below(ERRNOS.len() + 1);
            disk.faults |= errno > 0;
            let errno = errno.checked_sub(1).map_or(0, |index| ERRNOS[index]);
            BLOCKING_ERRNO.store(errno, std::sync::atomic::Ordering::SeqCst);
        }
    }
    for _ in 0..input.below(4) {
        gfapi::deliver(input.below(8));
    }
    disk.take_answers();
}

/// Runs an input: commands, and what becomes of the calls that they make.
pub fn run(data: &[u8]) {
    static SHARED: Mutex<Option<Lun>> = Mutex::new(None);
    gfapi::reset();
    let lun = SHARED.lock().unwrap().take().unwrap_or_else(Lun::open);
    let mut disk = Disk { bytes: vec![Some(0); SIZE], in_flight: Vec::new(), faults: false };
    let mut input = Input(data);
    while !input.0.is_empty() {
        step(&lun, &mut disk, &mut input);
    }
    disk.drain();
    gfapi::calm();
    if disk.faults {
        lun.close();
    } else {
        *SHARED.lock().unwrap() = Some(lun);
    }
}
