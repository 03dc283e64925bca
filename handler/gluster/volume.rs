//! A connection to a volume: a `glfs_t` from new to fini.

use std::borrow::Cow;
use std::ffi::{CString, c_int};
use std::fmt;
use std::path::Path;
use std::ptr::{self, NonNull};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use libgfapi_sys as gfapi;
use libgfapi_sys::glfs_t;
use nix::errno::Errno;

use super::OpenError;
use super::graph::Graph;
use super::health::Health;
use super::logging::Logging;
use super::meta::File;
use super::ownership::Layout;
use super::server::{Family, Server, reachable_first};
use super::shards::Shards;
use super::worker::Queue;
use crate::report;

/// Everything that makes two connections the same one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Target {
    pub(super) volume: String,
    pub(super) origin: Origin,
    pub(super) graph: Graph,
    /// Nonzero: shared with nobody.
    pub(super) own: u64,
}

/// Where the graph comes from.
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

/// A connected volume. Dropping it disconnects, which takes up to 10 s.
#[derive(Debug)]
pub(super) struct Volume {
    fs: NonNull<glfs_t>,
    name: String,
    /// Which server gave the graph.
    from: String,
    logging: Logging,
    connected: bool,
    /// Its bricks answered when it was connected.
    has_bricks: bool,
    layout: Mutex<Option<Layout>>,
    shards: Shards,
    /// The text of its graph, if that did not come from a server.
    local: Option<String>,
    since: Instant,
    health: Health,
    /// Of its own: a call may block while the graph changes, and the LUNs of other volumes shall not wait for that.
    submissions: Queue,
    entry: Arc<Mutex<()>>,
}

// SAFETY: libgfapi's calls on an initialised glfs_t may be made from any thread, concurrently.
unsafe impl Send for Volume {}
// SAFETY: as above.
unsafe impl Sync for Volume {}

impl Target {
    /// The servers to ask for the graph; none for a volfile.
    pub(super) fn servers(&self) -> &[Server] {
        match &self.origin {
            Origin::Servers(servers) => servers,
            Origin::Volfile(_) => &[],
        }
    }
}

impl Volume {
    /// Connects. Blocks, without a bound of its own once a server answered.
    ///
    /// # Errors
    /// [`OpenError`] about the servers or the volume.
    pub(super) fn connect(target: &Target, log: &Path, level: c_int) -> Result<Self, OpenError> {
        // Before there is a glfs_t: one whose init failed leaves threads behind (10.3, pub_glfs_fini).
        let (servers, family, local) = match &target.origin {
            Origin::Servers(servers) => {
                let (servers, family) = reachable_first(servers).map_err(OpenError::NoServer)?;
                (servers, family, None)
            }
            Origin::Volfile(path) => {
                let text = std::fs::read_to_string(path).map_err(|why| OpenError::NoVolfile(path.clone(), why))?;
                // storage/posix works on lists that only glusterfsd initialises (10.3, posix_spawn_ctx_janitor_thread): SIGSEGV.
                if text.lines().any(|line| line.split_whitespace().eq(["type", "storage/posix"])) {
                    return Err(OpenError::BrickInVolfile(path.clone()));
                }
                (Vec::new(), Family::Any, Some(text))
            }
        };
        let setup = |errno| OpenError::Setup(target.volume.clone(), errno);
        let name = c_string(&target.volume).map_err(setup)?;
        // SAFETY: the name is NUL-terminated.
        let fs = NonNull::new(unsafe { gfapi::glfs_new(name.as_ptr()) }).ok_or_else(|| setup(Errno::last()))?;
        let mut volume = Self {
            fs,
            name: target.volume.clone(),
            from: servers.first().map_or_else(|| "its volfile".to_owned(), ToString::to_string),
            logging: Logging::default(),
            connected: false,
            has_bricks: true,
            layout: Mutex::default(),
            shards: Shards::default(),
            local,
            since: Instant::now(),
            health: Health::default(),
            submissions: Queue::new("glfs-submit"),
            entry: Arc::default(),
        };
        volume.logging.begin(fs.as_ptr(), log, level).map_err(setup)?;
        volume.set_up(target, &servers, family).map_err(setup)?;
        // SAFETY: set up, and initialised once.
        let failed = unsafe { gfapi::glfs_init(fs.as_ptr()) } != 0;
        match Errno::last() {
            // The graph is there, and only its bricks are not: what failed is `chdir("/")`, the last thing that glfs_init does. libgfapi
            // goes on trying to reach them, and calls succeed as soon as it has (10.3, pub_glfs_init, glfs_graph_setup).
            Errno::EIO if failed => {
                volume.has_bricks = false;
                // Its LUNs warn.
                report::info_always!(report::PLUGIN, "Volume {}: its bricks do not answer", volume.name);
            }
            errno if failed => return Err(OpenError::Init { errno, from: volume.from.clone() }),
            _ => {}
        }
        volume.connected = true;
        report::info_always!(report::PLUGIN, "Volume {}: connected; {}", volume.name, target.graph);
        Ok(volume)
    }

