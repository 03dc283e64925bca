// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The `;KEY=VALUE` part of a cfgstring.

use std::fmt;
use std::time::Duration;

use super::escape::{Escaped, unescape};
use super::site::Site;
use super::table::{KEYS, Key, names};
use super::{
    Config, ConfigError, DEFAULT_OPEN_TIMEOUT, DEFAULT_OUTAGE, DEFAULT_PING_TIMEOUT, DEFAULT_PORT,
    DEFAULT_SOCKET,
};

/// Defines an enum whose variants are a key's values.
macro_rules! values {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)+ } expected $expected:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant,)+ }

        impl $name {
            const EXPECTED: &'static str = $expected;

            fn from_text(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)+ _ => None }
            }

            pub(crate) fn text(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }
    };
}

values! {
    /// How to reach glusterd.
    Transport {
        /// To HOST and `port=`.
        Tcp = "tcp",
        /// To `socket=` on this host.
        Unix = "unix",
    } expected "tcp or unix"
}
values! {
    /// What the client may keep back.
    Cache {
        /// Nothing: an acknowledged write has reached the bricks and survives the gateway.
        None = "none",
        /// Writes, until a flush: faster, and only for LUNs with one path.
        Writeback = "writeback",
    } expected "none or writeback"
}
values! {
    /// Whether initiators may write.
    Access {
        /// If the volume lets us; read-only where it answers EROFS or EACCES.
        Auto = "auto",
        /// Or the open fails.
        ReadWrite = "rw",
        /// No.
        ReadOnly = "ro",
    } expected "auto, rw or ro"
}
values! {
    /// The client-side io-threads translator.
    IoThreads {
        /// Off: the hand-over between threads costs more than it brings.
        Auto = "auto",
        /// As the volume has it.
        On = "on",
        /// Passed through.
        Off = "off",
    } expected "auto, on or off"
}
values! {
    /// Whether LUNs of one volume share a connection.
    Connection {
        /// With every LUN that connects in the same way.
        Shared = "shared",
        /// With none.
        Own = "own",
    } expected "shared or own"
}
values! {
    /// Whether the bricks keep out a gateway that has lost the LUN to another one.
    Fence {
        /// If the volume can; a LUN that is shared by gateways is warned about where it cannot.
        Auto = "auto",
        /// No.
        Off = "off",
        /// Or the LUN does not serve.
        Required = "required",
    } expected "auto, off or required"
}
values! {
    /// What makes a LUN as large as an image that has grown.
    Grow {
        /// The monitor, once nobody fills the image any more; and the admin.
        Auto = "auto",
        /// The admin alone, by `dev_size`.
        Manual = "manual",
    } expected "auto or manual"
}
values! {
    /// What an open does when the cluster cannot be reached.
    OnUnreachable {
        /// The LUN comes up, is not ready, and goes on trying.
        Defer = "defer",
        /// The open fails.
        Fail = "fail",
    } expected "defer or fail"
}
values! {
    /// Level of libgfapi's own log.
    LogLevel {
        /// `GF_LOG_CRITICAL`.
        Critical = "critical",
        /// `GF_LOG_ERROR`.
        Error = "error",
        /// `GF_LOG_WARNING`.
        Warning = "warning",
        /// `GF_LOG_INFO`.
        Info = "info",
        /// `GF_LOG_DEBUG`.
        Debug = "debug",
        /// `GF_LOG_TRACE`.
        Trace = "trace",
    } expected "critical, error, warning, info, debug or trace"
}

impl Grow {
    /// What holds for an image unless something else is said. gluster-block makes an image larger,
    /// then fills it, then sets `dev_size` (0.5.1, `block_svc_routines.c`): whoever is told before
    /// it has filled loses what he writes.
    pub(super) fn default_for(path: &str) -> Self {
        if path.trim_start_matches('/').starts_with("block-store/") {
            Self::Manual
        } else {
            Self::Auto
        }
    }
}

const CMD_TIME_OUT: &str = "tcmur_cmd_time_out";
const ABSOLUTE: &str = "an absolute path";

/// What the last layer is called.
pub(super) const DEFAULTS: &str = "[defaults]";

