//! Everything that knows libgfapi: connections, files, asynchronous calls. Nothing here knows SCSI.
//!
//! [`open`] gives a [`File`], which implements the port that a LUN works with ([`Backend`](crate::lun::backend::Backend)).

mod aio;
mod descriptor;
mod exclusive;
mod file;
mod graph;
mod identity;
mod pool;
mod server;
mod slab;
mod volume;
mod worker;

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nix::errno::Errno;

use self::graph::Graph;
use self::server::Server;
use self::volume::{Source, Target};
use crate::lun::config::{Access, Config, Connection};

pub use file::File;
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
            Self::Setup(_, errno) | Self::Open(errno) | Self::Init { errno, .. } => *errno,
            Self::NotRegular(_) | Self::BrickInVolfile(_) => Errno::EINVAL,
            Self::TimedOut(_) => Errno::ETIMEDOUT,
        }
    }
}

fn list(servers: &[Unreachable]) -> String {
    servers.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

fn init_failed(errno: Errno, from: &str) -> String {
    match errno {
        Errno::ENOENT => format!("{from} knows no volume of this name (gluster volume list)"),
        // libgfapi looks at the root directory last, and a volume without bricks has none.
        Errno::EIO | Errno::ENOTCONN => {
            format!("{from} answers, but the bricks do not ({errno}); is the volume started? (gluster volume status)")
        }
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

/// Connects to the volume of `config`, or finds it connected, and opens the image. The file, and whether it may be written.
/// Blocks for `open-timeout` at most.
///
/// # Errors
/// [`OpenError`].
pub fn open(config: &Config) -> Result<(File, bool), OpenError> {
    let (patience, config) = (config.open_timeout, config.clone());
    let opened = worker::bounded("glfs-open", patience, move || open_blocking(&config));
    opened.unwrap_or(Err(OpenError::TimedOut(patience)))
}

/// How the client's graph of translators is set up for `config`: translators (a pattern over their names), key, value.
#[must_use]
pub fn graph_options(config: &Config) -> Vec<graph::Option> {
    Graph::new(config).options().copied().collect()
}

fn open_blocking(config: &Config) -> Result<(File, bool), OpenError> {
    let volume = pool::acquire(&target(config))?;
    let open = |flags| File::open(std::sync::Arc::clone(&volume), &config.path, flags);
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
    let file = file.map_err(OpenError::Open)?;
    match file.kind().map_err(OpenError::Open)? {
        libc::S_IFREG => Ok((file, writable)),
        libc::S_IFDIR => Err(OpenError::NotRegular("a directory")),
        _ => Err(OpenError::NotRegular("a special file")),
    }
}

fn target(config: &Config) -> Target {
    static OWN: AtomicU64 = AtomicU64::new(1);
    Target {
        volume: config.volume.clone(),
        source: match &config.volfile {
            Some(path) => Source::Volfile(path.clone()),
            None => Source::Servers(Server::all(config)),
        },
        graph: Graph::new(config),
        own: match config.connection {
            Connection::Shared => 0,
            Connection::Own => OWN.fetch_add(1, Ordering::Relaxed),
        },
    }
}
