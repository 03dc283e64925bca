// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! SYNCHRONIZE CACHE.
//!
//! A flush makes durable what was written before it began, so commands can share one: each may wait
//! for any flush that begins after it has arrived. At most one is at the backend. Commands that
//! arrive meanwhile do not know whether it began in time for them, and it has not: they gather, and
//! the next one, begun when the first has ended, is for all of them. A database that flushes from
//! many threads gets two fdatasyncs at a time in place of dozens.

use std::mem;
use std::ptr;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::errno::Errno;

use super::Lun;
use super::backend::{Backend, Data, Request};
use super::recovery::Task;
use super::rw::{expire, fail};
use crate::iovec::Buffer;
use crate::log;
use crate::runner::Command;
use crate::scsi::{Op, Status};
use crate::threads;

/// The flushes of one LUN.
#[derive(Debug, Default)]
pub(super) struct Flushes(Mutex<Queue>);

#[derive(Debug, Default)]
struct Queue {
    /// One is at the backend.
    running: bool,
    /// Have arrived since it began.
    waiting: Vec<Command>,
}

/// A flush at the backend, and whose it is.
struct Shared<B: Backend> {
    lun: Arc<Lun<B>>,
    /// Address of the image; 0: there is none.
    image: usize,
    commands: Vec<Command>,
    nothing: Buffer,
}

/// Starts a flush, or waits for the next one.
pub(super) fn start<B: Backend>(lun: Arc<Lun<B>>, image: &B, command: Command) {
    let mut queue = threads::lock(&lun.flushes.0);
    queue.waiting.push(command);
    let busy = mem::replace(&mut queue.running, true);
    drop(queue);
    if !busy {
        next(lun, Some(image));
    }
}

/// Begins the flush that those who wait have been waiting for. Only by whoever has made, or ended,
/// the one that is `running`.
fn next<B: Backend>(lun: Arc<Lun<B>>, image: Option<&B>) {
    let mut queue = threads::lock(&lun.flushes.0);
    let (expired, commands): (Vec<_>, Vec<_>) =
        mem::take(&mut queue.waiting).into_iter().partition(Command::is_expired);
    queue.running = !commands.is_empty();
    drop(queue);
    for command in expired {
        expire(&lun, command, Op::Flush, 0);
    }
    if commands.is_empty() {
        return;
    }
    let at = image.map_or(0, |image| ptr::from_ref(image).addr());
    let shared = Shared { lun, image: at, commands, nothing: Buffer::empty() };
    shared.lun.unflushed.flush_begins();
    match image {
        Some(image) => image.sync(shared),
        None => shared.done(Err(Errno::ENOTCONN)),
    }
}

/// Flushes what the client holds back of an image. None: it takes longer than `patience`.
pub(super) fn flush_now(image: &impl Backend, patience: Duration) -> Option<Result<(), Errno>> {
    struct Now(Buffer, SyncSender<Result<usize, Errno>>);

    impl Request for Now {
        fn data(&self) -> &Data {
            self.0.data()
        }

        fn done(self, outcome: Result<usize, Errno>) {
            // Fails if it has taken too long.
            let _given_up = self.1.try_send(outcome).is_err();
        }
    }

    let (sender, outcome) = sync_channel(1);
    image.sync(Now(Buffer::empty(), sender));
    outcome.recv_timeout(patience).ok().map(|outcome| outcome.map(drop))
}

impl<B: Backend> Request for Shared<B> {
    fn data(&self) -> &Data {
        self.nothing.data()
    }

    fn done(mut self, outcome: Result<usize, Errno>) {
        let (lun, commands) = (&self.lun, mem::take(&mut self.commands));
        if let Err(errno) = outcome {
            lun.unflushed.flush_failed();
            let is_current =
                lun.gate.image().is_some_and(|image| Arc::as_ptr(&image).addr() == self.image);
            if errno == Errno::EBADF && is_current {
                // A write has reached too few bricks: READ and WRITE go on, and no flush will ever
                // end well (10.3, `ec_validate_fd`).
                lun.recovery.request(Task::Reopen);
            }
            return commands
                .into_iter()
                .for_each(|command| fail(lun, command, Op::Flush, 0, errno));
        }
        lun.served(Op::Flush);
        let status = if lun.unflushed.flush_ended(&lun.gate) {
            Status::Ok
        } else {
            log::error!(
                lun.log,
                "acknowledged writes may be lost: a brick was away before they were flushed; this \
                 flush fails, once"
            );
            Status::WriteError
        };
        for command in commands {
            command.complete(status);
        }
    }
}

/// However a flush ends, the next one begins: those who wait for it have nobody else.
impl<B: Backend> Drop for Shared<B> {
    fn drop(&mut self) {
        let image = self.lun.gate.image();
        next(Arc::clone(&self.lun), image.as_deref());
    }
}
