// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Everything that knows libgfapi: connections, files, asynchronous calls. Nothing here knows SCSI.
//!
//! An [`Opener`] gives a [`File`], which implements the port that a LUN works with
//! ([`Backend`](crate::lun::backend::Backend)).

mod aio;
mod caw;
mod connection;
mod descriptor;
mod directory;
mod entry;
mod error;
mod file;
#[cfg(fuzzing)]
pub mod fuzzing;
mod glusterd;
mod graph;
mod identity;
mod images;
mod lock;
mod logging;
mod makeup;
mod meta;
mod pool;
mod rpc;
mod server;
mod shards;
mod slab;
mod space;
mod status;
mod tls;
mod volfile;
mod volfile_watch;
mod volume;
mod worker;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::errno::Errno;

use self::connection::{Connection as Shared, Origin, Target};
use self::entry::Wish;
use self::graph::Graph;
use self::server::Server;
use crate::config::{Access, Config, Connection, Fence, LogLevel};
use crate::lun::backend::{self, Opened, Source};

pub use directory::{Entry, EntryKind};
pub use error::OpenError;
pub use file::File;
pub use images::{Answer, Facts, Store};
pub use makeup::Makeup;
pub use pool::{set_log_file, shut_down};
pub use server::Unreachable;
pub use status::{version, volumes};
pub use volfile::{Translator, translators};

/// Opens the image of a configuration, as often as it is asked to.
#[derive(Debug, Clone)]
pub struct Opener {
    config: Config,
    target: Target,
    log_level: Arc<Wish>,
    /// For whom images are locked.
    user: Arc<()>,
}

impl Opener {
    /// Touches nothing yet.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let log_level = Arc::new(Wish::new(logging::number(config.log_level)));
        Self { config: config.clone(), target: target(config), log_level, user: Arc::default() }
    }

    /// The same through the volume's own graph, with its caches, as a client that knows nothing of
    /// LUNs has it: to compare speeds. Nothing that this handler promises holds there.
    #[must_use]
    pub fn untouched(config: &Config) -> Self {
        Self {
            target: Target { graph: Graph::untouched(config), ..target(config) },
            ..Self::new(config)
        }
    }
}

impl Source for Opener {
    type Backend = File;

    fn open(
        &self,
        patience: Duration,
        after: Option<Instant>,
    ) -> Result<Opened<File>, backend::OpenError> {
        // Behind others who wait for the same server, it has had its share of patience.
        let patience = patience.saturating_sub(pool::connecting(&self.target));
        let this = self.clone();
        let opened = worker::run_with_timeout(patience, move || this.open_blocking(after));
        let late =
            || Err(OpenError::TimedOut { after: patience, tried: self.target.origin.to_string() });
        Ok(opened.unwrap_or_else(late)?)
    }

    fn set_log_level(&self, level: LogLevel) {
        self.log_level.store(logging::number(level), Ordering::Relaxed);
    }
}

impl From<OpenError> for backend::OpenError {
    fn from(why: OpenError) -> Self {
        Self { kind: why.kind(), errno: why.errno(), why: why.to_string() }
    }
}

/// How the client's graph of translators is set up for `config`: translators (a pattern over their
/// names), key, value.
#[must_use]
pub fn graph_options(config: &Config) -> Vec<graph::Option> {
    Graph::new(config).options().collect()
}

impl Opener {
    fn open_blocking(&self, after: Option<Instant>) -> Result<Opened<File>, OpenError> {
        let connection = self.connection(after)?;
        let open = |flags| File::open(Arc::clone(&connection), &self.config.path, flags);
        // Not O_DIRECT: no translator that would cache is in the way, and O_DIRECT reaches the
        // bricks, where it fails on sectors larger than a LUN's block.
        let (file, writable) = match self.config.access {
            Access::ReadOnly => (open(libc::O_RDONLY), false),
            Access::ReadWrite => (open(libc::O_RDWR), true),
            Access::Auto => match open(libc::O_RDWR) {
                Err(Errno::EROFS | Errno::EACCES) => (open(libc::O_RDONLY), false),
                other => (other, true),
            },
        };
        let from = || connection.volfile_server().to_owned();
        let refused = |errno| OpenError::Open { errno, from: from() };
        let image = file.map_err(|errno| match errno {
            // A graph none of whose bricks has answered yet.
            Errno::EIO | Errno::ENOTCONN => OpenError::NoBricks { errno, from: from() },
            errno => refused(errno),
        })?;
        let stat = image.descriptor().stat().map_err(refused)?;
        match stat.st_mode & libc::S_IFMT {
            libc::S_IFREG => {
                if connection.layout().is_sharded() && writable && stat.st_size > 0 {
                    connection.shards().prepare(&image);
                }
                Ok(Opened { image, writable })
            }
            libc::S_IFDIR => Err(OpenError::NotRegular("a directory")),
            _ => Err(OpenError::NotRegular("a special file")),
        }
    }

    /// The connection that others share; or one of its own, if another LUN of this process may lock
    /// the image on that one.
    fn connection(&self, after: Option<Instant>) -> Result<Arc<Shared>, OpenError> {
        let connection = pool::acquire(&self.target, after, &self.log_level)?;
        if self.config.fence == Fence::Off || connection.claim(&self.config.path, &self.user) {
            return Ok(connection);
        }
        let own = Target {
            own: u64::try_from(Arc::as_ptr(&self.user).addr()).unwrap_or(1),
            ..self.target.clone()
        };
        pool::acquire(&own, after, &self.log_level)
    }
}

fn target(config: &Config) -> Target {
    static OWN: AtomicU64 = AtomicU64::new(1);
    Target {
        volume: config.volume.clone(),
        origin: match &config.volfile {
            Some(path) => Origin::Volfile(path.clone()),
            None => Origin::Servers(Server::all(config)),
        },
        graph: Graph::new(config),
        own: match config.connection {
            Connection::Shared => 0,
            Connection::Own => OWN.fetch_add(1, Ordering::Relaxed),
        },
    }
}
