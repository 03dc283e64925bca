// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The folder in which a sharded volume keeps the shards of its images.
//!
//! It is not there before something is changed. Then every change that is under way creates it, and
//! they get in each other's way: a brick refuses one with ENOENT, or removes the folder again of
//! which another client has been told, and that one is refused every further shard with ESTALE for
//! as long as it is connected (10.3: `shard_mkdir_internal_dir`, `posix_gfid_heal`, `posix_mkdir`).
//! So a connection begins with a change that is alone: the first byte of an image is given space,
//! if it has none. (A write of no bytes would do, but kills a client of a dispersed volume:
//! `ec_writev`.)

use std::sync::{Mutex, PoisonError};

use nix::errno::Errno;

use super::file::File;

/// Whether a connection knows that the folder is there.
#[derive(Debug, Default)]
pub(super) struct Shards(Mutex<bool>);

impl Shards {
    /// Before the first change of an image that is not empty, open for writing, on a sharded
    /// volume. Blocks. What goes wrong the first command will meet with as well, and tell.
    pub(super) fn prepare(&self, image: &File) {
        let mut there = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !*there {
            // A file system that cannot allocate is asked when the folder is there.
            *there =
                matches!(image.allocate(0, 1), Ok(()) | Err(Errno::EOPNOTSUPP | Errno::ENOSYS));
        }
    }
}
