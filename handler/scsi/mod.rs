// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! SCSI vocabulary, on which every layer builds and which knows none of them.

mod op;

pub use op::{ErrorClass, Op};
