// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Findings of `check` and `doctor`: what is so, why it matters, and what fixes it.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{json, terminal};

/// How much a finding matters. Warnings and errors are to be fixed; a note is to be known, or a
/// choice that costs something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    Ok,
    Note,
    Warning,
    Error,
}

/// Where a command is to be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Place {
    /// On a node of the cluster.
    Cluster,
    /// On this host.
    Host,
}

/// The command that fixes a finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Fix {
    place: Place,
    command: String,
    /// What to know before running it: it is incomplete, or interrupts something.
    #[serde(skip_serializing_if = "Option::is_none")]
    by_hand: Option<String>,
}

/// One thing that was examined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Finding {
    severity: Severity,
    /// Area, a word that does not change from release to release.
    about: &'static str,
    what: String,
    /// Empty if `what` says all.
    why: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<Fix>,
}

impl Finding {
    pub(crate) fn new(severity: Severity, what: impl Into<String>, why: impl Into<String>) -> Self {
        Self { severity, about: "", what: what.into(), why: why.into(), fix: None }
    }

    pub(crate) fn ok(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self::new(Severity::Ok, what, why)
    }

    /// Sets the area.
    pub(crate) fn about(mut self, about: &'static str) -> Self {
        self.about = about;
        self
    }

    /// Fixed by a command that can be run as it is.
    pub(crate) fn fixed_by(mut self, place: Place, command: impl Into<String>) -> Self {
        self.fix = Some(Fix { place, command: command.into(), by_hand: None });
        self
    }

    /// Fixed by an admin who knows this first.
    pub(crate) fn by_hand(
        mut self,
        place: Place,
        command: impl Into<String>,
        know: impl Into<String>,
    ) -> Self {
        self.fix = Some(Fix { place, command: command.into(), by_hand: Some(know.into()) });
        self
    }

    fn reason(&self) -> (Severity, &str) {
        (self.severity, &self.why)
    }

    /// Whether it is to be fixed.
    pub(crate) fn is_bad(&self) -> bool {
        self.severity >= Severity::Warning
    }

    #[cfg(test)]
    pub(crate) fn what(&self) -> &str {
        &self.what
    }

    #[cfg(test)]
    pub(crate) fn severity(&self) -> Severity {
        self.severity
    }

    fn headline(&self) -> String {
        let (word, style) = self.severity.label();
        format!("{style}{word}{style:#}: {}", self.what)
    }
}

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

impl Severity {
    pub(crate) fn label(self) -> (&'static str, Style) {
        let (word, colour) = match self {
            Self::Ok => ("ok", AnsiColor::Green),
            Self::Note => ("note", AnsiColor::Cyan),
            Self::Warning => ("warning", AnsiColor::Yellow),
            Self::Error => ("error", AnsiColor::Red),
        };
        (word, colour.on_default().bold())
    }
}

impl Fix {
    fn line(&self) -> String {
        match &self.by_hand {
            None => self.command.clone(),
            Some(know) => format!("# by hand ({know}): {}", self.command),
        }
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

/// Quotes a name as one word of a shell command.
pub(super) fn word(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:,/@+".contains(c);
    if !name.is_empty() && name.chars().all(plain) {
        return name.to_owned();
    }
    let name = name.replace(|c: char| c.is_control(), "?").replace('\'', r"'\''");
    format!("'{name}'")
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

    #[test]
    fn names_stay_names() {
        assert_eq!(word("iqn.2026-01.org.example:db"), "iqn.2026-01.org.example:db");
        assert_eq!(word("d0; reboot"), "'d0; reboot'");
        assert_eq!(word("a'b\nreboot"), r"'a'\''b?reboot'");
        let echoed = std::process::Command::new("sh")
            .args(["-c", &format!("printf %s {}", word("$(id) 'x' `id`"))])
            .output();
        assert_eq!(echoed.unwrap().stdout, b"$(id) 'x' `id`");
    }
}
