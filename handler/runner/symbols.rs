// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The functions of the daemon and of libtcmu that the plugin calls, looked up once in
//! `handler_init`.
//!
//! A look-up at run time, not linkage, for two reasons. The *set* of symbols present is the only
//! sign of the daemon's version, and a daemon with another table layout must be refused with a
//! sentence, not with whatever the wrong callback does. And everything but the plugin itself
//! (tests, tools) links this crate without a daemon around it.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::mem;
use std::sync::OnceLock;

use super::abi::{TcmuDevice, TcmurCmd, TcmurHandler};

/// Symbols that tell the layout of `struct tcmur_handler`, from `nm -D` of each release's daemon.
const SINCE_1_5_0: &CStr = c"tcmur_cmd_complete";
const SINCE_1_5_3: &CStr = c"tcmu_notify_cmd_timed_out";
const UNTIL_1_5_3: &CStr = c"tcmur_handle_writesame";

/// The C type of `tcmu_err_message` and its siblings: device or NULL, function name, line, format,
/// arguments.
pub(super) type Message =
    unsafe extern "C" fn(*mut TcmuDevice, *const c_char, c_int, *const c_char, *const c_char, ...);

/// Why the process that loaded the plugin cannot use it.
#[derive(Debug, thiserror::Error)]
pub enum Unsupported {
    /// The daemon's table of callbacks is laid out differently.
    #[error("tcmu-runner {0} is not supported: this handler needs tcmu-runner 1.5.4 or later")]
    TooOld(&'static str),
    /// A function is missing although the version looked right.
    #[error(
        "the process does not export {0:?}, which tcmu-runner 1.5.4 and later have: not a \
         tcmu-runner this handler knows"
    )]
    Missing(&'static CStr),
    /// The core refused the registration.
    #[error(
        "tcmu-runner refused the handler (code {0}): is another handler with the subtype glfs \
         installed beside it?"
    )]
    Refused(c_int),
    /// `handler_init` was called before in this process.
    #[error("the handler is already registered in this process")]
    Twice,
}

macro_rules! symbols {
    ($($name:ident: $type:ty,)*) => {
        /// One entry a function, called as in C. What each does is documented where it is called,
        /// in this folder.
        #[derive(Debug)]
        pub(super) struct Symbols { $(pub(super) $name: $type,)* }

        /// The names of every function of tcmu-runner and libtcmu that the plugin looks up, for the
        /// test that holds them against the installed daemon.
        #[must_use]
        pub fn names() -> &'static [&'static str] {
            &[$(stringify!($name)),*]
        }

        impl Symbols {
            /// For commands in unit tests: nothing but their completion and the serial number is
            /// asked for.
            #[cfg(test)]
            pub(super) fn fake(
                complete: unsafe extern "C" fn(*mut TcmuDevice, *mut TcmurCmd, c_int),
            ) -> Self {
                extern "C" fn serial(_: *mut TcmuDevice) -> *mut c_char {
                    // SAFETY: a NUL-terminated string; the result is the caller's.
                    unsafe { libc::strdup(super::testing::SERIAL.as_ptr()) }
                }
                extern "C" fn never() {
                    unreachable!("not for unit tests");
                }
                Self {
                    tcmur_cmd_complete: complete,
                    tcmu_cfgfs_dev_get_wwn: serial,
                    ..Self { $($name: {
                        // SAFETY: never called, see above.
                        unsafe { mem::transmute::<extern "C" fn(), $type>(never) }
                    },)* }
                }
            }

            fn resolve() -> Result<Self, Unsupported> {
                Ok(Self { $($name: {
                    const BYTES: &[u8] = concat!(stringify!($name), "\0").as_bytes();
                    const NAME: &CStr = match CStr::from_bytes_with_nul(BYTES) {
                        Ok(name) => name,
                        Err(_) => unreachable!(),
                    };
                    let address = find(NAME).ok_or(Unsupported::Missing(NAME))?;
                    // SAFETY: the address is that of the C function of this name, whose type in
                    // v1.5.4 to v1.6.2 is the one given here; function pointers and data pointers
                    // have one size on every target of Linux.
                    unsafe { mem::transmute::<*mut c_void, $type>(address) }
                },)* })
            }
        }
    };
}

