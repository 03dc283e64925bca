// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The site file: configuration that LUNs share.
//!
//! ```toml
//! [defaults]
//! ping-timeout = 15
//! [profile.vmware]
//! fence = "required"
//! [metrics]
//! interval = 30
//! ```
//! The keys are those of the cfgstring. A file is valid as a whole or not at all: every profile is
//! checked together with the defaults, so that no LUN fails to open for a mistake made earlier.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::ConfigError;
use super::keys::{self, CMD_TIME_OUT, FIELDS, KEYS, METRICS, METRICS_FIELDS};
use super::layers::{self, Set};
use super::options::Config;
use crate::metrics;

/// Contents of the site file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// Name in messages.
    pub(super) file: String,
    exists: bool,
    pub(super) defaults: Set,
    profiles: BTreeMap<String, Set>,
    metrics: metrics::Settings,
    /// The mistake in a newer version of the file, which is not in use.
    broken: Option<SiteError>,
}

/// A mistake in a site file: where it is, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {why}")]
pub struct SiteError {
    file: String,
    line: usize,
    column: usize,
    why: String,
}

/// A mistake, and the byte at which it begins.
type Mistake = (usize, String);

/// Path of the site file by default.
const FILE: &str = "/etc/tcmu/glfs.toml";

impl Default for Site {
    fn default() -> Self {
        Self::none(FILE)
    }
}

impl Site {
    /// The site where this file does not exist.
    #[must_use]
    pub fn none(file: &str) -> Self {
        Self {
            file: file.to_owned(),
            exists: false,
            defaults: Set::new(),
            profiles: BTreeMap::new(),
            metrics: metrics::Settings::default(),
            broken: None,
        }
    }

    /// Parses the text of the site file `file`.
    ///
    /// # Errors
    /// The first mistake in it.
    pub fn parse(text: &str, file: &str) -> Result<Self, SiteError> {
        let mut site = Self { exists: true, ..Self::none(file) };
        site.read(text).map_err(|(at, why)| SiteError::new(file, text, at, why))?;
        Ok(site)
    }

    /// This version, in use instead of a newer one that is broken.
    #[must_use]
    pub fn in_place_of(&self, file: &str, broken: SiteError) -> Self {
        Self { file: file.to_owned(), broken: Some(broken), ..self.clone() }
    }

    /// The mistake in a newer version of the file, which is not in use.
    #[must_use]
    pub fn mistake(&self) -> Option<String> {
        self.broken.as_ref().map(ToString::to_string)
    }

    /// Settings of `[metrics]`.
    #[must_use]
    pub fn metrics(&self) -> &metrics::Settings {
        &self.metrics
    }

    /// The set of a profile.
    pub(super) fn profile(&self, name: &str) -> Result<&Set, ConfigError> {
        self.profiles.get(name).ok_or_else(|| {
            let known = self.profiles.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            let file = &self.file;
            let mut reason = match (self.exists, known.is_empty()) {
                (false, _) => format!("there is no {file} that could have it"),
                (true, true) => format!("{file} has no [profile.{name}], nor any other"),
                (true, false) => format!("{file} has no [profile.{name}]; it has {known}"),
            };
            if let Some(broken) = &self.broken {
                reason = format!("{reason}. Its newest version is not in use: {broken}");
            }
            ConfigError::NoProfile { name: name.to_owned(), reason }
        })
    }

    fn read(&mut self, text: &str) -> Result<(), Mistake> {
        let document = DeTable::parse(text).map_err(|why| {
            (why.span().map_or(0, |span| span.start), format!("not TOML: {}", why.message()))
        })?;
        let mut profiles = Vec::new();
        for (at, name, value) in entries(document.get_ref()) {
            match name {
                "defaults" => self.defaults = read_set(table(name, value)?, &NOT_IN_DEFAULTS)?,
                "metrics" => self.metrics = read_metrics(table(name, value)?)?,
                "profile" => {
                    for (at, name, value) in entries(table(name, value)?) {
                        let set = read_set(table(name, value)?, &NOT_IN_FILE)?;
                        self.profiles.insert(name.to_owned(), set);
                        profiles.push((at, name));
                    }
                }
                _ => {
                    let known = "defaults, profile.NAME, metrics";
                    return Err((at, format!("Unknown section {name:?}; known: {known}")));
                }
            }
        }
        let defaults = (layers::DEFAULTS.to_owned(), &self.defaults);
        let check = |at, sets: &[_]| {
            let mut config = Config::new(String::new(), String::new(), String::new());
            layers::combine(&mut config, sets, &self.file).map_err(|why| (at, why.to_string()))
        };
        let at = entries(document.get_ref())
            .find(|(_, name, _)| *name == "defaults")
            .map_or(0, |(at, ..)| at);
        check(at, std::slice::from_ref(&defaults))?;
        for (at, name) in profiles {
            let Some(set) = self.profiles.get(name) else { continue };
            check(at, &[(format!("[profile.{name}]"), set), defaults.clone()])?;
        }
        Ok(())
    }
}

