// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! A connection to a volume: a [`Volume`], its volfile, and its status.

use std::borrow::Cow;
use std::ffi::c_int;
use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::error::OpenError;
use super::logging::Logging;
use super::server::{self, FetchError, Fetched};
use super::status::{self, ConnectionStatus};
use super::stream::Server;
use super::topology::Topology;
use super::volfile::{Translator, Volfile, translators};
use super::volume::Volume;
use super::worker::{Worker, run_with_timeout};
use super::xlator_options::XlatorOptions;
use crate::lun::backend::Unsupported;
use crate::{log, threads};

/// Everything that makes two connections interchangeable.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Target {
    pub(super) volume: String,
    pub(super) origin: Origin,
    pub(super) options: XlatorOptions,
    /// Nonzero: shared with nobody.
    pub(super) own: u64,
}

/// Where the volfile comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Origin {
    /// glusterd, on the first of these that answers.
    Servers(Vec<Server>),
    /// A file on this host.
    Volfile(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Servers(servers) => {
                f.write_str(&servers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
            }
            Self::Volfile(path) => write!(f, "volfile {path}"),
        }
    }
}

impl Target {
    /// The servers to ask for the volfile; none for a file of this host.
    pub(super) fn servers(&self) -> &[Server] {
        match &self.origin {
            Origin::Servers(servers) => servers,
            Origin::Volfile(_) => &[],
        }
    }

    /// Reads this host's volfile.
    ///
    /// # Errors
    /// It cannot be read, or libgfapi would not survive it.
    pub(super) fn local_volfile(path: &str) -> Result<Volfile, OpenError> {
        let text = std::fs::read_to_string(path)
            .map_err(|why| OpenError::NoVolfile(path.to_owned(), why))?;
        // storage/posix works on lists that only glusterfsd initialises (10.3,
        // posix_spawn_ctx_janitor_thread): SIGSEGV.
        if translators(&text).iter().any(|translator| translator.kind == "storage/posix") {
            return Err(OpenError::BrickInVolfile(path.to_owned()));
        }
        Ok(Volfile::local(text))
    }

    /// Asks `servers` for the volume's volfile.
    ///
    /// # Errors
    /// None answers, or one refuses.
    pub(super) fn fetch<'a>(
        &self,
        servers: impl IntoIterator<Item = &'a Server>,
    ) -> Result<Fetched, OpenError> {
        server::fetch(servers, &self.volume, status::op_version()).map_err(|why| match why {
            FetchError::NoServer(dead) => OpenError::NoServer(dead),
            FetchError::Refused { server, errno } => OpenError::Init(errno, server.to_string()),
        })
    }
}

/// The graphs of one target, counted. Cheap to copy.
#[derive(Debug, Clone, Default)]
pub(super) struct Generation {
    /// How many graphs came before.
    pub(super) number: u64,
    latest: Arc<AtomicU64>,
}

impl Generation {
    /// The one after the latest.
    pub(super) fn next(&self) -> Self {
        Self { number: self.latest.load(Ordering::Acquire) + 1, latest: Arc::clone(&self.latest) }
    }

    /// Makes it the latest: those before are superseded.
    pub(super) fn publish(&self) {
        self.latest.fetch_max(self.number, Ordering::AcqRel);
    }

    /// Whether the volume has another graph by now.
    pub(super) fn is_superseded(&self) -> bool {
        self.number < self.latest.load(Ordering::Acquire)
    }
}

/// A connection. Dropping it disconnects, which takes long: the pool does that.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) volume: Volume,
    pub(super) volfile: Volfile,
    pub(super) topology: Topology,
    /// Whether a translator of the graph may hold back writes that it has acknowledged.
    pub(super) holds_writes_back: bool,
    honours_dsync: AtomicBool,
    pub(super) generation: Generation,
    /// Which server gave the volfile.
    pub(super) volfile_server: String,
    /// Whether bricks answered when it was made. If not, they may by now.
    pub(super) bricks_answered: bool,
    pub(super) connected_at: Instant,
    pub(super) logging: Logging,
    pub(super) status: ConnectionStatus,
    /// Whether the folder of the shards is known to be there.
    has_shard_folder: Mutex<bool>,
    /// What its bricks have turned out not to support.
    pub(super) unsupported: Unsupported,
    /// Completes what libgfapi answered inside the submitting call.
    pub(super) io: Worker,
    /// Images that may be locked here, and by whom they are used: a lock is the connection's,
    /// whoever asks for it.
    lockable: Mutex<Vec<(String, Weak<()>)>>,
}

