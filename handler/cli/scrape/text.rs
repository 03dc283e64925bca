// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The text of metrics (the format is `OpenMetrics`) into samples: strict, so that what is cut or
//! foreign is not shown as if it were the truth.

use std::collections::BTreeMap;

/// One line: a name, its labels, its value.
#[derive(Debug, PartialEq)]
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) value: f64,
}

impl Sample {
    /// The label's value; empty if there is no such label, which is the same.
    pub(crate) fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }
}

/// The samples in their order. Timestamps and exemplars are passed over, and so is what the metrics
/// mean (`# TYPE` and the like).
pub(crate) fn parse(text: &str) -> Result<Vec<Sample>, String> {
    let mut samples = Vec::new();
    let mut lines = text.lines().enumerate();
    for (index, line) in lines.by_ref() {
        if line == "# EOF" {
            break;
        } else if line.starts_with('#') {
            let keyword = line.split(' ').nth(1).unwrap_or_default();
            if !["TYPE", "HELP", "UNIT"].contains(&keyword) {
                return Err(format!(
                    "line {}: {line:?} is no # TYPE, # HELP, # UNIT or # EOF",
                    index + 1
                ));
            }
        } else {
            samples.push(
                sample(line).map_err(|why| format!("line {}: {why} in {line:?}", index + 1))?,
            );
        }
    }
    match lines.next() {
        Some((index, line)) => Err(format!("line {}: {line:?} comes after # EOF", index + 1)),
        None if !text.ends_with("# EOF\n") && !text.ends_with("# EOF") => {
            Err("the text is cut: no # EOF at its end".to_owned())
        }
        None => Ok(samples),
    }
}

fn sample(line: &str) -> Result<Sample, &'static str> {
    let (name, mut rest) = word(line)?;
    let mut labels = BTreeMap::new();
    if let Some(mut inside) = rest.strip_prefix('{') {
        while !inside.starts_with('}') {
            let (label, after) = word(inside)?;
            let (value, after) = quoted(after.strip_prefix('=').ok_or("no = after a label")?)?;
            if labels.insert(label.to_owned(), value).is_some() {
                return Err("a label that comes twice");
            }
            inside = match after.strip_prefix(',') {
                Some(more) => more,
                None if after.starts_with('}') => after,
                None => return Err("neither , nor } after a label"),
            };
        }
        rest = inside.strip_prefix('}').unwrap_or_default();
    }
    let mut values = rest.strip_prefix(' ').ok_or("no blank before the value")?.split(' ');
    let value = values.next().and_then(|text| text.parse().ok()).ok_or("no value")?;
    match values.next() {
        Some(timestamp) if timestamp != "#" && timestamp.parse::<f64>().is_err() => {
            Err("more than a value")
        }
        _ => Ok(Sample { name: name.to_owned(), labels, value }),
    }
}

/// A name at the beginning, and what follows it.
fn word(text: &str) -> Result<(&str, &str), &'static str> {
    let end = text
        .find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':')
        .unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        Err("no name")
    } else {
        Ok((name, rest))
    }
}

/// A string in quotes at the beginning, without its escapes, and what follows it.
fn quoted(text: &str) -> Result<(String, &str), &'static str> {
    let mut chars = text.strip_prefix('"').ok_or("no \" before a label's value")?.chars();
    let mut value = String::new();
    loop {
        match chars.next().ok_or("no \" after a label's value")? {
            '"' => return Ok((value, chars.as_str())),
            '\\' => value.push(match chars.next() {
                Some('n') => '\n',
                Some(c @ ('\\' | '"')) => c,
                _ => return Err("an unknown escape"),
            }),
            c => value.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_labels_escapes_and_values_are_taken() {
        let text = "# TYPE a counter\n# HELP a Some words.\na_total{lun=\"d\\\"0\\\\\",op=\"x, \
                    {y}\"} 1.5e3\nb +Inf\nc{} 4 1700000000.5\n\
                    d_bucket{le=\"0.1\"} 7 # {trace=\"1\"} 0.05\n# EOF\n";
        let samples = parse(text).unwrap();
        assert_eq!(samples.len(), 4);
        assert_eq!(
            (samples[0].label("lun"), samples[0].label("op"), samples[0].label("no")),
            ("d\"0\\", "x, {y}", "")
        );
        let values: Vec<f64> = samples.iter().map(|sample| sample.value).collect();
        assert_eq!(values, [1500.0, f64::INFINITY, 4.0, 7.0]);
    }

    #[test]
    fn what_is_not_open_metrics_is_refused_with_its_line() {
        for (text, why) in [
            ("", "cut"),
            ("a 1\n", "cut"),
            ("a 1\n# EOF\nb 2\n", "after # EOF"),
            ("<html>\n# EOF\n", "line 1: no name"),
            ("# hello\n# EOF\n", "line 1"),
            ("a 1\n\n# EOF\n", "line 2: no name"),
            ("a one\n# EOF\n", "no value"),
            ("a 1 two\n# EOF\n", "more than a value"),
            ("a{b=1} 1\n# EOF\n", "no \" before"),
            ("a{b=\"1} 1\n# EOF\n", "no \" after"),
            ("a{b=\"1\"c=\"2\"} 1\n# EOF\n", "neither"),
            ("a{b=\"1\",b=\"2\"} 1\n# EOF\n", "twice"),
            ("a{b=\"\\t\"} 1\n# EOF\n", "escape"),
            ("a{b=\"1\"}1\n# EOF\n", "no blank"),
        ] {
            let refused = parse(text).unwrap_err();
            assert!(refused.contains(why), "{text:?}: {refused}");
        }
    }
}
