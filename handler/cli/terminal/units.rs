// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Numbers for people: three digits at most where it can be, and always the same unit in a column
//! that is compared.

/// 512 B, 4.0 KiB, 100 GiB: sizes of disks.
pub(crate) fn size(bytes: f64) -> String {
    let mut value = bytes;
    for unit in ["B", "KiB", "MiB", "GiB", "TiB"] {
        if value < 1024.0 {
            // Whole ones without a point, which is most of them.
            return if value.fract() == 0.0 || value >= 100.0 {
                format!("{value:.0} {unit}")
            } else {
                format!("{value:.1} {unit}")
            };
        }
        value /= 1024.0;
    }
    format!("{value:.1} PiB")
}

/// Like [`size`], of a whole number.
#[allow(clippy::cast_precision_loss, reason = "three digits are shown")]
pub(crate) fn bytes(bytes: u64) -> String {
    size(bytes as f64)
}

/// 0, 950, 12.3k, 4.56M: things that are counted.
pub(crate) fn count(value: f64) -> String {
    // The sum of no numbers is minus zero.
    let mut value = value + 0.0;
    for unit in ["", "k", "M", "G"] {
        if value < 999.5 {
            return if unit.is_empty() {
                format!("{value:.0}")
            } else {
                format!("{}{unit}", three_digits(value))
            };
        }
        value /= 1000.0;
    }
    format!("{}T", three_digits(value))
}

/// Seconds as milliseconds, without the unit: 0.02, 1.25, 340, 12345.
pub(crate) fn milliseconds(seconds: Option<f64>) -> String {
    match seconds.map(|seconds| seconds * 1e3) {
        None => "-".to_owned(),
        Some(value) => three_digits(value),
    }
}

/// Bytes a second as MB/s, without the unit.
pub(crate) fn megabytes(bytes: f64) -> String {
    match bytes / 1e6 {
        0.0 => "0".to_owned(),
        value if value < 99.5 => format!("{value:.1}"),
        value => format!("{value:.0}"),
    }
}

/// Events a second: slow ones are not lost.
pub(crate) fn rate(value: f64) -> String {
    if value > 0.0 && value < 9.95 { format!("{value:.1}") } else { count(value) }
}

/// 42s, 5m, 3h, 2d: how long something has been so.
pub(crate) fn ago(seconds: u64) -> String {
    match seconds {
        0..100 => format!("{seconds}s"),
        100..6000 => format!("{}m", seconds / 60),
        6000..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

fn three_digits(value: f64) -> String {
    match value {
        v if v < 9.995 => format!("{v:.2}"),
        v if v < 99.95 => format!("{v:.1}"),
        v => format!("{v:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_order_and_stay_short() {
        let sizes = [0.0, 512.0, 1536.0, 107_374_182_400.0, 1.5 * 1024.0_f64.powi(4)].map(size);
        assert_eq!(sizes, ["0 B", "512 B", "1.5 KiB", "100 GiB", "1.5 TiB"]);
        let counts = [-0.0, 0.4, 999.0, 999.6, 12_345.0, 4_560_000.0, 7.2e9].map(count);
        assert_eq!(counts, ["0", "0", "999", "1.00k", "12.3k", "4.56M", "7.20G"]);
        let times = [0.000_016, 0.001_25, 0.012_34, 0.34, 1.5, 64.0].map(|s| milliseconds(Some(s)));
        assert_eq!(times, ["0.02", "1.25", "12.3", "340", "1500", "64000"]);
        assert_eq!(milliseconds(None), "-");
        assert_eq!(
            [0.0, 4e4, 12.34e6, 340e6, 1.2e9].map(megabytes),
            ["0", "0.0", "12.3", "340", "1200"]
        );
        assert_eq!([0.0, 0.2, 9.9, 10.4, 2000.0].map(rate), ["0", "0.2", "9.9", "10", "2.00k"]);
        assert_eq!([42, 300, 7200, 200_000].map(ago), ["42s", "5m", "2h", "2d"]);
    }
}
