// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Prometheus' text format 0.0.4, which `promtool` and `node_exporter`'s textfile collector still
//! require.
//!
//! Its samples are those of OpenMetrics. Its descriptions differ: a counter's family is named like
//! its samples, with `_total`; there is no type `info`, no unit and no end mark.

/// Converts OpenMetrics text.
pub(super) fn from_openmetrics(text: &str) -> String {
    let mut output = String::with_capacity(text.len());
    let mut push = |parts: &[&str]| {
        output.extend(parts.iter().copied().chain(["\n"]));
    };
    let mut help = None;
    for line in text.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            // Comes before the type, which decides on the name.
            (Some("#"), Some("HELP"), Some(_), rest) => help = rest,
            (Some("#"), Some("TYPE"), Some(name), Some(kind)) => {
                let (suffix, kind) = match kind {
                    "counter" => ("_total", "counter"),
                    "info" => ("_info", "gauge"),
                    other => ("", other),
                };
                push(&["# HELP ", name, suffix, " ", help.take().unwrap_or_default()]);
                push(&["# TYPE ", name, suffix, " ", kind]);
            }
            (Some("#"), ..) => {}
            _ => push(&[line]),
        }
    }
    output
}
