// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! How a connection is, in libgfapi's own words: the files of its meta translator, below `/.meta`.
//!
//! They are answered from the client's memory, in a tenth of a millisecond and with all bricks down
//! as well (10.3). Still they are read by a thread of their own, with a bound: libgfapi's locks are
//! taken.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::connection::Connection;
use super::meta::File;
use super::pool;
use super::volfile::Translator;
use super::worker::run_with_timeout;
use crate::lun::backend::Bricks;
use crate::metrics::VolumeState;

/// Bounds a query.
pub(super) const QUERY_TIMEOUT: Duration = Duration::from_secs(1);
/// How old an answer may be for whoever asks for numbers.
pub(super) const MAX_AGE: Duration = Duration::from_secs(3);
/// Older than this, an answer is none.
const STALE: Duration = Duration::from_secs(60);

/// Cached status of a connection. Refreshed by its monitor.
#[derive(Debug, Default)]
pub(super) struct ConnectionStatus {
    cache: Mutex<Cache>,
}

#[derive(Debug, Default)]
struct Cache {
    last: Option<(Instant, Vec<Client>)>,
    /// How often each brick was lost, as far as was seen.
    losses: Vec<u64>,
    /// A query is under way, and may be for long.
    querying: bool,
}

/// A connection to one brick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Client {
    connected: bool,
    /// Messages since it was connected: begins anew with each connect (10.3,
    /// `rpc_clnt_connection_cleanup`).
    sent: u64,
}

impl Client {
    /// Whether it has been disconnected since it was in the state `before`.
    fn was_lost_since(self, before: Self) -> bool {
        before.connected && (!self.connected || self.sent < before.sent)
    }
}

impl ConnectionStatus {
    /// How often one of these bricks was lost, as far as was seen.
    pub(super) fn losses(&self, bricks: &[usize]) -> u64 {
        let cache = self.lock();
        bricks.iter().filter_map(|&brick| cache.losses.get(brick)).sum()
    }

    /// The bricks as they were seen of late.
    pub(super) fn bricks(&self) -> Option<Bricks> {
        self.lock()
            .last
            .as_ref()
            .filter(|(when, _)| when.elapsed() < STALE)
            .map(|(_, clients)| count(clients))
    }

    /// Whether to query now: then that is under way.
    fn is_due(&self, max_age: Duration) -> bool {
        let mut cache = self.lock();
        let is_known = cache.last.as_ref().is_some_and(|(when, _)| when.elapsed() < max_age);
        !is_known && !std::mem::replace(&mut cache.querying, true)
    }

    /// Takes what was seen.
    fn update(&self, clients: Vec<Client>) {
        let mut cache = self.lock();
        let Cache { last, losses, .. } = &mut *cache;
        losses.resize(clients.len(), 0);
        let before = last.iter().flat_map(|(_, clients)| clients);
        for ((now, before), losses) in clients.iter().zip(before).zip(losses) {
            *losses += u64::from(now.was_lost_since(*before));
        }
        cache.last = Some((Instant::now(), clients));
    }

