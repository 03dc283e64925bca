// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Exit status and error output of every command.

use std::process::ExitCode;

use schemars::JsonSchema;
use serde::Serialize;

use crate::finding::Severity;
use crate::json;

/// The table of exit statuses, for `--help`.
pub(crate) const HELP: &str = "\
Exit status: 0 all is well, 1 something is wrong and was reported, 2 the command line, or a \
configuration string in it, is wrong.";

/// A command that could not do its work: one sentence, with the next step.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CommandError {
    /// The command line or a configuration string in it: exit status 2.
    #[error("{0}")]
    Usage(String),
    /// Anything else: exit status 1.
    #[error("{0}")]
    Failed(String),
}

impl From<String> for CommandError {
    fn from(why: String) -> Self {
        Self::Failed(why)
    }
}

/// An error, as `--json` prints it.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ErrorDocument {
    /// One sentence, with the next step.
    error: String,
    /// Exit status of the command.
    exit_status: u8,
}

/// What came of a command. `Ok(false)`: a problem has been found, and reported.
pub(crate) type Outcome = Result<bool, CommandError>;

/// Ends a command: prints an error, as JSON on standard output if `json` is set.
pub(crate) fn conclude(json: bool, outcome: Outcome) -> ExitCode {
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            let exit_status = if matches!(why, CommandError::Usage(_)) { 2 } else { 1 };
            if json {
                json::print("error", &ErrorDocument { error: why.to_string(), exit_status });
            } else {
                let (word, style) = Severity::Error.label();
                anstream::eprintln!("{style}{word}{style:#}: {why}");
            }
            ExitCode::from(exit_status)
        }
    }
}
