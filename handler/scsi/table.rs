// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The commands of a LUN. The filter, REPORT SUPPORTED OPERATION CODES and the dispatcher all read
//! this one table, so that they cannot disagree.

use super::opcode::{DataDirection, Operation as O, Server, SupportedCommand};
use DataDirection::{In, None as NoData, Out};
use Server::{Core, Intercept, Kernel, Queue};

/// A command without service actions.
const fn command(
    usage: &'static [u8],
    operation: O,
    data: DataDirection,
    server: Server,
) -> SupportedCommand {
    let opcode = if let [opcode, ..] = usage { *opcode } else { 0 };
    SupportedCommand { opcode, service_action: None, operation, server, data, usage }
}

/// A command with a service action, which its usage data has in byte 1.
const fn action(
    usage: &'static [u8],
    operation: O,
    data: DataDirection,
    server: Server,
) -> SupportedCommand {
    let action = if let [_, action, ..] = usage { *action } else { 0 };
    SupportedCommand {
        service_action: Some(action & 0x1f),
        ..command(usage, operation, data, server)
    }
}

/// A byte of which all bits are looked at.
const X: u8 = 0xff;

/// All of them, by operation code and service action. Sources: SPC-4, SBC-3.
#[rustfmt::skip]
pub const COMMANDS: &[SupportedCommand] = &[
    command(&[0x00, 0, 0, 0, 0, 0], O::TestUnitReady, NoData, Intercept),
    command(&[0x03, 0x01, 0, 0, X, 0], O::RequestSense, In, Intercept),
    command(&[0x04, 0, 0, 0, 0, 0], O::FormatUnit, NoData, Core),
    command(&[0x08, 0x1f, X, X, X, 0], O::Read, In, Core),
    command(&[0x0a, 0x1f, X, X, X, 0], O::Write, Out, Core),
    command(&[0x12, 0x01, X, X, X, 0], O::Inquiry, In, Core),
    command(&[0x15, 0x11, 0, 0, X, 0], O::ModeSelect, Out, Core),
    command(&[0x16, 0, 0, 0, 0, 0], O::Reservation, NoData, Kernel),
    command(&[0x17, 0, 0, 0, 0, 0], O::Reservation, NoData, Kernel),
    command(&[0x1a, 0x08, X, X, X, 0], O::ModeSense, In, Intercept),
    command(&[0x1b, 0x01, 0, 0x0f, 0xf7, 0], O::StartStopUnit, NoData, Core),
    command(&[0x25, 0, X, X, X, X, 0, 0, 0x01, 0], O::ReadCapacity10, In, Core),
    command(&[0x28, 0xf8, X, X, X, X, 0, X, X, 0], O::Read, In, Core),
    command(&[0x2a, 0xf8, X, X, X, X, 0, X, X, 0], O::Write, Out, Core),
    command(&[0x2e, 0xf6, X, X, X, X, 0, X, X, 0], O::WriteAndVerify, Out, Queue),
    command(&[0x2f, 0xf6, X, X, X, X, 0, X, X, 0], O::Verify, Out, Queue),
    command(&[0x34, 0x02, X, X, X, X, 0, X, X, 0], O::PreFetch, NoData, Intercept),
    command(&[0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0], O::SynchronizeCache, NoData, Core),
    command(&[0x37, 0, 0x1f, 0, 0, 0, 0, X, X, 0], O::ReadDefectData, In, Intercept),
    command(&[0x41, 0xf8, X, X, X, X, 0, X, X, 0], O::WriteSame, Out, Queue),
    command(&[0x42, 0x01, 0, 0, 0, 0, 0, X, X, 0], O::Unmap, Out, Queue),
    command(&[0x4d, 0x01, X, X, 0, X, X, X, X, 0], O::LogSense, In, Queue),
    command(&[0x55, 0x11, 0, 0, 0, 0, 0, X, X, 0], O::ModeSelect, Out, Core),
    command(&[0x56, 0, 0, 0, 0, 0, 0, 0, 0, 0], O::Reservation, NoData, Kernel),
    command(&[0x57, 0, 0, 0, 0, 0, 0, 0, 0, 0], O::Reservation, NoData, Kernel),
    command(&[0x5a, 0x18, X, X, 0, 0, 0, X, X, 0], O::ModeSense, In, Intercept),
    action(&[0x5e, 0x00, 0, 0, 0, 0, 0, X, X, 0], O::Reservation, In, Kernel),
    action(&[0x5e, 0x01, 0, 0, 0, 0, 0, X, X, 0], O::Reservation, In, Kernel),
    action(&[0x5e, 0x02, 0, 0, 0, 0, 0, X, X, 0], O::Reservation, In, Kernel),
    action(&[0x5e, 0x03, 0, 0, 0, 0, 0, X, X, 0], O::Reservation, In, Kernel),
    action(&[0x5f, 0x00, X, 0, 0, X, X, X, X, 0], O::Reservation, Out, Kernel),
    action(&[0x5f, 0x01, X, 0, 0, X, X, X, X, 0], O::Reservation, Out, Kernel),
    action(&[0x5f, 0x02, X, 0, 0, X, X, X, X, 0], O::Reservation, Out, Kernel),
    action(&[0x5f, 0x03, X, 0, 0, X, X, X, X, 0], O::Reservation, Out, Kernel),
    action(&[0x5f, 0x04, X, 0, 0, X, X, X, X, 0], O::Reservation, Out, Kernel),
    action(&[0x5f, 0x05, X, 0, 0, X, X, X, X, 0], O::Reservation, Out, Kernel),
    action(&[0x5f, 0x06, X, 0, 0, X, X, X, X, 0], O::Reservation, Out, Kernel),
    action(&[0x5f, 0x07, X, 0, 0, X, X, X, X, 0], O::Reservation, Out, Kernel),
    action(&[0x83, 0x00, 0, 0, 0, 0, 0, 0, 0, 0, X, X, X, X, 0, 0], O::ExtendedCopy, Out, Queue),
    action(&[0x84, 0x00, X, 0, 0, 0, 0, 0, 0, 0, X, X, X, X, 0, 0],
        O::ReceiveCopyResults, In, Intercept),
    action(&[0x84, 0x03, 0, 0, 0, 0, 0, 0, 0, 0, X, X, X, X, 0, 0],
        O::ReceiveCopyResults, In, Intercept),
    command(&[0x88, 0xf8, X, X, X, X, X, X, X, X, X, X, X, X, 0, 0], O::Read, In, Core),
    command(&[0x89, 0xf8, X, X, X, X, X, X, X, X, 0, 0, 0, X, 0, 0], O::CompareAndWrite, Out, Core),
    command(&[0x8a, 0xf8, X, X, X, X, X, X, X, X, X, X, X, X, 0, 0], O::Write, Out, Core),
    command(&[0x8b, 0xf8, X, X, X, X, X, X, X, X, X, X, X, X, 0, 0], O::OrWrite, Out, Queue),
    command(&[0x8e, 0xf6, X, X, X, X, X, X, X, X, X, X, X, X, 0, 0], O::WriteAndVerify, Out, Queue),
    command(&[0x8f, 0xf6, X, X, X, X, X, X, X, X, X, X, X, X, 0, 0], O::Verify, Out, Queue),
    command(&[0x90, 0x02, X, X, X, X, X, X, X, X, X, X, X, X, 0, 0],
        O::PreFetch, NoData, Intercept),
    command(&[0x91, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        O::SynchronizeCache, NoData, Core),
    command(&[0x93, 0xf9, X, X, X, X, X, X, X, X, X, X, X, X, 0, 0], O::WriteSame, Out, Queue),
    action(&[0x9e, 0x10, X, X, X, X, X, X, X, X, X, X, X, X, 0x01, 0],
        O::ReadCapacity16, In, Intercept),
    action(&[0x9e, 0x12, X, X, X, X, X, X, X, X, X, X, X, X, 0, 0], O::GetLbaStatus, In, Queue),
    command(&[0xa0, 0, X, 0, 0, 0, X, X, X, X, 0, 0], O::ReportLuns, In, Kernel),
    action(&[0xa3, 0xea, 0, 0, 0, 0, X, X, X, X, 0, 0], O::ReportTargetPortGroups, In, Core),
    action(&[0xa3, 0x0c, 0x87, X, X, X, X, X, X, X, 0, 0],
        O::ReportSupportedOpcodes, In, Intercept),
    action(&[0xa4, 0x0a, 0, 0, 0, 0, X, X, X, X, 0, 0], O::SetTargetPortGroups, Out, Core),
    command(&[0xa8, 0xf8, X, X, X, X, X, X, X, X, 0, 0], O::Read, In, Core),
    command(&[0xaa, 0xf8, X, X, X, X, X, X, X, X, 0, 0], O::Write, Out, Core),
    command(&[0xae, 0xf6, X, X, X, X, X, X, X, X, 0, 0], O::WriteAndVerify, Out, Queue),
    command(&[0xaf, 0xf6, X, X, X, X, X, X, X, X, 0, 0], O::Verify, Out, Queue),
    command(&[0xb7, 0x1f, X, X, X, X, X, X, X, X, 0, 0], O::ReadDefectData, In, Intercept),
];

/// The row of a command. `action` is the lower five bits of byte 1.
#[must_use]
pub fn find(opcode: u8, action: u8) -> Option<&'static SupportedCommand> {
    let first = FIRST.get(usize::from(opcode)).copied().unwrap_or(COMMANDS.len());
    let rows = COMMANDS.get(first..).unwrap_or_default().iter();
    rows.take_while(|row| row.opcode == opcode)
        .find(|row| row.service_action.is_none_or(|own| own == action))
}