symbols! {
    tcmur_register_handler: unsafe extern "C" fn(*const TcmurHandler) -> c_int,
    tcmur_cmd_complete: unsafe extern "C" fn(*mut TcmuDevice, *mut TcmurCmd, c_int),
    tcmur_dev_set_private: unsafe extern "C" fn(*mut TcmuDevice, *const c_void),
    tcmur_dev_get_private: unsafe extern "C" fn(*mut TcmuDevice) -> *const c_void,
    tcmur_dev_update_size: unsafe extern "C" fn(*mut TcmuDevice, u64) -> c_int,
    tcmu_cfgfs_set_str: unsafe extern "C" fn(*const c_char, *const c_char, c_int) -> c_int,
    tcmu_notify_lock_lost: unsafe extern "C" fn(*mut TcmuDevice),
    tcmu_dev_get_uio_name: unsafe extern "C" fn(*mut TcmuDevice) -> *const c_char,
    tcmu_dev_get_cfgstring: unsafe extern "C" fn(*mut TcmuDevice) -> *const c_char,
    tcmu_dev_get_num_lbas: unsafe extern "C" fn(*mut TcmuDevice) -> u64,
    tcmu_dev_get_block_size: unsafe extern "C" fn(*mut TcmuDevice) -> u32,
    tcmu_dev_get_max_xfer_len: unsafe extern "C" fn(*mut TcmuDevice) -> u32,
    tcmu_dev_set_max_xfer_len: unsafe extern "C" fn(*mut TcmuDevice, u32),
    tcmu_dev_set_opt_xcopy_rw_len: unsafe extern "C" fn(*mut TcmuDevice, u32),
    tcmu_dev_set_max_unmap_len: unsafe extern "C" fn(*mut TcmuDevice, u32),
    tcmu_dev_set_opt_unmap_gran: unsafe extern "C" fn(*mut TcmuDevice, u32, bool),
    tcmu_dev_set_unmap_gran_align: unsafe extern "C" fn(*mut TcmuDevice, u32),
    tcmu_dev_set_write_cache_enabled: unsafe extern "C" fn(*mut TcmuDevice, bool),
    tcmu_dev_set_solid_state_media: unsafe extern "C" fn(*mut TcmuDevice, bool),
    tcmu_cfgfs_dev_get_attr_int: unsafe extern "C" fn(*mut TcmuDevice, *const c_char) -> c_int,
    tcmu_cfgfs_dev_get_wwn: unsafe extern "C" fn(*mut TcmuDevice) -> *mut c_char,
    tcmu_get_log_level: unsafe extern "C" fn() -> u32,
    tcmu_make_absolute_logfile: unsafe extern "C" fn(*mut c_char, *const c_char) -> c_int,
    tcmu_err_message: Message,
    tcmu_warn_message: Message,
    tcmu_info_message: Message,
    tcmu_dbg_message: Message,
    tcmu_dbg_scsi_cmd_message: Message,
}

/// Those of the daemon around us, once `handler_init` has found them: for what has no callback's
/// arguments at hand.
static LOADED: OnceLock<Symbols> = OnceLock::new();

/// The functions of the daemon. `None` outside one.
pub(super) fn loaded() -> Option<&'static Symbols> {
    LOADED.get()
}

impl Symbols {
    /// Recognises the daemon by the symbols it exports, and looks up ours.
    ///
    /// # Errors
    /// [`Unsupported`] if the daemon is older than 1.5.4, or not a tcmu-runner.
    pub(super) fn load() -> Result<&'static Self, Unsupported> {
        recognise(|name| find(name).is_some())?;
        let symbols = Self::resolve()?;
        Ok(LOADED.get_or_init(|| symbols))
    }
}

/// Tells the daemon's version by the names that it exports.
fn recognise(exports: impl Fn(&CStr) -> bool) -> Result<(), Unsupported> {
    if !exports(SINCE_1_5_0) {
        return Err(Unsupported::TooOld("1.4 or older"));
    }
    match (exports(SINCE_1_5_3), exports(UNTIL_1_5_3)) {
        (false, _) => Err(Unsupported::TooOld("1.5.0 to 1.5.2")),
        (true, true) => Err(Unsupported::TooOld("1.5.3")),
        (true, false) => Ok(()),
    }
}

/// Says `text` in the daemon's log although the daemon is refused: every version has this one
/// function.
pub(super) fn log_refusal(text: &CStr) {
    if let Some(address) = find(c"tcmu_err_message") {
        // SAFETY: this is tcmu_err_message, which has had this type since 1.3.
        let message = unsafe { mem::transmute::<*mut c_void, Message>(address) };
        // SAFETY: no device; all strings are NUL-terminated and outlive the call; the format takes
        // one string.
        unsafe {
            message(std::ptr::null_mut(), c"glfs".as_ptr(), 0, c"%s\n".as_ptr(), text.as_ptr());
        };
    }
}

/// `tcmu_dev_set_write_protect_enabled`, which tcmu-runner has from 1.6.0 on.
pub(super) fn set_write_protect() -> Option<unsafe extern "C" fn(*mut TcmuDevice, bool)> {
    let address = find(c"tcmu_dev_set_write_protect_enabled")?;
    // SAFETY: the type of this function in every release that has it.
    Some(unsafe {
        mem::transmute::<*mut c_void, unsafe extern "C" fn(*mut TcmuDevice, bool)>(address)
    })
}

/// Looks a symbol up as the loader would for a library opened with `RTLD_LOCAL`: in the executable
/// and what it is linked with.
fn find(name: &CStr) -> Option<*mut c_void> {
    // SAFETY: the name is NUL-terminated; RTLD_DEFAULT is always a valid handle.
    let address = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    (!address.is_null()).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which of the three marks each release exports, from `nm -D` of its daemon.
    #[test]
    fn releases_are_told_apart_by_their_symbols() {
        let recognise =
            |marks: &[&CStr]| recognise(|name| marks.contains(&name)).map_err(|e| e.to_string());
        let refused =
            |marks: &[&CStr], version: &str| recognise(marks).unwrap_err().contains(version);
        assert!(refused(&[UNTIL_1_5_3], "1.4 or older"));
        assert!(refused(&[UNTIL_1_5_3, SINCE_1_5_0], "1.5.0 to 1.5.2"));
        assert!(refused(&[UNTIL_1_5_3, SINCE_1_5_0, SINCE_1_5_3], "1.5.3"));
        assert!(refused(&[], "1.4 or older"));
        assert_eq!(recognise(&[SINCE_1_5_0, SINCE_1_5_3]), Ok(()));
    }
}