impl SiteError {
    fn new(file: &str, text: &str, at: usize, why: String) -> Self {
        let before = text.get(..at).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Self { file: file.to_owned(), line, column, why }
    }

    /// The file cannot be read.
    #[must_use]
    pub fn unreadable(file: &str, why: &str) -> Self {
        Self::new(file, "", 0, why.to_owned())
    }
}

/// Entries of a table in the order of the file: offset of the key, key, value.
fn entries<'t>(
    table: &'t DeTable<'_>,
) -> impl Iterator<Item = (usize, &'t str, &'t Spanned<DeValue<'t>>)> {
    let mut entries: Vec<_> = table
        .iter()
        .map(|(key, value)| (key.span().start, key.get_ref().as_ref(), value))
        .collect();
    entries.sort_by_key(|(at, ..)| *at);
    entries.into_iter()
}

fn table<'t>(name: &str, value: &'t Spanned<DeValue<'t>>) -> Result<&'t DeTable<'t>, Mistake> {
    let found = value.get_ref().type_str();
    value
        .get_ref()
        .as_table()
        .ok_or_else(|| (value.span().start, format!("{name} is a section, not a {found}")))
}

/// Keys of the cfgstring that cannot be set here.
const NOT_IN_FILE: [(&str, &str); 2] = [
    ("profile", "sets are not nested; a cfgstring names one"),
    (CMD_TIME_OUT, "tcmu-runner itself reads it, from the cfgstring"),
];

/// Keys of the cfgstring that cannot be set in `[defaults]`.
const NOT_IN_DEFAULTS: [(&str, &str); 4] = [
    NOT_IN_FILE[0],
    NOT_IN_FILE[1],
    ("server", "it would be asked for the volumes of every cluster; write it into a profile"),
    ("volfile", "it has the layout of one volume; write it into a profile"),
];

fn read_set(table: &DeTable<'_>, misplaced: &[(&str, &'static str)]) -> Result<Set, Mistake> {
    let mut set = Set::new();
    let mut scratch = Config::new(String::new(), String::new(), String::new());
    for (at, name, value) in entries(table) {
        let key = keys::known(&KEYS, name).map_err(|why| (at, why.to_string()))?;
        if let Some((_, why)) = misplaced.iter().find(|(other, _)| *other == key) {
            return Err((at, ConfigError::Misplaced { key, why }.to_string()));
        }
        let values = match value.get_ref() {
            DeValue::Array(hosts) if key == "server" => hosts.iter().collect(),
            _ => vec![value],
        };
        for value in values {
            let text = if key == "server" { host(value) } else { Ok(text(value)) };
            let text =
                text.and_then(|text| keys::set(&FIELDS, &mut scratch, key, &text).map(|()| text));
            set.push((key, text.map_err(|why| (value.span().start, why.to_string()))?));
        }
    }
    Ok(set)
}

/// Text of a value, as in a cfgstring.
fn text(value: &Spanned<DeValue<'_>>) -> String {
    match value.get_ref() {
        // A NUL would end the string in C.
        DeValue::String(text) => text.replace('\0', "\u{fffd}"),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or_else(|_| number.to_string(), |n| n.to_string()),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(_) => String::from("[...]"),
        DeValue::Table(_) => String::from("{...}"),
    }
}

fn host(value: &Spanned<DeValue<'_>>) -> Result<String, ConfigError> {
    let host = value.get_ref().as_str().filter(|host| !host.is_empty() && !host.contains('\0'));
    let wrong = || ConfigError::value("server", &text(value), "a host, or a list of hosts");
    host.map(str::to_owned).ok_or_else(wrong)
}

fn read_metrics(table: &DeTable<'_>) -> Result<metrics::Settings, Mistake> {
    let mut settings = metrics::Settings::default();
    for (at, name, value) in entries(table) {
        let key = keys::known(&METRICS, name).map_err(|why| (at, why.to_string()))?;
        keys::set(&METRICS_FIELDS, &mut settings, key, &text(value))
            .map_err(|why| (value.span().start, why.to_string()))?;
    }
    Ok(settings)
}

#[cfg(test)]
#[path = "site_tests.rs"]
mod tests;
