// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Learns that a volume has changed, and makes the connection with its new graph.
//!
//! A thread for each connected volume keeps a connection to one of its servers. glusterd calls back
//! after every change, and the volfile is asked for again. A server that is lost, or does not
//! answer a ping, is replaced by the next one at once, and the volfile is asked for there: no
//! change is missed for long. The new connection takes the place of the old one when its bricks
//! have answered; LUNs move their images over by themselves (`lun::recovery`). Until then, and if
//! that never comes, all stays as it was.

use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use super::connection::{Connection, Target};
use super::error::OpenError;
use super::glusterd::{Glusterd, SpecError};
use super::pool_entry::{PoolEntry, retire};
use super::server::Fetched;
use super::status;
use super::stream::{ANSWER_TIMEOUT, Server};
use super::volfile::Volfile;
use crate::log;
use crate::threads;

/// Between two signs of life of the server. With the bound of an answer it makes the 5 s within
/// which the next one is asked.
const PROBE_INTERVAL: Duration = Duration::from_millis(1500);
/// Between two looks at a new connection that its bricks have not answered yet.
const CANDIDATE_INTERVAL: Duration = Duration::from_millis(250);
/// How long libgfapi takes to reach a brick that listens: it tries every 3 s.
const BRICK_GRACE: Duration = Duration::from_secs(5);
/// Between two attempts with a graph that does not come up; twice as long after each.
const RETRY_DELAY: Duration = Duration::from_secs(5);
const LONGEST_RETRY_DELAY: Duration = Duration::from_secs(300);

/// The thread's own.
#[derive(Debug)]
pub(super) struct Watch {
    entry: Weak<PoolEntry>,
    target: Target,
    /// None: no server answers, or the volfile is one of this host's.
    glusterd: Option<Glusterd>,
    /// The server that was asked last.
    server: Option<Server>,
    next: Next,
    /// That the graph to come is late has been reported.
    reported: bool,
}

/// The graph that is to come.
#[derive(Debug)]
enum Next {
    /// None: the connection has the volume's graph.
    None,
    /// It could not be made.
    Failed { volfile: Volfile, retry_at: Instant, delay: Duration },
    /// Being made, on a thread of its own: libgfapi waits for bricks as long as the kernel tries to
    /// reach them.
    Connecting {
        volfile: Volfile,
        outcome: Receiver<Result<Connection, OpenError>>,
        since: Instant,
        delay: Duration,
    },
    /// Made, but not as well connected as the one in use.
    Candidate { connection: Arc<Connection>, since: Instant },
}

/// Starts the thread, which ends with its entry. If none can be had, the reaper asks again.
pub(super) fn start(watch: Watch) {
    let _given_back = threads::hand_over("glfs-monitor", watch, Watch::run).is_err();
}

impl Watch {
    pub(super) fn new(entry: &Arc<PoolEntry>, target: Target, glusterd: Option<Glusterd>) -> Self {
        let asked = glusterd.as_ref().map(|glusterd| &glusterd.server);
        let server = asked.or(target.servers().last()).cloned();
        Self {
            entry: Arc::downgrade(entry),
            target,
            glusterd,
            server,
            next: Next::None,
            reported: false,
        }
    }

    fn run(mut self) {
        // The first volfile was asked for before libgfapi's version was known.
        let mut is_due = true;
        loop {
            let Some(entry) = self.entry.upgrade() else { break };
            entry.all().iter().for_each(|connection| connection.refresh_status(status::MAX_AGE));
            if let Some(current) = entry.current() {
                if is_due && let Some((volfile, honours_dsync)) = self.ask() {
                    current.set_honours_dsync(honours_dsync);
                    self.follow(&entry, &current, volfile);
                }
                self.advance(&entry, &current);
                entry.set_changing(self.is_undecided());
            }
            drop(entry);
            is_due = self.wait();
            if is_due && let Some(entry) = self.entry.upgrade() {
                entry.set_changing(self.glusterd.is_some());
            }
        }
    }

