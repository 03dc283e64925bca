// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! RECEIVE COPY RESULTS (SPC-4, 6.24, 6.25): what an EXTENDED COPY may ask for, and how the last
//! ones ended.

use std::collections::VecDeque;
use std::sync::Mutex;

use super::parameter_list::{
    BLOCK_TO_BLOCK, IDENTIFICATION, MAX_DESCRIPTORS_LEN, MAX_SEGMENT, MAX_SEGMENTS, MAX_TARGETS,
};
use crate::scsi::{Cdb, Sense, Status};
use crate::threads;

/// Outcomes that are remembered.
const REMEMBERED: usize = 64;
/// Commands that may copy at once.
pub(super) const CONCURRENT: u8 = 16;

/// How the last copies ended. Initiators are not told apart: an identifier belongs to the last one
/// that used it.
#[derive(Debug, Default)]
pub(in crate::lun) struct Results(Mutex<VecDeque<Outcome>>);

/// How a copy ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Outcome {
    /// LIST IDENTIFIER.
    pub(super) list: u8,
    pub(super) ok: bool,
    /// Segments that were copied whole.
    pub(super) segments: u16,
    pub(super) bytes: u64,
}

impl Results {
    pub(super) fn add(&self, outcome: Outcome) {
        let mut outcomes = threads::lock(&self.0);
        outcomes.retain(|other| other.list != outcome.list);
        outcomes.push_back(outcome);
        if outcomes.len() > REMEMBERED {
            outcomes.pop_front();
        }
    }

    /// Answers COPY STATUS or OPERATING PARAMETERS.
    pub(in crate::lun) fn answer(&self, cdb: &Cdb) -> Result<Vec<u8>, Status> {
        const COPY_STATUS: u8 = 0;
        if cdb.flags() & 0x1f != COPY_STATUS {
            return Ok(operating_parameters());
        }
        let outcomes = threads::lock(&self.0);
        let outcome = outcomes.iter().find(|outcome| outcome.list == cdb.byte(2)).copied();
        drop(outcomes);
        // There is no such list, or it is under way: it is answered when it has ended.
        outcome.map(status).ok_or(Status::Sense(Sense::invalid_field_in_cdb(2, None)))
    }
}

fn status(outcome: Outcome) -> Vec<u8> {
    const COMPLETED: u8 = 1;
    const FAILED: u8 = 2;
    const KIBIBYTES: u8 = 1;
    let mut answer = vec![0, 0, 0, 8, if outcome.ok { COMPLETED } else { FAILED }];
    answer.extend(outcome.segments.to_be_bytes());
    answer.push(KIBIBYTES);
    let kib = u32::try_from(outcome.bytes.div_euclid(1024)).unwrap_or(u32::MAX);
    answer.extend(kib.to_be_bytes());
    answer
}

fn operating_parameters() -> Vec<u8> {
    /// A list without an identifier is taken.
    const SNLID: u8 = 1;
    let short = |count: usize| u16::try_from(count).unwrap_or(u16::MAX).to_be_bytes();
    let long = |count: usize| u32::try_from(count).unwrap_or(u32::MAX).to_be_bytes();
    let mut answer = vec![0, 0, 0, 0, SNLID, 0, 0, 0];
    answer.extend(short(MAX_TARGETS));
    answer.extend(short(MAX_SEGMENTS));
    answer.extend(long(MAX_DESCRIPTORS_LEN));
    answer.extend(MAX_SEGMENT.to_be_bytes());
    // No inline data, nothing held, no streams; TOTAL CONCURRENT COPIES.
    answer.resize(34, 0);
    answer.extend([0, CONCURRENT]);
    // MAXIMUM CONCURRENT COPIES; granularity of data segments (2^9), of inline and held data.
    answer.extend([CONCURRENT, 9, 0, 0, 0, 0, 0]);
    answer.extend([2, BLOCK_TO_BLOCK, IDENTIFICATION]);
    // AVAILABLE DATA does not count itself.
    let length = long(answer.len().saturating_sub(4));
    answer.splice(..4, length);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operating_parameters_have_their_fields_in_place() {
        let answer = Results::default().answer(&Cdb::new(&[0x84, 3])).unwrap();
        assert_eq!(u32::from_be_bytes(answer[..4].try_into().unwrap()) as usize, answer.len() - 4);
        assert_eq!((answer[4], &answer[8..16]), (1, &[0, 2, 0, 16, 0, 0, 4, 0][..]));
        assert_eq!(answer[36..], [16, 9, 0, 0, 0, 0, 0, 2, 0x02, 0xe4]);
    }

    #[test]
    fn the_outcome_of_a_list_is_told_until_others_have_come() {
        let results = Results::default();
        let asked = |list| results.answer(&Cdb::new(&[0x84, 0, list]));
        let unknown = Err(Status::Sense(Sense::invalid_field_in_cdb(2, None)));
        assert_eq!(asked(7), unknown);
        results.add(Outcome { list: 7, ok: true, segments: 2, bytes: 3 << 20 });
        assert_eq!(asked(7), Ok(vec![0, 0, 0, 8, 1, 0, 2, 1, 0, 0, 0x0c, 0]));
        results.add(Outcome { list: 7, ok: false, segments: 1, bytes: 1024 });
        assert_eq!(asked(7), Ok(vec![0, 0, 0, 8, 2, 0, 1, 1, 0, 0, 0, 1]));
        for list in 100..=163 {
            results.add(Outcome { list, ok: true, segments: 0, bytes: 0 });
        }
        assert_eq!(asked(7), unknown);
    }
}