    fn lock(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The connections that there are, as far as they answer.
#[must_use]
pub fn volumes() -> Vec<VolumeState> {
    let states = pool::connected().into_iter().filter_map(|connection| {
        refresh(&connection, MAX_AGE);
        let Bricks { connected, all } = connection.status().bricks()?;
        Some(VolumeState {
            volume: connection.volume().name().to_owned(),
            server: connection.volfile_server().to_owned(),
            bricks: all,
            connected,
            graph_switches: connection.generation().number(),
        })
    });
    states.collect()
}

static VERSION: OnceLock<String> = OnceLock::new();

/// The version of GlusterFS that libgfapi is of, when a connection has told.
pub fn version() -> Option<String> {
    VERSION.get().cloned()
}

/// The highest op-version that libgfapi supports, all of its major version: until a connection has
/// told, of the one that this was built with. libgfapi's own number of version 10.3 is 7.10.3.
pub(super) fn op_version() -> u32 {
    let built_with = libgfapi_sys::VERSION.split_once('.').map_or("", |(_, version)| version);
    let major =
        |version: &str| version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    let major =
        VERSION.get().and_then(|version| major(version)).or_else(|| major(built_with)).unwrap_or(0);
    major.saturating_mul(10_000).saturating_add(9_999)
}

/// Looks how the bricks are, unless that is known from `max_age` ago or later, or is being done.
/// Blocks, within bounds.
pub(super) fn refresh(connection: &Arc<Connection>, max_age: Duration) {
    /// Ends the query, also if there was no thread to do it.
    struct Query(Arc<Connection>);

    impl Drop for Query {
        fn drop(&mut self) {
            self.0.status().lock().querying = false;
        }
    }

    if connection.status().is_due(max_age) {
        let query = Query(Arc::clone(connection));
        run_with_timeout(QUERY_TIMEOUT, move || {
            let connection = &query.0;
            if VERSION.get().is_none()
                && let Ok(text) = read(connection, "version")
                && let Some(version) = package_version(&text)
            {
                let _first = VERSION.set(version).is_ok();
            }
            if let Ok(clients) = clients(connection) {
                connection.status().update(clients);
            }
        });
    }
}

/// The bricks of a connection, now. Blocks.
///
/// # Errors
/// libgfapi's.
pub(super) fn bricks(connection: &Connection) -> Result<Bricks, Errno> {
    clients(connection).map(|clients| count(&clients))
}

/// The bricks that hold an image, by their numbers: all that may, where its name does not tell, and
/// all where it is in pieces.
pub(super) fn holders(connection: &Connection, path: &str) -> Vec<usize> {
    let clients = connection.volfile().clients();
    let is_in_pieces = connection.layout().is_replicated() || connection.layout().is_sharded();
    let place = if is_in_pieces || clients.len() == 1 {
        None
    } else {
        connection.volume().pathinfo(path).ok()
    };
    let all = 0..clients.len();
    let Some(place) = place else { return all.collect() };
    let holds = |client: &Translator<'_>| {
        client
            .option("remote-subvolume")
            .is_some_and(|brick| place.contains(&format!("<POSIX({brick}):")))
    };
    all.clone()
        .zip(&clients)
        .filter(|(_, client)| holds(client))
        .map(|(number, _)| number)
        .collect()
}

fn count(clients: &[Client]) -> Bricks {
    let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    Bricks {
        connected: number(clients.iter().filter(|client| client.connected).count()),
        all: number(clients.len()),
    }
}

fn clients(connection: &Connection) -> Result<Vec<Client>, Errno> {
    let state = |client: &Translator<'_>| {
        let private = read(connection, &format!("graphs/active/{}/private", client.name))?;
        Ok(client_state(&private))
    };
    connection.volfile().clients().iter().map(state).collect()
}

fn read(connection: &Connection, name: &str) -> Result<String, Errno> {
    File::open(connection.volume(), name, libc::O_RDONLY)?.read()
}

/// Reads what `client_priv_dump` writes (10.3).
fn client_state(private: &str) -> Client {
    let value = |key: &str| {
        let mut values = private.lines().filter_map(|line| line.split_once('='));
        values.find(|(found, _)| found.trim() == key).map(|(_, value)| value.trim())
    };
    Client {
        connected: value("connected") == Some("1"),
        sent: value("msgs_sent").and_then(|sent| sent.parse().ok()).unwrap_or(0),
    }
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
    fn the_version_is_between_quotes() {
        assert_eq!(
            package_version("{ \n  \"Package Version\": \"10.3\"\n}\n").as_deref(),
            Some("10.3")
        );
        assert_eq!(package_version("{}"), None);
    }

    #[test]
    fn a_brick_that_is_away_or_was_is_lost() {
        let text = "[xlator.protocol.client.v-client-0.priv]\nconnected = 1\ntotal_bytes_read = 7\nmsgs_sent = 41\n";
        let before = client_state(text);
        assert_eq!(before, Client { connected: true, sent: 41 });
        let now = |connected, sent| Client { connected, sent };
        assert!(!now(true, 41).was_lost_since(before) && !now(true, 90).was_lost_since(before));
        assert!(now(true, 5).was_lost_since(before), "connected anew");
        assert!(now(false, 41).was_lost_since(before));
        assert!(!now(true, 5).was_lost_since(now(false, 41)), "that has been counted");

        let status = ConnectionStatus::default();
        for (sent, losses) in [(1, 0), (9, 0), (3, 1), (4, 1)] {
            status.update(vec![now(true, 7), now(true, sent)]);
            assert_eq!((status.losses(&[1]), status.losses(&[0])), (losses, 0));
        }
    }
}
