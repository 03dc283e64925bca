//! Everything that knows libgfapi: connections, files, asynchronous calls. Nothing here knows SCSI.
//!
//! An [`Opener`] gives a [`File`], which implements the port that a LUN works with ([`Backend`](crate::lun::backend::Backend)).

mod aio;
mod descriptor;
mod error;
mod exclusive;
mod file;
mod graph;
mod health;
mod identity;
mod images;
mod logging;
mod makeup;
mod meta;
mod ownership;
mod pool;
mod server;
mod shards;
mod slab;
mod volfile;
mod volume;
mod worker;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::errno::Errno;

use self::graph::Graph;
use self::pool::Wish;
use self::server::Server;
use self::volume::{Origin, Target};
use crate::lun::backend::{NotOpened, Opened, Source};
use crate::lun::config::{Access, Config, Connection, LogLevel};

pub use error::OpenError;
pub use file::File;
pub use health::{version, volumes};
pub use images::{Answer, Facts, Store};
pub use makeup::Makeup;
pub use pool::{set_log_file, shut_down};
pub use server::Unreachable;
pub use volfile::{Translator, translators};

/// Opens the image of a configuration, as often as it is asked to.
#[derive(Debug)]
pub struct Opener {
    config: Config,
    target: Target,
    log_level: Arc<Wish>,
}

impl Opener {
    /// Touches nothing yet.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let log_level = Arc::new(Wish::new(logging::number(config.log_level)));
        Self { config: config.clone(), target: target(config), log_level }
    }

    /// The same through the volume's own graph, with its caches, as a client that knows nothing of LUNs has it: to compare speeds.
    /// Nothing that this handler promises holds there.
    #[must_use]
    pub fn untouched(config: &Config) -> Self {
        Self { target: Target { graph: Graph::untouched(config), ..target(config) }, ..Self::new(config) }
    }
}

impl Source for Opener {
    type Backend = File;

    fn open(&self, patience: Duration, after: Option<Instant>) -> Result<Opened<File>, NotOpened> {
        // Behind others who wait for the same server, it has had its share of patience.
        let patience = patience.saturating_sub(pool::connecting(&self.target));
        let (config, target, wish) = (self.config.clone(), self.target.clone(), Arc::clone(&self.log_level));
        let opened = worker::bounded("glfs-open", patience, move || open_blocking(&config, &target, after, &wish));
        let late = || Err(OpenError::TimedOut { after: patience, tried: self.target.origin.to_string() });
        Ok(opened.unwrap_or_else(late)?)
    }

    fn set_log_level(&self, level: LogLevel) {
        self.log_level.store(logging::number(level), Ordering::Relaxed);
    }
}

impl From<OpenError> for NotOpened {
    fn from(why: OpenError) -> Self {
        Self { errno: why.errno(), passes: why.passes(), why: why.to_string() }
    }
}

/// How the client's graph of translators is set up for `config`: translators (a pattern over their names), key, value.
#[must_use]
pub fn graph_options(config: &Config) -> Vec<graph::Option> {
    Graph::new(config).options().collect()
}

fn open_blocking(
    config: &Config,
    target: &Target,
    after: Option<Instant>,
    wish: &Arc<Wish>,
) -> Result<Opened<File>, OpenError> {
    let volume = pool::acquire(target, after, wish)?;
    let open = |flags| File::open(Arc::clone(&volume), &config.path, flags);
    // Not O_DIRECT: no translator that would cache is in the way, and O_DIRECT reaches the bricks, where it fails on sectors
    // larger than a LUN's block.
    let (file, writable) = match config.access {
        Access::ReadOnly => (open(libc::O_RDONLY), false),
        Access::ReadWrite => (open(libc::O_RDWR), true),
        Access::Auto => match open(libc::O_RDWR) {
            Err(Errno::EROFS | Errno::EACCES) => (open(libc::O_RDONLY), false),
            other => (other, true),
        },
    };
    let refused = |errno| OpenError::Open { errno, from: volume.from().to_owned() };
    let image = file.map_err(|errno| match errno {
        // A graph none of whose bricks has answered yet.
        Errno::EIO | Errno::ENOTCONN => OpenError::NoBricks { errno, from: volume.from().to_owned() },
        errno => refused(errno),
    })?;
    let stat = image.descriptor().stat().map_err(refused)?;
    match stat.st_mode & libc::S_IFMT {
        libc::S_IFREG => {
            if volume.read_layout().is_sharded() && writable && stat.st_size > 0 {
                volume.shards().prepare(&image);
            }
            Ok(Opened { image, writable })
        }
        libc::S_IFDIR => Err(OpenError::NotRegular("a directory")),
        _ => Err(OpenError::NotRegular("a special file")),
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
