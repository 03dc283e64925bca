// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! An asynchronous call of libgfapi, and what a fault makes of it.

use std::ffi::{c_int, c_void};
use std::thread;
use std::time::Duration;

use super::registry::{Fault, Kind, count, wanted};

pub(super) type Callback =
    unsafe extern "C" fn(*mut c_void, isize, *mut c_void, *mut c_void, *mut c_void);

/// A call: its file, and what it is answered with.
#[derive(Clone, Copy)]
pub(super) struct Call {
    pub(super) fd: *mut c_void,
    pub(super) callback: Callback,
    pub(super) cookie: *mut c_void,
}

// SAFETY: handed from the submitting thread to the answering one, as libgfapi does.
unsafe impl Send for Call {}

impl Call {
    pub(super) fn answer(self, result: isize, errno: c_int) {
        // SAFETY: this thread's errno, set as libgfapi sets it; the callback gets its cookie once.
        unsafe {
            *libc::__errno_location() = errno;
            (self.callback)(
                self.fd,
                result,
                std::ptr::null_mut(),
                std::ptr::null_mut(),
                self.cookie,
            );
        }
    }

    /// Answers the call as the fault says, or gives the bytes it may move.
    pub(super) fn disturb(self, kind: Kind, len: usize) -> Result<usize, c_int> {
        count(self.fd, kind);
        match wanted(self.fd) {
            Some(Fault::NoDiscard(errno)) if kind == Kind::Discard => self.answer_late(errno),
            Some(Fault::NoZerofill(errno)) if matches!(kind, Kind::Discard | Kind::Zerofill) => {
                self.answer_late(errno);
            }
            Some(Fault::NoSpace) if !matches!(kind, Kind::Read | Kind::Sync) => {
                self.answer_late(libc::ENOSPC);
            }
            Some(Fault::NoSync(errno)) if matches!(kind, Kind::Sync | Kind::DurableWrite) => {
                self.answer_late(errno);
            }
            Some(Fault::SlowWrites(_)) if matches!(kind, Kind::Discard | Kind::Zerofill) => {
                self.answer_late(libc::EOPNOTSUPP);
            }
            None
            | Some(
                Fault::Synchronous
                | Fault::SlowWrites(_)
                | Fault::LockHeld(_)
                | Fault::NoDiscard(_)
                | Fault::NoZerofill(_)
                | Fault::NoSpace
                | Fault::NoSync(_)
                | Fault::HeldSync
                | Fault::Twice
                | Fault::Delayed(_),
            ) => return Ok(len),
            Some(Fault::Half) => return Ok(len.div_ceil(2)),
            Some(Fault::Never) => self.answer_when_released(),
            Some(Fault::Short(limit)) => return Ok(len.min(limit)),
            Some(Fault::Slow(time)) => {
                thread::sleep(time);
                return Ok(len);
            }
            Some(Fault::AtSubmit(errno)) => {
                // SAFETY: this thread's errno.
                unsafe { *libc::__errno_location() = errno };
                return Err(-1);
            }
            Some(Fault::Inline(errno)) => self.answer(-1, errno),
            Some(Fault::Nothing) => self.answer(0, 0),
            Some(Fault::Late(errno)) => self.answer_late(errno),
        }
        Err(0)
    }

    fn answer_when_released(self) {
        thread::spawn(move || {
            let call = { self };
            while wanted(call.fd) == Some(Fault::Never) {
                thread::sleep(Duration::from_millis(5));
            }
            call.answer(-1, libc::ENOTCONN);
        });
    }

    fn answer_late(self, errno: c_int) {
        thread::spawn(move || {
            thread::sleep(Duration::from_millis(20));
            { self }.answer(-1, errno);
        });
    }
}
