// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! All that the initiator, a gateway and the bricks can do next in a state, and all faults.

use crate::fence::{CONNECTIONS, FAILOVERS, Fence};
use crate::gateway::{Gate, Gateway, Write};
use crate::rules::{Number, Rule, Step};
use crate::search::{Model, Violation};

/// All that can happen next in a state.
type Transitions = Vec<(Step, Result<Fence, Violation>)>;

impl Model for Fence {
    type Step = Step;

    fn next(&self) -> Transitions {
        let mut transitions = Vec::new();
        self.initiator(&mut transitions);
        for number in 0..2 {
            if !self.gateways[number].frozen {
                self.runs(number, &mut transitions);
            }
            self.bricks(number, &mut transitions);
            self.heartbeat(number, &mut transitions);
            self.faults_of(number, &mut transitions);
        }
        if self.faults > 0 {
            for brick in 0..self.bricks.len() {
                let restarted = self.after(|next| {
                    next.faults -= 1;
                    next.restart(brick);
                });
                transitions.push((Step::BrickRestarts(brick), restarted));
            }
        }
        transitions
    }
}

impl Fence {
    fn initiator(&self, transitions: &mut Transitions) {
        let path = self.path;
        if self.gateways[path].ring.is_none() {
            let arrived = self.after(|next| next.gateways[path].ring = Some(next.era));
            transitions.push((Step::CommandArrives(path), arrived));
        }
        // A session ends when the target has ended its commands (`target_wait_for_sess_cmds`): a
        // path is used again when it is empty.
        let other = self.gateways[1 - path];
        if self.era < FAILOVERS && other.ring.is_none() && other.write.is_none() {
            let failed_over = self.after(|next| {
                next.path = 1 - path;
                next.era += 1;
            });
            transitions.push((Step::InitiatorFailsOver, failed_over));
        }
    }

    /// What a gateway does that is not frozen.
    fn runs(&self, number: Number, transitions: &mut Transitions) {
        let gateway = self.gateways[number];
        let change =
            |change: fn(&mut Gateway)| self.after(|next| change(&mut next.gateways[number]));
        match (gateway.gate, gateway.ring, gateway.write) {
            (Gate::Held, Some(era), None) => transitions.push((
                Step::Serves(number),
                self.after(|next| {
                    let gateway = &mut next.gateways[number];
                    gateway.ring = None;
                    let pending = gateway.usable;
                    gateway.write = Some(Write { era, pending, executed: 0, refused: false });
                }),
            )),
            (Gate::Standby | Gate::Locked, Some(_), _) => transitions.push((
                Step::AnswersBusyAndAsksForTheLock(number),
                change(|gateway| {
                    gateway.ring = None;
                    gateway.asks = true;
                }),
            )),
            _ => {}
        }
        let drained = gateway.write.is_none() || !self.keeps(Rule::LockAfterDrain);
        // The initiator asks again on the path that it uses, and on no other.
        let may_take = gateway.asks && (self.path == number || !self.held_by_another(number));
        let read = gateway.ring.is_none_or(|era| era == self.era);
        let read = read || !self.keeps(Rule::RingIsReadBeforeLock);
        let ready = gateway.gate == Gate::Standby && drained && read;
        if ready && may_take && self.quorum(gateway.usable) {
            let locked = self.after(|next| {
                next.lock(number);
                let early = !next.keeps(Rule::HeartbeatBeforeCommands);
                next.gateways[number].gate = if early { Gate::Held } else { Gate::Locked };
                next.gateways[number].asks = false;
                next.gateways[number].heartbeat = true;
            });
            transitions.push((Step::TakesTheLock(number), locked));
        }
        if gateway.gate == Gate::Locked && !gateway.heartbeat {
            let held = change(|gateway| gateway.gate = Gate::Held);
            transitions.push((Step::ServesFromNowOn(number), held));
        }
        if gateway.gate == Gate::Held && !gateway.heartbeat {
            let sent = change(|gateway| gateway.heartbeat = true);
            transitions.push((Step::SendsAHeartbeat(number), sent));
        }
        if gateway.gate == Gate::Held && gateway.write.is_none() {
            let given_back = self.after(|next| {
                next.unlock(number, gateway.connection);
                next.gateways[number].gate = Gate::Standby;
            });
            transitions.push((Step::GivesTheLockBack(number), given_back));
        }
        // The descriptor has too few bricks, or is to be a fresh one.
        let reopens = gateway.gate == Gate::Standby && gateway.usable != self.all();
        if reopens && gateway.write.is_none() && gateway.connection < CONNECTIONS {
            let reopened = self.after(|next| {
                next.unlock(number, gateway.connection);
                let all = next.all();
                next.gateways[number].reconnect(all);
            });
            transitions.push((Step::Reopens(number), reopened));
        }
        self.moves(number, transitions);
        self.ends(number, transitions);
    }

