// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! tcmu-runner cancels its threads wherever they are: a callback finishes first.

use std::sync::atomic::{AtomicI32, Ordering};
use std::thread;
use std::time::Duration;

use nix::sys::pthread::pthread_self;

use support::eventually;
use support::faults::{self, Fault};
use support::metrics::Numbers;
use support::runner::{Lun, OK};
use support::volume::LocalVolume;

const MIB: u64 = 1 << 20;

unsafe extern "C" {
    fn pthread_create(
        thread: *mut libc::pthread_t,
        attributes: *const libc::c_void,
        start: extern "C" fn(*mut libc::c_void) -> *mut libc::c_void,
        argument: *mut libc::c_void,
    ) -> libc::c_int;
    fn pthread_cancel(thread: libc::pthread_t) -> libc::c_int;
}

const RUNNING: i32 = 1;
const FINISHED: i32 = 2;

/// What the cancelled thread works on. It is a C thread, as the daemon's are: Rust's own cannot be
/// cancelled.
struct Work {
    lun: Lun,
    progress: AtomicI32,
    status: AtomicI32,
}

extern "C" fn submit_slowly(work: *mut libc::c_void) -> *mut libc::c_void {
    // SAFETY: alive until this thread is joined.
    let work = unsafe { &*work.cast::<Work>() };
    work.progress.store(RUNNING, Ordering::SeqCst);
    let pending = work.lun.submit_write(0, &[5; 512]);
    work.status.store(pending.returned, Ordering::SeqCst);
    // This frame belongs to the test, not to the plugin: nothing of Rust's may be alive in it when
    // the cancellation strikes.
    drop(pending.wait());
    work.progress.store(FINISHED, Ordering::SeqCst);
    std::ptr::null_mut()
}

#[test]
fn a_callback_that_is_cancelled_finishes_and_nothing_aborts() {
    let volume = LocalVolume::new();
    volume.image("cancel.img", MIB);
    let lun = Lun::opened(&volume.cfgstring("cancel.img", ""), MIB);
    faults::set(&volume.path("cancel.img"), Some(Fault::Slow(Duration::from_millis(400))));
    let mut work = Box::new(Work { lun, progress: AtomicI32::new(0), status: AtomicI32::new(-1) });
    let mut id = pthread_self();
    // SAFETY: `work` outlives the thread, which is joined below.
    unsafe {
        assert_eq!(
            pthread_create(&raw mut id, std::ptr::null(), submit_slowly, (&raw mut *work).cast()),
            0
        );
    };
    eventually("the callback runs", || work.progress.load(Ordering::SeqCst) == RUNNING);
    thread::sleep(Duration::from_millis(100));
    // The thread sleeps inside the callback, in nanosleep: a cancellation point.
    // SAFETY: the thread is not joined yet.
    unsafe { assert_eq!(pthread_cancel(id), 0) };
    // SAFETY: as above.
    unsafe { assert_eq!(libc::pthread_join(id, std::ptr::null_mut()), 0) };
    faults::set(&volume.path("cancel.img"), None);
    assert_eq!(work.status.load(Ordering::SeqCst), OK, "the callback returned");
    assert_eq!(volume.bytes_on_brick("cancel.img", 0, 512), vec![5; 512]);
    assert_eq!(work.lun.read(0, 512), (OK, vec![5; 512]), "and the LUN serves on");
    let numbers = Numbers::of(&volume.path("cancel.img"));
    assert_eq!((numbers.get("in_flight", &[]), numbers.get("operations_total", &[])), (0, 2));
}
