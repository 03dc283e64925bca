// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The commands that watch, as programs: what they print, draw and answer, with a fake plugin on
//! the metrics socket.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub,
    reason = "tests fail by panicking"
)]

mod status;
mod top;
