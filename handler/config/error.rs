// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Mistakes in a configuration. Each is one sentence for an admin: what is wrong, where, and what
//! would be right.

/// Form of a cfgstring without its subtype.
const FORM: &str = "VOLUME@HOST/PATH[;KEY=VALUE]...";

/// A mistake in a cfgstring or in a value of the site file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Another handler's, or none.
    #[error("The configuration does not begin with glfs/: found {0:?}")]
    Subtype(String),
    /// Longer than the kernel keeps.
    #[error(
        "The configuration has {found} bytes with its glfs/, and the kernel keeps at most {max}: \
         it has been, or would be, clipped"
    )]
    TooLong {
        /// Bytes.
        found: usize,
        /// Bytes at most.
        max: usize,
    },
    /// Not in the alphabet of the tools on the way.
    #[error("The character {found:?} does not survive targetcli and the kernel; write {escaped}")]
    Character {
        /// As given.
        found: char,
        /// Its escape.
        escaped: String,
    },
    /// A port after HOST.
    #[error("A port is written as an option, not after HOST: {0};port={1}")]
    Port(String, String),
    /// An IPv6 address without escapes.
    #[error("The colons of an IPv6 address are written %3A: {0}")]
    Ipv6(String),
    /// As QEMU and mount have it.
    #[error("A volume is named as VOLUME@HOST, not as a URL or a mount: write {0}")]
    Url(String),
    /// `%` without two hexadecimal digits, %00, or not UTF-8.
    #[error(
        "Wrong escape in {0:?}: % is followed by two hexadecimal digits, forms UTF-8, and is not \
         %00; a % itself is %25"
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
    #[error("Unknown key {key:?}; {}", right_key(.similar.as_deref(), .known))]
    UnknownKey {
        /// As given; the beginning of a long one.
        key: String,
        /// The key that was probably meant.
        similar: Option<String>,
        /// The keys that exist.
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
        /// The values that are right.
        expected: String,
    },
    /// No such profile in the site file.
    #[error("profile={name}: {reason}")]
    NoProfile {
        /// As given.
        name: String,
        /// The file, and the profiles that it has.
        reason: String,
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
        /// The rule that is broken, and what would be right.
        rule: &'static str,
        /// Which of the keys come from the site file.
        origin: String,
    },
}

impl ConfigError {
    /// A wrong value.
    pub(super) fn value(key: &'static str, value: &str, expected: &str) -> Self {
        Self::Value { key, value: value.to_owned(), expected: expected.to_owned() }
    }

    /// A value that is none of some words, which are separated by commas.
    pub(super) fn not_one_of(key: &'static str, value: &str, words: &str) -> Self {
        let expected = words.rsplit_once(", ").map(|(words, last)| format!("{words} or {last}"));
        Self::value(key, value, expected.as_deref().unwrap_or(words))
    }
}

/// The key that was probably meant, or else all: both would not fit in a line of the daemon's log.
fn right_key(similar: Option<&str>, known: &str) -> String {
    similar.map_or_else(
        || format!("known: {known}"),
        |key| format!("did you mean {key}? All keys are in tcmu-glfs(5)"),
    )
}
