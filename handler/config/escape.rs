// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Characters of a cfgstring: those that the tools on the way let through, and escapes for the rest.

use std::fmt;

use super::error::ConfigError;

/// Bytes of a cfgstring at most, subtype included. The kernel keeps 255 and silently drops the rest,
/// so one of 255 may have been clipped.
pub(super) const LONGEST: usize = 254;

/// Whether targetcli, rtslib (which refuses `:`) and the kernel (which ends the string at `,`) all
/// let a byte through.
pub(super) fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"?;&*$!#=_\\+/.<>()~@-%[]".contains(&byte)
}

/// Refuses a text that would not survive the way to the kernel and back, or has been clipped there.
pub(super) fn check(text: &str) -> Result<(), ConfigError> {
    if text.len() > LONGEST {
        return Err(ConfigError::TooLong { found: text.len(), max: LONGEST });
    }
    match text.chars().find(|&c| !u8::try_from(c).is_ok_and(is_plain)) {
        None => Ok(()),
        Some(c) => Err(ConfigError::Character {
            found: c,
            escaped: Escaped::all(c.encode_utf8(&mut [0; 4])).to_string(),
        }),
    }
}

/// Undoes `%XX`.
pub(super) fn unescape(text: &str) -> Result<String, ConfigError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = rest.next().and_then(hex).zip(rest.next().and_then(hex));
        match digits {
            Some((0, 0)) | None => return Err(ConfigError::Escape(text.to_owned())),
            Some((high, low)) => bytes.push(high << 4 | low),
        }
    }
    String::from_utf8(bytes).map_err(|_| ConfigError::Escape(text.to_owned()))
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// Displays a text with every byte escaped that would not survive, or would end its part of the
/// cfgstring.
pub(super) struct Escaped<'a> {
    text: &'a str,
    /// Further bytes to escape.
    special: &'static [u8],
}

impl<'a> Escaped<'a> {
    pub(super) fn part(text: &'a str, special: &'static [u8]) -> Self {
        Self { text, special }
    }

    fn all(text: &'a str) -> Self {
        Self { text, special: b"" }
    }
}

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.text.bytes() {
            if is_plain(byte) && byte != b'%' && byte != b';' && !self.special.contains(&byte) {
                write!(f, "{}", char::from(byte))?;
            } else {
                write!(f, "%{byte:02X}")?;
            }
        }
        Ok(())
    }
}
