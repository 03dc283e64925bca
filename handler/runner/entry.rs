// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! What every callback does before and after its work: the two ways in which C could tear Rust code
//! apart are closed here.

use std::any::Any;
use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::OnceLock;

use super::abi::TcmuDevice;
use super::devices::Devices;
use super::handler::Handler;
use super::symbols::Symbols;
use crate::log;

#[cfg(not(panic = "unwind"))]
compile_error!(
    "the plugin must be built with panic=unwind: with abort, one defect takes down every LUN of \
     the host"
);

/// What callbacks work with. Set once, by `handler_init`, before the core knows of any callback.
pub(super) static RUNNER: OnceLock<Runner> = OnceLock::new();

/// The daemon around us, the LUNs it has opened, and the handler that serves them.
pub(super) struct Runner {
    pub(super) symbols: &'static Symbols,
    pub(super) devices: Devices,
    pub(super) handler: &'static dyn Handler,
}

unsafe extern "C" {
    /// `pthread.h`; missing in the libc crate.
    safe fn pthread_setcancelstate(state: c_int, old: Option<&mut c_int>) -> c_int;
}

/// Keeps `pthread_cancel` away from the current thread while it lives.
///
/// The core cancels its threads at removal and shutdown, wherever they are. A forced unwind through
/// Rust frames aborts the daemon (with panic=unwind) or skips every destructor. Deferred, the
/// cancellation takes effect in C, afterwards.
struct NoCancel(c_int);

impl NoCancel {
    fn begin() -> Self {
        const PTHREAD_CANCEL_DISABLE: c_int = 1;
        let mut old = 0;
        pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, Some(&mut old));
        Self(old)
    }
}

impl Drop for NoCancel {
    fn drop(&mut self) {
        pthread_setcancelstate(self.0, None);
    }
}

/// Runs the body of a callback. A panic is caught: it costs the LUN (which answers HARDWARE ERROR
/// from now on), not the daemon. `None` after one, and before the handler is registered.
pub(super) fn guard<R>(
    callback: &'static str,
    device: *mut TcmuDevice,
    body: impl FnOnce(&'static Runner) -> R,
) -> Option<R> {
    let _no_cancel = NoCancel::begin();
    let runner = RUNNER.get()?;
    let work = || {
        #[cfg(feature = "inject-panics")]
        inject::panic_if_asked(callback, device);
        body(runner)
    };
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => Some(result),
        Err(payload) => {
            log::error_always!(
                log::PLUGIN,
                "PANIC in {callback}: {}; the LUN is out of service",
                message(payload.as_ref())
            );
            runner.devices.fail(device);
            // Dropping a payload may panic again; a few bytes are a fair price.
            Box::leak(payload);
            None
        }
    }
}

fn message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("(no message)")
}

/// Callbacks that are not about a device.
pub(super) const NO_DEVICE: *mut TcmuDevice = ptr::null_mut();

#[cfg(feature = "inject-panics")]
pub(super) mod inject {
    //! Test builds ask the process around them, in every callback, whether it shall panic.

    use std::ffi::{CString, c_char, c_void};
    use std::mem;

    use super::TcmuDevice;

    type Hook = unsafe extern "C" fn(*const c_char, *mut TcmuDevice) -> bool;

    pub(in crate::runner) fn panic_if_asked(callback: &'static str, device: *mut TcmuDevice) {
        // SAFETY: the name is NUL-terminated.
        let hook = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"test_shall_panic".as_ptr()) };
        let Ok(name) = CString::new(callback) else { return };
        if hook.is_null() {
            return;
        }
        // SAFETY: a test host that exports this name exports it with this type.
        let hook = unsafe { mem::transmute::<*mut c_void, Hook>(hook) };
        // SAFETY: the name lives until the end of the call.
        let asked = unsafe { hook(name.as_ptr(), device) };
        assert!(!asked, "injected by the test host");
    }
}
