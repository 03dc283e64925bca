// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The findings about one subject, as a text, as commands, or as a JSON document.

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

    /// Adds what was found about `about`.
    pub(crate) fn add(&mut self, about: &'static str, findings: impl IntoIterator<Item = Finding>) {
        for finding in findings {
            if self.live {
                anstream::println!("{}", terminal::paragraph(&finding.headline(), "", "  "));
            }
            self.findings.push(finding.about(about));
        }
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
            [(Place::Cluster, "# On a node of the cluster:\n"), (Place::Host, "# On this host:\n")]
        {
            let bad = self.findings.iter().filter(|finding| finding.is_bad());
            let fixes = different_fixes(bad).into_iter().filter(|fix| fix.place == here);
            let lines: String = fixes.map(|fix| fix.line() + "\n").collect();
            if !lines.is_empty() && place.is_none_or(|wanted| wanted == here) {
                text.extend([if place.is_none() { heading } else { "" }, &lines]);
            }
        }
        text
    }

    /// For a terminal: findings with one reason together, then how many there are.
    pub(crate) fn text(&self) -> String {
        let mut groups: Vec<Vec<&Finding>> = Vec::new();
        for finding in &self.findings {
            let reason = (finding.severity, &finding.why);
            let alike = |group: &&mut Vec<&Finding>| {
                !finding.why.is_empty()
                    && group.first().is_some_and(|first| (first.severity, &first.why) == reason)
            };
            match groups.iter_mut().find(alike) {
                Some(group) => group.push(finding),
                None => groups.push(vec![finding]),
            }
        }
        let text: String = groups.iter().map(|group| group_text(group)).collect();
        let count = |severity| self.findings.iter().filter(|f| f.severity == severity).count();
        let errors = terminal::plural(count(Severity::Error), "error");
        let warnings = terminal::plural(count(Severity::Warning), "warning");
        let notes = terminal::plural(count(Severity::Note), "note");
        text + &format!("{errors}, {warnings}, {notes}, {} ok\n", count(Severity::Ok))
    }
}

/// The fixes of findings, each once: one command may fix several of them.
fn different_fixes<'a>(findings: impl Iterator<Item = &'a Finding>) -> Vec<&'a Fix> {
    findings.filter_map(|finding| finding.fix.as_ref()).fold(Vec::new(), |mut fixes, fix| {
        if !fixes.contains(&fix) {
            fixes.push(fix);
        }
        fixes
    })
}

/// Findings with one reason: their headlines, the reason, each fix once. Commands are not wrapped,
/// so that they can be copied.
fn group_text(group: &[&Finding]) -> String {
    let headlines = group.iter().map(|finding| terminal::paragraph(&finding.headline(), "", "  "));
    let mut lines: Vec<String> = headlines.collect();
    if let Some(finding) = group.first().filter(|finding| !finding.why.is_empty()) {
        lines.push(terminal::paragraph(&finding.why, "  ", "  "));
    }
    for Fix { place, command, by_hand } in different_fixes(group.iter().copied()) {
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
                Finding::ok("a is 1"),
                Finding::note("b is 2").on_cluster("set b 3"),
                Finding::warning("c is 3").on_host("set c 4"),
                Finding::warning("c is not 4").on_host("set c 4"),
                Finding::error("d is 4").on_cluster("set d 5"),
                Finding::warning("e is 5").on_host("set e X").by_hand("choose X"),
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
        let noted = Report::new(None, vec![Finding::note("b"), Finding::ok("a")]);
        assert!(noted.worst() < Severity::Warning);
        let twice = |what| Finding::warning(what).because("slow").on_host("set x").by_hand("later");
        let text = Report::new(None, vec![twice("d0"), Finding::ok("a"), twice("d1")]).text();
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