    fn set_up(&self, target: &Target, servers: &[Server], family: Family) -> Result<(), Errno> {
        for server in servers {
            let (transport, host, port) = match server {
                Server::Tcp { host, port } => (c"tcp", c_string(&place(host, *port))?, c_int::from(*port)),
                Server::Unix { socket } => (c"unix", c_string(socket)?, 0),
            };
            // SAFETY: not initialised yet; the strings are NUL-terminated and copied.
            check(unsafe { gfapi::glfs_set_volfile_server(self.as_ptr(), transport.as_ptr(), host.as_ptr(), port) })?;
        }
        if let Origin::Volfile(path) = &target.origin {
            let path = c_string(path)?;
            // SAFETY: not initialised yet; the path is NUL-terminated and copied.
            check(unsafe { gfapi::glfs_set_volfile(self.as_ptr(), path.as_ptr()) })?;
        }
        // Read by what fetches the volfile; no translator has this name.
        let family: &[(_, _, Cow<'_, _>)] =
            if family == Family::Inet6 { &[("volfile-server", "address-family", Cow::Borrowed("inet6"))] } else { &[] };
        let options = target.graph.options().chain(family.iter().cloned());
        for (translators, key, value) in options {
            let (translators, key, value) = (c_string(translators)?, c_string(key)?, c_string(&value)?);
            // SAFETY: not initialised yet; the strings are NUL-terminated and copied.
            check(unsafe {
                gfapi::glfs_set_xlator_option(self.as_ptr(), translators.as_ptr(), key.as_ptr(), value.as_ptr())
            })?;
        }
        Ok(())
    }

    /// What libgfapi has been told about its log.
    pub(super) fn logging(&self) -> &Logging {
        &self.logging
    }

    /// Whether its bricks answered when it was connected. If not, they may by now.
    pub(super) fn has_bricks(&self) -> bool {
        self.has_bricks
    }

    /// Since when it has been there.
    pub(super) fn since(&self) -> Instant {
        self.since
    }

    /// The volume's name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// What is known of how it is.
    pub(super) fn health(&self) -> &Health {
        &self.health
    }

    /// The server that the graph came from.
    pub(super) fn from(&self) -> &str {
        &self.from
    }

    /// What its graph said about how files can be owned, when a file was opened last.
    pub(super) fn known_layout(&self) -> Option<Layout> {
        *self.layout.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same. Blocks for a moment if it is not known.
    pub(super) fn layout(&self) -> Layout {
        self.known_layout().unwrap_or_else(|| self.read_layout())
    }

    /// The same, as it is now: options can be set under way. Blocks for a moment.
    pub(super) fn read_layout(&self) -> Layout {
        let Some(layout) = self.graph().map(|text| Layout::of(&text)) else { return Layout::UNKNOWN };
        *self.layout.lock().unwrap_or_else(PoisonError::into_inner) = Some(layout);
        layout
    }

    /// What is known of the folder of its shards.
    pub(super) fn shards(&self) -> &Shards {
        &self.shards
    }

    /// The text of its graph. Blocks for a moment: libgfapi is connected before it has put it where it can be read.
    pub(super) fn graph(&self) -> Option<String> {
        for _ in 0..20 {
            match self.local.clone().or_else(|| self.volfile()) {
                None => thread::sleep(Duration::from_millis(50)),
                text => return text,
            }
        }
        None
    }

    /// The same, if it is there. The room for it must be exact: libgfapi copies as many bytes as there is room for, however few there are
    /// (10.3, `pub_glfs_get_volfile`).
    fn volfile(&self) -> Option<String> {
        // SAFETY: connected; no room, so nothing is copied.
        let missing = unsafe { gfapi::glfs_get_volfile(self.as_ptr(), ptr::null_mut(), 0) };
        let mut text = vec![0_u8; missing.min(0).unsigned_abs()];
        if text.is_empty() {
            return None;
        }
        // SAFETY: connected; the buffer has the length given, which is what there is.
        let copied = unsafe { gfapi::glfs_get_volfile(self.as_ptr(), text.as_mut_ptr().cast(), text.len()) };
        (usize::try_from(copied) == Ok(text.len())).then(|| String::from_utf8_lossy(&text).into_owned())
    }

    /// Held while a call begins. One that finds a new graph takes all open files over to it, and gives up what they were; and another
    /// that begins in that moment reads what has just been freed: libgfapi looks at a file before it takes any lock (10.3,
    /// `__GLFS_ENTRY_VALIDATE_FD`, `__glfs_migrate_openfds`). A gateway died of that. Shared, because a call may be answered, and its
    /// file and volume gone, before it returns.
    pub(super) fn entry(&self) -> Arc<Mutex<()>> {
        Arc::clone(&self.entry)
    }

    /// The same for calls that block, and cannot hold anything meanwhile: takes the files over to a new graph, if there is one, so that
    /// the call which follows does not have to. Blocks only then.
    pub(super) fn settle(&self) {
        let _entry = self.entry.lock().unwrap_or_else(PoisonError::into_inner);
        // Answered by libgfapi itself. Whether it is there does not matter.
        drop(File::open(self, "version", libc::O_RDONLY));
    }

    /// Does what the threads of libgfapi must not do: submit.
    pub(super) fn submissions(&self) -> &Queue {
        &self.submissions
    }

    pub(super) fn as_ptr(&self) -> *mut glfs_t {
        self.fs.as_ptr()
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        // SAFETY: nothing uses the volume any more: its files, which hold references, are closed.
        let outstanding = unsafe { gfapi::glfs_fini(self.fs.as_ptr()) } != 0;
        if self.connected {
            let how = if outstanding { ", with calls outstanding" } else { "" };
            report::info_always!(report::PLUGIN, "Volume {}: disconnected{how}", self.name);
        }
    }
}

/// How libgfapi wants a server named. From 11.0 on it cuts a port off, at the last colon, and an IPv6 address has colons.
fn place(host: &str, port: u16) -> String {
    // Came with 11.0.
    // SAFETY: the name is NUL-terminated; RTLD_DEFAULT is always a valid handle.
    let cuts = !unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"glfs_openat".as_ptr()) }.is_null();
    if cuts { format!("{host}:{port}") } else { host.to_owned() }
}

pub(super) fn c_string(text: &str) -> Result<CString, Errno> {
    CString::new(text).map_err(|_| Errno::EINVAL)
}

pub(super) fn check(result: c_int) -> Result<(), Errno> {
    if result == 0 { Ok(()) } else { Err(Errno::last()) }
}
