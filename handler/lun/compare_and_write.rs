//! COMPARE AND WRITE: blocks are replaced if they are what the initiator believes. VMware calls it ATS, and locks with it.
//!
//! Atomic against every other COMPARE AND WRITE of the image, through whatever gateway: the backend holds a lock of the cluster
//! meanwhile.

use std::sync::Arc;

use super::Lun;
use super::backend::{Backend, Compared, Exchange};
use super::error::Op;
use super::gate::Lock;
use super::rw::fail;
use crate::runner::{Command, Sense, Status};

/// Starts one at `offset`; the command's data is the expected blocks, then the new ones.
pub(super) fn start<B: Backend>(lun: Arc<Lun<B>>, image: &B, command: Command, offset: u64) {
    let mut expected = command.data().load();
    let new = expected.split_off(expected.len() / 2);
    let exchange = Exchange { offset, expected, new, owned: lun.gate.lock() == Lock::Held };
    image.compare_and_write(exchange, move |outcome| match outcome {
        Ok(compared) => {
            lun.served(Op::CompareAndWrite);
            command.complete(match compared {
                Compared::Written => Status::Ok,
                Compared::DiffersAt(byte) => Status::Sense(Sense::miscompare(byte)),
            });
        }
        Err(errno) => fail(&lun, command, Op::CompareAndWrite, offset, errno),
    });
}
