// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Characters of a cfgstring: those that the tools on the way let through, and escapes for the
//! rest.

use super::error::ConfigError;

/// Bytes of a cfgstring at most, subtype included. The kernel keeps 255 and silently drops the
/// rest, so one of 255 may have been clipped.
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
    if let Some(hint) = hint(text) {
        return Err(hint);
    }
    match text.chars().find(|&c| !u8::try_from(c).is_ok_and(is_plain)) {
        None => Ok(()),
        Some(c) => Err(ConfigError::Character {
            found: c,
            escaped: escaped(c.encode_utf8(&mut [0; 4]), b""),
        }),
    }
}

/// Recognises how other tools name a volume, and what is usually meant by a colon.
fn hint(text: &str) -> Option<ConfigError> {
    let place = text.strip_prefix("glfs/").unwrap_or(text);
    if let Some((_, rest)) = place.split_once("://") {
        // gluster://HOST/VOLUME/PATH, gluster+tcp://HOST:PORT/VOLUME/PATH
        let (host, rest) = rest.split_once('/')?;
        let (volume, path) = rest.split_once('/')?;
        let (host, port) = host.split_once(':').unwrap_or((host, ""));
        let port = if port.is_empty() { String::new() } else { format!(";port={port}") };
        return Some(ConfigError::Url(format!("{volume}@{host}/{path}{port}")));
    }
    let (before, after) = place.split_once(':')?;
    let Some((volume, host)) = before.split_once('@') else {
        // HOST:/VOLUME/PATH, as mount has it.
        let (volume, path) = after.trim_start_matches('/').split_once('/')?;
        return Some(ConfigError::Url(format!("{volume}@{before}/{path}")));
    };
    let (rest, path) = after.split_once('/').unwrap_or((after, "PATH"));
    if host.contains('/') {
        return None;
    }
    let path = path.split(';').next().unwrap_or(path);
    if !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(ConfigError::Port(format!("{volume}@{host}/{path}"), rest.to_owned()));
    }
    let address = format!("{host}:{rest}");
    address.trim_matches(['[', ']']).parse::<std::net::Ipv6Addr>().ok()?;
    let address = address.trim_matches(['[', ']']).replace(':', "%3A");
    Some(ConfigError::Ipv6(format!("{volume}@{address}/{path}")))
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

/// A text with every byte escaped that would not survive, or would end its part of the cfgstring,
/// as those of `special` do.
pub(super) fn escaped(text: &str, special: &[u8]) -> String {
    let stays = |byte| is_plain(byte) && byte != b'%' && byte != b';' && !special.contains(&byte);
    text.bytes().fold(String::new(), |text, byte| {
        text + &if stays(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    })
}
