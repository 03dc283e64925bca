// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The command `tcmu-glfs` against real glusterd and bricks: one behaviour a test.
//!
//! The process moves into network and mount namespaces of its own before it has a second thread, as
//! the tests of the plugin do.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests fail by panicking, and report"
)]

mod support;

mod bad_input;
mod bench;
mod check;
mod create;
mod cut_short;
mod doctor;
mod fenced;
mod images;
mod manual;
mod resize;
mod small_brick;

use std::process::ExitCode;

use testbed::cluster;
use testbed::harness::{run, test};

fn main() -> ExitCode {
    if let Some(end) = testbed::prerequisites::missing() {
        return end;
    }
    cluster::enter_namespaces();
    let tests = vec![
        test("images_on_a_single_brick", create::single),
        test("images_on_replicas_are_equal_on_all_bricks", create::replica),
        test("images_on_a_disperse_volume", create::disperse),
        test("images_on_a_sharded_volume", create::sharded),
        test("an_image_that_exists_is_left_as_it_is", create::existing),
        test("folders_are_created_when_asked_for", create::folders),
        test("a_small_brick_that_cannot_allocate_gets_zeros_or_nothing", create::small_brick),
        test("images_grow_and_are_never_made_smaller", resize::grow),
        test("a_fenced_image_is_looked_at_and_grown_and_stays_its_owners", fenced::in_use),
        test("a_fenced_image_is_copied_when_nobody_owns_it", fenced::free),
        test("a_lun_that_can_be_served_is_said_to_be_well", check::well),
        test("a_volume_or_image_that_is_missing_is_named", check::missing),
        test("every_server_that_does_not_answer_is_named", check::servers),
        test("a_check_does_not_take_longer_than_it_may", check::bounded),
        test("a_read_only_volume_is_told", check::read_only),
        test("what_libgfapi_says_about_tls_is_shown", check::tls),
        test("a_mistake_in_the_site_file_is_a_warning_and_the_check_goes_on", check::site_file),
        test("a_degraded_volume_is_a_warning", check::degraded),
        test("ports_urls_and_ipv6_addresses_get_a_hint", check::hints),
        test("manual_pages_have_every_key_and_no_mistakes", manual::pages),
        test("shells_can_complete_the_command", manual::completions),
        test("every_json_document_has_a_schema", manual::schemas),
        test("images_are_listed_with_owner_and_lun", images::listed),
        test("an_image_in_use_is_not_removed_unfenced_or_copied", images::in_use),
        test("an_image_is_unfenced_and_removed", images::removed),
        test("more_than_is_free_is_noted", images::overcommitted),
        test("bad_input_a_host_that_does_not_answer", bad_input::host),
        test("bad_input_a_volume_that_does_not_exist", bad_input::volume),
        test("bad_input_a_directory_and_what_is_not_there", bad_input::image),
        test("bad_input_names_too_long_without_meaning_and_in_utf8", bad_input::names),
        test("bad_input_a_stopped_volume", bad_input::stopped),
        test("bad_input_a_volume_without_quorum", bad_input::without_quorum),
        test("bad_input_a_read_only_volume", bad_input::read_only),
        test("bad_input_a_full_volume", bad_input::full),
        test("a_brick_that_dies_half_way_leaves_what_is_named", cut_short::half_way),
        test("an_interrupted_command_leaves_nothing", cut_short::interrupted),
        test("two_luns_on_one_image_are_an_error", images::two_luns),
        test("a_wrong_command_line_is_not_a_failure_of_the_volume", manual::command_line),
        test("the_doctors_commands_mend_a_new_replica", doctor::a_new_replica),
        test("the_doctors_commands_mend_a_mistreated_replica", doctor::a_mistreated_replica),
        test("the_doctor_has_a_dead_brick_started", doctor::a_dead_brick),
        test("the_doctor_says_what_it_could_not_see", doctor::without_glusters_tool),
        test("the_doctor_passes_over_a_silent_server", doctor::a_silent_server),
        test("the_doctor_misses_a_volume", doctor::a_missing_volume),
        test("the_bench_measures_both_graphs_and_leaves_nothing", bench::both_graphs),
    ];
    run(tests, 2, cluster::stop)
}
