// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Every command of an open LUN, before the core looks at it: the filter, and for commands that the
//! core would ask the lock for, or would call good without a look at the LUN, the gate.

use std::sync::Arc;

use super::answers::{self, Attributes};
use super::backend::Backend;
use super::filter::filter;
use super::gate::{self, Request};
use super::{Lun, queue, recovery};
use crate::runner::{Arrival, Verdict};
use crate::scsi::{Cdb, Op, Operation, Server, Status};

/// What becomes of a command.
pub(super) fn intercept<B: Backend>(lun: &Arc<Lun<B>>, cdb: &Cdb, arrival: &Arrival) -> Verdict {
    let attributes = Attributes { writable: lun.gate.is_writable() };
    let verdict = filter(cdb, arrival, attributes);
    let (Verdict::Pass, Some(command)) = (&verdict, cdb.command()) else { return verdict };
    match command.operation {
        Operation::ReceiveCopyResults => {
            lun.copies.answer(cdb).map_or_else(Verdict::End, |answer| answers::cut(cdb, answer))
        }
        Operation::RequestSense => {
            let status = check(lun, Request::TestUnitReady).unwrap_or(Status::Ok);
            answers::cut(cdb, answers::sense(cdb, status))
        }
        Operation::TestUnitReady => {
            Verdict::End(check(lun, Request::TestUnitReady).unwrap_or(Status::Ok))
        }
        // Nothing is read ahead: what the bricks have in their caches is their affair.
        Operation::PreFetch => {
            Verdict::End(check(lun, Request::Io(Op::Read, None)).unwrap_or(Status::Ok))
        }
        // A disk that is removed is flushed through all of its paths. That must not move the lock
        // to the last one: so a flush is looked at before the core asks for the lock, and with it
        // all that the core takes for one.
        operation
            if operation == Operation::SynchronizeCache || command.server == Server::Queue =>
        {
            let work = queue::work(lun, cdb);
            let Some(status) = check(lun, Request::Io(work.op, None)) else { return verdict };
            if let Some(span) = lun.meter.begin(work) {
                span.end(status.error_class());
            }
            Verdict::End(status)
        }
        _ => verdict,
    }
}

/// The status of a command that does not pass the gate now.
fn check<B: Backend>(lun: &Arc<Lun<B>>, request: Request) -> Option<Status> {
    match lun.gate.check(request, || None) {
        gate::Verdict::Serve(_) | gate::Verdict::Wait | gate::Verdict::Answer(Status::Ok) => None,
        gate::Verdict::Answer(status) => Some(status),
        gate::Verdict::Standby(status) => {
            recovery::request_lock(lun);
            Some(status)
        }
    }
}
