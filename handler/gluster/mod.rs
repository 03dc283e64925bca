// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Everything that knows libgfapi: connections, files, asynchronous calls. Nothing here knows SCSI.
//!
//! An [`Opener`] gives a [`File`], which implements the port that a LUN works with
//! ([`Backend`](crate::lun::backend::Backend)). From bottom to top:
//!
//! | rooms | what |
//! |---|---|
//! | `slab`, `worker`, `rpc`, `tls`, `stream` | memory and threads of calls; glusterd's protocol |
//! | `volfile`, `topology`, `xlator_options` | a graph: read, described, set up |
//! | `glusterd`, `server` | where volfiles come from |
//! | `volume`, `meta`, `logging`, `status` | a `glfs_t`, its log and its bricks |
//! | `connection`, `pool_entry`, `volfile_watch`, `pool` | connected volumes, shared and replaced |
//! | `fd`, `aio`, `caw`, `space`, `file`, `lock` | an image, open |
//! | `opener`, `admin`, `directory` | what the plugin and the command use |

mod admin;
mod aio;
mod caw;
mod connection;
mod directory;
mod error;
mod fd;
mod file;
#[cfg(fuzzing)]
pub mod fuzzing;
mod glusterd;
mod lock;
mod logging;
mod mark;
mod meta;
mod opener;
mod pool;
mod pool_entry;
mod rpc;
mod server;
mod slab;
mod space;
mod status;
mod stream;
mod tls;
mod topology;
mod volfile;
mod volfile_watch;
mod volume;
mod worker;
mod xlator_options;

pub use admin::AdminClient;
pub use directory::{Entry, EntryKind};
pub use error::OpenError;
pub use file::File;
pub use logging::set_log_file;
pub use opener::{Opener, xlator_options};
pub use pool::{shut_down, volumes};
pub use server::{ServerProbe, Unreachable};
pub use status::version;
pub use topology::Topology;
pub use volfile::{Translator, is_on, parse_size, translators};
