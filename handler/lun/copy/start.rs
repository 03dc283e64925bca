// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! From the parameter list of an EXTENDED COPY to the copy.

use std::path::PathBuf;
use std::sync::Arc;

use super::admit::{admit, known};
use super::others;
use super::parameter_list::{LONGEST, designator, designators, parse};
use crate::lun::Lun;
use crate::lun::backend::Backend;
use crate::lun::parameters::parameter_list;
use crate::runner::{Command, Rejected};
use crate::scsi::Status;

/// The kernel's target in configfs.
pub(in crate::lun) const TARGET: &str = "/sys/kernel/config/target";

/// Serves an EXTENDED COPY. `target` is [`TARGET`], or what tests have in its place.
///
/// # Errors
/// The command, if it cannot be served at all.
pub(in crate::lun) fn serve<B: Backend>(
    lun: Arc<Lun<B>>,
    command: Command,
    target: &str,
) -> Result<(), Rejected> {
    let own = command.unit_serial().map(|serial| known(&lun, designator(&serial)));
    // Without a serial number the kernel cannot name the LUN either.
    let own = own.ok_or(Status::HardwareError);
    let (own, list) = match own.and_then(|own| Ok((own, parameter_list(&command, LONGEST)?))) {
        Err(status) => return Err(Rejected(command, status)),
        Ok(read) => read,
    };
    let names_others = designators(&list).iter().any(|other| *other != own.designator);
    if names_others && lun.copies_with_others {
        return others::start(lun, command, list, own, PathBuf::from(target));
    }
    match parse(&list, &[own]) {
        Err(status) => Err(Rejected(command, status)),
        Ok(plan) => admit(vec![lun], command, plan),
    }
}
