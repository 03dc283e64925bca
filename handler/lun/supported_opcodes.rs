// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! REPORT SUPPORTED OPERATION CODES (SPC-4, 6.35): the table of commands, told to initiators.

use super::answers::wrong;
use crate::scsi::{COMMANDS, Cdb, Status, SupportedCommand, find, has_opcode};

/// RCTD: command timeouts are asked for.
const RCTD: u8 = 0x80;
/// A command timeouts descriptor: no command has a nominal or a recommended timeout.
const NO_TIMEOUTS: [u8; 12] = [0, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// Answers it, whatever its reporting option.
pub(super) fn report(cdb: &Cdb) -> Result<Vec<u8>, Status> {
    let timeouts = cdb.byte(2) & RCTD != 0;
    let (opcode, action) = (cdb.byte(3), u16::from_be_bytes(cdb.field(4)));
    let has_actions = find_action(opcode, action)
        .or_else(|| COMMANDS.iter().find(|command| command.opcode == opcode));
    let has_actions = has_actions.is_some_and(|command| command.service_action.is_some());
    match cdb.byte(2) & 0b111 {
        0 => Ok(all(timeouts)),
        1 if has_actions => Err(wrong(2, 2)),
        2 if !has_actions && has_opcode(opcode) => Err(wrong(2, 2)),
        1 => Ok(one(find_action(opcode, 0), timeouts)),
        3 if !has_actions && action != 0 => Ok(one(None, timeouts)),
        2 | 3 => Ok(one(find_action(opcode, action), timeouts)),
        _ => Err(wrong(2, 2)),
    }
}

fn find_action(opcode: u8, action: u16) -> Option<&'static SupportedCommand> {
    u8::try_from(action).ok().and_then(|action| find(opcode, action))
}

/// The `all_commands` parameter data.
fn all(timeouts: bool) -> Vec<u8> {
    const SERVACTV: u8 = 1;
    const CTDP: u8 = 2;
    let mut answer = vec![0; 4];
    for command in COMMANDS {
        let action = u16::from(command.service_action.unwrap_or(0)).to_be_bytes();
        let has_action = if command.service_action.is_some() { SERVACTV } else { 0 };
        let flags = has_action | if timeouts { CTDP } else { 0 };
        answer.extend([command.opcode, 0]);
        answer.extend(action);
        answer.extend([0, flags]);
        answer.extend(length(command.usage));
        answer.extend(if timeouts { &NO_TIMEOUTS[..] } else { &[] });
    }
    let data = u32::try_from(answer.len().saturating_sub(4)).unwrap_or(u32::MAX);
    answer.splice(..4, data.to_be_bytes());
    answer
}

/// The `one_command` parameter data.
fn one(command: Option<&SupportedCommand>, timeouts: bool) -> Vec<u8> {
    const NOT_SUPPORTED: u8 = 1;
    const SUPPORTED: u8 = 3;
    const CTDP: u8 = 0x80;
    let Some(command) = command else { return vec![0, NOT_SUPPORTED, 0, 0] };
    let mut answer = vec![0, SUPPORTED | if timeouts { CTDP } else { 0 }];
    answer.extend(length(command.usage));
    answer.extend(command.usage);
    answer.extend(if timeouts { &NO_TIMEOUTS[..] } else { &[] });
    answer
}

fn length(usage: &[u8]) -> [u8; 2] {
    u16::try_from(usage.len()).unwrap_or(u16::MAX).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reported(option: u8, opcode: u8, action: u8) -> Result<Vec<u8>, Status> {
        report(&Cdb::new(&[0xa3, 0x0c, option, opcode, 0, action, 0, 0, 0xff, 0xff]))
    }

    #[test]
    fn all_commands_are_listed_with_or_without_timeouts() {
        let plain = reported(0, 0, 0).unwrap();
        assert_eq!(plain.len(), 4 + 8 * COMMANDS.len());
        assert_eq!(u32::from_be_bytes(plain[..4].try_into().unwrap()) as usize, plain.len() - 4);
        let timed = reported(RCTD, 0, 0).unwrap();
        assert_eq!(timed.len(), 4 + 20 * COMMANDS.len());
        assert!(timed[4..].chunks(20).all(|one| one[5] & 2 != 0 && one[8..] == NO_TIMEOUTS));
    }

    #[test]
    fn one_command_is_told_with_its_usage() {
        for command in COMMANDS {
            let (option, action) = command.service_action.map_or((1, 0), |action| (2, action));
            let told = reported(option, command.opcode, action).unwrap();
            assert_eq!((told[1], &told[4..]), (3, command.usage));
            assert_eq!(reported(3, command.opcode, action).unwrap(), told);
            let timed = reported(option | RCTD, command.opcode, action).unwrap();
            assert_eq!((timed[1], timed.len()), (0x83, told.len() + 12));
        }
    }

    #[test]
    fn what_there_is_not_is_told_and_an_option_that_does_not_fit_is_refused() {
        let not_supported = Ok(vec![0, 1, 0, 0]);
        assert_eq!(reported(1, 0x48, 0), not_supported);
        assert_eq!(reported(2, 0x9e, 0x1f), not_supported);
        assert_eq!(reported(3, 0x00, 1), not_supported);
        let wrong = Err(wrong(2, 2));
        assert_eq!((reported(1, 0x9e, 0x10), reported(2, 0x28, 0)), (wrong.clone(), wrong.clone()));
        assert_eq!(reported(4, 0, 0), wrong);
    }
}
