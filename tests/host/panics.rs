// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! A panic in any callback costs its LUN, and nobody else.

use std::ffi::{CStr, c_char};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use support::metrics::Numbers;
use support::runner::{FakeDevice, HW_ERR, Lun, OK, table};
use support::volume::LocalVolume;

const MIB: u64 = 1 << 20;

/// The callback that shall panic, and the device (0: any) it shall panic for.
static CALLBACK: Mutex<String> = Mutex::new(String::new());
static DEVICE: AtomicUsize = AtomicUsize::new(0);
/// Submits a command and gives its status.
type Submit = fn(&Lun) -> i32;
/// One test at a time sets a trap.
static ONE: Mutex<()> = Mutex::new(());

/// The plugin, built with `inject-panics`, asks this in every callback.
#[unsafe(no_mangle)]
extern "C" fn test_shall_panic(callback: *const c_char, device: *const FakeDevice) -> bool {
    // SAFETY: a NUL-terminated string of the caller's.
    let callback = unsafe { CStr::from_ptr(callback) }.to_str().unwrap();
    let device = device.addr();
    *CALLBACK.lock().unwrap() == callback && device == DEVICE.load(Ordering::SeqCst)
}

fn trap<R>(callback: &str, device: Option<&FakeDevice>, work: impl FnOnce() -> R) -> R {
    DEVICE.store(device.map_or(0, |device| std::ptr::from_ref(device).addr()), Ordering::SeqCst);
    callback.clone_into(&mut CALLBACK.lock().unwrap());
    let result = work();
    CALLBACK.lock().unwrap().clear();
    result
}

#[test]
fn a_panic_in_a_data_callback_fails_its_lun_and_the_other_serves_on() {
    let _one = ONE.lock();
    let volume = LocalVolume::new();
    volume.image("victim.img", MIB);
    volume.image("neighbour.img", MIB);
    let neighbour = Lun::opened(&volume.cfgstring("neighbour.img", ""), MIB);
    let callbacks: [(&str, Submit); 7] = [
        ("read", |lun| lun.read(0, 512).0),
        ("write", |lun| lun.write(0, &[1; 512])),
        ("flush", Lun::flush),
        // In the disguise of a SYNCHRONIZE CACHE.
        ("flush", |lun| lun.submit_unmap(0, 512).wait().0),
        ("caw", |lun| lun.submit_compare_and_write(0, &[0; 512], &[0; 512]).wait().0),
        // The core goes on with the command, which then finds the LUN out of service.
        ("handle_cmd", |lun| if lun.screen(&[0x28]).0 == -1 { HW_ERR } else { OK }),
        ("reconfig", |lun| if lun.reconfig(1, MIB) == -libc::EIO { HW_ERR } else { OK }),
    ];
    for (callback, submit) in callbacks {
        let mut victim = Lun::opened(&volume.cfgstring("victim.img", ""), MIB);
        assert_eq!(trap(callback, Some(&victim.device), || submit(&victim)), HW_ERR, "{callback}");
        assert_eq!(victim.read(0, 512).0, HW_ERR, "out of service after a panic in {callback}");
        assert_eq!(neighbour.write(0, &[2; 512]), OK);
        assert_eq!(neighbour.read(0, 512), (OK, vec![2; 512]));
        victim.close();
        assert_eq!(victim.open(), 0);
        assert_eq!(victim.read(0, 512).0, OK, "a reopen starts anew");
    }
}

/// Multipath sends nothing else over a path that it does not use: it must learn not to come back.
#[test]
fn a_lun_that_has_panicked_is_not_ready_for_a_path_checker_either() {
    const TEST_UNIT_READY: [u8; 6] = [0; 6];
    let _one = ONE.lock();
    let volume = LocalVolume::new();
    volume.image("checked.img", MIB);
    let mut lun = Lun::opened(&volume.cfgstring("checked.img", ""), MIB);
    assert_eq!(lun.screen(&TEST_UNIT_READY).0, OK);
    assert_eq!(trap("read", Some(&lun.device), || lun.read(0, 512).0), HW_ERR);
    assert_eq!(lun.screen(&TEST_UNIT_READY).0, HW_ERR);
    lun.close();
    assert_eq!(lun.open(), 0);
    assert_eq!(lun.screen(&TEST_UNIT_READY).0, OK, "a reopen starts anew");
}

/// In mid-command, with the command in hand: it is answered, and counted as what it is.
#[test]
fn a_command_that_is_dropped_by_a_panic_is_counted_and_not_in_flight_any_more() {
    let _one = ONE.lock();
    let volume = LocalVolume::new();
    volume.image("dropped.img", MIB);
    let lun = Lun::opened(&volume.cfgstring("dropped.img", ""), MIB);
    assert_eq!(trap("submit", Some(&lun.device), || lun.write(0, &[1; 512])), HW_ERR);
    assert_eq!(lun.read(0, 512).0, HW_ERR, "out of service");
    let numbers = Numbers::of(&volume.path("dropped.img"));
    assert_eq!(numbers.get("in_flight", &[]), 0);
    assert_eq!(
        (numbers.of_op("write", "hardware"), numbers.of_op("read", "hardware")),
        ([1, 1, 0], [1, 1, 0])
    );
}

#[test]
fn a_panic_in_open_or_close_leaves_the_daemon_and_the_other_luns_alone() {
    let _one = ONE.lock();
    let volume = LocalVolume::new();
    volume.image("victim.img", MIB);
    volume.image("neighbour.img", MIB);
    let neighbour = Lun::opened(&volume.cfgstring("neighbour.img", ""), MIB);
    let mut victim = Lun::new(&volume.cfgstring("victim.img", ""), MIB, 512);
    let device: *const FakeDevice = &raw const *victim.device;
    // SAFETY: the device outlives the trap.
    let device = unsafe { &*device };
    assert_eq!(trap("open", Some(device), || victim.open()), -libc::EIO);
    assert_eq!(victim.open(), 0);
    trap("close", Some(device), || victim.close());
    assert_eq!(victim.open(), 0, "the device opens again");
    assert_eq!(victim.write(0, &[1; 512]), OK);
    assert_eq!(neighbour.write(0, &[2; 512]), OK);
}

#[test]
fn a_panic_in_a_callback_without_a_device_is_an_answer() {
    let _one = ONE.lock();
    let mut reason = std::ptr::null_mut();
    // SAFETY: as the daemon does.
    let accepted = trap("check_config", None, || unsafe {
        (table().check_config)(c"glfs/v@h/p".as_ptr(), &raw mut reason)
    });
    assert!(!accepted && reason.is_null());
    // SAFETY: as the daemon does.
    assert!(!trap("update_logdir", None, || unsafe { (table().update_logdir)() }));
    // SAFETY: as the daemon does.
    trap("destroy", None, || unsafe { (table().destroy)() });
    // SAFETY: as the daemon does.
    assert!(unsafe { (table().check_config)(c"glfs/v@h/p".as_ptr(), &raw mut reason) });
}
