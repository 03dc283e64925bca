// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! A handler's `.so`, loaded and driven as tcmu-runner does.

use std::ffi::{CString, c_int, c_void};
use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use testbed::c_abi::{self, FakeCommand, FakeDevice, Table};
use testbed::symbols::{LOG_DIR, ON_COMPLETION, TABLE};

use super::Disk;
use crate::cell::{Cell, Durability, Tally};
use crate::load::{Choice, DEEPEST, Done, Op, pump};

/// Who waits for the command of a number: slots count on from LUN to LUN.
static WAITING: [OnceLock<Sender<Done>>; 64] = [const { OnceLock::new() }; 64];

/// The pieces in which the ring holds the data of a large command.
const PIECE: usize = 64 << 10;
const READ_16: u8 = 0x88;
const WRITE_16: u8 = 0x8a;
const FUA: u8 = 0x08;

/// A LUN of the handler.
pub(crate) struct Lun {
    pub(crate) number: usize,
    pub(crate) device: Box<FakeDevice>,
    bytes: u64,
    pub(crate) answers: Mutex<Receiver<Done>>,
}

impl Lun {
    /// Opens one, the `number`th of this process.
    pub(crate) fn open(
        so: &Path,
        cfgstring: &str,
        bytes: u64,
        number: usize,
    ) -> anyhow::Result<Self> {
        static LOADED: OnceLock<c_int> = OnceLock::new();
        // The cluster's own folder, in its namespace.
        "/var/log/glusterfs".clone_into(&mut LOG_DIR.lock().expect("not poisoned"));
        ensure!(*LOADED.get_or_init(|| load(so)) == 0, "handler_init of {} failed", so.display());
        let device = Box::new(FakeDevice {
            cfgstring: CString::new(cfgstring)?,
            block_size: 512,
            blocks: AtomicU64::new(bytes / 512),
            max_xfer_len: AtomicU32::new(128),
            ..FakeDevice::default()
        });
        // SAFETY: as the daemon does, from one thread; the device lives as long as the process.
        let opened = unsafe { (table().open)(&raw const *device, false) };
        ensure!(opened == 0, "{cfgstring}: open failed ({opened})");
        let (sender, answers) = channel();
        WAITING.get(number).context("too many LUNs")?.set(sender).ok().context("number in use")?;
        Ok(Self { number, device, bytes, answers: Mutex::new(answers) })
    }

    fn submit(&self, command: &FakeCommand, op: Op, offset: u64) {
        let (device, cmd, (iov, count)) =
            (&raw const *self.device, command.as_ptr(), command.iovecs());
        let (len, offset) = (command.data.len(), i64::try_from(offset).expect("an offset"));
        let table = table();
        let refused = match op {
            // SAFETY: as the daemon does, with a command that is alive until it is answered.
            Op::Read => unsafe { (table.read)(device, cmd, iov, count, len, offset) },
            // SAFETY: as above.
            Op::Write => unsafe { (table.write)(device, cmd, iov, count, len, offset) },
            // SAFETY: as above.
            Op::Flush => unsafe { (table.flush)(device, cmd) },
        };
        if refused != 0 {
            completed(std::ptr::null_mut(), cmd, refused);
        }
    }
}

impl Disk for Lun {
    fn run(&self, cell: &Cell, time: Duration, seed: u64) -> anyhow::Result<Tally> {
        let answers = self.answers.lock().expect("not poisoned");
        let pieces = vec![PIECE; cell.block.div_ceil(PIECE)];
        // A READ and a WRITE for each slot, as far as they are needed: what is made here is
        // measured, too.
        let needed = [(READ_16, cell.reads > 0), (WRITE_16, cell.reads < 100)];
        let flags = if cell.durability == Durability::Fua { FUA } else { 0 };
        let commands: Vec<[Option<FakeCommand>; 2]> = (0..cell.depth)
            .map(|slot| {
                needed.map(|(opcode, needed)| {
                    let data =
                        needed.then(|| vec![u8::try_from(slot).unwrap_or(0xff); cell.block])?;
                    let mut command = FakeCommand::in_pieces(data, &[opcode, flags], &pieces);
                    command.set_id(u16::try_from(self.number * DEEPEST + slot).expect("a number"));
                    Some(command)
                })
            })
            .collect();
        pump(cell, time, Choice::new(*cell, self.bytes, seed), &answers, |slot, op, offset| {
            self.submit(
                commands[slot][usize::from(op != Op::Read)].as_ref().expect("needed"),
                op,
                offset,
            );
        })
    }
}

fn load(so: &Path) -> c_int {
    ON_COMPLETION.set(completed).expect("loaded once");
    c_abi::load(so)
}

pub(crate) fn table() -> &'static Table {
    // SAFETY: registered by handler_init, with a table that lives for ever.
    unsafe { &*TABLE.load(Ordering::Acquire) }
}

/// `tcmur_cmd_complete`.
pub(crate) fn completed(_: *mut FakeDevice, cmd: *mut c_void, status: c_int) {
    // SAFETY: a handler completes commands that it was given, which live until then.
    let id = usize::from(unsafe { FakeCommand::id_of(cmd) });
    let waiting = WAITING[id / DEEPEST].get().expect("an open LUN");
    // Whoever waited in vain for a minute is gone.
    let _nobody_waits = waiting.send((id % DEEPEST, Instant::now(), status == 0)).is_err();
}
