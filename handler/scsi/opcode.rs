// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! A command by its operation code and service action: a row of [`COMMANDS`](super::COMMANDS).

/// What a command asks for, whatever the length of its CDB.
#[allow(missing_docs, reason = "named as in SPC-4 and SBC-3")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    TestUnitReady,
    RequestSense,
    FormatUnit,
    /// INQUIRY, with or without a page of vital product data.
    Inquiry,
    ModeSense,
    ModeSelect,
    LogSense,
    StartStopUnit,
    ReadCapacity10,
    ReadCapacity16,
    ReportLuns,
    /// RESERVE, RELEASE, PERSISTENT RESERVE IN, PERSISTENT RESERVE OUT.
    Reservation,
    ReportTargetPortGroups,
    SetTargetPortGroups,
    ReportSupportedOpcodes,
    Read,
    Write,
    WriteAndVerify,
    Verify,
    PreFetch,
    SynchronizeCache,
    ReadDefectData,
    WriteSame,
    Unmap,
    GetLbaStatus,
    CompareAndWrite,
    OrWrite,
    /// EXTENDED COPY (LID1).
    ExtendedCopy,
    ReceiveCopyResults,
}

/// Which way the data of a command goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataDirection {
    /// There is none.
    None,
    /// To the initiator.
    In,
    /// From the initiator.
    Out,
}

/// Who serves a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    /// The kernel's target: it never comes to the ring.
    Kernel,
    /// tcmu-runner's core, which calls the LUN for the data.
    Core,
    /// The LUN, before the core looks at the command, on the command thread.
    Intercept,
    /// The LUN, with an answer that may come later.
    Queue,
}

/// A command that a LUN has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SupportedCommand {
    /// OPERATION CODE.
    pub opcode: u8,
    /// SERVICE ACTION, the lower five bits of byte 1, if the operation code has some.
    pub service_action: Option<u8>,
    /// What it asks for.
    pub operation: Operation,
    /// Who serves it.
    pub server: Server,
    /// Which way its data goes.
    pub data: DataDirection,
    /// CDB usage data (SPC-4, 6.31.3): the operation code, the service action, and a one for every
    /// other bit that is looked at. As long as the CDB.
    pub usage: &'static [u8],
}
