// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! One gateway of the model: its gate, its descriptor, and its commands.

/// Number of the failover that a command belongs to. A command that was sent before a failover is
/// given up by the initiator then, which sends it again on the other path.
pub type Era = u8;

/// State of the lock, as the gateway sees it (handler/lun/gate.rs).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Gate {
    /// Commands are answered BUSY.
    Standby,
    /// The bricks have given it the lock; its heartbeat is not left yet.
    Locked,
    /// Commands are served.
    Held,
    /// Commands are held back, and those before them have ended: a new connection is complete, and
    /// has no lock yet.
    Moving,
    /// Likewise, and the lock was still that of the old connection.
    Confirmed,
    /// The new connection has the lock; the heartbeat is not looked at yet.
    MovedLock,
}

/// A WRITE on its way to the bricks. Sets of bricks are bit masks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Write {
    pub era: Era,
    /// Not executed yet by these.
    pub pending: u8,
    /// Executed by these.
    pub executed: u8,
    /// A brick has refused it, as the gateway has been told.
    pub refused: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Gateway {
    /// Stopped (SIGSTOP, no CPU): it neither submits nor hears. What is on its way to a brick is
    /// executed all the same.
    pub frozen: bool,
    pub gate: Gate,
    /// Number of the connection. A lock belongs to one of them.
    pub connection: u8,
    /// The bricks on which the descriptor is used.
    pub usable: u8,
    /// A command in the ring of the kernel, which the daemon has not seen yet.
    pub ring: Option<Era>,
    /// A command in flight.
    pub write: Option<Write>,
    /// A command of a connection that is no more, on its way all the same.
    pub orphan: Option<(u8, Write)>,
    /// The core wants the lock.
    pub asks: bool,
    /// A heartbeat is on its way to the bricks.
    pub heartbeat: bool,
}

impl Gateway {
    pub fn new(all: u8) -> Self {
        Self {
            frozen: false,
            gate: Gate::Standby,
            connection: 0,
            usable: all,
            ring: None,
            write: None,
            orphan: None,
            asks: false,
            heartbeat: false,
        }
    }

    /// The connection is closed; another one is open on `usable`.
    pub fn reconnect(&mut self, usable: u8) {
        if let Some(write) = self.write.take().filter(|write| write.pending != 0) {
            self.orphan = Some((self.connection, write));
        }
        self.connection += 1;
        self.usable = usable;
    }
}
