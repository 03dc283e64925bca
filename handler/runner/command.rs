// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! A SCSI command in flight.

use std::ffi::{CStr, c_int};
use std::fmt;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::abi::{self, TcmuDevice, TcmurCmd};
use super::raw_command::set_sense;
use super::symbols::Symbols;
use crate::iovec::IoVecs;
use crate::log;
use crate::metrics::Span;
use crate::scsi::{Cdb, Status};

/// One command of the core, owned by whoever is working on it.
///
/// It is answered exactly once, by construction: it cannot be copied, [`complete`](Self::complete)
/// consumes it, and a command that is dropped unanswered (a panic, a defect) is completed with
/// HARDWARE ERROR. Never answering would be worse than answering wrong: the ring would never drain,
/// and neither would removal of the LUN nor the daemon's shutdown.
#[must_use]
pub struct Command {
    /// None once answered.
    raw: Option<Raw>,
    cdb: Cdb,
    data: IoVecs,
    /// Nothing is submitted for the command from then on. `None`: there is no such moment.
    deadline: Option<Instant>,
    /// Ends when it is answered.
    span: Option<Span>,
    /// What its LUN knows by that it is not answered yet.
    admission: Option<Arc<()>>,
    /// Its LUN's, if that is open.
    failed: Option<Failed>,
}

/// Whether a LUN is out of service: a callback of it has panicked, or a command was dropped, so its
/// state cannot be trusted any more.
#[derive(Debug, Clone, Default)]
pub(super) struct Failed(Arc<AtomicBool>);

impl Failed {
    pub(super) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

struct Raw {
    symbols: &'static Symbols,
    device: NonNull<TcmuDevice>,
    cmd: NonNull<TcmurCmd>,
}

// SAFETY: the core lets a command be completed from any thread (tcmur_cmd_complete takes its own
// locks), and the pointers are used by one owner at a time. The device outlives its commands: the
// core removes it only when all are completed.
unsafe impl Send for Command {}

/// A command given back unserved by a data callback, and why. The core answers the initiator.
#[derive(Debug)]
#[must_use]
pub struct Rejected(
    /// The command, not handed on to anybody.
    pub Command,
    /// What the initiator is told.
    pub Status,
);

impl Command {
    /// Takes a command over from the core.
    ///
    /// # Safety
    /// `device` and `cmd` are the arguments of a data callback that is running, nothing else
    /// answers the command, and `data` was made from the same callback's arguments.
    pub(super) unsafe fn new(
        symbols: &'static Symbols,
        device: NonNull<TcmuDevice>,
        cmd: NonNull<TcmurCmd>,
        cdb: Cdb,
        data: IoVecs,
    ) -> Self {
        Self {
            raw: Some(Raw { symbols, device, cmd }),
            cdb,
            data,
            deadline: None,
            span: None,
            admission: None,
            failed: None,
        }
    }

    /// Measures the command from here on.
    pub(super) fn measure(&mut self, span: Option<Span>) {
        self.span = span;
    }

    /// Tells the metrics which bytes the command is about, where only its parameter list says so.
    pub fn measure_range(&mut self, offset: u64, bytes: u64) {
        if let Some(span) = &mut self.span {
            span.set_range(offset, bytes);
        }
    }

    /// Takes the LUN out of service if the command is dropped unanswered.
    pub(super) fn watch_for(&mut self, failed: &Failed) {
        self.failed = Some(failed.clone());
    }

    /// Keeps a token until the command is answered.
    pub fn keep(&mut self, admission: Option<Arc<()>>) {
        self.admission = admission;
    }

    /// Sets the moment from which nothing is submitted for the command.
    pub(crate) fn set_deadline(&mut self, deadline: Option<Instant>) {
        self.deadline = deadline;
    }

    /// The moment from which nothing may be submitted for the command: the kernel answers it soon
    /// after, and its initiator goes on as if it had failed. What is begun then would change the
    /// disk under it.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Whether the deadline has passed.
    #[must_use]
    pub fn is_expired(&self) -> bool {
        self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// What is left to transfer.
    #[must_use]
    pub fn data(&self) -> &IoVecs {
        &self.data
    }

    /// What is left to transfer.
    pub fn data_mut(&mut self) -> &mut IoVecs {
        &mut self.data
    }

    /// The initiator's CDB, also for a step of a compound command.
    #[must_use]
    pub fn cdb(&self) -> &Cdb {
        &self.cdb
    }

    /// The serial number of the device, from which the core makes its designator (VPD 80h, 83h).
    /// Only on the thread of the callback that the command came with.
    #[must_use]
    pub fn unit_serial(&self) -> Option<String> {
        let raw = self.raw.as_ref()?;
        // SAFETY: the command is not answered yet, so the device is alive.
        let text = unsafe { (raw.symbols.tcmu_cfgfs_dev_get_wwn)(raw.device.as_ptr()) };
        if text.is_null() {
            return None;
        }
        // SAFETY: not NULL, so a NUL-terminated string, which is ours.
        let serial = unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned();
        // SAFETY: the core has it from malloc, and leaves it to the caller (configfs.c).
        unsafe { libc::free(text.cast()) };
        Some(serial)
    }

    /// Answers the command, from any thread but never inside the callback that submitted it: the
    /// core may submit the next step of a compound command from within, on this stack.
    pub fn complete(mut self, status: Status) {
        self.finish(status);
    }

    fn finish(&mut self, status: Status) {
        if let Some(raw) = self.end(status) {
            // SAFETY: the command is the core's and not answered yet (`raw` was still there); no
            // lock of ours is held.
            unsafe {
                (raw.symbols.tcmur_cmd_complete)(
                    raw.device.as_ptr(),
                    raw.cmd.as_ptr(),
                    abi::number(status),
                );
            };
        }
    }

    /// Gives the command back to the core by return value of the callback it came with.
    pub(super) fn reject(mut self, status: Status) -> c_int {
        // As a return value, the number of Ok would mean "queued": the one status that cannot be
        // rejected with.
        let status = if status == Status::Ok { Status::HardwareError } else { status };
        self.end(status);
        abi::number(status)
    }

    /// Before the answer: whoever has it finds the command counted, and its sense in place.
    fn end(&mut self, status: Status) -> Option<Raw> {
        if let Some(span) = self.span.take() {
            span.end(status.error_class());
        }
        let raw = self.raw.take()?;
        // SAFETY: the command is not answered yet.
        unsafe { set_sense(raw.cmd.as_ptr(), status) };
        Some(raw)
    }
}

impl Drop for Command {
    fn drop(&mut self) {
        if self.raw.is_some() {
            log::error!(
                log::PLUGIN,
                "A command was dropped without an answer: it gets HARDWARE ERROR, and its LUN is \
                 out of service"
            );
            if let Some(failed) = &self.failed {
                failed.set();
            }
            self.finish(Status::HardwareError);
        }
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Command").field("data", &self.data).finish_non_exhaustive()
    }
}