impl Connection {
    /// Connects with `volfile`. Blocks until the bricks have answered, or cannot be reached.
    ///
    /// # Errors
    /// libgfapi cannot work with it.
    pub(super) fn open(
        target: &Target,
        volfile: Volfile,
        volfile_server: Option<&Server>,
        generation: Generation,
        (log, level): (&Path, c_int),
    ) -> Result<Self, OpenError> {
        let from = volfile_server.map_or_else(|| "its volfile".to_owned(), ToString::to_string);
        let host = match volfile_server {
            Some(Server::Tcp { host, .. }) => host,
            _ => "localhost",
        };
        // A snapshot daemon's client needs it: a volfile has no host for it, because it runs
        // wherever glusterd does (10.3, `client_check_remote_host`).
        let snapd = ("*-snapd-client", "remote-host", Cow::Owned(host.to_owned()));
        let options = target.options.list().into_iter().chain([snapd]);
        let setup = |errno| OpenError::Setup(target.volume.clone(), errno);
        let io = Worker::start("glfs-io").ok_or_else(|| setup(Errno::EAGAIN))?;
        let mut volume = Volume::new(&target.volume).map_err(setup)?;
        let logging = Logging::begin(&volume, log, level).map_err(setup)?;
        let bricks_answered = volume.connect(&volfile, options, &from)?;
        let (name, options) = (&target.volume, &target.options);
        if bricks_answered {
            log::info_always!(log::PLUGIN, "Volume {name}: connected; {options}");
        } else {
            // Its LUNs warn.
            log::info_always!(log::PLUGIN, "Volume {name}: its bricks do not answer");
        }
        Ok(Self {
            topology: Topology::of(&volfile),
            honours_dsync: AtomicBool::new(false),
            holds_writes_back: target.options.holds_writes_back(),
            volume,
            volfile,
            generation,
            volfile_server: from,
            bricks_answered,
            connected_at: Instant::now(),
            logging,
            status: ConnectionStatus::default(),
            has_shard_folder: Mutex::new(false),
            unsupported: Unsupported::default(),
            io,
            lockable: Mutex::default(),
        })
    }

    /// Whether the bricks call fsync for a write with `O_DSYNC`, as far as is known.
    pub(super) fn honours_dsync(&self) -> bool {
        self.honours_dsync.load(Ordering::Relaxed)
    }

    pub(super) fn set_honours_dsync(&self, honours: bool) {
        self.honours_dsync.store(honours, Ordering::Relaxed);
    }

    /// Runs `create` unless the folder of the shards is known to be there, which its result says;
    /// one caller at a time. Blocks as long as `create` does.
    pub(super) fn with_shard_folder(&self, create: impl FnOnce() -> bool) {
        let mut exists = threads::lock(&self.has_shard_folder);
        if !*exists {
            *exists = create();
        }
    }

    /// Refreshes the status, unless it is younger than `max_age` or being refreshed. Blocks, within
    /// bounds.
    pub(super) fn refresh_status(self: &Arc<Self>, max_age: Duration) {
        /// Ends the query, also if there was no thread for it.
        struct Query(Arc<Connection>);

        impl Drop for Query {
            fn drop(&mut self) {
                self.0.status.end_query();
            }
        }

        if self.status.begin_query(max_age) {
            let query = Query(Arc::clone(self));
            run_with_timeout(status::QUERY_TIMEOUT, move || {
                let Self { status, volume, volfile, .. } = &*query.0;
                status.query(volume, volfile);
            });
        }
    }

    /// The bricks that hold an image, by their positions in the volfile: all that may, where its
    /// place does not tell, and all where it is in pieces or copies. Blocks.
    pub(super) fn bricks_of(&self, path: &str) -> Vec<usize> {
        let clients = self.volfile.clients();
        let is_spread = self.topology.has_redundancy() || self.topology.is_sharded();
        let place =
            if is_spread || clients.len() == 1 { None } else { self.volume.pathinfo(path).ok() };
        let holds = |client: &Translator<'_>| {
            place.as_ref().is_none_or(|place| {
                client
                    .option("remote-subvolume")
                    .is_some_and(|brick| place.contains(&format!("<POSIX({brick}):")))
            })
        };
        (0..).zip(&clients).filter(|(_, client)| holds(client)).map(|(at, _)| at).collect()
    }

    /// Lets `user` lock the image here, unless another one may already. To the bricks both would be
    /// one, and none would be kept out; and a descriptor that one closes would drop the lock of
    /// both.
    pub(super) fn claim(&self, path: &str, user: &Arc<()>) -> bool {
        let mut lockable = threads::lock(&self.lockable);
        lockable.retain(|(_, user)| user.strong_count() > 0);
        let is_mine = |other: &Weak<()>| other.as_ptr() == Arc::as_ptr(user);
        if let Some((_, other)) = lockable.iter().find(|(claimed, _)| claimed == path) {
            return is_mine(other);
        }
        lockable.push((path.to_owned(), Arc::downgrade(user)));
        true
    }
}
