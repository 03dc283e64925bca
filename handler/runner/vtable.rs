// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The table of callbacks, and its registration.

use std::ffi::CString;
use std::ptr;

use super::abi::TcmurHandler;
use super::control::{
    check_config_cb, close_cb, destroy_cb, get_lock_state_cb, lock_cb, open_cb, reconfig_cb,
    unlock_cb, update_logdir_cb,
};
use super::entry::{RUNNER, Runner};
use super::handler::Handler;
use super::symbols::{self, Symbols, Unsupported};
use super::{data, dispatch, log};

const TABLE: TcmurHandler = TcmurHandler {
    name: c"GlusterFS".as_ptr(),
    subtype: c"glfs".as_ptr(),
    // What `help create` shows: set when the handler is known.
    cfg_desc: c"".as_ptr(),
    opaque: ptr::null_mut(),
    check_config: Some(check_config_cb),
    reconfig: Some(reconfig_cb),
    open: Some(open_cb),
    close: Some(close_cb),
    nr_threads: 0,
    handle_cmd: Some(dispatch::handle_cmd),
    read: Some(data::read),
    write: Some(data::write),
    flush: Some(dispatch::flush),
    // Commands of the LUN's own (dispatch.rs): what the core makes of them loses errors
    // (`unmap_put`).
    unmap: None,
    writesame: None,
    caw: Some(data::caw),
    // All that it could report has been noticed here before; and with it, the core starts a thread
    // for every lost lock.
    report_event: None,
    lock: Some(lock_cb),
    unlock: Some(unlock_cb),
    // For explicit ALUA, which no release of the core supports.
    get_lock_tag: None,
    get_lock_state: Some(get_lock_state_cb),
    is_dbus_handler: false,
    update_logdir: Some(update_logdir_cb),
    init: None,
    destroy: Some(destroy_cb),
    reserved: [0; 7],
};

/// Registers `handler` with the daemon that has loaded this library.
///
/// # Errors
/// The daemon is not one this handler can serve; it has been told so in its log.
pub fn register(handler: &'static dyn Handler) -> Result<(), Unsupported> {
    let registered = Symbols::load().and_then(|symbols| {
        let runner = Runner { symbols, devices: super::devices::Devices::default(), handler };
        RUNNER.set(runner).map_err(|_| Unsupported::Twice)?;
        log::install();
        // The core keeps the table for ever.
        let help = Box::leak(CString::new(handler.help()).unwrap_or_default().into_boxed_c_str());
        let table = Box::leak(Box::new(TcmurHandler { cfg_desc: help.as_ptr(), ..TABLE }));
        // SAFETY: the table lives as long as the process, as do its strings.
        match unsafe { (symbols.tcmur_register_handler)(table) } {
            0 => Ok(()),
            code => Err(Unsupported::Refused(code)),
        }
    });
    if let Err(reason) = &registered {
        let text = CString::new(format!("The GlusterFS handler is not loaded: {reason}"));
        symbols::log_refusal(&text.unwrap_or_default());
    }
    registered
}
