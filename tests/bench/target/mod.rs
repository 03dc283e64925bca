// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! What can be loaded: a handler, libgfapi itself, a file on a FUSE mount.

pub(crate) mod file;
pub(crate) mod gfapi;
pub(crate) mod handler;

use std::time::Duration;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::cell::{Cell, Tally};

/// An image, open.
pub(crate) trait Disk: Sync {
    /// Loads it for so long. `seed` makes the choice of blocks differ from LUN to LUN.
    fn run(&self, cell: &Cell, time: Duration, seed: u64) -> anyhow::Result<Tally>;
}

/// How a client reaches its images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ValueEnum, Serialize, Deserialize)]
pub(crate) enum Kind {
    /// A handler's `.so`; the images are cfgstrings.
    Handler,
    /// libgfapi; the images are cfgstrings, and their graph options are those of the plugin.
    GfapiTuned,
    /// libgfapi as the C handler uses it: no graph options, and `O_DIRECT`. The images are
    /// cfgstrings.
    GfapiDefault,
    /// One thread per command in flight, with pread and pwrite; the images are paths.
    FileThreads,
    /// One thread and an `io_uring`; the images are paths.
    FileUring,
}
