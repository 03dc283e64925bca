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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_called_as_their_samples_and_units_and_the_end_are_left_out() {
        let text = "# HELP a_bytes What it is.\n# TYPE a_bytes counter\n# UNIT a_bytes \
                    bytes\na_bytes_total{l=\"# x\"} 1\n\
            # HELP b B.\n# TYPE b info\nb_info{v=\"1\"} 1\n# HELP c C.\n# TYPE c gauge\nc 2\n# \
            EOF\n";
        assert_eq!(
            from_openmetrics(text),
            "# HELP a_bytes_total What it is.\n# TYPE a_bytes_total counter\na_bytes_total{l=\"# \
             x\"} 1\n\
             # HELP b_info B.\n# TYPE b_info gauge\nb_info{v=\"1\"} 1\n# HELP c C.\n# TYPE c \
             gauge\nc 2\n"
        );
    }
}
