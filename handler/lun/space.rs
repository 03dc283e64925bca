// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! LOG SENSE: how much of the volume is used. Asking the volume blocks, so a thread does, one at a
//! time for a LUN: an initiator asks for it every few minutes.

use std::sync::Arc;

use super::backend::Backend;
use super::{Lun, answers, rw};
use crate::runner::Command;
use crate::scsi::{Op, Status};
use crate::threads;

/// Asks the volume of an image, and answers.
pub(super) fn start<B: Backend>(lun: &Arc<Lun<B>>, image: &Arc<B>, command: Command) {
    let Some(asking) = lun.asking_for_space.take() else { return command.complete(Status::Busy) };
    let (lun, image) = (Arc::clone(lun), Arc::clone(image));
    let ask = move |command: Command| {
        let space = image.space();
        drop((image, asking));
        match space {
            Ok(space) => {
                let page = answers::log_page(command.cdb(), Some(space));
                answer(command, page);
            }
            Err(errno) => rw::fail(&lun, command, Op::LbaStatus, 0, errno),
        }
    };
    if let Err(command) = threads::hand_over("glfs-call", command, ask) {
        command.complete(Status::Busy);
    }
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
    use super::super::testing::{GOOD, Volume, lun_of, submit, write};
    use super::*;

    #[test]
    fn a_thread_that_cannot_be_had_costs_an_answer_and_not_the_lun() {
        let lun = lun_of(&Volume::new(), "");
        let ask = || {
            let cdb = [0x4d, 0, 0x4c, 0, 0, 0, 0, 0, 64, 0];
            submit(&lun, &cdb, vec![0; 64], None).recv().unwrap().status
        };
        threads::testing::refuse(1);
        assert_eq!(ask(), 3, "BUSY");
        assert_eq!(write(&lun), GOOD);
        assert_eq!(ask(), 0);
    }
}
