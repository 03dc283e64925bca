// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The one table of keys: name, values, meaning, and how each is read into a configuration and
//! written from it. Messages, `help create`, the manual and the documentation are held to it.

use std::str::FromStr;
use std::time::Duration;

use super::error::ConfigError;
use super::options::Config;
use super::values::{
    Access, Cache, Connection, CopyRange, Fence, Grow, IoThreads, LogLevel, OnUnreachable,
    Transport,
};
use crate::metrics::Settings;

/// A key, as an admin sees it.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Name in a cfgstring and in the site file.
    pub name: &'static str,
    /// Values, separated by commas, the default first. Capitals stand for a text of the admin's,
    /// which has no default.
    pub values: &'static str,
    /// Meaning, in one line.
    pub meaning: &'static str,
}

/// A key, and its place in a `T`.
#[derive(Debug)]
pub(super) struct Field<T> {
    key: Key,
    set: fn(&mut T, &'static str, &str) -> Result<(), ConfigError>,
    get: fn(&T) -> Vec<String>,
}

impl<T> Field<T> {
    pub(super) fn name(&self) -> &'static str {
        self.key.name
    }

    /// The values of the key in `of`: one, or several where the key may repeat.
    pub(super) fn values_of(&self, of: &T) -> Vec<String> {
        (self.get)(of)
    }
}

/// tcmu-runner's own key, which it takes out before a LUN is opened; a check sees it.
pub(super) const CMD_TIME_OUT: &str = "tcmur_cmd_time_out";

macro_rules! field {
    ($name:expr, $values:expr, $meaning:literal, $set:expr, $get:expr) => {
        Field { key: Key { name: $name, values: $values, meaning: $meaning }, set: $set, get: $get }
    };
    // A field that always has a value: read from a text, and as a text.
    (
        one $name:literal, $values:expr, $meaning:literal,
        $field:ident = |$key:ident, $value:ident| $read:expr, |$own:ident| $text:expr
    ) => {
        field!(
            $name,
            $values,
            $meaning,
            |of, $key, $value| {
                of.$field = $read;
                Ok(())
            },
            |of| {
                let $own = &of.$field;
                vec![$text]
            }
        )
    };
    (words $name:literal, $field:ident: $type:ident, $meaning:literal) => {
        field!(one $name, $type::WORDS, $meaning,
            $field = |key, value| $type::parse(key, value)?, |own| own.text().to_owned())
    };
    (
        seconds $name:literal, $field:ident up to $most:literal, $values:literal, $meaning:literal
    ) => {
        field!(one $name, $values, $meaning,
            $field = |key, value| seconds(key, value, $most)?, |own| own.as_secs().to_string())
    };
    (
        number $name:literal, $field:ident within $range:expr, $expected:literal,
        $values:literal, $meaning:literal
    ) => {
        field!(one $name, $values, $meaning,
            $field = |key, value| number(key, value, $range, $expected)?, |own| own.to_string())
    };
}