/// The first row of each operation code; beyond the end where there is none. Every command of every
/// LUN is looked up.
static FIRST: [usize; 256] = first_rows();

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const fn first_rows() -> [usize; 256] {
    let mut first = [COMMANDS.len(); 256];
    let mut row = COMMANDS.len();
    while row > 0 {
        row -= 1;
        first[COMMANDS[row].opcode as usize] = row;
    }
    first
}

/// Whether some command has this operation code, with whatever service action.
#[must_use]
pub fn has_opcode(opcode: u8) -> bool {
    FIRST.get(usize::from(opcode)).is_some_and(|first| *first < COMMANDS.len())
}

#[cfg(test)]
mod tests {
    use super::super::Cdb;
    use super::*;

    #[test]
    fn the_table_is_in_order_and_has_no_command_twice() {
        let keys: Vec<_> = COMMANDS.iter().map(|row| (row.opcode, row.service_action)).collect();
        assert!(keys.is_sorted() && keys.windows(2).all(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn usage_data_is_as_long_as_the_cdb_and_begins_with_the_operation_code() {
        for row in COMMANDS {
            assert_eq!(row.usage.len(), Cdb::length(row.opcode), "{row:?}");
            assert_eq!(row.usage[0], row.opcode);
            assert_eq!(find(row.opcode, row.usage[1] & 0x1f), Some(row));
        }
    }
}
