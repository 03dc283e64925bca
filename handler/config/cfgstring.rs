// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The cfgstring: `glfs/VOLUME@HOST/PATH[;KEY=VALUE]...`.
//!
//! Up to PATH it is as tcmu-runner's C handler of that name takes it. Parsing is complete and
//! strict: an admin learns of a mistake from `targetcli create`, in one sentence, before anything
//! is created.

use std::fmt;
use std::str::FromStr;

use super::error::ConfigError;
use super::escape::{self, escaped, unescape};
use super::keys::{self, CMD_TIME_OUT, KEYS};
use super::layers::{self, Set};
use super::options::Config;
use super::site::Site;

const SUBTYPE: &str = "glfs/";

impl FromStr for Config {
    type Err = ConfigError;

    /// The configuration where there is no site file.
    fn from_str(text: &str) -> Result<Self, ConfigError> {
        Self::read(text, &Site::default())
    }
}

impl Config {
    /// Parses a cfgstring. A key that it does not have comes from its profile, from the site's
    /// defaults, or is the built-in default.
    ///
    /// # Errors
    /// The mistake, as a sentence for an admin.
    pub fn read(text: &str, site: &Site) -> Result<Self, ConfigError> {
        escape::check(text)?;
        let rest =
            text.strip_prefix(SUBTYPE).ok_or_else(|| ConfigError::Subtype(text.to_owned()))?;
        let mut pairs = rest.split(';');
        let mut config = read_place(pairs.next().unwrap_or_default())?;
        let own = read_pairs(pairs)?;
        let profile = own.iter().find(|(key, _)| *key == "profile").map(|(_, name)| name.as_str());
        let profile_set = profile.map(|name| site.profile(name)).transpose()?;
        let mut sets = vec![(String::new(), &own)];
        if let Some((name, set)) = profile.zip(profile_set) {
            sets.push((format!("[profile.{name}]"), set));
        }
        sets.push((layers::DEFAULTS.to_owned(), &site.defaults));
        layers::combine(&mut config, &sets, &site.file)?;
        Ok(config)
    }
}

/// Reads `VOLUME@HOST/PATH`.
fn read_place(place: &str) -> Result<Config, ConfigError> {
    let missing = |missing, found: &str| ConfigError::Missing { missing, found: found.to_owned() };
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
    Ok(Config::new(unescape(volume)?, unescape(host)?, path))
}

/// Reads the pairs, each with a known key; the values are not checked yet.
fn read_pairs<'a>(pairs: impl Iterator<Item = &'a str>) -> Result<Set, ConfigError> {
    let mut read = Set::new();
    let mut ended = false;
    for pair in pairs {
        if ended {
            return Err(ConfigError::TimeoutNotLast);
        }
        let Some((key, raw)) = pair.split_once('=').filter(|(_, value)| !value.is_empty()) else {
            return Err(ConfigError::NotAPair(pair.to_owned()));
        };
        let (key, value) = (keys::known(&KEYS, key)?, unescape(raw)?);
        ended = key == CMD_TIME_OUT;
        if key != "server" && read.iter().any(|(other, _)| *other == key) {
            return Err(ConfigError::Twice(key));
        }
        read.push((key, value));
    }
    Ok(read)
}

impl fmt::Display for Config {
    /// The shortest cfgstring that means the same.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (volume, host) = (escaped(&self.volume, b"@/"), escaped(self.host(), b"/"));
        write!(f, "{SUBTYPE}{volume}@{host}/{}", escaped(&self.path, b""))?;
        let default = Self::new(self.volume.clone(), self.host().to_owned(), self.path.clone());
        for field in &keys::FIELDS {
            let values = field.values_of(self);
            if values != field.values_of(&default) {
                for value in values {
                    write!(f, ";{}={}", field.name(), escaped(&value, b""))?;
                }
            }
        }
        Ok(())
    }
}