/// Every key of a cfgstring.
pub(super) const FIELDS: [Field<Config>; 20] = [
    field!(
        "server",
        "HOST",
        "a further server of the cluster, tried in order after HOST; may repeat",
        |config, _, value| {
            config.hosts.push(value.to_owned());
            Ok(())
        },
        |config| config.hosts.iter().skip(1).cloned().collect()
    ),
    field!(number "port", port within 1..=u16::MAX, "a port from 1 to 65535", "24007",
        "glusterd's TCP port"),
    field!(words "transport", transport: Transport,
        "unix: ask the glusterd of this host, through its socket"),
    field!(one "socket", "/var/run/glusterd.socket", "that socket",
        socket = |key, value| absolute(key, value)?, |own| own.clone()),
    field!(
        "volfile",
        "PATH",
        "take the layout of the volume from this file, and ask no server",
        |config, key, value| {
            config.volfile = Some(absolute(key, value)?);
            Ok(())
        },
        |config| config.volfile.iter().cloned().collect()
    ),
    field!(words "cache", cache: Cache,
        "writeback: writes may be held back until a flush; for LUNs with one path only. through: \
         every write is durable when it is acknowledged"),
    field!(words "access", access: Access,
        "auto: read-only if the volume answers EROFS or EACCES"),
    field!(words "io-threads", io_threads: IoThreads,
        "the client's io-threads translator; auto is off"),
    field!(words "connection", connection: Connection,
        "whether LUNs of a volume share a connection"),
    field!(words "fence", fence: Fence,
        "whether the bricks refuse a gateway that has lost the LUN to another one"),
    field!(words "grow", grow: Grow,
        "manual: a grown image makes its LUN grow only when dev_size is set; the default in \
         block-store/"),
    field!(words "open", open: OnUnreachable,
        "the cluster cannot be reached: come up and keep retrying, or fail"),
    field!(seconds "open-timeout", open_timeout up to 3600, "30",
        "seconds; an open that takes longer has failed"),
    // libgfapi refuses a graph with more (10.3, the range of network.ping-timeout).
    field!(seconds "ping-timeout", ping_timeout up to 1013, "10",
        "seconds; a brick that says nothing for this long, twice at most, is given up"),
    field!(words "log-level", log_level: LogLevel,
        "of libgfapi's log, and of the LUN's own lines"),
    field!(one "outage", "120", "seconds; how long the volume may be away before commands fail",
        outage = |key, value| {
            Duration::from_secs(number(key, value, 0..=u32::MAX, "seconds")?.into())
        },
        |own| own.as_secs().to_string()),
    field!(number "space-warning", space_warning within 0..=99, "a percentage from 1 to 99, or 0",
        "80",
        "percent of the volume's space, quota included, from which on initiators are warned; 0: \
         never"),
    field!(words "copy", copy: CopyRange,
        "daemon: EXTENDED COPY also between LUNs of this daemon that have it, if every iSCSI ACL \
         of this one maps the other, too"),
    field!(
        "profile",
        "NAME",
        "take the set of this name from the site file",
        |_, _, _| Ok(()),
        |_| Vec::new()
    ),
    field!(
        CMD_TIME_OUT,
        "SECONDS",
        "tcmu-runner's own; must come last",
        |_, key, value| number(key, value, 0..=u32::MAX, "seconds").map(drop),
        |_| Vec::new()
    ),
];

/// Every key of `[metrics]` in the site file.
pub(super) const METRICS_FIELDS: [Field<Settings>; 5] = [
    field!(one "enabled", "true, false", "whether anything is counted and shown",
        enabled = |key, value| {
            value.parse().map_err(|_| ConfigError::value(key, value, "true or false"))?
        },
        |own| own.to_string()),
    field!(one "socket", "/run/tcmu-glfs/metrics.sock", "where GET /metrics is answered",
        socket = |key, value| absolute(key, value)?.into(), |own| own.display().to_string()),
    field!(
        "textfile",
        "PATH",
        "also write them to this file, for node_exporter",
        |settings, key, value| {
            settings.textfile = Some(absolute(key, value)?.into());
            Ok(())
        },
        |settings| settings.textfile.iter().map(|path| path.display().to_string()).collect()
    ),
    field!(seconds "interval", interval up to 3600, "15",
        "seconds between two writes of that file"),
    field!(one "slow", "1.0", "seconds; a command that takes longer is a slow one",
        slow = |key, value| {
            let seconds =
                value.parse().ok().filter(|seconds| (0.000_001..=3600.0).contains(seconds));
            let slow = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
            let expected = "seconds, more than 0, up to 3600";
            slow.ok_or_else(|| ConfigError::value(key, value, expected))?
        },
        |own| format!("{:?}", own.as_secs_f64())),
];

