// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! A device of the emulated kernel: takes commands, hands them to the daemon through the ring, and
//! answers those itself that the daemon does not (`target_core_user.c`, 6.1).

use std::collections::{HashMap, VecDeque};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::Backstore;
use super::ring::{Answer, Command, Data, Full, Ring, SENSE_BYTES};

pub(crate) const GOOD: u8 = 0x00;
pub(crate) const CHECK_CONDITION: u8 = 0x02;
pub(crate) const BUSY: u8 = 0x08;
pub(crate) const TASK_SET_FULL: u8 = 0x28;

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u8,
    /// Sense key, additional sense code and qualifier.
    pub(crate) sense: Sense,
    pub(crate) data: Vec<u8>,
    /// Not the daemon has answered, but the kernel.
    pub(crate) by_kernel: bool,
}

pub(crate) type Sense = (u8, u8, u8);

/// LOGICAL UNIT IS IN PROCESS OF BECOMING READY, and the unit attention that it has become so.
pub(crate) const BECOMING_READY: [Sense; 2] = [(0x2, 0x04, 0x01), (0x6, 0x28, 0x00)];

/// CHECK CONDITION without sense data.
pub(crate) const NO_SENSE: Sense = (0, 0xff, 0xff);

impl Reply {
    fn by_kernel(status: u8, sense: Sense) -> Self {
        Self { status, sense, data: Vec::new(), by_kernel: true }
    }

    fn by_daemon(answer: Answer) -> Self {
        let Answer { status, sense, data } = answer;
        let sense = if status == CHECK_CONDITION { parse_sense(&sense) } else { (0, 0, 0) };
        Self { status, sense, data, by_kernel: false }
    }
}

/// Fixed format; [`NO_SENSE`] if it is none.
fn parse_sense(sense: &[u8; SENSE_BYTES]) -> Sense {
    if sense[0] & 0x7f == 0x70 { (sense[2] & 0x0f, sense[12], sense[13]) } else { NO_SENSE }
}

/// What happens when a command has ended. Must not wait.
pub(crate) type Done = Box<dyn FnOnce(Reply) + Send>;

struct Waiting {
    /// None: it has expired, and only its place in the ring is still taken.
    done: Option<Done>,
    deadline: Option<Instant>,
}

struct Queued {
    command: Command,
    done: Done,
    deadline: Option<Instant>,
}

/// Whether commands reach the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Serving,
    Blocked,
    Removed,
}

struct State {
    ring: Ring,
    backstore: Backstore,
    waiting: HashMap<u16, Waiting>,
    /// Commands for which there was no room.
    queue: VecDeque<Queued>,
    phase: Phase,
    /// The daemon has it open.
    open: bool,
    /// Commands that the daemon has answered after they had expired.
    late: usize,
    resets: usize,
    /// The device's thread waits for a deadline, and needs not be told of one.
    watched: bool,
}

/// A device.
pub(crate) struct Device {
    pub(crate) minor: u32,
    state: Mutex<State>,
    to_daemon: EventFd,
    to_kernel: EventFd,
}

