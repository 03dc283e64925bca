// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Kinds of commands and kinds of errors, as log lines and metrics count them.

/// Defines enums, each with the list of its variants, and their names in metrics.
macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident {
        $($(#[$variant_doc:meta])* $variant:ident = $label:literal,)+
    })+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $name {
            /// All variants, in declaration order.
            pub(crate) const ALL: [Self; [$($label),+].len()] = [$(Self::$variant),+];

            /// Name in metrics.
            pub(crate) fn label(self) -> &'static str {
                match self {
                    $(Self::$variant => $label,)+
                }
            }
        }
    )+};
}

kinds! {
    /// Kind of a command that the storage serves.
    Op {
        /// READ.
        Read = "read",
        /// WRITE.
        Write = "write",
        /// SYNCHRONIZE CACHE.
        Flush = "flush",
        /// UNMAP.
        Unmap = "unmap",
        /// WRITE SAME, with or without the UNMAP bit.
        WriteSame = "write_same",
        /// COMPARE AND WRITE.
        CompareAndWrite = "compare_and_write",
        /// VERIFY.
        Verify = "verify",
        /// ORWRITE.
        OrWrite = "or_write",
        /// EXTENDED COPY.
        Copy = "extended_copy",
        /// GET LBA STATUS.
        LbaStatus = "get_lba_status",
    }
    /// Kind of an answer other than GOOD.
    ErrorClass {
        /// BUSY or TASK SET FULL: the initiator repeats the command.
        Busy = "busy",
        /// NOT READY, other than standby.
        NotReady = "not_ready",
        /// NOT READY, standby: another gateway serves the LUN.
        Standby = "standby",
        /// DATA PROTECT, no space.
        Space = "space",
        /// DATA PROTECT, write protected.
        Protected = "protected",
        /// MISCOMPARE.
        Miscompare = "miscompare",
        /// ILLEGAL REQUEST, beyond the end.
        Range = "range",
        /// MEDIUM ERROR.
        Medium = "medium",
        /// HARDWARE ERROR: a defect.
        Hardware = "hardware",
        /// Another ILLEGAL REQUEST, or a UNIT ATTENTION.
        Other = "other",
    }
}

impl Op {
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
}
