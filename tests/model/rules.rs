// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! What keeps data safe, and what can happen.

/// What keeps data safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rule {
    /// A brick refuses commands of a connection without the lock.
    BricksEnforce,
    /// The lock is not acquired while a command of this gateway is in flight.
    LockAfterDrain,
    /// A descriptor is not used any more on a brick that was restarted under it.
    StrictLocks,
    /// A move to another connection gives the lock back if another gateway has left a heartbeat.
    MoveChecksHeartbeat,
    /// A move first sees whether the bricks still serve the old connection: nobody else has served
    /// since the lock was acquired.
    MoveProbesLock,
    /// It does so when no heartbeat of this gateway is on its way any more, which could cover
    /// another gateway's.
    MoveDrainsHeartbeats,
    /// An owner leaves its heartbeat before it serves its first command.
    HeartbeatBeforeCommands,
    /// The core has answered BUSY to what was in the ring when it asked for the lock before it has
    /// the lock. By time: the ring is read in microseconds (`tcmur_cmdproc_thread`, 1.5.4), and a
    /// lock takes several round trips.
    RingIsReadBeforeLock,
}

/// A gateway, or a brick, by its number.
pub type Number = usize;

/// What can happen, to the gateway or brick of this number.
#[expect(dead_code, reason = "its fields are shown by Debug alone")]
#[derive(Debug, Clone, Copy)]
pub enum Step {
    InitiatorFailsOver,
    CommandArrives(Number),
    Serves(Number),
    AnswersBusyAndAsksForTheLock(Number),
    TakesTheLock(Number),
    SendsAHeartbeat(Number),
    HeartbeatLands(Number),
    ServesFromNowOn(Number),
    GivesTheLockBack(Number),
    BrickExecutes { gateway: Number, brick: Number },
    BrickRefuses { gateway: Number, brick: Number },
    BrickExecutesForAClosedConnection { gateway: Number, brick: Number },
    CommandEnds(Number),
    BeginsToMove(Number),
    ProbesItsLock(Number),
    MovesTheLock(Number),
    EndsTheMove(Number),
    Reopens(Number),
    Freezes(Number),
    GoesOn(Number),
    IsKilled(Number),
    IsCutOff { gateway: Number, brick: Number },
    BrickRestarts(Number),
}
