// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Everything that knows tcmu-runner: its C ABI, its threads and its log. Nothing here knows what a
//! LUN is made of.
//!
//! The core calls the C functions of `vtable`, which call the safe traits [`Handler`] and [`Lun`].
//! A [`Command`] is the core's request until it is answered, exactly once. Rules and their
//! evidence: each file's head.

mod abi;
mod command;
mod control;
mod data;
mod device;
mod device_handle;
mod devices;
mod dispatch;
mod entry;
mod handler;
mod log;
mod overlay;
mod raw_command;
mod symbols;
#[cfg(test)]
pub(crate) mod testing;
mod timeout;
mod vtable;

pub use command::{Command, Rejected};
pub use device::{Device, Limits, log_file};
pub use device_handle::DeviceHandle;
pub use handler::{Arrival, Handler, LockOutcome, LockState, Lun, Verdict};
pub use overlay::Overlay;
pub use symbols::{Unsupported, names as symbol_names};
pub use vtable::register;