/// Keys and their values, in the order given.
pub(super) type Set = Vec<(&'static str, String)>;

/// Reads the pairs of a cfgstring into `config`, and what they leave open from the site file.
pub(super) fn apply<'a>(
    config: &mut Config,
    pairs: impl Iterator<Item = &'a str>,
    site: &Site,
) -> Result<(), ConfigError> {
    let own = read(pairs)?;
    let profile = own.iter().find(|(key, _)| *key == "profile").map(|(_, name)| name.as_str());
    let profile_set = profile.map(|name| site.profile(name)).transpose()?;
    let mut layers = vec![(String::new(), &own)];
    if let Some((name, set)) = profile.zip(profile_set) {
        layers.push((format!("[profile.{name}]"), set));
    }
    layers.push((DEFAULTS.to_owned(), site.defaults()));
    combine(config, &layers, site.file())
}

/// Sets what the first layer says, then what the others say of keys that are not set yet; and
/// checks what comes of it. A layer of the site file has a name.
pub(super) fn combine(
    config: &mut Config,
    layers: &[(String, &Set)],
    file: &str,
) -> Result<(), ConfigError> {
    let mut given: Vec<(&'static str, &str)> = Vec::new();
    for (layer, set) in layers {
        let above: Vec<&'static str> = given.iter().map(|(key, _)| *key).collect();
        for (key, value) in set.iter().filter(|(key, _)| !above.contains(key)) {
            self::set(config, key, value.clone())?;
            given.push((key, layer));
        }
    }
    // How servers are reached by default is no concern of a LUN that reaches them in another way,
    // or asks none.
    let meant = |key: &str| given.iter().any(|(given, layer)| *given == key && *layer != DEFAULTS);
    let Some((rule, keys)) = broken_rule(config, meant) else { return Ok(()) };
    let inherited = given.iter().filter(|(key, layer)| !layer.is_empty() && keys.contains(key));
    let origins: Vec<_> =
        inherited.map(|(key, layer)| format!("; {key} is from {layer} of {file}")).collect();
    Err(ConfigError::Conflict { rule, origin: origins.concat() })
}

/// The pairs, each with a key that there is; the values as they are.
fn read<'a>(pairs: impl Iterator<Item = &'a str>) -> Result<Set, ConfigError> {
    let mut read = Set::new();
    let mut ended = false;
    for pair in pairs {
        if ended {
            return Err(ConfigError::TimeoutNotLast);
        }
        let Some((key, raw)) = pair.split_once('=').filter(|(_, value)| !value.is_empty()) else {
            return Err(ConfigError::NotAPair(pair.to_owned()));
        };
        let (key, value) = (known(&KEYS, key)?, unescape(raw)?);
        if key == CMD_TIME_OUT {
            // The core takes this one out itself before a LUN is opened; a check sees it.
            number::<u32>(CMD_TIME_OUT, &value, "seconds")?;
            ended = true;
            continue;
        }
        if key != "server" && read.iter().any(|(other, _)| *other == key) {
            return Err(ConfigError::Twice(key));
        }
        read.push((key, value));
    }
    Ok(read)
}

/// The key of this name.
pub(super) fn known(keys: &[Key], name: &str) -> Result<&'static str, ConfigError> {
    let key = keys.iter().find(|key| key.name == name);
    key.map(|key| key.name)
        .ok_or_else(|| ConfigError::UnknownKey { key: name.to_owned(), known: names(keys) })
}

/// Sets a key.
pub(super) fn set(
    config: &mut Config,
    key: &'static str,
    value: String,
) -> Result<(), ConfigError> {
    macro_rules! choice {
        ($type:ident) => {
            $type::from_text(&value).ok_or(ConfigError::Value {
                key,
                value,
                expected: $type::EXPECTED,
            })?
        };
    }
    match key {
        "server" => config.hosts.push(value),
        "port" => {
            config.port = number(key, &value, "a port from 1 to 65535")?;
            if config.port == 0 {
                return Err(ConfigError::Value { key, value, expected: "a port from 1 to 65535" });
            }
        }
        "transport" => config.transport = choice!(Transport),
        "socket" => config.socket = absolute(key, value)?,
        "volfile" => config.volfile = Some(absolute(key, value)?),
        "cache" => config.cache = choice!(Cache),
        "access" => config.access = choice!(Access),
        "io-threads" => config.io_threads = choice!(IoThreads),
        "connection" => config.connection = choice!(Connection),
        "open-timeout" => {
            config.open_timeout = seconds(key, value, 3600, "seconds from 1 to 3600")?;
        }
        // libgfapi refuses a graph with more.
        "ping-timeout" => {
            config.ping_timeout = seconds(key, value, 1013, "seconds from 1 to 1013")?;
        }
        "log-level" => config.log_level = choice!(LogLevel),
        "fence" => config.fence = choice!(Fence),
        "grow" => config.grow = choice!(Grow),
        "open" => config.open = choice!(OnUnreachable),
        "outage" => {
            config.outage = Duration::from_secs(number::<u32>(key, &value, "seconds")?.into());
        }
        // "profile": its set has been taken.
        _ => {}
    }
    Ok(())
}

