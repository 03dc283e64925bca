// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Three Gluster nodes on one host: each has a network, mounts and a glusterd of its own, and
//! reaches the others by name.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::network::{self, Cable, address, run};
use support::eventually;

pub(crate) const NODES: usize = 3;

/// A name that nobody answers to: its address is free.
pub(crate) const NOBODY: &str = "nobody";

/// One machine of the cluster.
#[derive(Debug)]
pub(crate) struct Node {
    /// Sleeps in the node's namespaces, and so keeps them while its glusterd is dead.
    holder: Child,
    pub(crate) cable: Cable,
    /// Its bricks, state, logs and run files.
    folder: PathBuf,
}

/// The machines; there is one cluster.
#[derive(Debug)]
pub(crate) struct Cluster {
    nodes: Vec<Node>,
    folder: Mutex<Option<TempDir>>,
    root: PathBuf,
    /// Two commands at once would find the cluster locked.
    cli: Mutex<()>,
    /// Faults of nodes are faults for everybody.
    turn: RwLock<()>,
}

static CLUSTER: OnceLock<Cluster> = OnceLock::new();

/// The cluster, which the first who asks starts.
pub(crate) fn cluster() -> &'static Cluster {
    CLUSTER.get_or_init(Cluster::start)
}

/// What a node is called in volumes and configuration strings. They count from 0, their names from
/// 1, as admins do.
pub(crate) fn name(node: usize) -> String {
    format!("node{}", node + 1)
}

