// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The surroundings of the plugin and the command, for tests and the benchmark: the C side of
//! tcmu-runner, and glusterd with bricks in namespaces of their own.

pub mod c_abi;
pub mod cluster;
pub mod harness;
pub mod metrics_socket;
pub mod namespaces;
pub mod prerequisites;
pub mod scratch;
pub mod symbols;
pub mod wait;

pub use wait::eventually;