/// A rule about keys that exclude each other which `config` breaks, and those keys.
fn broken_rule(
    config: &Config,
    given: impl Fn(&str) -> bool,
) -> Option<(&'static str, &'static [&'static str])> {
    let any = |keys: &[&str]| keys.iter().any(|key| given(key));
    if config.volfile.is_some() && any(&["server", "port", "transport", "socket"]) {
        return Some((
            "volfile= asks no server: leave out server=, port=, transport= and socket=",
            &["volfile", "server", "port", "transport", "socket"],
        ));
    }
    if config.fence == Fence::Required && config.cache == Cache::Writeback {
        return Some((
            "fence=required needs cache=none: what is held back is acknowledged before the bricks could refuse it",
            &["fence", "cache"],
        ));
    }
    if config.transport == Transport::Tcp && given("socket") {
        return Some(("socket= needs transport=unix", &["socket", "transport"]));
    }
    if config.transport == Transport::Unix && any(&["port", "server"]) {
        return Some((
            "transport=unix reaches the glusterd of this host: leave out port= and server=",
            &["transport", "port", "server"],
        ));
    }
    None
}

pub(super) fn number<T: std::str::FromStr>(
    key: &'static str,
    value: &str,
    expected: &'static str,
) -> Result<T, ConfigError> {
    // from_str would also take a sign.
    let digits = value.bytes().all(|b| b.is_ascii_digit());
    let parsed = if digits { value.parse().ok() } else { None };
    parsed.ok_or_else(|| ConfigError::Value { key, value: value.to_owned(), expected })
}

pub(super) fn seconds(
    key: &'static str,
    value: String,
    most: u64,
    expected: &'static str,
) -> Result<Duration, ConfigError> {
    match number(key, &value, expected)? {
        seconds if (1..=most).contains(&seconds) => Ok(Duration::from_secs(seconds)),
        _ => Err(ConfigError::Value { key, value, expected }),
    }
}

pub(super) fn absolute(key: &'static str, value: String) -> Result<String, ConfigError> {
    if value.starts_with('/') {
        Ok(value)
    } else {
        Err(ConfigError::Value { key, value, expected: ABSOLUTE })
    }
}

/// Writes every key whose value is not the default.
pub(super) fn display(config: &Config, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for server in config.hosts.iter().skip(1) {
        write!(f, ";server={}", Escaped::part(server, b""))?;
    }
    if config.port != DEFAULT_PORT {
        write!(f, ";port={}", config.port)?;
    }
    if config.socket != DEFAULT_SOCKET {
        write!(f, ";socket={}", Escaped::part(&config.socket, b""))?;
    }
    if let Some(volfile) = &config.volfile {
        write!(f, ";volfile={}", Escaped::part(volfile, b""))?;
    }
    if config.open_timeout != DEFAULT_OPEN_TIMEOUT {
        write!(f, ";open-timeout={}", config.open_timeout.as_secs())?;
    }
    if config.ping_timeout != DEFAULT_PING_TIMEOUT {
        write!(f, ";ping-timeout={}", config.ping_timeout.as_secs())?;
    }
    if config.outage != DEFAULT_OUTAGE {
        write!(f, ";outage={}", config.outage.as_secs())?;
    }
    let choices = [
        ("transport", config.transport.text(), config.transport == Transport::Tcp),
        ("cache", config.cache.text(), config.cache == Cache::None),
        ("access", config.access.text(), config.access == Access::Auto),
        ("fence", config.fence.text(), config.fence == Fence::Auto),
        ("grow", config.grow.text(), config.grow == Grow::default_for(&config.path)),
        ("open", config.open.text(), config.open == OnUnreachable::Defer),
        ("io-threads", config.io_threads.text(), config.io_threads == IoThreads::Auto),
        ("connection", config.connection.text(), config.connection == Connection::Shared),
        ("log-level", config.log_level.text(), config.log_level == LogLevel::Warning),
    ];
    for (key, value, is_default) in choices {
        if !is_default {
            write!(f, ";{key}={value}")?;
        }
    }
    Ok(())
}