#[expect(clippy::indexing_slicing, reason = "checked when it is compiled")]
const fn keys_of<T, const N: usize>(fields: &[Field<T>; N]) -> [Key; N] {
    let mut keys = [Key { name: "", values: "", meaning: "" }; N];
    let mut at = 0;
    while at < N {
        keys[at] = fields[at].key;
        at += 1;
    }
    keys
}

/// Every key of a cfgstring, and of the profiles in the site file.
pub const KEYS: [Key; FIELDS.len()] = keys_of(&FIELDS);

/// Every key of `[metrics]` in the site file.
pub const METRICS: [Key; METRICS_FIELDS.len()] = keys_of(&METRICS_FIELDS);

/// The key of this name.
pub(super) fn known(keys: &[Key], name: &str) -> Result<&'static str, ConfigError> {
    let key = keys.iter().find(|key| key.name == name);
    key.map(|key| key.name).ok_or_else(|| ConfigError::UnknownKey {
        key: shortened(name),
        similar: similar(keys, name).map(str::to_owned),
        known: keys.iter().map(|key| key.name).collect::<Vec<_>>().join(", "),
    })
}

/// The beginning of what cannot be a key: the sentence with it has to fit in a line of the log.
fn shortened(name: &str) -> String {
    const LONGEST: usize = 14;
    match name.char_indices().nth(LONGEST) {
        None => name.to_owned(),
        Some((end, _)) => format!("{}...", name.get(..end).unwrap_or_default()),
    }
}

/// The key that `name` is a misspelling of, if it is near enough to one.
fn similar(keys: &[Key], name: &str) -> Option<&'static str> {
    const NEAR: f64 = 0.8;
    let name = name.to_ascii_lowercase().replace('_', "-");
    let likeness = |key: &Key| strsim::jaro_winkler(key.name, &name);
    let nearest = keys.iter().max_by(|one, other| likeness(one).total_cmp(&likeness(other)))?;
    (likeness(nearest) >= NEAR).then_some(nearest.name)
}

/// Sets a key.
pub(super) fn set<T>(
    fields: &[Field<T>],
    of: &mut T,
    key: &str,
    value: &str,
) -> Result<(), ConfigError> {
    let field = fields.iter().find(|field| field.key.name == key);
    field.map_or(Ok(()), |field| (field.set)(of, field.key.name, value))
}

fn number<T: FromStr + PartialOrd>(
    key: &'static str,
    value: &str,
    range: std::ops::RangeInclusive<T>,
    expected: &str,
) -> Result<T, ConfigError> {
    // `from_str` would also take a sign.
    let digits = value.bytes().all(|b| b.is_ascii_digit());
    let parsed = if digits { value.parse().ok() } else { None };
    parsed
        .filter(|number| range.contains(number))
        .ok_or_else(|| ConfigError::value(key, value, expected))
}

fn seconds(key: &'static str, value: &str, most: u64) -> Result<Duration, ConfigError> {
    let expected = format!("seconds from 1 to {most}");
    number(key, value, 1..=most, &expected).map(Duration::from_secs)
}

fn absolute(key: &'static str, value: &str) -> Result<String, ConfigError> {
    if value.starts_with('/') {
        Ok(value.to_owned())
    } else {
        Err(ConfigError::value(key, value, "an absolute path"))
    }
}

/// The form of a cfgstring and its keys in one screen, for `help create`.
#[must_use]
pub fn help() -> String {
    let head = "VOLUME@HOST/PATH[;KEY=VALUE]...\n\
        VOLUME@HOST: the Gluster volume and a server of its cluster. PATH: the image file in it, \
        which must exist.\n\
        %XX stands for a byte that targetcli refuses (IPv6: fd00%3A%3A1). KEY=VALUE, the default \
        first:\n";
    KEYS.iter().fold(head.to_owned(), |text, Key { name, values, meaning }| {
        text + &format!("  {name}={}  {meaning}\n", values.replace(", ", "|"))
    })
}