    /// Whether there may soon be a connection with another graph.
    fn is_undecided(&self) -> bool {
        !self.reported && matches!(self.next, Next::Connecting { .. } | Next::Candidate { .. })
    }

    /// Waits for a change, or until it is time to look. Whether the volfile is to be asked for.
    fn wait(&mut self) -> bool {
        let interval = if self.is_undecided() { CANDIDATE_INTERVAL } else { PROBE_INTERVAL };
        let Some(glusterd) = &mut self.glusterd else {
            thread::sleep(interval);
            // Until a server answers.
            return self.server.is_some();
        };
        match glusterd.wait_for_change(interval).and_then(|changed| {
            if !changed {
                glusterd.ping(ANSWER_TIMEOUT)?;
            }
            Ok(changed)
        }) {
            Ok(changed) => changed,
            Err(why) => {
                log::warning!(
                    log::PLUGIN,
                    "Volume {}: {}: {why}; the next server is asked for changes",
                    self.target.volume,
                    glusterd.server
                );
                self.glusterd = None;
                true
            }
        }
    }

    /// Asks for the volfile, and whether the bricks honour `O_DSYNC`: the server that is connected,
    /// or the next ones in their order.
    fn ask(&mut self) -> Option<(Volfile, bool)> {
        let (volume, servers) = (&self.target.volume, self.target.servers());
        if servers.is_empty() {
            return None;
        }
        if let Some(glusterd) = &mut self.glusterd {
            match glusterd.volfile(volume, status::op_version()) {
                Ok(answer) => return Some(answer),
                Err(SpecError::Refused(errno)) => {
                    log::warning!(
                        log::PLUGIN,
                        "Volume {volume}: {} refuses its volfile ({errno}): its \
                         present graph stays in use",
                        glusterd.server
                    );
                    return None;
                }
                Err(SpecError::Server(why)) => {
                    log::warning!(log::PLUGIN, "Volume {volume}: {}: {why}", glusterd.server);
                }
            }
            self.glusterd = None;
        }
        let last =
            servers.iter().position(|server| Some(server) == self.server.as_ref()).unwrap_or(0);
        let in_turn = servers.iter().cycle().skip(last + 1).take(servers.len());
        match self.target.fetch(in_turn) {
            Ok(Fetched { volfile, honours_dsync, glusterd }) => {
                log::info_always!(
                    log::PLUGIN,
                    "Volume {volume}: {} is asked for changes",
                    glusterd.server
                );
                self.server = Some(glusterd.server.clone());
                self.glusterd = Some(glusterd);
                Some((volfile, honours_dsync))
            }
            Err(why) => {
                log::warning!(log::PLUGIN, "Volume {volume}: changes of it are not seen: {why}");
                None
            }
        }
    }

    /// Begins with a graph, unless it is the one in use or the one to come.
    fn follow(&mut self, entry: &PoolEntry, current: &Connection, volfile: Volfile) {
        let is_known = match &self.next {
            Next::None => false,
            Next::Failed { volfile: next, .. } | Next::Connecting { volfile: next, .. } => {
                next.is_graph_of(&volfile)
            }
            Next::Candidate { connection, .. } => connection.volfile.is_graph_of(&volfile),
        };
        if is_known {
            return;
        }
        self.abandon();
        if !current.volfile.is_graph_of(&volfile) {
            self.connect(entry, current, volfile, RETRY_DELAY);
        }
    }

    /// Begins to make the connection.
    fn connect(
        &mut self,
        entry: &PoolEntry,
        current: &Connection,
        volfile: Volfile,
        delay: Duration,
    ) {
        let (sender, outcome) = sync_channel(1);
        let (log, level) = entry.logging();
        let (target, server) = (self.target.clone(), self.server.clone());
        let (text, generation) = (volfile.clone(), current.generation.next());
        // Without a thread nothing is sent: that is a failure, too.
        let _no_thread = threads::hand_over("glfs-call", (), move |()| {
            let connected =
                Connection::open(&target, text, server.as_ref(), generation, (&log, level));
            // Where nobody waits any more, it is ended here.
            drop(sender.send(connected));
        });
        self.next = Next::Connecting { volfile, outcome, since: Instant::now(), delay };
    }

