// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The order of LUNs.

/// What the busiest LUN is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Sort {
    Iops,
    Bandwidth,
    Latency,
    Errors,
}
