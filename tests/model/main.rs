// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Exhaustive search of a model of the fence (docs/fencing.md): two gateways, one image, one brick
//! or three replicas, with freezes, deaths, restarts of bricks, cuts of the network and moves to
//! other connections at every point where they can come.
//!
//! Each rule of the handler and of the bricks can be taken away: the search then has to find how
//! data is lost, which proves that it looks where it should.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub,
    reason = "tests fail by panicking"
)]

mod fence;
mod gateway;
mod rules;
mod search;
mod steps;

use fence::Fence;
use rules::{Rule, Step};
use search::{Outcome, explore};

/// A search of fewer states has missed something: it would hold for want of looking.
const LEAST_STATES: usize = 20_000;

/// `MODEL_FAULTS` bounds the faults of a search: 2 on one brick take minutes, and with one on three
/// replicas the states do not fit in memory.
fn faults(bricks: usize) -> u8 {
    let usual = u8::from(bricks == 1);
    std::env::var("MODEL_FAULTS").map_or(usual, |faults| faults.parse().expect("MODEL_FAULTS"))
}

fn search(broken: Option<Rule>, bricks: usize) -> Outcome<Step> {
    explore(Fence::new(bricks, faults(bricks), broken))
}

fn holds(bricks: usize) {
    match search(None, bricks) {
        Outcome::Holds { states } => {
            println!("{bricks} bricks: {states} states, and no write lands late");
            assert!(states >= LEAST_STATES, "{states} states only: what is searched?");
        }
        Outcome::Violated { steps } => panic!("a write lands late:\n{}", told(&steps)),
    }
}

fn loses_data(broken: Rule, bricks: usize) {
    match search(Some(broken), bricks) {
        Outcome::Holds { states } => panic!("none of {states} states shows that it is needed"),
        Outcome::Violated { steps } => println!("{}", told(&steps)),
    }
}

fn told(steps: &[Step]) -> String {
    steps.iter().map(|step| format!("  {step:?}")).collect::<Vec<_>>().join("\n")
}

#[test]
fn no_write_lands_late_on_one_brick() {
    holds(1);
}

#[test]
fn no_write_lands_late_on_three_replicas() {
    holds(3);
}

#[test]
fn without_enforcement_by_the_bricks_a_gateway_that_wakes_up_writes_late() {
    loses_data(Rule::BricksEnforce, 1);
}

#[test]
fn with_a_lock_taken_while_commands_are_in_flight_an_old_one_lands_late() {
    loses_data(Rule::LockAfterDrain, 3);
}

#[test]
fn without_strict_locks_a_gateway_that_wakes_up_writes_to_a_restarted_brick() {
    loses_data(Rule::StrictLocks, 1);
}

#[test]
fn a_move_that_does_not_look_at_the_heartbeat_takes_the_lock_from_a_later_owner() {
    loses_data(Rule::MoveChecksHeartbeat, 1);
}

#[test]
fn a_heartbeat_on_its_way_covers_that_of_a_later_owner() {
    loses_data(Rule::MoveDrainsHeartbeats, 1);
}

#[test]
fn a_move_that_only_looks_at_the_heartbeat_does_not_see_an_owner_that_has_died_since() {
    loses_data(Rule::MoveProbesLock, 1);
}

#[test]
fn an_owner_that_writes_before_its_heartbeat_is_not_seen_by_a_move() {
    loses_data(Rule::HeartbeatBeforeCommands, 1);
}

#[test]
fn a_ring_that_is_read_only_after_the_lock_was_taken_has_old_commands() {
    loses_data(Rule::RingIsReadBeforeLock, 1);
}
