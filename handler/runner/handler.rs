// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! What the daemon asks of a handler, as safe traits. Source: `struct tcmur_handler` in
//! `tcmu-runner.h`.

use std::sync::Arc;

use nix::errno::Errno;

use super::command::{Command, Rejected};
use super::device::Device;
use super::overlay::Overlay;
use crate::metrics::{IoDescriptor, Span};
use crate::scsi::{Cdb, Status};

/// The handler: what the daemon asks without a LUN in hand.
pub trait Handler: Sync {
    /// The cfgstring explained, for `help create` in targetcli.
    fn help(&self) -> String;

    /// Whether `cfgstring` (with the subtype before it) can be served. Must be quick and must not
    /// touch the network, nor any file but the site's own: any local user may ask, over D-Bus, and
    /// the daemon's main thread waits.
    ///
    /// # Errors
    /// A sentence for the admin who typed it.
    fn check_config(&self, cfgstring: &str) -> Result<(), String>;

    /// Looks at a command of a LUN that is not open, before the core does.
    fn filter(&self, cdb: &Cdb, arrival: &Arrival) -> Verdict;

    /// Opens a LUN. The daemon's main thread (first open) or a recovery thread (reopen) waits. The
    /// reason of a failure is the callee's to log.
    ///
    /// # Errors
    /// Any; the daemon reports a failed creation.
    fn open(&self, device: &Device<'_>) -> Result<Arc<dyn Lun>, Errno>;

    /// The daemon's log directory has changed. Runs on a thread of its own, concurrently with
    /// everything.
    fn update_logdir(&self);

    /// The daemon exits; all LUNs are closed.
    fn destroy(&self);
}

/// A command as it arrives, beside its CDB.
#[derive(Debug, Clone, Copy)]
pub struct Arrival {
    /// Bytes of a logical block.
    pub block_size: u32,
    /// Logical blocks that initiators are told of.
    pub blocks: u64,
    /// Blocks of the largest READ or WRITE.
    pub max_transfer: u32,
    /// Bytes of the initiator's buffer.
    pub data_len: usize,
}

/// What becomes of a command before the core looks at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Whoever the table of commands names goes on with it.
    Pass,
    /// It ends here.
    End(Status),
    /// It is GOOD, with this data, or as much of it as the initiator has room for.
    Data(Vec<u8>),
    /// The core answers it, and some bytes of the answer are ours.
    Overlay(Overlay),
}

/// What became of a request for the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockOutcome {
    /// It is held.
    Locked,
    /// It is not; the initiator's next WRITE makes the core ask again.
    NotNow,
    /// The LUN must be closed and opened first. The core does that, and asks once more.
    Reopen,
}

/// What the core is told when it asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockState {
    /// WRITEs may be passed on.
    Locked,
    /// If the core believes otherwise, it opens the LUN anew and asks for the lock.
    Unlocked,
}

/// An open LUN. Data callbacks run on the LUN's command thread (and, for the steps of compound
/// commands, on the thread that completed the previous step): they must submit and return. Each
/// keeps the `Arc` as long as the command is in flight.
pub trait Lun: Send + Sync {
    /// A command has come. What is to end with it, if it is measured.
    fn begin(&self, work: IoDescriptor) -> Option<Span>;

    /// READ: fills the command's data from `offset` (bytes).
    ///
    /// # Errors
    /// The command, if it cannot be served at all.
    fn read(self: Arc<Self>, command: Command, offset: u64) -> Result<(), Rejected>;

    /// WRITE: stores the command's data at `offset` (bytes).
    ///
    /// # Errors
    /// The command, if it cannot be served at all.
    fn write(self: Arc<Self>, command: Command, offset: u64) -> Result<(), Rejected>;

    /// COMPARE AND WRITE at `offset`: the command's data is the expected blocks, then the new ones.
    ///
    /// # Errors
    /// The command, if it cannot be served at all.
    fn compare_and_write(self: Arc<Self>, command: Command, offset: u64) -> Result<(), Rejected>;

    /// SYNCHRONIZE CACHE: everything written is on stable storage.
    ///
    /// # Errors
    /// The command, if it cannot be served at all.
    fn flush(self: Arc<Self>, command: Command) -> Result<(), Rejected>;

    /// A command has come that the table of commands leaves to the LUN ([`Server::Queue`]).
    ///
    /// [`Server::Queue`]: crate::scsi::Server::Queue
    ///
    /// # Errors
    /// The command, if it cannot be served at all.
    fn serve(self: Arc<Self>, command: Command) -> Result<(), Rejected>;

    /// Such a command, as it is measured.
    fn work(&self, cdb: &Cdb) -> IoDescriptor;

    /// Looks at every command before the core does. On the command thread: must not block.
    fn intercept(self: Arc<Self>, cdb: &Cdb, arrival: &Arrival) -> Verdict;

    /// The core wants to pass on WRITEs of a LUN with an implicit ALUA group, through this gateway
    /// and no other. No command is in flight. Runs on a thread of the core's own, possibly while
    /// the LUN is being closed; may block, while all commands get BUSY.
    fn lock(&self) -> LockOutcome;

    /// The LUN is about to be removed, and had been locked.
    fn unlock(&self);

    /// Whether the lock is held, as far as is known: on the command thread, for every INQUIRY; must
    /// not block.
    fn lock_state(&self) -> LockState;

    /// The admin wants the LUN to have `bytes`. On success the kernel tells initiators that number,
    /// whatever ours is.
    ///
    /// # Errors
    /// The LUN keeps its size.
    fn resize(&self, bytes: u64) -> Result<(), Errno>;

    /// The admin wants the write cache bit set or cleared.
    ///
    /// # Errors
    /// The LUN keeps its mode.
    fn set_write_cache(&self, enabled: bool) -> Result<(), Errno>;

    /// The LUN is removed, or about to be reopened. No command is in flight as far as the core
    /// knows.
    fn close(self: Arc<Self>);
}
