// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The real plugin in a fake tcmu-runner, for what concerns the whole process: the site file and
//! the log. One test at a time.

mod gfapi_log;
mod log;
mod site;

use std::process::ExitCode;

use support::harness::{run, test};

fn main() -> ExitCode {
    site::prepare();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [site::RESTARTED, cfgstring] => return site::restarted(cfgstring),
        [log::DESTROYED, how] => return log::destroyed(how),
        _ => {}
    }
    let tests = vec![
        test("a_profile_is_applied_when_a_lun_is_opened", site::applied),
        test("a_profile_that_is_not_there_is_refused_with_those_that_are", site::unknown_profile),
        test("a_broken_file_leaves_what_was_right_in_use_and_is_told_once", site::broken),
        test("a_daemon_restarted_with_a_broken_file_goes_on_with_the_last_good_one", site::restart),
        test("without_a_file_what_is_built_in_is_in_use", site::absent),
        test("a_check_of_a_configuration_reads_and_does_nothing_else", site::check_only_reads),
        test("metrics_follow_the_file_while_luns_are_open", site::metrics),
        test("a_million_failures_have_at_most_twenty_lines_with_their_count", log::storm),
        test("a_storm_on_one_lun_silences_no_other", log::neighbours),
        test("what_was_held_back_is_told_when_it_is_over", log::told_at_the_end),
        test("a_luns_level_is_its_own_and_follows_the_site_file", log::levels),
        test("commands_do_not_wait_for_a_log_that_is_stuck", log::stuck),
        test("the_last_lines_arrive_and_a_stuck_log_does_not_hold_up_the_end", log::last_lines),
        test("libgfapis_log_follows_the_daemons_directory_and_logrotate", gfapi_log::moves),
        test(
            "libgfapis_log_follows_while_another_connection_takes_long_to_end",
            gfapi_log::goes_on,
        ),
        test("libgfapis_level_follows_the_site_file_without_a_new_connection", gfapi_log::level),
    ];
    run(tests, 1, site::tidy)
}
