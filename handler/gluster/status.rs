// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Status of a connection: which bricks it reaches, from the files of libgfapi's meta translator.
//!
//! They are answered from the client's memory, in a tenth of a millisecond and with all bricks down
//! as well (10.3). Still they are read by a thread of their own, with a bound: libgfapi's locks are
//! taken.

use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::meta;
use super::volfile::{Translator, Volfile};
use super::volume::Volume;
use crate::lun::backend::Bricks;
use crate::threads;

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
        let cache = threads::lock(&self.cache);
        bricks.iter().filter_map(|&brick| cache.losses.get(brick)).sum()
    }

    /// The bricks as they were seen of late.
    pub(super) fn bricks(&self) -> Option<Bricks> {
        threads::lock(&self.cache)
            .last
            .as_ref()
            .filter(|(when, _)| when.elapsed() < STALE)
            .map(|(_, clients)| count(clients))
    }

    /// Whether to query now: then that is under way, until [`end_query`](Self::end_query).
    pub(super) fn begin_query(&self, max_age: Duration) -> bool {
        let mut cache = threads::lock(&self.cache);
        let is_known = cache.last.as_ref().is_some_and(|(when, _)| when.elapsed() < max_age);
        !is_known && !std::mem::replace(&mut cache.querying, true)
    }

    pub(super) fn end_query(&self) {
        threads::lock(&self.cache).querying = false;
    }

    /// Asks libgfapi. Blocks.
    pub(super) fn query(&self, volume: &Volume, volfile: &Volfile) {
        if VERSION.get().is_none()
            && let Ok(text) = meta::read(volume, "version")
            && let Some(version) = package_version(&text)
        {
            let _first = VERSION.set(version).is_ok();
        }
        if let Ok(clients) = clients(volume, volfile) {
            self.update(clients);
        }
    }

    fn update(&self, clients: Vec<Client>) {
        let mut cache = threads::lock(&self.cache);
        let Cache { last, losses, .. } = &mut *cache;
        losses.resize(clients.len(), 0);
        let before = last.iter().flat_map(|(_, clients)| clients);
        for ((now, before), losses) in clients.iter().zip(before).zip(losses) {
            *losses += u64::from(now.was_lost_since(*before));
        }
        cache.last = Some((Instant::now(), clients));
    }
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

/// The bricks of a connection, now. Blocks.
///
/// # Errors
/// libgfapi's.
pub(super) fn bricks(volume: &Volume, volfile: &Volfile) -> Result<Bricks, Errno> {
    clients(volume, volfile).map(|clients| count(&clients))
}

fn count(clients: &[Client]) -> Bricks {
    let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    Bricks {
        connected: number(clients.iter().filter(|client| client.connected).count()),
        all: number(clients.len()),
    }
}

fn clients(volume: &Volume, volfile: &Volfile) -> Result<Vec<Client>, Errno> {
    let state = |client: &Translator<'_>| {
        let private = meta::read(volume, &format!("graphs/active/{}/private", client.name))?;
        Ok(client_state(&private))
    };
    volfile.clients().iter().map(state).collect()
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
        let text = "[xlator.protocol.client.v-client-0.priv]\nconnected = 1\n\
                    total_bytes_read = 7\nmsgs_sent = 41\n";
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