impl Node {
    fn start(number: usize, root: &Path) -> Self {
        let folder = root.join(name(number));
        let mut mounts = String::new();
        for (own, place) in
            [("lib", "/var/lib/glusterd"), ("log", "/var/log/glusterfs"), ("run", "/run")]
        {
            fs::create_dir_all(folder.join(own)).unwrap();
            fs::create_dir_all(place).unwrap();
            write!(mounts, "mount --bind {}/{own} {place} && ", folder.display()).unwrap();
        }
        let mut holder = Command::new("unshare")
            .args(["--mount", "--net", "--propagation", "private", "sh", "-c"])
            .arg(format!("{mounts} mkdir -p /run/gluster && echo ready && exec sleep infinity"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n", "a node could not be started");
        let cable = Cable::to(holder.id(), &name(number), number + 1);
        Self { holder, cable, folder }
    }

    /// A program inside the node.
    pub(crate) fn run(&self, program: &[&str]) -> Result<String, String> {
        run("nsenter", &[&["-t", &self.holder.id().to_string(), "-m", "-n"], program].concat())
    }

    /// A path as the node sees it, with what is mounted only there.
    pub(crate) fn path(&self, path: &Path) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{}", self.holder.id(), path.display()))
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Starts glusterd, which starts the bricks of the node's volumes that do not run.
    pub(crate) fn start_glusterd(&self) {
        self.run(&["glusterd", "--pid-file=/run/glusterd.pid"]).unwrap();
    }

    pub(crate) fn glusterd(&self) -> Pid {
        pid_in(&self.folder.join("run/glusterd.pid")).expect("glusterd runs")
    }
}

impl Cluster {
    fn start() -> Self {
        network::start();
        let folder = tempfile::Builder::new()
            .prefix("cluster-")
            .tempdir_in(env!("CARGO_TARGET_TMPDIR"))
            .unwrap();
        let root = folder.path().to_owned();
        names(&root);
        let nodes: Vec<Node> = (0..NODES).map(|number| Node::start(number, &root)).collect();
        nodes.iter().for_each(Node::start_glusterd);
        let cluster = Self {
            nodes,
            folder: Mutex::new(Some(folder)),
            root,
            cli: Mutex::new(()),
            turn: RwLock::new(()),
        };
        // A node that is probed learns the prober's address only: the first one's name comes from
        // the second.
        for (prober, probed) in [(0, 1), (0, 2), (1, 0)] {
            cluster.cli(prober, &["peer", "probe", &name(probed)]);
        }
        cluster.all_connected();
        cluster
    }

    /// Waits until every glusterd is connected to every other.
    pub(crate) fn all_connected(&self) {
        eventually("all nodes are connected", || {
            let pool = |node: &Node| node.run(&["gluster", "pool", "list"]).unwrap_or_default();
            // "Disconnected" would not count: the column is padded.
            self.nodes.iter().all(|node| {
                pool(node).split_whitespace().filter(|&word| word == "Connected").count() == NODES
            })
        });
    }

    /// For tests whose faults befall whole nodes: nobody else is on the cluster. Goes on after a
    /// test that failed.
    pub(crate) fn alone(&self) -> RwLockWriteGuard<'_, ()> {
        self.turn.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// For tests whose faults befall only their own volume and gateways.
    pub(crate) fn shared(&self) -> RwLockReadGuard<'_, ()> {
        self.turn.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn node(&self, node: usize) -> &Node {
        &self.nodes[node]
    }

    /// A folder for this test run's files.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The gluster CLI on a node, repeated while the cluster says that it is busy.
    pub(crate) fn try_cli(&self, node: usize, arguments: &[&str]) -> Result<String, String> {
        let _turn = self.cli.lock().unwrap_or_else(PoisonError::into_inner);
        let begin = Instant::now();
        loop {
            let command = [&["gluster", "--mode=script", "--wignore"], arguments].concat();
            match self.nodes[node].run(&command) {
                Err(why) if is_passing(&why) && begin.elapsed() < Duration::from_secs(30) => {
                    std::thread::sleep(Duration::from_millis(300));
                }
                answer => return answer,
            }
        }
    }

    pub(crate) fn cli(&self, node: usize, arguments: &[&str]) -> String {
        self.try_cli(node, arguments).unwrap()
    }
}

/// Whether the cluster refuses only for now.
fn is_passing(why: &str) -> bool {
    [
        "Another transaction",
        "try again",
        "Connection failed",
        "Locking failed",
        "brick op 'Rebalance' failed",
    ]
    .iter()
    .any(|text| why.contains(text))
}

/// Gives the hosts names, for this process and all that it starts. Nobody else is asked for any.
fn names(root: &Path) {
    let mut hosts = format!("127.0.0.1 localhost\n{} {NOBODY}\n", address(99));
    (0..NODES).for_each(|node| writeln!(hosts, "{} {}", address(node + 1), name(node)).unwrap());
    for (file, text) in [("hosts", hosts.as_str()), ("resolv.conf", "")] {
        fs::write(root.join(file), text).unwrap();
        let place = Path::new("/etc").join(file);
        mount(Some(&root.join(file)), &place, None::<&str>, MsFlags::MS_BIND, None::<&str>)
            .unwrap();
    }
}

/// Ends the daemons of the cluster, if it was started, and removes its folder.
pub(crate) fn stop() {
    let Some(cluster) = CLUSTER.get() else { return };
    let folder = cluster.folder.lock().unwrap().take();
    for node in &cluster.nodes {
        pids(&node.folder.join("run")).into_iter().for_each(kill_process);
        kill_process(Pid::from_raw(i32::try_from(node.holder.id()).unwrap()));
    }
    if let Some(folder) = folder {
        if std::env::var_os("KEEP").is_some() {
            println!("kept: {}", folder.keep().display());
        }
    }
}

/// The processes that have left their pids in files below `folder`. A daemon that is just starting
/// or stopping has an empty one.
pub(crate) fn pids(folder: &Path) -> Vec<Pid> {
    let mut pids = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            pids.append(&mut self::pids(&path));
        } else if path.extension().is_some_and(|extension| extension == "pid") {
            pids.extend(pid_in(&path));
        }
    }
    pids
}

pub(crate) fn pid_in(file: &Path) -> Option<Pid> {
    fs::read_to_string(file).ok()?.trim().parse().ok().map(Pid::from_raw)
}

/// kill -9, until it is gone.
pub(crate) fn kill_process(pid: Pid) {
    let _gone_already = kill(pid, Signal::SIGKILL).is_err();
    eventually("a killed process is gone", || {
        // The init of our processes reaps the daemons; our own children are zombies until they are
        // waited for.
        let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        state.is_empty() || state.contains(") Z ")
    });
}