    /// Goes on with the graph that is to come.
    fn advance(&mut self, entry: &PoolEntry, current: &Connection) {
        self.next = match std::mem::replace(&mut self.next, Next::None) {
            Next::None => Next::None,
            Next::Failed { volfile, retry_at, delay } if Instant::now() >= retry_at => {
                return self.connect(entry, current, volfile, delay);
            }
            failed @ Next::Failed { .. } => failed,
            Next::Connecting { volfile, outcome, since, delay } => match outcome.try_recv() {
                Ok(Ok(connection)) => Next::Candidate { connection: Arc::new(connection), since },
                Ok(Err(why)) => self.failed(volfile, delay, &why.to_string()),
                Err(TryRecvError::Disconnected) => {
                    self.failed(volfile, delay, "no thread could be had for it")
                }
                Err(TryRecvError::Empty) => {
                    self.report_late(since, || String::from("its bricks do not answer"));
                    Next::Connecting { volfile, outcome, since, delay }
                }
            },
            Next::Candidate { connection, since } => self.judge(entry, current, connection, since),
        };
    }

    /// Takes a connection as soon as it reaches all its bricks, or as many as the present one.
    fn judge(
        &mut self,
        entry: &PoolEntry,
        current: &Connection,
        connection: Arc<Connection>,
        since: Instant,
    ) -> Next {
        connection.refresh_status(CANDIDATE_INTERVAL / 2);
        let (new, old) = (connection.status.bricks(), current.status.bricks());
        let (connected, all) = new.map_or((0, 0), |bricks| (bricks.connected, bricks.all));
        if connected == 0 || connected < all && connected < old.map_or(all, |old| old.connected) {
            self.report_late(since, || format!("of its {all} bricks {connected} are connected"));
            return Next::Candidate { connection, since };
        }
        let (volume, number) = (&self.target.volume, connection.generation.number);
        log::info_always!(
            log::PLUGIN,
            "Volume {volume}: new graph, number {number}; LUNs move to it"
        );
        self.reported = false;
        connection.set_honours_dsync(current.honours_dsync());
        // Its users leave the one there is.
        let replaced = threads::lock(&entry.slot).install(connection);
        replaced.into_iter().for_each(retire);
        Next::None
    }

    /// Notes when to try again.
    fn failed(&mut self, volfile: Volfile, delay: Duration, why: &str) -> Next {
        self.report(why);
        let next_delay = (delay * 2).min(LONGEST_RETRY_DELAY);
        Next::Failed { volfile, retry_at: Instant::now() + delay, delay: next_delay }
    }

    fn report_late(&mut self, since: Instant, why: impl FnOnce() -> String) {
        if !self.reported && since.elapsed() >= BRICK_GRACE {
            self.report(&why());
        }
    }

    /// Says once that a graph is not taken.
    fn report(&mut self, why: &str) {
        if !std::mem::replace(&mut self.reported, true) {
            let volume = &self.target.volume;
            log::warning_always!(
                log::PLUGIN,
                "Volume {volume}: its new graph does not come up, \
                 the present one stays in use: {why}"
            );
        }
    }

    /// Gives up the graph that is to come.
    fn abandon(&mut self) {
        self.reported = false;
        match std::mem::replace(&mut self.next, Next::None) {
            Next::Candidate { connection, .. } => retire(connection),
            Next::Connecting { outcome, .. } => {
                if let Ok(Ok(connection)) = outcome.try_recv() {
                    retire(Arc::new(connection));
                }
            }
            Next::None | Next::Failed { .. } => {}
        }
    }
}

/// However it ends, another one may begin.
impl Drop for Watch {
    fn drop(&mut self) {
        self.abandon();
        if let Some(entry) = self.entry.upgrade() {
            entry.set_changing(false);
            threads::lock(&entry.slot).watched = false;
        }
    }
}
