// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The distribution's tcmu-runner with the plugin, natively: the kernel's side of TCMU is emulated
//! in this process, so that neither a guest nor root's kernel modules are needed, and all
//! processors work at full speed. The VM tier stays the judge of the real kernel.

mod admin;
mod bench;
mod commands;
mod gate;
mod gateways;
mod host;
mod hostile;
mod kernel;
mod life;
mod model;
mod scsi;
mod traffic;

use std::process::ExitCode;

use support::harness::{run, test};

fn main() -> ExitCode {
    if let Some(end) = support::prerequisites::missing().or_else(host::missing) {
        return end;
    }
    support::cluster::enter_namespaces();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [bench::BENCH, rest @ ..] = &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..]
    {
        let code = bench::run(rest);
        end();
        return code;
    }
    let tests = vec![
        test(
            "a_lun_is_added_written_read_and_removed_and_the_daemon_ends",
            life::from_start_to_end,
        ),
        test("luns_that_were_there_before_the_daemon_are_taken_over", life::before_the_daemon),
        test(
            "a_daemon_that_is_killed_with_commands_in_flight_loses_nothing_acknowledged",
            life::killed_with_commands_in_flight,
        ),
        test(
            "a_lun_is_removed_when_its_expired_commands_have_ended",
            life::removed_with_expired_commands,
        ),
        test("the_daemon_ends_when_its_commands_have_ended", life::ends_with_commands_in_flight),
        test("answers_that_come_too_late_do_no_harm", life::late_answers),
        test("commands_that_find_the_ring_full_are_served_later", life::full_ring),
        test("a_lun_that_was_blocked_goes_on", life::blocked),
        test("luns_that_come_and_go_leave_nothing_behind", life::come_and_go),
        test("a_daemon_that_gets_no_threads_serves_the_luns_it_has", life::no_threads),
        test("commands_that_the_core_finds_slow_are_answered_all_the_same", life::slow_commands),
        test("random_commands_at_depth_64_agree_with_a_model", traffic::one_lun),
        test("luns_side_by_side_keep_to_their_own_data", traffic::three_luns),
        test("a_bad_configuration_is_refused_over_dbus_and_by_the_kernel", admin::bad_config),
        test("a_lun_grows_with_its_image_and_not_beyond", admin::growth),
        test("settings_of_a_live_lun_change_or_are_refused", admin::settings_of_a_live_lun),
        test("the_daemon_follows_its_log_level", admin::log_level),
        test("unmapped_and_repeated_blocks_read_as_they_should", commands::unmapped_and_repeated),
        test("counts_made_with_compare_and_write_are_not_lost", commands::counted_together),
        test("forced_and_empty_commands_do_what_they_should", commands::forced_and_empty),
        test(
            "blocks_are_copied_between_luns_that_every_initiator_has",
            commands::copied_between_luns,
        ),
        test("two_gateways_take_a_lun_in_turns_and_lose_nothing", gateways::taken_in_turns),
        test("every_opcode_with_any_parameters_is_answered", hostile::every_opcode),
        test("large_commands_to_a_silent_brick_take_bounded_memory", hostile::large_and_slow),
    ];
    run(tests, 2, end)
}

fn end() {
    host::clean_up();
    support::cluster::stop();
}
