//! Everything that knows libgfapi: connections, files, asynchronous calls. Nothing here knows SCSI.
//!
//! An [`Opener`] gives a [`File`], which implements the port that a LUN works with ([`Backend`](crate::lun::backend::Backend)).

mod aio;
mod descriptor;
mod exclusive;
mod file;
mod graph;
mod health;
mod identity;
mod ownership;
mod pool;
mod server;
mod slab;
mod volume;
mod worker;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::errno::Errno;

use self::graph::Graph;
use self::server::Server;
use self::volume::{Origin, Target};
use crate::lun::backend::{NotOpened, Opened, Source};
use crate::lun::config::{Access, Config, Connection};

pub use file::File;
pub use health::{version, volumes};
pub use pool::{set_log_file, shut_down};
pub use server::Unreachable;

/// Why an image could not be opened, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// No glusterd answers.
    #[error("no server answers ({}); is glusterd running there, and its port open?", list(.0))]
    NoServer(Vec<Unreachable>),
    /// The local volfile.
    #[error("volfile {0}: {1}")]
    NoVolfile(String, #[source] io::Error),
    /// A volfile that libgfapi does not survive.
    #[error(
        "volfile {0} has a brick (storage/posix) in it, which libgfapi cannot host; connect to one (protocol/client)"
    )]
    BrickInVolfile(String),
    /// Before the connection.
    #[error("volume {0} could not be set up: {1}")]
    Setup(String, #[source] Errno),
    /// `glfs_init`.
    #[error("{}", init_failed(*.errno, .from))]
    Init {
        /// What libgfapi said.
        errno: Errno,
        /// The server that was asked.
        from: String,
    },
    /// The cluster answers, but nothing that holds data.
    #[error("{from} answers, but the bricks do not ({errno}); is the volume started? (gluster volume status)")]
    NoBricks {
        /// What libgfapi said.
        errno: Errno,
        /// The server that was asked.
        from: String,
    },
    /// As another LUN of the volume has just been told.
    #[error("{0}")]
    Again(Arc<OpenError>),
    /// `glfs_open`.
    #[error("{}", open_failed(*.0))]
    Open(#[source] Errno),
    /// Opened, but no image.
    #[error("it is {0}, not a regular file; name an image file")]
    NotRegular(&'static str),
    /// Longer than `open-timeout`.
    #[error("no answer within {} s (open-timeout=); are the bricks up? (gluster volume status)", .0.as_secs())]
    TimedOut(Duration),
}

impl OpenError {
    /// The nearest errno, for a caller that can pass on no more.
    #[must_use]
    pub fn errno(&self) -> Errno {
        match self {
            Self::NoServer(_) => Errno::ENOTCONN,
            Self::NoVolfile(..) => Errno::ENOENT,
            Self::Setup(_, errno) | Self::Open(errno) | Self::Init { errno, .. } | Self::NoBricks { errno, .. } => {
                *errno
            }
            Self::NotRegular(_) | Self::BrickInVolfile(_) => Errno::EINVAL,
            Self::TimedOut(_) => Errno::ETIMEDOUT,
            Self::Again(why) => why.errno(),
        }
    }

    /// Whether it may go well later, without anybody changing the configuration.
    #[must_use]
    pub fn passes(&self) -> bool {
        match self {
            Self::NoServer(_) | Self::NoBricks { .. } | Self::TimedOut(_) => true,
            Self::Init { errno, .. } => is_outage(*errno) || *errno == Errno::EIO,
            Self::Open(errno) => is_outage(*errno),
            Self::Again(why) => why.passes(),
            Self::NoVolfile(..) | Self::BrickInVolfile(_) | Self::Setup(..) | Self::NotRegular(_) => false,
        }
    }
}

/// The errnos of a cluster that is away for a while.
fn is_outage(errno: Errno) -> bool {
    matches!(errno, Errno::ENOTCONN | Errno::ETIMEDOUT | Errno::ESTALE | Errno::EBADFD | Errno::EAGAIN)
}

fn list(servers: &[Unreachable]) -> String {
    servers.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

fn init_failed(errno: Errno, from: &str) -> String {
    match errno {
        Errno::ENOENT => format!("{from} knows no volume of this name (gluster volume list)"),
        _ => format!("libgfapi could not connect through {from}: {errno}; see its log, tcmu-runner-glfs.log"),
    }
}

fn open_failed(errno: Errno) -> String {
    match errno {
        Errno::ENOENT => format!("the volume has no such file ({errno}); create the image first (truncate -s SIZE)"),
        Errno::EISDIR => format!("it is a directory ({errno}); name an image file"),
        Errno::EINVAL => format!("the volume does not open it ({errno}); it must be a regular file"),
        Errno::ENOTDIR => format!("a part of its path is not a directory ({errno}); check PATH"),
        _ => format!("{errno}; see libgfapi's log, tcmu-runner-glfs.log"),
    }
}

/// Opens the image of a configuration, as often as it is asked to.
#[derive(Debug)]
pub struct Opener {
    config: Config,
    target: Target,
}

impl Opener {
    /// Touches nothing yet.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self { config: config.clone(), target: target(config) }
    }
}

impl Source for Opener {
    type Backend = File;

    fn open(&self, patience: Duration, after: Option<Instant>) -> Result<Opened<File>, NotOpened> {
        // Behind others who wait for the same server, it has had its share of patience.
        let patience = patience.saturating_sub(pool::connecting(&self.target));
        let (config, target) = (self.config.clone(), self.target.clone());
        let opened = worker::bounded("glfs-open", patience, move || open_blocking(&config, &target, after));
        opened.unwrap_or(Err(OpenError::TimedOut(patience))).map_err(|why| NotOpened {
            errno: why.errno(),
            passes: why.passes(),
            why: why.to_string(),
        })
    }
}

/// How the client's graph of translators is set up for `config`: translators (a pattern over their names), key, value.
#[must_use]
pub fn graph_options(config: &Config) -> Vec<graph::Option> {
    Graph::new(config).options().collect()
}

fn open_blocking(config: &Config, target: &Target, after: Option<Instant>) -> Result<Opened<File>, OpenError> {
    let volume = pool::acquire(target, after)?;
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
    let image = file.map_err(|errno| match errno {
        // A graph none of whose bricks has answered yet.
        Errno::EIO | Errno::ENOTCONN => OpenError::NoBricks { errno, from: volume.from().to_owned() },
        errno => OpenError::Open(errno),
    })?;
    match image.kind().map_err(OpenError::Open)? {
        libc::S_IFREG => Ok(Opened { image, writable }),
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
