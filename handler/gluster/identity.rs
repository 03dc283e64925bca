// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! As whom calls are made.
//!
//! libgfapi asks the system with every call who is calling: five system calls (10.3,
//! `syncop_create_frame`), four of which it leaves out on a thread that has told it. The daemon's
//! identity never changes, so each thread says it once.

use std::cell::Cell;
use std::ptr;

use libgfapi_sys as gfapi;
use nix::unistd::{getegid, geteuid};

thread_local! {
    /// This thread has told libgfapi. No destructor: gfapi's threads run none of ours.
    static TOLD: Cell<bool> = const { Cell::new(false) };
}

/// Tells libgfapi who this thread is, unless it knows. What it does not take, it goes on asking.
pub(super) fn tell() {
    if TOLD.replace(true) {
        return;
    }
    let (user, group) = (geteuid().as_raw(), getegid().as_raw());
    // Groups decide nothing for root, which the daemon is; anybody else goes on being asked for
    // them.
    if user == 0 {
        // SAFETY: no groups, so no list.
        unsafe { gfapi::glfs_setfsgroups(0, ptr::null()) };
    }
    // SAFETY: takes a number.
    unsafe { gfapi::glfs_setfsgid(group) };
    // SAFETY: takes a number.
    unsafe { gfapi::glfs_setfsuid(user) };
}