    /// The move of the lock to another connection: hold, lock, look at the heartbeat.
    fn moves(&self, number: Number, transitions: &mut Transitions) {
        let gateway = self.gateways[number];
        match gateway.gate {
            Gate::Held if gateway.write.is_none() && gateway.connection < CONNECTIONS => {
                let begun = self.after(|next| next.gateways[number].gate = Gate::Moving);
                transitions.push((Step::BeginsToMove(number), begun));
            }
            Gate::Moving if !gateway.heartbeat || !self.keeps(Rule::MoveDrainsHeartbeats) => {
                let probed = self.after(|next| {
                    let held = next.reads(number) || !next.keeps(Rule::MoveProbesLock);
                    let gate = if held { Gate::Confirmed } else { Gate::Standby };
                    next.gateways[number].gate = gate;
                });
                transitions.push((Step::ProbesItsLock(number), probed));
            }
            Gate::Confirmed => {
                let moved = self.after(|next| {
                    let all = next.all();
                    next.gateways[number].reconnect(all);
                    next.lock(number);
                    next.unlock(number, gateway.connection);
                    next.gateways[number].gate = Gate::MovedLock;
                });
                transitions.push((Step::MovesTheLock(number), moved));
            }
            Gate::MovedLock => {
                let ended = self.after(|next| {
                    let ours = next.heartbeat == Some(number);
                    if ours || !next.keeps(Rule::MoveChecksHeartbeat) {
                        next.gateways[number].gate = Gate::Locked;
                        next.gateways[number].heartbeat = true;
                    } else {
                        next.unlock(number, gateway.connection);
                        next.gateways[number].gate = Gate::Standby;
                    }
                });
                transitions.push((Step::EndsTheMove(number), ended));
            }
            _ => {}
        }
    }

    /// A command ends when all bricks have answered; a refusal is heard at once.
    fn ends(&self, number: Number, transitions: &mut Transitions) {
        let gateway = self.gateways[number];
        let Some(write) = gateway.write else { return };
        let lost = write.refused || !self.quorum(gateway.usable);
        if write.pending == 0 || lost && gateway.gate == Gate::Held {
            let mut next = self.clone();
            let gateway = &mut next.gateways[number];
            if lost {
                gateway.gate = Gate::Standby;
            }
            let mut ended = Ok(());
            if write.pending == 0 {
                gateway.write = None;
                if self.quorum(write.executed) {
                    ended = next.acknowledge(write.era);
                }
            }
            transitions.push((Step::CommandEnds(number), ended.map(|()| next)));
        }
    }

    /// What the bricks do with what is on its way to them.
    fn bricks(&self, gateway: Number, transitions: &mut Transitions) {
        for brick in 0..self.bricks.len() {
            let bit = 1 << brick;
            let Gateway { connection, write, orphan, .. } = self.gateways[gateway];
            if let Some(write) = write.filter(|write| write.pending & bit != 0) {
                let accepted = self.accepts(brick, (gateway, connection));
                let mut next = self.clone();
                let executed = if accepted { next.execute(brick, write.era) } else { Ok(()) };
                let after = Write {
                    pending: write.pending & !bit,
                    executed: write.executed | if accepted { bit } else { 0 },
                    refused: write.refused || !accepted,
                    ..write
                };
                next.gateways[gateway].write = Some(after);
                let step = if accepted {
                    Step::BrickExecutes { gateway, brick }
                } else {
                    Step::BrickRefuses { gateway, brick }
                };
                transitions.push((step, executed.map(|()| next)));
            }
            if let Some((closed, write)) = orphan.filter(|(_, write)| write.pending & bit != 0) {
                let mut next = self.clone();
                let accepted = self.accepts(brick, (gateway, closed));
                let executed = if accepted { next.execute(brick, write.era) } else { Ok(()) };
                let after = Write { pending: write.pending & !bit, ..write };
                next.gateways[gateway].orphan = (after.pending != 0).then_some((closed, after));
                let step = Step::BrickExecutesForAClosedConnection { gateway, brick };
                transitions.push((step, executed.map(|()| next)));
            }
        }
    }

    fn heartbeat(&self, number: Number, transitions: &mut Transitions) {
        if self.gateways[number].heartbeat {
            let landed = self.after(|next| {
                next.heartbeat = Some(number);
                next.gateways[number].heartbeat = false;
            });
            transitions.push((Step::HeartbeatLands(number), landed));
        }
    }

    fn faults_of(&self, number: Number, transitions: &mut Transitions) {
        let gateway = self.gateways[number];
        if gateway.frozen {
            let on = self.after(|next| next.gateways[number].frozen = false);
            transitions.push((Step::GoesOn(number), on));
        }
        if self.faults == 0 {
            return;
        }
        let fault = |change: &dyn Fn(&mut Self)| {
            self.after(|next| {
                next.faults -= 1;
                change(next);
            })
        };
        if !gateway.frozen {
            transitions
                .push((Step::Freezes(number), fault(&|next| next.gateways[number].frozen = true)));
        }
        // Another process has its own gate and connection; the ring stays.
        if gateway.connection < CONNECTIONS && gateway.orphan.is_none() {
            let killed = fault(&|next| {
                next.unlock(number, gateway.connection);
                let all = next.all();
                next.gateways[number].reconnect(all);
                next.gateways[number].gate = Gate::Standby;
                next.gateways[number].frozen = false;
                next.gateways[number].asks = false;
            });
            transitions.push((Step::IsKilled(number), killed));
        }
        for brick in 0..self.bricks.len() {
            if gateway.usable & 1 << brick != 0 {
                let cut = fault(&|next| next.cut(number, brick));
                transitions.push((Step::IsCutOff { gateway: number, brick }, cut));
            }
        }
    }
}
