//! How a connection is, in libgfapi's own words: the files of its meta translator, below `/.meta`.
//!
//! They are answered from the client's memory, in a tenth of a millisecond and with all bricks down as well (10.3). But a call that
//! finds a new graph takes all open files there first, and that waits for bricks: so they are read by a thread of their own, with a
//! bound, when somebody asks, and not more often than every few seconds.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::meta::{File, Folder};
use super::pool;
use super::volfile::{Translator, translators};
use super::volume::Volume;
use super::worker::bounded;
use crate::lun::backend::Bricks;
use crate::metrics::VolumeState;

/// How long an answer is good for.
const FRESH: Duration = Duration::from_secs(3);
/// How long to wait for another.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);
/// Older than this, an answer is none.
const STALE: Duration = Duration::from_secs(60);

/// What is known of one connection.
#[derive(Debug, Default)]
pub(super) struct Health(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    last: Option<(Instant, Report)>,
    /// Somebody is asking, and may be for long.
    asking: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Report {
    bricks: u64,
    connected: u64,
    graph_switches: u64,
    encrypted: bool,
}

impl Health {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the connections to the bricks are encrypted, as far as anybody has asked.
    pub(super) fn encrypted(&self) -> Option<bool> {
        self.lock().last.map(|(_, report)| report.encrypted)
    }

    fn last(&self, age: Duration) -> Option<Report> {
        self.lock().last.filter(|(when, _)| when.elapsed() < age).map(|(_, report)| report)
    }
}

/// The connections that there are, as far as they answer.
#[must_use]
pub fn volumes() -> Vec<VolumeState> {
    let states = pool::connected().into_iter().filter_map(|volume| {
        let Report { bricks, connected, graph_switches, .. } = ask(&volume)?;
        let (name, server) = (volume.name().to_owned(), volume.from().to_owned());
        Some(VolumeState { volume: name, server, bricks, connected, graph_switches })
    });
    states.collect()
}

static VERSION: OnceLock<String> = OnceLock::new();

/// The version of GlusterFS that libgfapi is of, when a connection has told.
pub fn version() -> Option<String> {
    VERSION.get().cloned()
}

fn ask(volume: &Arc<Volume>) -> Option<Report> {
    /// Ends the asking, also if there was no thread to do it.
    struct Asking(Arc<Volume>);

    impl Drop for Asking {
        fn drop(&mut self) {
            self.0.health().lock().asking = false;
        }
    }

    let health = volume.health();
    if let Some(report) = health.last(FRESH) {
        return Some(report);
    }
    if !std::mem::replace(&mut health.lock().asking, true) {
        let asking = Asking(Arc::clone(volume));
        bounded("glfs-meta", PATIENCE, move || {
            let volume = &asking.0;
            if let Ok(report) = look(volume) {
                volume.health().lock().last = Some((Instant::now(), report));
            }
        });
    }
    health.last(STALE)
}

/// Blocks.
fn look(volume: &Volume) -> Result<Report, Errno> {
    volume.settle();
    if VERSION.get().is_none()
        && let Some(version) = package_version(&read(volume, "version")?)
    {
        let _first = VERSION.set(version).is_ok();
    }
    let volfile = read(volume, "graphs/active/volfile")?;
    let clients = clients(&volfile);
    let Bricks { connected, all } = count(volume, &clients)?;
    Ok(Report {
        bricks: all,
        connected,
        // Replaced ones stay where they are.
        graph_switches: Folder::open(volume, c"/.meta/graphs")?.graphs().saturating_sub(1),
        encrypted: !clients.is_empty() && clients.iter().all(Translator::is_encrypted),
    })
}

fn read(volume: &Volume, name: &str) -> Result<String, Errno> {
    File::open(volume, name, libc::O_RDONLY)?.read()
}

/// How many of the bricks are connected. Blocks.
fn count(volume: &Volume, clients: &[Translator<'_>]) -> Result<Bricks, Errno> {
    let mut connected = 0;
    for client in clients {
        let private = read(volume, &format!("graphs/active/{}/private", client.name))?;
        connected += u64::from(private.lines().any(|line| line.trim() == "connected = 1"));
    }
    Ok(Bricks { connected, all: u64::try_from(clients.len()).unwrap_or(u64::MAX) })
}

/// The bricks of a connection, now. Blocks.
pub(super) fn bricks(volume: &Volume) -> Result<Bricks, Errno> {
    volume.settle();
    count(volume, &clients(&read(volume, "graphs/active/volfile")?))
}

/// The connections to bricks in the text of a graph.
fn clients(volfile: &str) -> Vec<Translator<'_>> {
    // The daemon for snapshots is no brick.
    let is_snapd =
        |client: &Translator<'_>| client.option("remote-subvolume").is_some_and(|of| of.starts_with("snapd-"));
    let is_client = |translator: &Translator<'_>| translator.kind == "protocol/client" && !is_snapd(translator);
    translators(volfile).into_iter().filter(is_client).collect()
}

/// Of `{ "Package Version": "10.3" }`.
fn package_version(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("\"Package Version\"")?;
    rest.split('"').nth(1).filter(|version| !version.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clients_of_a_graph_are_its_bricks() {
        let client = |name: &str, options: &str| {
            format!("volume {name}\n    type protocol/client\n    option remote-host h\n{options}end-volume\n\n")
        };
        let text = client("v-client-0", "    option transport.socket.ssl-enabled on\n")
            + &client("v-client-1", "    option remote-subvolume /b\n    option transport.socket.ssl-enabled off\n")
            + &client(
                "v-snapd-client",
                "    option remote-subvolume snapd-v\n    option transport.socket.ssl-enabled on\n",
            )
            + "volume v-dht\n    type cluster/distribute\n    option transport.socket.ssl-enabled on\nend-volume\n";
        let found = clients(&text);
        let found: Vec<_> = found.iter().map(|client| (client.name, client.is_encrypted())).collect();
        assert_eq!(found, [("v-client-0", true), ("v-client-1", false)]);
    }

    #[test]
    fn the_version_is_between_quotes() {
        assert_eq!(package_version("{ \n  \"Package Version\": \"10.3\"\n}\n").as_deref(), Some("10.3"));
        assert_eq!(package_version("{}"), None);
    }
}
