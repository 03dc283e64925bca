// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Opens images, on connections that are shared where they may be.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::connection::{Connection, Origin, Target};
use super::error::OpenError;
use super::file::File;
use super::logging::{self, LogLevelRequest};
use super::stream::Server;
use super::xlator_options::{XlatorOption, XlatorOptions};
use super::{pool, worker};
use crate::config::{self, Access, Config, Fence, LogLevel};
use crate::lun::backend::{self, Opened, Source};

/// Opens the image of a configuration, as often as it is asked to.
#[derive(Debug, Clone)]
pub struct Opener {
    config: Config,
    pub(super) target: Target,
    pub(super) log_level: Arc<LogLevelRequest>,
    /// For whom images are locked.
    user: Arc<()>,
}

impl Opener {
    /// Touches nothing yet.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let log_level = Arc::new(LogLevelRequest::new(logging::number(config.log_level)));
        Self { config: config.clone(), target: target(config), log_level, user: Arc::default() }
    }

    /// One through the volume's own graph, with its caches, as other clients have it: to compare
    /// speeds. Nothing that this handler promises holds there.
    #[must_use]
    pub fn volume_defaults(config: &Config) -> Self {
        Self {
            target: Target { options: XlatorOptions::volume_defaults(config), ..target(config) },
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
        self.blocking(patience, move |this| this.open_blocking(after))
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
pub fn xlator_options(config: &Config) -> Vec<XlatorOption> {
    XlatorOptions::new(config).list()
}

impl Opener {
    /// Makes a call that may hang as long as the servers do.
    pub(super) fn blocking<T: Send + 'static>(
        &self,
        patience: Duration,
        call: impl FnOnce(&Self) -> Result<T, OpenError> + Send + 'static,
    ) -> Result<T, backend::OpenError> {
        let this = self.clone();
        let done = worker::run_with_timeout(patience, move || call(&this));
        let late =
            || Err(OpenError::TimedOut { after: patience, tried: self.target.origin.to_string() });
        Ok(done.unwrap_or_else(late)?)
    }

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
        let from = || connection.volfile_server.clone();
        let refused = |errno| OpenError::Open(errno, from());
        let image = file.map_err(|errno| match errno {
            // A graph none of whose bricks has answered yet.
            Errno::EIO | Errno::ENOTCONN => OpenError::NoBricks(errno, from()),
            errno => refused(errno),
        })?;
        let stat = image.fd.stat().map_err(refused)?;
        match stat.st_mode & libc::S_IFMT {
            libc::S_IFREG => {
                if connection.topology.is_sharded() && writable && stat.st_size > 0 {
                    connection.with_shard_folder(|| create_shard_folder(&image));
                }
                Ok(Opened { image, writable })
            }
            libc::S_IFDIR => Err(OpenError::NotRegular("a directory")),
            _ => Err(OpenError::NotRegular("a special file")),
        }
    }

    /// The connection that others share; or one of its own, if another LUN of this process may lock
    /// the image on that one.
    fn connection(&self, after: Option<Instant>) -> Result<Arc<Connection>, OpenError> {
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

/// Makes the folder in which a sharded volume keeps the shards of its images. Whether it is there.
///
/// It is not there before something is changed. Then every change that is under way creates it, and
/// they get in each other's way: a brick refuses one with ENOENT, or removes the folder again of
/// which another client has been told, and that one is refused every further shard with ESTALE for
/// as long as it is connected (10.3: `shard_mkdir_internal_dir`, `posix_gfid_heal`, `posix_mkdir`).
/// So a connection begins with a change that is alone: the first byte of an image is given space,
/// if it has none. (A write of no bytes would do, but kills a client of a dispersed volume:
/// `ec_writev`.) Errors are left to the first command, which meets with them as well.
fn create_shard_folder(image: &File) -> bool {
    // A file system that cannot allocate is asked when the folder is there.
    matches!(image.fd.allocate(0, 1), Ok(()) | Err(Errno::EOPNOTSUPP | Errno::ENOSYS))
}

fn target(config: &Config) -> Target {
    static OWN: AtomicU64 = AtomicU64::new(1);
    Target {
        volume: config.volume.clone(),
        origin: match &config.volfile {
            Some(path) => Origin::Volfile(path.clone()),
            None => Origin::Servers(Server::all(config)),
        },
        options: XlatorOptions::new(config),
        own: match config.connection {
            config::Connection::Shared => 0,
            config::Connection::Own => OWN.fetch_add(1, Ordering::Relaxed),
        },
    }
}
