// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The findings about one subject, as a text, as commands, or as a JSON document.

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::Serialize;

use crate::finding::{Finding, Fix, Place, Severity};
use crate::{json, terminal};

/// What `check` and `doctor` print with `--json`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Document {
    /// The configuration string that was given, if any.
    subject: Option<String>,
    worst: Severity,
    findings: Vec<Finding>,
}

/// All findings about one subject.
#[derive(Debug)]
pub(crate) struct Report {
    subject: Option<String>,
    findings: Vec<Finding>,
    /// Print each finding as it comes.
    live: bool,
}

impl Report {
    /// Of findings that are all known: the worst first.
    pub(crate) fn new(subject: Option<&str>, mut findings: Vec<Finding>) -> Self {
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        Self { subject: subject.map(str::to_owned), findings, live: false }
    }

    /// Of findings that are added one by one, and printed at once unless the end is a JSON
    /// document.
    pub(crate) fn live(subject: &str, json: bool) -> Self {
        Self { subject: Some(subject.to_owned()), findings: Vec::new(), live: !json }
    }

    /// Adds a sentence about `about`.
    pub(crate) fn add(&mut self, severity: Severity, about: &'static str, text: impl Into<String>) {
        let finding = Finding::new(severity, text, "").about(about);
        if self.live {
            anstream::println!("{}", terminal::paragraph(&finding.headline(), "", "  "));
        }
        self.findings.push(finding);
    }

    pub(crate) fn ok(&mut self, about: &'static str, text: impl Into<String>) {
        self.add(Severity::Ok, about, text);
    }

    pub(crate) fn note(&mut self, about: &'static str, text: impl Into<String>) {
        self.add(Severity::Note, about, text);
    }

    pub(crate) fn warning(&mut self, about: &'static str, text: impl Into<String>) {
        self.add(Severity::Warning, about, text);
    }

    pub(crate) fn error(&mut self, about: &'static str, text: impl Into<String>) {
        self.add(Severity::Error, about, text);
    }

    pub(crate) fn worst(&self) -> Severity {
        self.findings.iter().map(|finding| finding.severity).max().unwrap_or(Severity::Ok)
    }

    /// Prints the JSON document of the command `name`.
    pub(crate) fn print_json(self, name: &str) {
        let (worst, Self { subject, findings, .. }) = (self.worst(), self);
        json::print(name, &Document { subject, worst, findings });
    }

    /// Commands that fix warnings and errors, for `sh`: those of one place, or all under a comment
    /// that names the place. What is to be done by hand is a comment.
    pub(crate) fn commands(&self, place: Option<Place>) -> String {
        let mut text = String::new();
        for (here, heading) in
            [(Place::Cluster, "# On a node of the cluster:"), (Place::Host, "# On this host:")]
        {
            let bad = self.findings.iter().filter(|finding| finding.is_bad());
            let fixes =
                bad.filter_map(|finding| finding.fix.as_ref()).filter(|fix| fix.place == here);
            let mut lines: Vec<String> = Vec::new();
            for line in fixes.map(Fix::line) {
                // One command may fix several findings.
                if !lines.contains(&line) {
                    lines.push(line);
                }
            }
            if lines.is_empty() || place.is_some_and(|wanted| wanted != here) {
                continue;
            }
            if place.is_none() {
                lines.insert(0, heading.to_owned());
            }
            text.extend(lines.into_iter().map(|line| line + "\n"));
        }
        text
    }

