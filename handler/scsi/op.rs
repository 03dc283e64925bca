// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Kinds of commands and kinds of errors, as log lines and metrics count them.

/// Kind of a command that the storage serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// READ.
    Read,
    /// WRITE.
    Write,
    /// SYNCHRONIZE CACHE.
    Flush,
    /// UNMAP.
    Unmap,
    /// WRITE SAME, with or without the UNMAP bit.
    WriteSame,
    /// COMPARE AND WRITE.
    CompareAndWrite,
    /// VERIFY.
    Verify,
    /// ORWRITE.
    OrWrite,
    /// EXTENDED COPY.
    Copy,
    /// GET LBA STATUS.
    LbaStatus,
}

impl Op {
    /// All variants, in declaration order.
    pub(crate) const ALL: [Self; 10] = [
        Self::Read,
        Self::Write,
        Self::Flush,
        Self::Unmap,
        Self::WriteSame,
        Self::CompareAndWrite,
        Self::Verify,
        Self::OrWrite,
        Self::Copy,
        Self::LbaStatus,
    ];

    /// Whether it changes blocks.
    #[must_use]
    pub fn writes(self) -> bool {
        !matches!(self, Self::Read | Self::Flush | Self::Verify | Self::LbaStatus)
    }

    /// Name in log lines, as in SBC.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "READ",
            Self::Write => "WRITE",
            Self::Flush => "SYNCHRONIZE CACHE",
            Self::Unmap => "UNMAP",
            Self::WriteSame => "WRITE SAME",
            Self::CompareAndWrite => "COMPARE AND WRITE",
            Self::Verify => "VERIFY",
            Self::OrWrite => "ORWRITE",
            Self::Copy => "EXTENDED COPY",
            Self::LbaStatus => "GET LBA STATUS",
        }
    }

    /// Name in metrics.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Flush => "flush",
            Self::Unmap => "unmap",
            Self::WriteSame => "write_same",
            Self::CompareAndWrite => "compare_and_write",
            Self::Verify => "verify",
            Self::OrWrite => "or_write",
            Self::Copy => "extended_copy",
            Self::LbaStatus => "get_lba_status",
        }
    }
}

/// Kind of an answer other than GOOD.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorClass {
    /// BUSY or TASK SET FULL: the initiator repeats the command.
    Busy,
    /// NOT READY, other than standby.
    NotReady,
    /// NOT READY, standby: another gateway serves the LUN.
    Standby,
    /// DATA PROTECT, no space.
    Space,
    /// DATA PROTECT, write protected.
    Protected,
    /// MISCOMPARE.
    Miscompare,
    /// ILLEGAL REQUEST, beyond the end.
    Range,
    /// MEDIUM ERROR.
    Medium,
    /// HARDWARE ERROR: a defect.
    Hardware,
    /// Another ILLEGAL REQUEST, or a UNIT ATTENTION.
    Other,
}

impl ErrorClass {
    /// All variants, in declaration order.
    pub(crate) const ALL: [Self; 10] = [
        Self::Busy,
        Self::NotReady,
        Self::Standby,
        Self::Space,
        Self::Protected,
        Self::Miscompare,
        Self::Range,
        Self::Medium,
        Self::Hardware,
        Self::Other,
    ];

    /// Name in metrics.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::NotReady => "not_ready",
            Self::Standby => "standby",
            Self::Space => "space",
            Self::Protected => "protected",
            Self::Miscompare => "miscompare",
            Self::Range => "range",
            Self::Medium => "medium",
            Self::Hardware => "hardware",
            Self::Other => "other",
        }
    }
}
