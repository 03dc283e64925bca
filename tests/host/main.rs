// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The real plugin in a fake tcmu-runner, on a brick in this process: one behaviour a test, one
//! subject a file.

mod answers;
mod any_cdb;
mod cancellation;
mod check_config;
mod closing;
mod compare_and_write;
mod data;
mod deadlines;
mod errors;
mod fill;
mod forced_writes;
mod geometry;
mod limits;
mod metrics;
mod metrics_settings;
mod open_failures;
mod own_commands;
#[cfg(feature = "inject-panics")]
mod panics;
mod screening;
mod shared_flushes;
mod short_transfers;
mod sizes;