impl Device {
    pub(crate) fn new(minor: u32, backstore: Backstore) -> Self {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let state = State {
            ring: Ring::new(backstore.data_area_bytes),
            backstore,
            waiting: HashMap::new(),
            queue: VecDeque::new(),
            phase: Phase::Serving,
            open: false,
            late: 0,
            resets: 0,
            watched: false,
        };
        Self {
            minor,
            state: Mutex::new(state),
            to_daemon: EventFd::from_flags(flags).unwrap(),
            to_kernel: EventFd::from_flags(flags).unwrap(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Hands a command to the daemon. `done` is called on this thread or the device's.
    pub(crate) fn submit(&self, command: Command, done: Done) {
        let mut state = self.state();
        let deadline = state.backstore.cmd_time_out.map(|time_out| Instant::now() + time_out);
        if let Some(refused) = state.queue_command(Queued { command, done, deadline }) {
            drop(state);
            refused.finish();
            return;
        }
        let unwatched = deadline.is_some() && !std::mem::replace(&mut state.watched, true);
        drop(state);
        self.to_daemon.write(1).unwrap();
        if unwatched {
            self.to_kernel.write(1).unwrap();
        }
    }

    /// Hands a command to the daemon, to be waited for.
    pub(crate) fn send(&self, cdb: &[u8], data: Data) -> Pending {
        let (sender, receiver) = channel();
        let command = Command { cdb: cdb.to_vec(), data };
        // A test that has failed waits no more.
        self.submit(command, Box::new(move |reply| drop(sender.send(reply))));
        Pending(receiver)
    }

    /// The reply to a command.
    pub(crate) fn run(&self, cdb: &[u8], data: Data) -> Reply {
        self.send(cdb, data).wait()
    }

    /// What the device's thread does until the device is removed: takes answers, and lets commands
    /// expire.
    pub(crate) fn serve(&self) {
        loop {
            let mut state = self.state();
            let ended = state.take_answers();
            let next = state.next_deadline();
            state.watched = next.is_some();
            if state.phase == Phase::Removed {
                break;
            }
            drop(state);
            if ended.is_empty() {
                self.wait(next);
                continue;
            }
            ended.into_iter().for_each(Ended::finish);
            // Room has become free.
            let mut state = self.state();
            let (ended, queued) = state.run_queue();
            drop(state);
            ended.into_iter().for_each(Ended::finish);
            if queued {
                self.to_daemon.write(1).unwrap();
            }
        }
    }

    fn wait(&self, deadline: Option<Instant>) {
        let time_out = deadline.map_or(PollTimeout::NONE, |deadline| {
            let left = deadline.saturating_duration_since(Instant::now());
            PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX)
        });
        let mut fds = [PollFd::new(self.to_kernel.as_fd(), PollFlags::POLLIN)];
        let _interrupted = poll(&mut fds, time_out).is_err();
        // EAGAIN: it was the deadline.
        let _events = self.to_kernel.read();
    }

    /// `action/block_dev`: no command reaches the daemon any more, or they do again.
    pub(crate) fn block(&self, blocked: bool) {
        let mut state = self.state();
        state.phase = if blocked { Phase::Blocked } else { Phase::Serving };
        let mut ended = if blocked { state.take_answers() } else { Vec::new() };
        if blocked {
            let refused = |queued: Queued| Ended(queued.done, Reply::by_kernel(BUSY, (0, 0, 0)));
            ended.extend(state.queue.drain(..).map(refused));
        }
        drop(state);
        ended.into_iter().for_each(Ended::finish);
    }

    /// `action/reset_ring`: all commands in flight end: with BUSY if `retry`.
    pub(crate) fn reset_ring(&self, retry: bool) {
        let status = if retry { BUSY } else { CHECK_CONDITION };
        let mut state = self.state();
        state.resets += 1;
        state.ring.reset();
        let ended: Vec<Ended> = std::mem::take(&mut state.waiting)
            .into_values()
            .filter_map(|waiting| Some(Ended(waiting.done?, Reply::by_kernel(status, (0, 0, 0)))))
            .collect();
        drop(state);
        ended.into_iter().for_each(Ended::finish);
        self.to_kernel.write(1).unwrap();
    }

    /// The daemon opens the device, or has closed it. False: it is open already.
    pub(crate) fn set_open(&self, open: bool) -> bool {
        let mut state = self.state();
        let changed = state.open != open;
        state.open = open;
        changed
    }

    pub(crate) fn is_open(&self) -> bool {
        self.state().open
    }

    /// What the daemon gets when it opens the device: signals for it, the ring, signals for the
    /// kernel.
    pub(crate) fn with_files<T>(&self, work: impl FnOnce([BorrowedFd<'_>; 3]) -> T) -> T {
        let state = self.state();
        work([self.to_daemon.as_fd(), state.ring.file.as_fd(), self.to_kernel.as_fd()])
    }

    pub(crate) fn ring_bytes(&self) -> usize {
        self.state().ring.bytes()
    }

    pub(crate) fn backstore(&self) -> Backstore {
        self.state().backstore.clone()
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Backstore)) -> Backstore {
        let mut state = self.state();
        change(&mut state.backstore);
        state.backstore.clone()
    }

    /// Commands in the ring, expired ones too.
    pub(crate) fn in_flight(&self) -> usize {
        self.state().ring.in_flight()
    }

    /// Commands that the daemon has answered after they had expired.
    pub(crate) fn late_answers(&self) -> usize {
        self.state().late
    }

    /// How often the ring has been reset.
    pub(crate) fn resets(&self) -> usize {
        self.state().resets
    }

    /// Whether the daemon has answered a command that it did not have.
    pub(crate) fn is_broken(&self) -> bool {
        self.state().ring.is_broken()
    }

    /// Ends the device's thread, and all commands.
    pub(crate) fn stop(&self) {
        self.state().phase = Phase::Removed;
        self.reset_ring(true);
    }
}

/// A command that is to be told how it ended.
struct Ended(Done, Reply);

impl Ended {
    fn finish(self) {
        (self.0)(self.1);
    }
}

impl State {
    /// Puts a command into the ring, or into the queue. Some: it is refused.
    fn queue_command(&mut self, queued: Queued) -> Option<Ended> {
        if self.phase != Phase::Serving {
            return Some(Ended(queued.done, Reply::by_kernel(BUSY, (0, 0, 0))));
        }
        if self.queue.is_empty() { self.put(queued) } else { self.put_off(queued) }
    }

    fn put_off(&mut self, queued: Queued) -> Option<Ended> {
        self.queue.push_back(queued);
        None
    }

    fn put(&mut self, queued: Queued) -> Option<Ended> {
        match self.ring.push(&queued.command) {
            Ok(id) => {
                let waiting = Waiting { done: Some(queued.done), deadline: queued.deadline };
                assert!(self.waiting.insert(id, waiting).is_none(), "number {id} is taken");
                None
            }
            Err(Full::Now) => self.put_off(queued),
            Err(Full::Always) => {
                Some(Ended(queued.done, Reply::by_kernel(CHECK_CONDITION, (0x5, 0x24, 0x00))))
            }
        }
    }

    /// Commands that the daemon has answered or that have expired.
    fn take_answers(&mut self) -> Vec<Ended> {
        let mut ended = Vec::new();
        for (id, answer) in self.ring.reap() {
            match self.waiting.remove(&id).and_then(|waiting| waiting.done) {
                Some(done) => ended.push(Ended(done, Reply::by_daemon(answer))),
                None => self.late += 1,
            }
        }
        let now = Instant::now();
        for waiting in self.waiting.values_mut() {
            if waiting.deadline.is_some_and(|deadline| deadline <= now) {
                waiting.deadline = None;
                // The core of the target adds this sense.
                let reply = Reply::by_kernel(CHECK_CONDITION, (0x2, 0x08, 0x00));
                ended.extend(waiting.done.take().map(|done| Ended(done, reply)));
            }
        }
        ended
    }

    fn run_queue(&mut self) -> (Vec<Ended>, bool) {
        let mut ended = Vec::new();
        let waiting = std::mem::take(&mut self.queue);
        let before = waiting.len();
        let now = Instant::now();
        for queued in waiting {
            if queued.deadline.is_some_and(|deadline| deadline <= now) {
                let reply = Reply::by_kernel(TASK_SET_FULL, (0, 0, 0));
                ended.push(Ended(queued.done, reply));
            } else {
                ended.extend(self.queue_command(queued));
            }
        }
        (ended, self.queue.len() < before)
    }

    fn next_deadline(&self) -> Option<Instant> {
        let waiting = self.waiting.values().filter_map(|waiting| waiting.deadline);
        waiting.chain(self.queue.iter().filter_map(|queued| queued.deadline)).min()
    }
}

/// A command that is under way.
pub(crate) struct Pending(Receiver<Reply>);

impl Pending {
    pub(crate) fn wait(self) -> Reply {
        self.0.recv_timeout(Duration::from_secs(60)).expect("not answered within 60 s")
    }
}
