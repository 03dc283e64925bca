// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! What was found, and how it is told.

use std::fmt::{self, Write as _};

use anstyle::{AnsiColor, Style};
use serde::Serialize;

/// How bad it is. A warning or an error is something to mend; an advice is a choice that costs
/// something, or an option that this LUN does not need yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Severity {
    Ok,
    Advice,
    Warning,
    Error,
}

/// Where a command is to be typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(super) enum Place {
    /// On a node of the cluster.
    Cluster,
    /// On this host.
    Host,
}

/// How it is mended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Mending {
    place: Place,
    command: String,
    /// The command is not complete, or interrupts something: what to know before it is typed.
    #[serde(skip_serializing_if = "Option::is_none")]
    by_hand: Option<String>,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    severity: Severity,
    what: String,
    why: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    mending: Option<Mending>,
}

impl Finding {
    pub(super) fn new(severity: Severity, what: impl Into<String>, why: impl Into<String>) -> Self {
        Self { severity, what: what.into(), why: why.into(), mending: None }
    }

    pub(super) fn ok(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self::new(Severity::Ok, what, why)
    }

    /// Mended by a command that can be typed as it is.
    pub(super) fn mended_by(mut self, place: Place, command: impl Into<String>) -> Self {
        self.mending = Some(Mending { place, command: command.into(), by_hand: None });
        self
    }

    /// Mended by somebody who knows this before.
    pub(super) fn by_hand(
        mut self,
        place: Place,
        command: impl Into<String>,
        know: impl Into<String>,
    ) -> Self {
        self.mending = Some(Mending { place, command: command.into(), by_hand: Some(know.into()) });
        self
    }

    fn reason(&self) -> (Severity, &str) {
        (self.severity, &self.why)
    }

    /// Whether it is something to mend.
    pub(super) fn is_bad(&self) -> bool {
        self.severity >= Severity::Warning
    }

    #[cfg(test)]
    pub(super) fn what(&self) -> &str {
        &self.what
    }

    #[cfg(test)]
    pub(super) fn severity(&self) -> Severity {
        self.severity
    }
}

/// Everything that was found.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    worst: Severity,
    findings: Vec<Finding>,
}

impl Report {
    pub(super) fn new(mut findings: Vec<Finding>) -> Self {
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        Self { worst: findings.first().map_or(Severity::Ok, |finding| finding.severity), findings }
    }

    /// Whether there is something to mend.
    pub(super) fn is_bad(&self) -> bool {
        self.worst >= Severity::Warning
    }

    /// The commands that mend what is bad, for `sh`: those of one place, or all with a line that
    /// says where. What has to be done by hand is a comment.
    pub(super) fn commands(&self, place: Option<Place>) -> String {
        let mut text = String::new();
        for (here, heading) in
            [(Place::Cluster, "# On a node of the cluster:"), (Place::Host, "# On this host:")]
        {
            let bad = self.findings.iter().filter(|finding| finding.is_bad());
            let mendings = bad
                .filter_map(|finding| finding.mending.as_ref())
                .filter(|mending| mending.place == here);
            let mut lines: Vec<String> = Vec::new();
            for line in mendings.map(Mending::line) {
                // One command may mend several things.
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

    /// For a terminal; whoever prints it elsewhere takes the colours out.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        // What has one reason is told together.
        for group in
            self.findings.chunk_by(|one, next| !one.why.is_empty() && one.reason() == next.reason())
        {
            // Writing to a string cannot fail.
            let _written = write!(text, "{}", Shown(group));
        }
        let count =
            |severity| self.findings.iter().filter(|finding| finding.severity == severity).count();
        let _written = writeln!(
            text,
            "{} errors, {} warnings, {} to be considered, {} ok",
            count(Severity::Error),
            count(Severity::Warning),
            count(Severity::Advice),
            count(Severity::Ok)
        );
        text
    }
}

impl Severity {
    fn shown(self) -> (&'static str, Style) {
        let (word, colour) = match self {
            Self::Ok => ("ok", AnsiColor::Green),
            Self::Advice => ("advice", AnsiColor::Cyan),
            Self::Warning => ("warning", AnsiColor::Yellow),
            Self::Error => ("error", AnsiColor::Red),
        };
        (word, colour.on_default().bold())
    }
}

impl Mending {
    fn line(&self) -> String {
        match &self.by_hand {
            None => self.command.clone(),
            Some(know) => format!("# by hand ({know}): {}", self.command),
        }
    }
}

/// Findings of one kind.
struct Shown<'a>(&'a [Finding]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Finding { severity, what, .. } in self.0 {
            let (word, style) = severity.shown();
            writeln!(f, "{style}{word}{style:#}: {what}")?;
        }
        if let Some(Finding { why, .. }) = self.0.first().filter(|finding| !finding.why.is_empty())
        {
            writeln!(f, "  {why}")?;
        }
        for Mending { place, command, by_hand } in
            self.0.iter().filter_map(|finding| finding.mending.as_ref())
        {
            let place = match place {
                Place::Cluster => "on the cluster",
                Place::Host => "on this host",
            };
            writeln!(f, "  {place}: {command}")?;
            if let Some(know) = by_hand {
                writeln!(f, "    ({know})")?;
            }
        }
        Ok(())
    }
}

/// A name, found somewhere, as a word of a command: a name is no command, whoever has given it.
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
        Report::new(vec![
            Finding::ok("a is 1", ""),
            Finding::new(Severity::Advice, "b is 2", "").mended_by(Place::Cluster, "set b 3"),
            Finding::new(Severity::Warning, "c is 3", "").mended_by(Place::Host, "set c 4"),
            Finding::new(Severity::Warning, "c is not 4", "").mended_by(Place::Host, "set c 4"),
            Finding::new(Severity::Error, "d is 4", "").mended_by(Place::Cluster, "set d 5"),
            Finding::new(Severity::Warning, "e is 5", "").by_hand(
                Place::Host,
                "set e X",
                "choose X",
            ),
        ])
    }

    #[test]
    fn commands_mend_what_is_bad_and_no_choices_and_what_needs_a_hand_is_a_comment() {
        assert_eq!(
            report().commands(None),
            "# On a node of the cluster:\nset d 5\n# On this host:\nset c 4\n# by hand (choose X): set e X\n"
        );
        assert_eq!(report().commands(Some(Place::Cluster)), "set d 5\n");
    }

    #[test]
    fn advice_is_not_bad_and_the_worst_comes_first() {
        assert!(report().is_bad());
        assert!(
            !Report::new(vec![Finding::new(Severity::Advice, "b", ""), Finding::ok("a", "")])
                .is_bad()
        );
        let text = anstream::adapter::strip_str(&report().text()).to_string();
        assert!(text.starts_with("error: d is 4\n"), "{text}");
        assert!(text.ends_with("1 errors, 3 warnings, 1 to be considered, 1 ok\n"), "{text}");
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
