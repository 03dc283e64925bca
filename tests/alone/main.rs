//! The real plugin in a fake tcmu-runner, for what concerns the whole process: the site file and the log. One test at a time.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::exit,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::multiple_unsafe_ops_per_block,
    missing_docs,
    unreachable_pub,
    reason = "tests fail by panicking, and talk"
)]

#[path = "../support/mod.rs"]
mod support;

mod site;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    site::prepare();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [site::RESTARTED, cfgstring] = arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        return site::restarted(cfgstring);
    }
    let test = |name: &str, body: fn()| {
        Trial::test(name, move || {
            body();
            Ok(())
        })
    };
    let tests = vec![
        test("a_profile_is_applied_when_a_lun_is_opened", site::applied),
        test("a_profile_that_is_not_there_is_refused_with_those_that_are", site::unknown_profile),
        test("a_broken_file_leaves_what_was_right_in_use_and_is_told_once", site::broken),
        test("a_daemon_restarted_with_a_broken_file_goes_on_with_the_last_good_one", site::restart),
        test("without_a_file_what_is_built_in_is_in_use", site::absent),
        test("a_check_of_a_configuration_reads_and_does_nothing_else", site::check_only_reads),
    ];
    let conclusion = libtest_mimic::run(&Arguments { test_threads: Some(1), ..Arguments::from_args() }, tests);
    site::tidy();
    conclusion.exit_code()
}
