// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Sizes: as an admin writes them, and as they are shown.

use indicatif::BinaryBytes;

/// The smallest logical block of a disk.
pub(crate) const BLOCK: u64 = 512;

/// Reads `10G`: a number and a unit, K, M, G, T or P; of 1024, as for targetcli, with or without
/// `B` or `iB`.
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    let expected = || {
        format!(
            "{text:?} is not a size: a whole number and K, M, G, T or P (of 1024 each), such as 10G"
        )
    };
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits).ok_or_else(expected)?;
    let power = match unit.to_ascii_uppercase().trim_end_matches('B').trim_end_matches('I') {
        "" if !unit.to_ascii_uppercase().starts_with('I') => 0,
        "K" => 1,
        "M" => 2,
        "G" => 3,
        "T" => 4,
        "P" => 5,
        _ => return Err(expected()),
    };
    let number: u64 = number.parse().map_err(|_| expected())?;
    // Offsets on a volume have 63 bits.
    let bytes =
        number.checked_mul(1024_u64.pow(power)).filter(|&bytes| i64::try_from(bytes).is_ok());
    match bytes.ok_or_else(|| format!("{text} is more than a file can have"))? {
        0 => Err(String::from("a disk of 0 bytes is of no use")),
        bytes if bytes % BLOCK != 0 => {
            Err(format!("{bytes} bytes are no whole number of blocks of {BLOCK}"))
        }
        bytes => Ok(bytes),
    }
}

/// `10.00 GiB (10737418240 bytes)`.
pub(crate) fn show(bytes: u64) -> String {
    if bytes < 1024 {
        format!("{bytes} bytes")
    } else {
        format!("{} ({bytes} bytes)", BinaryBytes(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_as_targetcli_takes_them() {
        for (text, bytes) in
            [("512", 512), ("1K", 1 << 10), ("10G", 10 << 30), ("10g", 10 << 30), ("2TiB", 2 << 40)]
        {
            assert_eq!(parse(text), Ok(bytes));
        }
        assert_eq!(parse("4MB"), Ok(4 << 20));
        for text in ["", "G", "-1G", "1.5G", "1X", "513", "0", "9999999P", "1i", "16777216T", "1 G"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
