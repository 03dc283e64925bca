// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Copies with other LUNs of this daemon (`copy=daemon`): which LUNs a list names, and whether they
//! may take part.
//!
//! The answer is in configfs, whose folders the kernel locks while it removes a backstore, and it
//! waits for this daemon meanwhile: so it is looked for on a thread of its own, and waited for with
//! an end. Without that the daemon and the kernel would wait for each other.

use std::any::Any;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak, mpsc};
use std::time::Duration;

use super::admit::{admit, known};
use super::parameter_list::{Designator, Known, Plan, designator, designators, parse};
use super::permission::is_permitted;
use crate::lun::backend::Backend;
use crate::lun::{Lun, rw};
use crate::runner::{Command, Rejected};
use crate::scsi::{Op, Sense, Status};
use crate::threads;

/// How long configfs is waited for.
const PATIENCE: Duration = Duration::from_secs(2);
/// Threads that look at configfs. More would wait for the lock that these wait for.
const MAX_LOOKS: usize = 8;
static LOOKS: AtomicUsize = AtomicUsize::new(0);

/// The LUNs that may take part in copies of others, by their backstores (`user_1/d0`). A static has
/// one type for all backends.
static LUNS: Mutex<Vec<(String, Weak<dyn Any + Send + Sync>)>> = Mutex::new(Vec::new());

/// Lets copies of other LUNs have this one.
pub(in crate::lun) fn add<B: Backend>(lun: &Arc<Lun<B>>) {
    let Some(backstore) = lun.backstore.clone().filter(|_| lun.copies_with_others) else { return };
    let lun: Weak<Lun<B>> = Arc::downgrade(lun);
    let mut luns = threads::lock(&LUNS);
    // Those that have been closed; and one that is opened anew takes the place of the old one.
    luns.retain(|(other, lun)| lun.strong_count() > 0 && *other != backstore);
    luns.push((backstore, lun));
}

/// LUNs that a copy may be between, the receiving one first, and what is to be copied.
type Found<B> = (Plan, Vec<Arc<Lun<B>>>);

/// Starts a copy whose list names other devices than its LUN, as far as they can be found.
///
/// # Errors
/// The command, if there is no thread for it.
pub(super) fn start<B: Backend>(
    lun: Arc<Lun<B>>,
    command: Command,
    list: Vec<u8>,
    own: Known,
    target: PathBuf,
) -> Result<(), Rejected> {
    let copy = move |command: Command| {
        let found = ask(&lun, list, own, target);
        if command.is_expired() {
            return rw::expire(&lun, command, Op::Copy, 0);
        }
        let outcome = match found {
            Ok((plan, luns)) => admit(luns, command, plan),
            Err(status) => Err(Rejected(command, status)),
        };
        if let Err(Rejected(command, status)) = outcome {
            command.complete(status);
        }
    };
    threads::hand_over("glfs-copy", command, copy)
        .map_err(|command| Rejected(command, Status::Busy))
}

/// Has a thread look at configfs, and waits for it.
fn ask<B: Backend>(
    lun: &Arc<Lun<B>>,
    list: Vec<u8>,
    own: Known,
    target: PathBuf,
) -> Result<Found<B>, Status> {
    let look = Look::begin().ok_or(Status::Busy)?;
    let (tell, told) = mpsc::channel();
    let lun = Arc::clone(lun);
    threads::spawn("glfs-configfs", move || {
        let found = find(&lun, &list, own, &target);
        drop(look);
        drop(tell.send(found));
    });
    told.recv_timeout(PATIENCE).unwrap_or(Err(Status::Busy))
}

/// A look at configfs under way.
struct Look;

impl Look {
    fn begin() -> Option<Self> {
        let look = Self;
        (LOOKS.fetch_add(1, Ordering::Relaxed) < MAX_LOOKS).then_some(look)
    }
}

impl Drop for Look {
    fn drop(&mut self) {
        LOOKS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Finds what the list is about. Blocks.
fn find<B: Backend>(
    lun: &Arc<Lun<B>>,
    list: &[u8],
    own: Known,
    target: &Path,
) -> Result<Found<B>, Status> {
    let backstore = |lun: &Arc<Lun<B>>| lun.backstore.clone().unwrap_or_default();
    let is_permitted_to = |other: &Arc<Lun<B>>, writes| {
        is_permitted(target, &backstore(lun), &backstore(other), writes)
    };
    let mut named = vec![own];
    let mut luns = vec![Arc::clone(lun)];
    for designator in designators(list) {
        if named.iter().any(|known| known.designator == designator) {
            continue;
        }
        // What may not be read is not known: what is wrong with a list tells of a LUN.
        let other = lun_of(target, &designator).filter(|other| is_permitted_to(other, false));
        if let Some(other) = other {
            named.push(known(&other, designator));
            luns.push(other);
        }
    }
    let plan = parse(list, &named)?;
    for (index, other) in luns.iter().enumerate().skip(1) {
        let writes = plan.segments.iter().any(|segment| segment.destination == index);
        if writes && !is_permitted_to(other, true) {
            return Err(Status::Sense(Sense::TARGET_NOT_REACHABLE));
        }
    }
    Ok((plan, luns))
}

/// The LUN with this designator. None where there are several: initiators cannot tell them apart.
fn lun_of<B: Backend>(target: &Path, wanted: &Designator) -> Option<Arc<Lun<B>>> {
    let luns = threads::lock(&LUNS).clone();
    let mut matching = luns.into_iter().filter(|(backstore, _)| {
        let file = target.join("core").join(backstore).join("wwn/vpd_unit_serial");
        let text = fs::read_to_string(file).unwrap_or_default();
        text.trim_end()
            .rsplit(": ")
            .next()
            .is_some_and(|serial| !serial.is_empty() && designator(serial) == *wanted)
    });
    let (_, lun) = matching.next()?;
    if matching.next().is_some() {
        return None;
    }
    lun.upgrade()?.downcast().ok()
}
