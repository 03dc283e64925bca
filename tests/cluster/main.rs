// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The plugin on a cluster of three Gluster nodes, under load, with faults: what was acknowledged
//! is there afterwards.
//!
//! The process moves into namespaces of its own before it has a second thread; nodes and gateways
//! get networks of their own below it, joined by a bridge. Gateways are child processes with the
//! real plugin. The host's glusterd is neither seen nor touched.

mod agent;
mod baseline_client;
mod changes;
mod checker;
mod checker_tests;
mod compare_and_write;
mod fault;
mod faults;
mod fencing;
mod full;
mod gateway;
mod graph_changes;
mod journal;
mod layouts;
mod load;
mod network;
mod nodes;
mod random;
mod replica;
mod servers;
mod soak;
mod stamp;
mod verdict;
mod volumes;

use std::process::ExitCode;

use support::harness::{run, test};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [agent::GATEWAY, gateway, folder] =
        arguments.iter().map(String::as_str).collect::<Vec<_>>()[..]
    {
        agent::serve(gateway, folder);
    }
    if let Some(end) = support::prerequisites::missing() {
        return end;
    }
    support::namespaces::enter();
    let tests = vec![
        test("the_checker_catches_a_lost_write", checker_tests::a_lost_write),
        test("the_checker_catches_a_stale_write", checker_tests::a_stale_write),
        test("the_checker_catches_a_late_duplicate", checker_tests::a_late_duplicate),
        test(
            "the_checker_catches_a_write_of_a_fenced_gateway",
            checker_tests::a_write_of_a_fenced_gateway,
        ),
        test("the_checker_catches_a_torn_block", checker_tests::a_torn_block),
        test("the_checker_catches_wrong_reads", checker_tests::reads),
        test("the_checker_lets_pass_what_may_be", checker_tests::what_may_be_is_let_pass),
        test("a_brick_of_a_replica_dies_and_comes_back", replica::a_brick_dies_and_comes_back),
        test("a_node_vanishes_without_a_word", replica::a_node_vanishes),
        test("a_brick_freezes", replica::a_brick_freezes),
        test("all_bricks_are_away_and_come_back", replica::all_bricks_are_away),
        test("quorum_is_lost_and_comes_back", replica::quorum_is_lost),
        test("one_brick_comes_back_later_than_the_others", replica::one_brick_comes_back_later),
        test("graphs_switch_under_load", replica::graphs_switch),
        test(
            "a_graph_switches_while_a_brick_is_frozen",
            replica::a_graph_switches_while_a_brick_is_frozen,
        ),
        test("the_volfile_server_dies_and_comes_back", replica::the_volfile_server_dies),
        test("an_arbiter_and_then_a_data_brick_die", layouts::an_arbiter_and_then_a_data_brick_die),
        test("a_brick_of_a_disperse_volume_dies", layouts::a_brick_of_a_disperse_volume_dies),
        test(
            "a_sharded_image_grows_and_a_brick_dies",
            layouts::a_sharded_image_grows_and_a_brick_dies,
        ),
        test(
            "bricks_are_added_and_rebalanced_under_load",
            layouts::bricks_are_added_and_rebalanced,
        ),
        test("graph_changes_disturb_no_command_on_one_brick", graph_changes::brick),
        test("graph_changes_disturb_no_command_on_a_distribute_volume", graph_changes::distribute),
        test(
            "graph_changes_disturb_no_command_on_a_fenced_distribute_volume",
            graph_changes::fenced_distribute,
        ),
        test("graph_changes_disturb_no_command_on_a_replica", graph_changes::replica),
        test("graph_changes_disturb_no_command_on_a_disperse_volume", graph_changes::disperse),
        test("graph_changes_disturb_no_command_on_a_sharded_volume", graph_changes::sharded),
        test("increments_of_two_gateways_add_up", compare_and_write::increments_add_up),
        test(
            "increments_add_up_when_a_fence_is_gone",
            compare_and_write::increments_add_up_when_a_fence_is_gone,
        ),
        test("a_frozen_owner_of_a_brick_lands_nothing_late", fencing::frozen_owner_of_a_brick),
        test("a_frozen_owner_of_a_replica_lands_nothing_late", fencing::frozen_owner_of_a_replica),
        test(
            "a_frozen_owner_of_an_arbiter_volume_lands_nothing_late",
            fencing::frozen_owner_of_an_arbiter_volume,
        ),
        test(
            "a_frozen_owner_of_a_disperse_volume_lands_nothing_late",
            fencing::frozen_owner_of_a_disperse_volume,
        ),
        test("without_a_fence_a_frozen_gateway_writes_late", fencing::without_a_fence),
        test("the_image_of_a_dead_owner_is_free", fencing::dead_owner),
        test("the_image_of_an_owner_that_vanished_is_taken", fencing::vanished_owner),
        test("an_owner_whose_bricks_restart_owns_again", fencing::bricks_restart_under_the_owner),
        test("a_standby_gateway_does_not_take_what_is_in_use", fencing::standby_reads),
        test("what_cannot_be_fenced_is_refused_or_warned_about", fencing::impossible),
        test("dead_servers_are_passed_over", servers::dead_ones_are_passed_over),
        test("space_runs_out_and_comes_back", full::space_runs_out_and_comes_back),
        test("random_faults_lose_nothing", soak::random_faults),
    ];
    // Four at a time, but for those that kill nodes: these have the cluster for themselves.
    run(tests, 4, nodes::stop)
}
