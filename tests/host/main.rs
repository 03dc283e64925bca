//! The real plugin in a fake tcmu-runner, on a brick in this process: one behaviour a test, one subject a file.
#![allow(clippy::disallowed_methods, reason = "threads of tests need no names")]

#[path = "../support/mod.rs"]
mod support;

mod cancellation;
mod check_config;
mod closing;
mod data;
mod errors;
mod geometry;
mod open_failures;
#[cfg(feature = "inject-panics")]
mod panics;
mod short_transfers;
mod sizes;
