// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! A finding of `check` or `doctor`: what is so, why it matters, and what fixes it.

use anstyle::{AnsiColor, Style};
use schemars::JsonSchema;
use serde::Serialize;

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
    pub(crate) place: Place,
    pub(crate) command: String,
    /// What to know before running it: it is incomplete, or interrupts something.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) by_hand: Option<String>,
}

/// One thing that was examined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Finding {
    pub(crate) severity: Severity,
    /// Area, a word that does not change from release to release.
    about: &'static str,
    pub(crate) what: String,
    /// Empty if `what` says all.
    pub(crate) why: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fix: Option<Fix>,
}

impl Finding {
    pub(crate) fn new(severity: Severity, what: impl Into<String>) -> Self {
        Self { severity, about: "", what: what.into(), why: String::new(), fix: None }
    }

    pub(crate) fn ok(what: impl Into<String>) -> Self {
        Self::new(Severity::Ok, what)
    }

    pub(crate) fn note(what: impl Into<String>) -> Self {
        Self::new(Severity::Note, what)
    }

    pub(crate) fn warning(what: impl Into<String>) -> Self {
        Self::new(Severity::Warning, what)
    }

    pub(crate) fn error(what: impl Into<String>) -> Self {
        Self::new(Severity::Error, what)
    }

    pub(crate) fn about(mut self, about: &'static str) -> Self {
        self.about = about;
        self
    }

    /// Why it matters.
    pub(crate) fn because(mut self, why: impl Into<String>) -> Self {
        self.why = why.into();
        self
    }

    /// Fixed by a command on a node of the cluster.
    pub(crate) fn on_cluster(mut self, command: impl Into<String>) -> Self {
        self.fix = Some(Fix { place: Place::Cluster, command: command.into(), by_hand: None });
        self
    }

    /// Fixed by a command on this host.
    pub(crate) fn on_host(mut self, command: impl Into<String>) -> Self {
        self.fix = Some(Fix { place: Place::Host, command: command.into(), by_hand: None });
        self
    }

    /// The command cannot be run as it is, but by an admin who knows this first.
    pub(crate) fn by_hand(mut self, know: impl Into<String>) -> Self {
        self.fix = self.fix.map(|fix| Fix { by_hand: Some(know.into()), ..fix });
        self
    }

    /// Whether it is to be fixed.
    pub(crate) fn is_bad(&self) -> bool {
        self.severity >= Severity::Warning
    }

    pub(crate) fn headline(&self) -> String {
        let (word, style) = self.severity.label();
        format!("{style}{word}{style:#}: {}", self.what)
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
    pub(crate) fn line(&self) -> String {
        match &self.by_hand {
            None => self.command.clone(),
            Some(know) => format!("# by hand ({know}): {}", self.command),
        }
    }
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
