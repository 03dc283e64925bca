// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! LUNs on volumes in memory, and their commands.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::super::Lun;
use super::super::backend::{OpenError, OpenErrorKind, Opened, Source};
use super::super::geometry::BlockSize;
use super::super::lock::acquire_for_io;
use super::{Fault, Memory, SIZE, Volume};
use crate::config::{Config, LogLevel};
use crate::log::Log;
use crate::runner::testing::{Answer, command, command_of, device_handle};
use crate::runner::{Lun as _, Rejected};
use crate::scsi::Status;

/// Opens images of a volume.
struct Opener(Arc<Volume>);

impl Source for Opener {
    type Backend = Memory;

    fn open(&self, _: Duration, _: Option<Instant>) -> Result<Opened<Memory>, OpenError> {
        let (panics, refused) = {
            let mut state = self.0.state();
            (std::mem::take(&mut state.open_panics), state.refused.pop_front())
        };
        assert!(!panics, "the open that was to panic");
        refused.map_or_else(|| Ok(Opened { image: self.0.open(), writable: true }), Err)
    }

    fn set_log_level(&self, _: LogLevel) {}
}

/// A failure to open that may pass.
pub(in crate::lun) fn away() -> OpenError {
    OpenError { kind: OpenErrorKind::Transient, errno: Errno::ENOTCONN, why: String::from("away") }
}

/// A LUN whose image is not open yet, with these options.
pub(in crate::lun) fn closed_lun(volume: &Arc<Volume>, options: &str) -> Arc<Lun<Memory>> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    closed_lun_again(volume, options, &format!("memory{}", NUMBER.fetch_add(1, Ordering::Relaxed)))
}

/// As the core opens a LUN anew: one with the label of another.
pub(in crate::lun) fn lun_again(lun: &Arc<Lun<Memory>>, volume: &Arc<Volume>) -> Arc<Lun<Memory>> {
    crate::runner::Lun::close(Arc::clone(lun));
    let again = closed_lun_again(volume, "", lun.log.label());
    again.attach(Opened { image: volume.open(), writable: true }, None, None).unwrap();
    again
}

fn closed_lun_again(volume: &Arc<Volume>, options: &str, label: &str) -> Arc<Lun<Memory>> {
    let config: Config = format!("glfs/v@h/{label}{options}").parse().unwrap();
    let log = Arc::new(Log::new(label.to_owned()));
    let meter = crate::metrics::register(label, &log);
    let (source, block_size) = (Box::new(Opener(Arc::clone(volume))), BlockSize::new(512).unwrap());
    Arc::new(Lun {
        open_timeout: Duration::from_secs(1),
        backstore: Some(format!("user_1/{label}")),
        ..Lun::new(&config, source, block_size, SIZE as u64, device_handle(), log, meter)
    })
}

/// A LUN that serves, with these options.
pub(in crate::lun) fn lun_of(volume: &Arc<Volume>, options: &str) -> Arc<Lun<Memory>> {
    let lun = closed_lun(volume, options);
    lun.attach(Opened { image: volume.open(), writable: true }, None, None).unwrap();
    lun
}

/// A LUN on a volume of its own, whose first calls meet with `faults`.
pub(in crate::lun) fn lun(mut faults: Vec<Fault>) -> Arc<Lun<Memory>> {
    faults.reverse();
    let lun = lun_of(&Volume::new(), "");
    *image(&lun).faults.lock().unwrap() = faults;
    lun
}

/// A LUN that holds the lock of its volume's image, and has used it.
pub(in crate::lun) fn owner() -> (Arc<Volume>, Arc<Lun<Memory>>) {
    let volume = Volume::fenced();
    let lun = lun_of(&volume, "");
    acquire_for_io(&lun);
    assert_eq!(write(&lun), GOOD);
    (volume, lun)
}

/// A LUN of sixteen blocks, each full of its number plus one.
pub(in crate::lun) fn numbered(faults: Vec<Fault>) -> Arc<Lun<Memory>> {
    let lun = lun(faults);
    for (number, block) in (1..).zip(image(&lun).volume.state().bytes.chunks_mut(512)) {
        block.fill(number);
    }
    lun
}

pub(in crate::lun) fn image(lun: &Arc<Lun<Memory>>) -> Arc<Memory> {
    lun.gate.image().unwrap()
}

/// What an initiator sees of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::lun) enum Seen {
    /// It did not get past the gate.
    Refused(Status),
    /// The core's number of its status.
    Answered(i32),
}

pub(in crate::lun) const GOOD: Seen = Seen::Answered(0);

/// A command under way.
pub(in crate::lun) struct Pending(Result<Receiver<Answer>, Status>);

impl Pending {
    fn of(outcome: Result<(), Rejected>, answers: Receiver<Answer>) -> Self {
        Self(match outcome {
            Ok(()) => Ok(answers),
            Err(Rejected(command, status)) => {
                command.complete(status);
                Err(status)
            }
        })
    }

    pub(in crate::lun) fn wait(self) -> Seen {
        match self.0 {
            Ok(answers) => {
                Seen::Answered(answers.recv_timeout(Duration::from_secs(60)).unwrap().status)
            }
            Err(status) => Seen::Refused(status),
        }
    }

    /// Whether it has not been answered within `time`.
    pub(in crate::lun) fn is_pending_for(&self, time: Duration) -> bool {
        self.0.as_ref().is_ok_and(|answers| answers.recv_timeout(time).is_err())
    }
}

pub(in crate::lun) fn submit_write(lun: &Arc<Lun<Memory>>, byte: u8) -> Pending {
    let (command, answers) = command(vec![byte; 512], 512);
    Pending::of(Arc::clone(lun).write(command, 0), answers)
}

pub(in crate::lun) fn write(lun: &Arc<Lun<Memory>>) -> Seen {
    submit_write(lun, 7).wait()
}

pub(in crate::lun) fn read(lun: &Arc<Lun<Memory>>) -> Seen {
    let (command, answers) = command(vec![0; 512], 512);
    Pending::of(Arc::clone(lun).read(command, 0), answers).wait()
}

pub(in crate::lun) fn flush(lun: &Arc<Lun<Memory>>) -> Seen {
    let (command, answers) = command(Vec::new(), 512);
    Pending::of(Arc::clone(lun).flush(command), answers).wait()
}

/// One that expects zeros and leaves them.
pub(in crate::lun) fn compare_and_write(lun: &Arc<Lun<Memory>>) -> Seen {
    let (command, answers) = command(vec![0; 1024], 512);
    Pending::of(Arc::clone(lun).compare_and_write(command, 0), answers).wait()
}

/// Submits a command that the table of commands leaves to the LUN; its answer to come.
pub(in crate::lun) fn submit(
    lun: &Arc<Lun<Memory>>,
    cdb: &[u8],
    data: Vec<u8>,
    deadline: Option<Instant>,
) -> Receiver<Answer> {
    let (mut command, answers) = command_of(cdb, data, 20);
    command.set_deadline(deadline);
    if let Err(Rejected(command, status)) = Arc::clone(lun).serve(command) {
        command.complete(status);
    }
    answers
}

/// Waits until `is` is the case, for 20 s at most.
pub(in crate::lun) fn eventually(what: &str, mut is: impl FnMut() -> bool) -> Duration {
    let begin = Instant::now();
    while !is() {
        assert!(begin.elapsed() < Duration::from_secs(20), "never: {what}");
        thread::sleep(Duration::from_millis(10));
    }
    begin.elapsed()
}
