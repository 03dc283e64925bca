// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The cfgstring: `glfs/VOLUME@HOST/PATH[;KEY=VALUE]...`.
//!
//! Up to PATH it is what tcmu-runner's C handler of that name takes. Parsing is complete and
//! strict: an admin learns of a mistake from `targetcli create`, in one sentence, before anything
//! is created. What it does not say, the site file may ([`Site`]). Nothing here touches files or
//! network.

mod escape;
mod keys;
mod reload;
mod site;
mod table;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use escape::{Escaped, unescape};

pub use keys::{
    Access, Cache, Connection, Fence, Grow, IoThreads, LogLevel, OnUnreachable, Transport,
};
pub use site::{Site, SiteError};
pub use table::{KEYS, Key, METRICS, help};

/// What a cfgstring says, defaults filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Name of the Gluster volume.
    pub volume: String,
    /// Volfile servers in the order to try: HOST, then every `server=`. At least one.
    pub hosts: Vec<String>,
    /// The image, from the root of the volume.
    pub path: String,
    /// `port=`: glusterd's TCP port.
    pub port: u16,
    /// `transport=`: how to reach glusterd.
    pub transport: Transport,
    /// `socket=`: glusterd's socket, for [`Transport::Unix`].
    pub socket: String,
    /// `volfile=`: build the graph from this local file; no glusterd is asked.
    pub volfile: Option<String>,
    /// `cache=`.
    pub cache: Cache,
    /// `access=`.
    pub access: Access,
    /// `io-threads=`.
    pub io_threads: IoThreads,
    /// `connection=`.
    pub connection: Connection,
    /// `fence=`.
    pub fence: Fence,
    /// `grow=`: what makes the LUN as large as an image that has grown.
    pub grow: Grow,
    /// `open=`.
    pub open: OnUnreachable,
    /// `open-timeout=`: an open that takes longer has failed.
    pub open_timeout: Duration,
    /// `ping-timeout=`: a brick that says nothing for this long, twice at most, is taken for dead.
    pub ping_timeout: Duration,
    /// `outage=`: how long the volume may be away before commands fail.
    pub outage: Duration,
    /// `log-level=`: of libgfapi's own log, and of the LUN's lines.
    pub log_level: LogLevel,
}

const SUBTYPE: &str = "glfs/";
const FORM: &str = "VOLUME@HOST/PATH[;KEY=VALUE]...";
const DEFAULT_PORT: u16 = 24007;
const DEFAULT_SOCKET: &str = "/var/run/glusterd.socket";
const DEFAULT_OPEN_TIMEOUT: Duration = Duration::from_secs(30);
/// Gluster's own is 42 s: a dead brick would be noticed after 84 s at worst, when initiators have
/// given up (Linux: 30 s).
const DEFAULT_PING_TIMEOUT: Duration = Duration::from_secs(10);
const DEFAULT_OUTAGE: Duration = Duration::from_secs(120);

/// What is wrong with a cfgstring, where, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Another handler's, or none.
    #[error("The configuration does not begin with {SUBTYPE}: found {0:?}")]
    Subtype(String),
    /// Longer than what the kernel keeps.
    #[error("The configuration has {0} bytes with its glfs/, and the kernel keeps at most {max}: it has been, or would be, clipped", max = escape::LONGEST)]
    TooLong(usize),
    /// Not in the alphabet of the tools on the way.
    #[error("The character {found:?} does not survive targetcli and the kernel; write {escaped}")]
    Character {
        /// As given.
        found: char,
        /// How to write it.
        escaped: String,
    },
    /// `%` without two hexadecimal digits, %00, or not UTF-8.
    #[error(
        "Wrong escape in {0:?}: % is followed by two hexadecimal digits, forms UTF-8, and is not %00; a % itself is %25"
    )]
    Escape(String),
    /// VOLUME, HOST or PATH.
    #[error("{missing} is missing: expected {FORM}, found {found:?}")]
    Missing {
        /// The part.
        missing: &'static str,
        /// The text where it should be.
        found: String,
    },
    /// PATH names a directory.
    #[error("PATH {0:?} ends in a slash: it must name an image file in the volume")]
    Directory(String),
    /// Between two semicolons.
    #[error("{0:?} is not KEY=VALUE")]
    NotAPair(String),
    /// No such key.
    #[error("Unknown key {key:?}; known are {known}")]
    UnknownKey {
        /// As given.
        key: String,
        /// What there is.
        known: String,
    },
    /// Given twice.
    #[error("{0} is given twice")]
    Twice(&'static str),
    /// Not a value of this key.
    #[error("{key}={value}: expected {expected}")]
    Value {
        /// The key.
        key: &'static str,
        /// As given.
        value: String,
        /// What would be right.
        expected: &'static str,
    },
    /// No such set in the site file.
    #[error("profile={name}: {what}")]
    NoProfile {
        /// As given.
        name: String,
        /// What there is, and where.
        what: String,
    },
    /// A key that has no place in a part of the site file.
    #[error("{key} has no place here: {why}")]
    Misplaced {
        /// The key.
        key: &'static str,
        /// Why, and where it belongs.
        why: &'static str,
    },
    /// The core cuts it out together with the semicolon after it.
    #[error("tcmur_cmd_time_out belongs to tcmu-runner and must come last")]
    TimeoutNotLast,
    /// Two keys that exclude each other, or one that means nothing here.
    #[error("{rule}{origin}")]
    Conflict {
        /// What is wrong, and what would be right.
        rule: &'static str,
        /// Which of the keys come from the site file.
        origin: String,
    },
}

