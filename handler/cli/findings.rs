// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! What was found, a line each, and whether it is well.

use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use serde::Serialize;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    /// As it should be.
    Ok,
    /// To be known.
    Note,
    /// Works, and may not be what was meant.
    Warning,
    /// Does not work.
    Error,
}

#[derive(Debug, Serialize)]
struct Finding {
    level: Level,
    about: &'static str,
    text: String,
}

/// All findings about one thing. Printed as they come, or at the end as one JSON document.
#[derive(Debug)]
pub(crate) struct Findings {
    json: bool,
    list: Vec<Finding>,
}

impl Findings {
    pub(crate) fn new(json: bool) -> Self {
        Self { json, list: Vec::new() }
    }

    /// Adds a sentence about `about`, a word that does not change from release to release.
    pub(crate) fn add(&mut self, level: Level, about: &'static str, text: impl Into<String>) {
        let text = text.into();
        if !self.json {
            let (word, style) = level.shown();
            anstream::println!("{style}{word}{style:#}: {text}");
        }
        self.list.push(Finding { level, about, text });
    }

    pub(crate) fn ok(&mut self, about: &'static str, text: impl Into<String>) {
        self.add(Level::Ok, about, text);
    }

    pub(crate) fn note(&mut self, about: &'static str, text: impl Into<String>) {
        self.add(Level::Note, about, text);
    }

    pub(crate) fn warning(&mut self, about: &'static str, text: impl Into<String>) {
        self.add(Level::Warning, about, text);
    }

    pub(crate) fn error(&mut self, about: &'static str, text: impl Into<String>) {
        self.add(Level::Error, about, text);
    }

    /// Says what is left to say. Only an error is a failure.
    pub(crate) fn end(self, subject: &str) -> ExitCode {
        let worst = self.list.iter().map(|finding| finding.level).max().unwrap_or(Level::Ok);
        if self.json {
            println!(
                "{:#}",
                serde_json::json!({ "subject": subject, "worst": worst, "findings": self.list })
            );
        }
        if worst == Level::Error { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }
}

impl Level {
    fn shown(self) -> (&'static str, Style) {
        let (word, colour) = match self {
            Self::Ok => ("ok", AnsiColor::Green),
            Self::Note => ("note", AnsiColor::Cyan),
            Self::Warning => ("warning", AnsiColor::Yellow),
            Self::Error => ("error", AnsiColor::Red),
        };
        (word, colour.on_default().bold())
    }
}

/// What a command that could not do its work says.
pub(crate) fn failed(why: &str) -> ExitCode {
    let (word, style) = Level::Error.shown();
    anstream::eprintln!("{style}{word}{style:#}: {why}");
    ExitCode::FAILURE
}
