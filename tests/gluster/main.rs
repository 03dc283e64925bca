// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The real plugin against real glusterd and bricks: one behaviour a test.
//!
//! The process moves into network and mount namespaces of its own before it has a second thread,
//! and starts a glusterd there: the host's, if there is one, is neither seen nor touched.

mod durability;
mod environments;
mod failures;
mod gfapi_log;
mod glusterds;
mod graph_changes;
mod metrics;
mod model;
mod outages;
mod relay;
mod resizing;
mod space;
mod types;

use std::process::ExitCode;

use support::harness::{run, test};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [durability::GATEWAY, cfgstring] => durability::gateway(cfgstring),
        [failures::IN_VAIN, cfgstring] => failures::open_in_vain(cfgstring),
        [environments::ENVIRONMENT, name] => environments::run_in(name),
        [graph_changes::APART, body] => graph_changes::live_apart(body),
        _ => {}
    }
    if let Some(end) = support::prerequisites::missing() {
        return end;
    }
    support::cluster::enter_namespaces();
    let tests = vec![
        test("a_single_brick_has_what_was_written", types::single),
        test("every_replica_has_what_was_written", types::replica),
        test("a_disperse_volume_gives_back_what_was_written", types::disperse),
        test("a_sharded_image_gives_back_what_was_written_across_shards", types::sharded),
        test("the_first_changes_on_a_sharded_volume_do_not_fail", types::first_shards),
        test("a_volume_that_becomes_sharded_promises_no_fence", types::sharded_under_way),
        test("the_holes_of_an_image_are_seen", space::holes),
        test("commands_beside_it_do_not_disturb_a_look_for_holes", space::holes_under_load),
        test("nothing_is_a_hole_where_a_volume_cannot_tell", space::unknown),
        test("space_is_the_volumes_or_a_quotas", space::space),
        test("initiators_are_warned_before_a_quota_is_full", space::warning),
        test("random_commands_agree_with_a_model_on_a_single_brick", model::single),
        test(
            "random_commands_agree_with_a_model_on_a_replica_that_loses_a_brick",
            model::replica_that_loses_a_brick,
        ),
        test("random_commands_agree_with_a_model_on_a_disperse_volume", model::disperse),
        test("random_commands_agree_with_a_model_on_a_sharded_volume", model::sharded),
        test("random_commands_agree_with_a_model_whatever_the_tuning", model::tuned),
        test(
            "an_acknowledged_write_survives_the_death_of_the_gateway",
            durability::acknowledged_writes_survive,
        ),
        test("a_forced_write_is_durable_whatever_way_the_bricks_write", durability::forced_writes),
        test(
            "a_forced_write_survives_the_death_of_the_brick_right_after_it",
            durability::forced_writes_survive_the_brick,
        ),
        test("two_gateways_see_each_others_writes_at_once", durability::gateways_agree),
        test("a_volume_that_does_not_exist_is_named", failures::missing_volume),
        test("a_volume_that_is_stopped_is_named", failures::stopped_volume),
        test("a_dead_first_server_is_passed_over_quickly", failures::dead_first_server),
        test("a_unix_socket_reaches_glusterd", failures::unix_socket),
        test("a_dead_brick_is_busy_and_its_return_heals_the_lun", failures::dead_brick),
        test("a_graph_switch_under_load_disturbs_no_command", failures::graph_switch),
        test(
            "commands_that_go_on_from_an_answer_survive_a_graph_switch",
            failures::graph_switch_and_continued_commands,
        ),
        test(
            "commands_that_bricks_hold_back_survive_a_change_of_the_graph",
            graph_changes::calls_in_flight_survive,
        ),
        test(
            "an_image_whose_brick_is_away_when_the_graph_changes_takes_no_other_lun_with_it",
            graph_changes::a_lost_brick_is_only_its_own_images_loss,
        ),
        test(
            "an_image_on_a_connection_that_another_lun_has_replaced_hears_of_changes",
            graph_changes::replaced_connection,
        ),
        test("a_lun_comes_up_before_its_bricks_and_serves_when_they_do", outages::deferred),
        test("a_path_checker_alone_finds_out_that_an_outage_is_over", outages::path_checker),
        test("luns_whose_server_is_silent_do_not_hold_up_the_daemon", outages::silent_server),
        test("a_descriptor_that_has_gone_bad_is_replaced_under_the_lun", outages::bad_descriptor),
        test(
            "an_image_that_gluster_block_fills_is_not_let_in_before_on_disperse",
            resizing::gluster_block_on_disperse,
        ),
        test(
            "an_image_that_gluster_block_fills_is_not_let_in_before_on_shards",
            resizing::gluster_block_on_shards,
        ),
        test(
            "an_image_that_is_being_filled_is_not_let_in_on_disperse",
            resizing::filled_on_disperse,
        ),
        test("an_image_that_is_being_filled_is_not_let_in_on_shards", resizing::filled_on_shards),
        test("a_lun_shrinks_to_an_image_that_gluster_block_has_cut_off", resizing::shrunk),
        test("bricks_and_graph_switches_of_a_volume_are_shown", metrics::bricks_and_graphs),
        test("who_may_use_an_image_is_shown_and_how_often_that_changed", metrics::owners),
        test("bricks_that_hang_do_not_hold_up_who_asks_for_numbers", metrics::bricks_that_hang),
        test("a_server_that_answers_wrong_or_never_changes_no_lun", glusterds::bad_answers),
        test(
            "a_server_that_answers_wrong_or_never_holds_up_no_open_for_long",
            glusterds::bad_answers_to_an_open,
        ),
        test("the_next_server_tells_of_changes_when_the_first_is_lost", glusterds::lost_server),
        test("an_ipv6_cluster_is_reached_by_name_and_by_address", environments::ipv6),
        test("a_volume_with_tls_is_served", environments::tls),
        test("a_cluster_with_tls_everywhere_is_served", environments::management_tls),
        test("libgfapis_log_moves_and_is_as_detailed_as_its_luns_wish", gfapi_log::follows),
        test("opens_of_a_missing_volume_leave_nothing_behind", failures::missing_volume_often),
    ];
    run(tests, 2, support::cluster::stop)
}