impl FromStr for Config {
    type Err = ConfigError;

    /// What it means where there is no site file.
    fn from_str(text: &str) -> Result<Self, ConfigError> {
        Self::read(text, &Site::default())
    }
}

impl Config {
    /// What a cfgstring means on this site: what it does not say itself, its profile says, the
    /// site's defaults, or this program.
    ///
    /// # Errors
    /// What is wrong with it, in a sentence for an admin.
    pub fn read(text: &str, site: &Site) -> Result<Self, ConfigError> {
        escape::check(text)?;
        let rest =
            text.strip_prefix(SUBTYPE).ok_or_else(|| ConfigError::Subtype(text.to_owned()))?;
        let missing =
            |missing, found: &str| ConfigError::Missing { missing, found: found.to_owned() };
        let mut pairs = rest.split(';');
        let place = pairs.next().unwrap_or_default();
        let (volume, rest) = place.split_once('@').ok_or_else(|| missing("@HOST", place))?;
        if volume.is_empty() || volume.contains('/') {
            return Err(missing("VOLUME", place));
        }
        let (host, path) = rest.split_once('/').ok_or_else(|| missing("/PATH", place))?;
        if host.is_empty() {
            return Err(missing("HOST", place));
        }
        if path.is_empty() {
            return Err(missing("PATH", place));
        }
        let path = unescape(path)?;
        if path.ends_with('/') {
            return Err(ConfigError::Directory(path));
        }
        let mut config = Self::plain(unescape(volume)?, unescape(host)?, path);
        keys::apply(&mut config, pairs, site)?;
        Ok(config)
    }

    /// Nothing said but the place of the image.
    fn plain(volume: String, host: String, path: String) -> Self {
        Self {
            volume,
            hosts: vec![host],
            grow: Grow::default_for(&path),
            path,
            port: DEFAULT_PORT,
            transport: Transport::Tcp,
            socket: DEFAULT_SOCKET.to_owned(),
            volfile: None,
            cache: Cache::None,
            access: Access::Auto,
            io_threads: IoThreads::Auto,
            connection: Connection::Shared,
            fence: Fence::Auto,
            open: OnUnreachable::Defer,
            open_timeout: DEFAULT_OPEN_TIMEOUT,
            ping_timeout: DEFAULT_PING_TIMEOUT,
            outage: DEFAULT_OUTAGE,
            log_level: LogLevel::Warning,
        }
    }
}

impl fmt::Display for Config {
    /// The shortest cfgstring that means the same.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.hosts.first().map_or("", String::as_str);
        let (volume, host) = (Escaped::part(&self.volume, b"@/"), Escaped::part(host, b"/"));
        write!(f, "{SUBTYPE}{volume}@{host}/{}", Escaped::part(&self.path, b""))?;
        keys::display(self, f)
    }
}

impl Config {
    /// How log lines call the LUN: the place of its image, without the options.
    #[must_use]
    pub fn label(&self) -> String {
        format!("{}@{}/{}", self.volume, self.hosts.first().map_or("", String::as_str), self.path)
    }
}

#[cfg(test)]
mod tests;
