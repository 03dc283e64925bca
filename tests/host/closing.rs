// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Closing: what is in flight is answered, and a closed device answers at all.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use handler_glfs::config::Config;
use handler_glfs::gluster::Opener;
use handler_glfs::iovec::Buffer;
use handler_glfs::lun::backend::{Backend as _, Data, Request, Source as _};
use nix::errno::Errno;
use support::eventually;
use support::faults::{self, Fault};
use support::log;
use support::runner::{BUSY, Lun, OK, table};
use support::threads;
use support::volume::LocalVolume;

const MIB: u64 = 1 << 20;

#[test]
fn commands_in_flight_at_close_are_answered_once() {
    let volume = LocalVolume::new();
    volume.image("closing.img", 16 * MIB);
    for _ in 0..20 {
        let mut lun = Lun::opened(&volume.cfgstring("closing.img", ""), 16 * MIB);
        let pending: Vec<_> =
            (0..64).map(|i| lun.submit_write(i * 65536, &vec![3; 65536])).collect();
        lun.close();
        assert!(pending.into_iter().all(|write| write.wait().0 == OK));
    }
}

#[test]
fn close_waits_for_an_answer_that_is_slow_to_come() {
    let volume = LocalVolume::new();
    volume.image("slow.img", MIB);
    let mut lun = Lun::opened(&volume.cfgstring("slow.img", ""), MIB);
    faults::set(&volume.path("slow.img"), Some(Fault::Late(libc::ENXIO)));
    let pending = lun.submit_write(0, &[3; 512]);
    assert_eq!(pending.answered(), None);
    lun.close();
    faults::set(&volume.path("slow.img"), None);
    assert!(pending.answered().is_some(), "answered before close returned");
}

/// The kernel removes a backstore's directory, holds it until the daemon has closed the LUN, and
/// the daemon is just telling the kernel that the LUN has grown, which takes a file in that
/// directory.
#[test]
fn a_lun_is_removed_at_once_while_the_kernel_is_being_told_that_it_has_grown() {
    let volume = LocalVolume::new();
    volume.image("removed.img", MIB);
    let mut lun = Lun::in_configfs("removed", &volume.cfgstring("removed.img", ""), MIB);
    let device = Arc::clone(&lun.device);
    device.directory_held.store(true, Ordering::SeqCst);
    volume.image("removed.img", 2 * MIB);
    eventually("the kernel is being told", || device.waiting.load(Ordering::SeqCst) == 1);
    let (closed, is_closed) = channel();
    thread::spawn(move || {
        lun.close();
        closed.send(()).unwrap();
    });
    let in_time = is_closed.recv_timeout(Duration::from_secs(5));
    device.directory_held.store(false, Ordering::SeqCst);
    assert_eq!(in_time, Ok(()), "closed while the directory is held");
    eventually("the call ends", || device.waiting.load(Ordering::SeqCst) == 0);
    thread::sleep(Duration::from_millis(100));
    assert_eq!(device.touched_when_freed.load(Ordering::SeqCst), 0);
    assert_eq!(device.size_updates.load(Ordering::SeqCst), 0, "it has gone");
}

/// What the answer of a call in flight points at must be there when it comes, also where no thread
/// can be had to close the image.
#[test]
fn a_close_that_gets_no_thread_leaves_what_a_call_in_flight_needs() {
    let volume = LocalVolume::new();
    volume.image("threadless.img", MIB);
    let mut lun = Lun::opened(&volume.cfgstring("threadless.img", ""), MIB);
    faults::set(&volume.path("threadless.img"), Some(Fault::HeldSync));
    let pending = lun.submit_flush();
    // What is freed is overwritten.
    // SAFETY: a plain C function.
    unsafe { libc::mallopt(libc::M_PERTURB, 0xa5) };
    threads::without(|| lun.close());
    faults::set(&volume.path("threadless.img"), None);
    assert_eq!(pending.wait().0, OK);
    // SAFETY: as above.
    unsafe { libc::mallopt(libc::M_PERTURB, 0) };
    assert!(!log::lines("stays open").is_empty());
}

/// A flush that is answered later.
struct Flush(Buffer, Sender<Result<usize, Errno>>);

impl Request for Flush {
    fn data(&self) -> &Data {
        self.0.data()
    }

    fn done(self, outcome: Result<usize, Errno>) {
        self.1.send(outcome).unwrap();
    }
}

/// With writes held back an image is only replaced when it is closed.
#[test]
fn a_close_that_was_given_up_can_be_tried_again() {
    let volume = LocalVolume::new();
    volume.image("again.img", MIB);
    let config: Config = volume.cfgstring("again.img", "").parse().unwrap();
    let file = Opener::new(&config).open(Duration::from_secs(10), None).unwrap().image;
    faults::set(&volume.path("again.img"), Some(Fault::HeldSync));
    let (sender, flushed) = channel();
    file.sync(Flush(Buffer::empty(), sender));
    let short = Duration::from_millis(100);
    eventually("it is given up", || file.close(short) == Err(Errno::EBUSY));
    faults::set(&volume.path("again.img"), None);
    assert_eq!(flushed.recv().unwrap(), Ok(0));
    eventually("it is closed", || file.close(short) == Ok(()));
}

#[test]
fn a_closed_device_answers_busy_and_refuses_changes() {
    let volume = LocalVolume::new();
    volume.image("disk.img", MIB);
    let mut lun = Lun::opened(&volume.cfgstring("disk.img", ""), MIB);
    lun.close();
    assert!(lun.device.private.load(Ordering::SeqCst).is_null());
    assert_eq!(lun.submit_write(0, &[1; 512]).returned, BUSY);
    assert_eq!(lun.submit_read(0, 512).returned, BUSY);
    assert_eq!(lun.submit_flush().returned, BUSY);
    assert_eq!(lun.reconfig(1, MIB), -libc::EAGAIN);
    assert_eq!(lun.open(), 0);
    assert_eq!(lun.write(0, &[1; 512]), OK);
}

#[test]
fn a_slow_volume_does_not_disturb_another() {
    let volume = LocalVolume::new();
    volume.image("sluggish.img", MIB);
    volume.image("quick.img", MIB);
    let sluggish = Lun::opened(&volume.cfgstring("sluggish.img", ""), MIB);
    let quick = Lun::opened(&volume.cfgstring("quick.img", ""), MIB);
    faults::set(&volume.path("sluggish.img"), Some(Fault::Slow(Duration::from_millis(300))));
    thread::scope(|scope| {
        let slow = scope.spawn(|| sluggish.write(0, &[1; 512]));
        for _ in 0..50 {
            assert_eq!(quick.write(0, &[2; 512]), OK);
        }
        assert_eq!(slow.join().unwrap(), OK);
    });
    faults::set(&volume.path("sluggish.img"), None);
}

#[test]
fn the_log_directory_may_change_while_luns_are_open() {
    let volume = LocalVolume::new();
    volume.image("disk.img", MIB);
    let lun = Lun::opened(&volume.cfgstring("disk.img", ""), MIB);
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    support::symbols::LOG_DIR.lock().unwrap().push_str(dir.path().to_str().unwrap());
    // SAFETY: as the daemon does, from a thread of its own.
    assert!(unsafe { (table().update_logdir)() });
    eventually("libgfapi logs there", || dir.path().join("tcmu-runner-glfs.log").exists());
    assert_eq!(lun.write(0, &[1; 512]), OK);
    support::symbols::LOG_DIR.lock().unwrap().clear();
}