    /// For a terminal: findings with one reason together, then how many there are.
    pub(crate) fn text(&self) -> String {
        let mut groups: Vec<Vec<&Finding>> = Vec::new();
        for finding in &self.findings {
            let alike = |group: &&mut Vec<&Finding>| {
                !finding.why.is_empty()
                    && group.first().is_some_and(|first| first.reason() == finding.reason())
            };
            match groups.iter_mut().find(alike) {
                Some(group) => group.push(finding),
                None => groups.push(vec![finding]),
            }
        }
        let mut text: String = groups.iter().map(|group| group_text(group)).collect();
        let count = |severity, one: &str| {
            let n = self.findings.iter().filter(|finding| finding.severity == severity).count();
            terminal::plural(n, one)
        };
        // Writing to a string cannot fail.
        let _written = writeln!(
            text,
            "{}, {}, {}, {} ok",
            count(Severity::Error, "error"),
            count(Severity::Warning, "warning"),
            count(Severity::Note, "note"),
            self.findings.iter().filter(|finding| finding.severity == Severity::Ok).count()
        );
        text
    }
}

/// Findings with one reason: their headlines, the reason, each fix once. Commands are not wrapped,
/// so that they can be copied.
fn group_text(group: &[&Finding]) -> String {
    let mut lines: Vec<String> = Vec::new();
    for finding in group {
        lines.push(terminal::paragraph(&finding.headline(), "", "  "));
    }
    if let Some(finding) = group.first().filter(|finding| !finding.why.is_empty()) {
        lines.push(terminal::paragraph(&finding.why, "  ", "  "));
    }
    let mut fixes: Vec<&Fix> = Vec::new();
    for fix in group.iter().filter_map(|finding| finding.fix.as_ref()) {
        if !fixes.contains(&fix) {
            fixes.push(fix);
        }
    }
    for Fix { place, command, by_hand } in fixes {
        let place = match place {
            Place::Cluster => "on the cluster",
            Place::Host => "on this host",
        };
        lines.push(format!("  {place}: {command}"));
        if let Some(know) = by_hand {
            lines.push(terminal::paragraph(&format!("({know})"), "    ", "    "));
        }
    }
    lines.into_iter().map(|line| line + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        Report::new(
            None,
            vec![
                Finding::ok("a is 1", ""),
                Finding::new(Severity::Note, "b is 2", "").fixed_by(Place::Cluster, "set b 3"),
                Finding::new(Severity::Warning, "c is 3", "").fixed_by(Place::Host, "set c 4"),
                Finding::new(Severity::Warning, "c is not 4", "").fixed_by(Place::Host, "set c 4"),
                Finding::new(Severity::Error, "d is 4", "").fixed_by(Place::Cluster, "set d 5"),
                Finding::new(Severity::Warning, "e is 5", "").by_hand(
                    Place::Host,
                    "set e X",
                    "choose X",
                ),
            ],
        )
    }

    #[test]
    fn commands_fix_what_is_bad_and_no_choices_and_what_needs_a_hand_is_a_comment() {
        assert_eq!(
            report().commands(None),
            "# On a node of the cluster:\nset d 5\n# On this host:\nset c 4\n# by hand (choose \
             X): set e X\n"
        );
        assert_eq!(report().commands(Some(Place::Cluster)), "set d 5\n");
    }

    #[test]
    fn a_note_is_not_bad_and_the_worst_comes_first() {
        assert!(report().worst() == Severity::Error);
        assert!(
            Report::new(None, vec![Finding::new(Severity::Note, "b", ""), Finding::ok("a", "")])
                .worst()
                < Severity::Warning
        );
        let twice = |what| {
            Finding::new(Severity::Warning, what, "slow").by_hand(Place::Host, "set x", "later")
        };
        let text = Report::new(None, vec![twice("d0"), Finding::ok("a", ""), twice("d1")]).text();
        let text = anstream::adapter::strip_str(&text).to_string();
        assert!(
            text.starts_with(
                "warning: d0\nwarning: d1\n  slow\n  on this host: set x\n    (later)\nok"
            ),
            "one block for all LUNs: {text}"
        );
        let text = anstream::adapter::strip_str(&report().text()).to_string();
        assert!(text.starts_with("error: d is 4\n"), "{text}");
        assert!(text.ends_with("1 error, 3 warnings, 1 note, 1 ok\n"), "{text}");
    }
}
