// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Tests of a process that has prepared itself for them, before it had a second thread.

use std::process::ExitCode;
use std::time::Instant;

use libtest_mimic::{Arguments, Trial};

/// A test.
pub fn test(name: &str, body: fn()) -> Trial {
    Trial::test(name, move || {
        let begin = Instant::now();
        body();
        println!("{:.0?} in all", begin.elapsed());
        Ok(())
    })
}

/// Runs those that the command line asks for, so many at a time, and what has to be done at the
/// end.
pub fn run(tests: Vec<Trial>, at_a_time: usize, end: fn()) -> ExitCode {
    let conclusion = libtest_mimic::run(
        &Arguments { test_threads: Some(at_a_time), ..Arguments::from_args() },
        tests,
    );
    end();
    conclusion.exit_code()
}
