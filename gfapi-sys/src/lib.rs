// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Raw bindings to libgfapi, generated from the installed `<glusterfs/api/glfs.h>` at build time.
//!
//! Only what the project calls is bound (the list is in `build.rs`). What each call means for us
//! (thread, errno, ownership) is documented where it is wrapped: the `gluster` folder of the
//! plugin.

#![allow(
    non_camel_case_types,
    non_upper_case_globals,
    missing_docs,
    clippy::pedantic,
    reason = "generated from C"
)]

use libc::{dirent, flock, gid_t, iovec, mode_t, off_t, stat, statvfs, uid_t};

/// Statistics before and after an operation, handed to [`glfs_io_cbk`]. Never looked into: with
/// write-behind in the graph it is zeroed for acknowledged writes.
#[repr(C)]
#[derive(Debug)]
pub struct glfs_stat {
    _opaque: [u8; 0],
}

/// libgfapi's own version when this was built: of GlusterFS 10.3 it is 7.10.3.
pub const VERSION: &str = env!("GFAPI_VERSION");

include!(concat!(env!("OUT_DIR"), "/bindings.rs"));
