// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! LOG SENSE: how much of the volume is used. Asking the volume blocks, so a thread does, one at a
//! time for a LUN: an initiator asks for it every few minutes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::backend::{Backend, Space};
use super::error::Op;
use super::{Lun, answers, rw};
use crate::runner::Command;
use crate::scsi::Status;
use crate::threads;

/// Asks the volume of an image, and answers.
pub(super) fn start<B: Backend>(lun: &Arc<Lun<B>>, image: &Arc<B>, command: Command) {
    if lun.asking_for_space.0.swap(true, Ordering::AcqRel) {
        return command.complete(Status::Busy);
    }
    let asking = Asking(Arc::clone(lun));
    let image = Arc::clone(image);
    let ask = move |command: Command| {
        let space = image.space();
        let lun = Arc::clone(&asking.0);
        drop((image, asking));
        match space {
            Ok(space) => tell(command, space),
            Err(errno) => rw::fail(&lun, command, Op::LbaStatus, 0, errno),
        }
    };
    if let Err(command) = threads::hand_over("glfs-call", command, ask) {
        command.complete(Status::Busy);
    }
}

/// Whether a thread asks.
#[derive(Debug, Default)]
pub(super) struct AskingForSpace(AtomicBool);

/// Ends when dropped.
struct Asking<B: Backend>(Arc<Lun<B>>);

impl<B: Backend> Drop for Asking<B> {
    fn drop(&mut self) {
        self.0.asking_for_space.0.store(false, Ordering::Release);
    }
}

fn tell(command: Command, space: Space) {
    let page = answers::log_page(command.cdb(), Some(space));
    answer(command, page);
}

/// GOOD, with as much of `data` as there is room for.
pub(super) fn answer(command: Command, mut data: Vec<u8>) {
    data.truncate(command.cdb().parameter_length());
    command.data().clear();
    command.data().store(&data);
    command.complete(Status::Ok);
}

#[cfg(test)]
mod tests {
    use super::super::testing::{GOOD, Volume, lun_of, write};
    use super::*;
    use crate::runner::Lun as _;
    use crate::runner::testing::command_of;

    #[test]
    fn a_thread_that_cannot_be_had_costs_an_answer_and_not_the_lun() {
        let lun = lun_of(&Volume::new(), "");
        let ask = || {
            let (command, answers) =
                command_of(&[0x4d, 0, 0x4c, 0, 0, 0, 0, 0, 64, 0], vec![0; 64], 64);
            assert!(Arc::clone(&lun).serve(command).is_ok());
            answers.recv().unwrap().status
        };
        threads::testing::refuse(1);
        assert_eq!(ask(), 3, "BUSY");
        assert_eq!(write(&lun), GOOD);
        assert_eq!(ask(), 0);
    }
}
