// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The vocabulary of SCSI: commands and the table of those that a LUN has, CDBs, status and sense.
//!
//! The lowest layer: it knows no LUN, no daemon and no storage.

mod cdb;
mod op;
mod opcode;
mod sense;
mod table;

pub use cdb::Cdb;
pub use op::{ErrorClass, Op};
pub use opcode::{DataDirection, Operation, Server, SupportedCommand};
pub use sense::{FieldPointer, SENSE_LEN, Sense, Status};
pub use table::{COMMANDS, find, has_opcode};
