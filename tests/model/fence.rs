// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The state of the whole: bricks, gateways, and what the initiator knows.
//!
//! The facts about bricks are those that tests/cluster/fencing.rs proves on GlusterFS 10.3; the
//! steps of a gateway are those of handler/gluster/lock.rs, handler/lun/lock.rs and
//! handler/lun/image.rs. Locks on replicas are taken on all bricks at once: the replicate
//! translator has a lock of its own around them (`afr_lk_transaction`). Which owner is preempted,
//! and when, is left open: heartbeats that are late or lost change no more than that.

use crate::gateway::{Era, Gateway};
use crate::rules::{Number, Rule};
use crate::search::Violation;

/// Bounds of the search: failovers of the initiator, and connections of a gateway after its first.
/// Faults of all kinds are bounded by its caller.
pub const FAILOVERS: Era = 2;
pub const CONNECTIONS: u8 = 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Brick {
    /// The file is marked, and the brick has looked: it does when the file is locked.
    pub enforces: bool,
    /// Gateway and connection that hold the lock.
    pub holder: Option<(Number, u8)>,
    /// Era of the last write.
    pub value: Era,
}

/// A state of the whole.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Fence {
    /// The rule that is not kept.
    pub broken: Option<Rule>,
    pub bricks: Vec<Brick>,
    pub gateways: [Gateway; 2],
    /// Gateway that has left the last heartbeat.
    pub heartbeat: Option<Number>,
    /// Path that the initiator uses.
    pub path: Number,
    pub era: Era,
    /// Of the newest WRITE that was acknowledged.
    pub acknowledged: Era,
    /// Faults still to come.
    pub faults: u8,
}

impl Fence {
    pub fn new(bricks: usize, faults: u8, broken: Option<Rule>) -> Self {
        let brick = Brick { enforces: false, holder: None, value: 0 };
        let gateway = Gateway::new((1 << bricks) - 1);
        Self {
            broken,
            bricks: vec![brick; bricks],
            gateways: [gateway; 2],
            heartbeat: None,
            path: 0,
            era: 0,
            acknowledged: 0,
            faults,
        }
    }

    pub fn keeps(&self, rule: Rule) -> bool {
        self.broken != Some(rule)
    }

    pub fn all(&self) -> u8 {
        (1 << self.bricks.len()) - 1
    }

    pub fn quorum(&self, bricks: u8) -> bool {
        usize::try_from(bricks.count_ones()).unwrap() > self.bricks.len() / 2
    }

    /// A state after this one.
    #[expect(clippy::unnecessary_wraps, reason = "of one form with the steps that must not happen")]
    pub fn after(&self, change: impl FnOnce(&mut Self)) -> Result<Self, Violation> {
        let mut next = self.clone();
        change(&mut next);
        Ok(next)
    }

    /// Gives the lock to a gateway, on the bricks that its descriptor is used on, and takes it from
    /// any holder there.
    pub fn lock(&mut self, number: Number) {
        let Gateway { usable, connection, .. } = self.gateways[number];
        let enforces = self.keeps(Rule::BricksEnforce);
        for (index, brick) in self.bricks.iter_mut().enumerate() {
            if usable & 1 << index != 0 {
                brick.holder = Some((number, connection));
                brick.enforces = enforces;
            }
        }
    }

    /// Takes all locks of a gateway's connection away.
    pub fn unlock(&mut self, number: Number, connection: u8) {
        for brick in &mut self.bricks {
            if brick.holder == Some((number, connection)) {
                brick.holder = None;
            }
        }
    }

    /// A brick executes a WRITE: it must not be older than what is there and acknowledged.
    pub fn execute(&mut self, brick: Number, era: Era) -> Result<(), Violation> {
        let value = &mut self.bricks[brick].value;
        if era < *value && *value <= self.acknowledged {
            return Err(Violation);
        }
        *value = era;
        Ok(())
    }

    /// A WRITE is acknowledged: most bricks must have it, or a newer one.
    pub fn acknowledge(&mut self, era: Era) -> Result<(), Violation> {
        let having = self.bricks.iter().filter(|brick| brick.value >= era).count();
        if having <= self.bricks.len() / 2 {
            return Err(Violation);
        }
        self.acknowledged = self.acknowledged.max(era);
        Ok(())
    }

    pub fn accepts(&self, brick: Number, holder: (Number, u8)) -> bool {
        let brick = self.bricks[brick];
        !brick.enforces || brick.holder == Some(holder)
    }

    /// Whether a READ of a gateway succeeds: one of its bricks answers it.
    pub fn reads(&self, number: Number) -> bool {
        let Gateway { usable, connection, .. } = self.gateways[number];
        let used = |brick: &Number| usable & 1 << brick != 0;
        let mut bricks = (0..self.bricks.len()).filter(used);
        self.quorum(usable) && bricks.any(|brick| self.accepts(brick, (number, connection)))
    }

    /// Whether a lock of another gateway is seen.
    pub fn held_by_another(&self, number: Number) -> bool {
        self.bricks.iter().any(|brick| brick.holder.is_some_and(|(holder, _)| holder != number))
    }

    /// The connection of a gateway to a brick ends, and with it its lock there and what was on its
    /// way.
    pub fn cut(&mut self, number: Number, brick: Number) {
        let strict = self.keeps(Rule::StrictLocks);
        let gateway = &mut self.gateways[number];
        let bit = 1_u8 << brick;
        if strict {
            gateway.usable &= !bit;
        }
        if let Some(write) = &mut gateway.write {
            write.pending &= !bit;
        }
        let connection = gateway.connection;
        if self.bricks[brick].holder == Some((number, connection)) {
            self.bricks[brick].holder = None;
        }
    }

    /// A restarted brick has no locks, and enforces nothing before the file is locked again.
    pub fn restart(&mut self, brick: Number) {
        for number in 0..2 {
            self.cut(number, brick);
            if let Some((_, write)) = &mut self.gateways[number].orphan {
                write.pending &= !(1 << brick);
            }
        }
        self.bricks[brick].holder = None;
        self.bricks[brick].enforces = false;
    }
}
