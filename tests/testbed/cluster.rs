// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! One glusterd with its own folders and network, and volumes on it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{LazyLock, Mutex, OnceLock};

use nix::mount::{MsFlags, mount};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::{eventually, namespaces, scratch};

/// The node's address, on the loopback device of the private network: the CLI refuses 127.* for
/// bricks.
pub const HOST: &str = "10.77.99.1";

/// An address that swallows what is sent to it. (On the loopback device, all addresses of the
/// node's network are the node's.)
pub const NOWHERE: &str = "10.77.98.2";

/// How the node is reached, where that is not by [`HOST`] in plain text.
#[derive(Debug, Clone, Copy)]
pub struct Environment {
    /// The node's name or address.
    pub host: &'static str,
    /// Lines for glusterd's own volfile.
    pub glusterd: &'static str,
    /// Of FUSE mounts.
    pub mount: &'static str,
    /// Makes it so. Called in the process's own namespaces.
    pub prepare: fn(),
}

/// Set before there is a cluster; else it is an ordinary one.
pub static ENVIRONMENT: OnceLock<Environment> = OnceLock::new();

fn environment() -> Environment {
    *ENVIRONMENT.get_or_init(|| Environment {
        host: HOST,
        glusterd: "",
        mount: "rw",
        prepare: || {},
    })
}

/// One folder a volume, one pid file a brick.
const BRICK_PIDS: &str = "/run/gluster/vols";

/// Where the cluster keeps what it has, if not in Cargo's folder for tests.
pub static FOLDER: OnceLock<PathBuf> = OnceLock::new();

static CLUSTER: LazyLock<Mutex<Option<TempDir>>> = LazyLock::new(|| Mutex::new(Some(start())));

fn root() -> PathBuf {
    CLUSTER.lock().unwrap().as_ref().unwrap().path().to_owned()
}

/// Into namespaces of its own. Must run while the process has one thread.
pub fn enter_namespaces() {
    namespaces::enter();
    run("ip", &["addr", "add", &format!("{HOST}/24"), "dev", "lo"]).unwrap();
    // A wire with nobody at its other end.
    run("ip", &["link", "add", "void", "type", "veth", "peer", "name", "end"]).unwrap();
    run("ip", &["addr", "add", "10.77.98.1/24", "dev", "void"]).unwrap();
    run("ip", &["link", "set", "void", "up"]).unwrap();
    run("ip", &["link", "set", "end", "up"]).unwrap();
    run("ip", &["neigh", "add", NOWHERE, "lladdr", "02:00:00:00:00:02", "dev", "void"]).unwrap();
}

fn start() -> TempDir {
    let folder = FOLDER.get_or_init(scratch::folder);
    let dir = tempfile::Builder::new().prefix("gluster-").tempdir_in(folder).unwrap();
    for (name, place) in
        [("lib", "/var/lib/glusterd"), ("log", "/var/log/glusterfs"), ("run", "/run")]
    {
        let own = dir.path().join(name);
        fs::create_dir(&own).unwrap();
        fs::create_dir_all(place).unwrap();
        mount(Some(&own), place, None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
    }
    fs::create_dir("/run/gluster").unwrap();
    (environment().prepare)();
    let volfile = dir.path().join("glusterd.vol");
    let text = fs::read_to_string("/etc/glusterfs/glusterd.vol").unwrap();
    fs::write(
        &volfile,
        text.replace("end-volume", &format!("{}\nend-volume", environment().glusterd)),
    )
    .unwrap();
    run("glusterd", &["--pid-file=/run/glusterd.pid", "-f", volfile.to_str().unwrap()]).unwrap();
    eventually("glusterd answers", || run("gluster", &["volume", "list"]).is_ok());
    dir
}

/// Ends the processes of this cluster, and only them.
pub fn stop() {
    // Bound to a name: it is removed, with the pid files in it, when it is dropped.
    if let Some(_dir) = CLUSTER.lock().unwrap().take() {
        kill_all(Path::new("/run"));
    }
}

/// Kills every process that has left its pid in a file below `folder`.
fn kill_all(folder: &Path) {
    pids(folder).into_iter().for_each(kill_process);
}

/// The processes that have left their pids in files below `folder`. A daemon that is just starting
/// or stopping has an empty one.
pub fn pids(folder: &Path) -> Vec<Pid> {
    let mut pids = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            pids.append(&mut self::pids(&path));
        } else if path.extension().is_some_and(|extension| extension == "pid") {
            pids.extend(pid_in(&path));
        }
    }
    pids
}

fn pid_in(file: &Path) -> Option<Pid> {
    fs::read_to_string(file).ok()?.trim().parse().ok().map(Pid::from_raw)
}

fn kill_process(pid: Pid) {
    let _gone_already = kill(pid, Signal::SIGKILL).is_err();
    // glusterd takes a zombie for a brick that runs, and would not start another.
    eventually("a killed process is gone", || kill(pid, None).is_err());
}

/// The gluster CLI.
pub fn gluster(arguments: &[&str]) -> String {
    // Starts the cluster, if nobody has yet.
    drop(root());
    run("gluster", &[&["--mode=script", "--wignore"], arguments].concat()).unwrap()
}

pub fn run(program: &str, arguments: &[&str]) -> Result<String, String> {
    let output =
        Command::new(program).args(arguments).output().map_err(|e| format!("{program}: {e}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    Err(format!("{program} {arguments:?}: {text}{}", String::from_utf8_lossy(&output.stderr)))
}

/// A started volume with one image.
pub struct Volume {
    pub name: String,
    bricks: Vec<PathBuf>,
}

impl Volume {
    /// `layout` is what stands between the name and the bricks: `&["replica", "3"]`. `options` are
    /// set before the start.
    pub fn start(layout: &[&str], bricks: usize, options: &[(&str, &str)]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("v{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let root = root();
        let bricks: Vec<PathBuf> =
            (0..bricks).map(|brick| root.join(format!("bricks-{name}-{brick}/b"))).collect();
        let places: Vec<String> = bricks
            .iter()
            .map(|brick| {
                fs::create_dir_all(brick).unwrap();
                format!("{}:{}", environment().host, brick.display())
            })
            .collect();
        let places: Vec<&str> = places.iter().map(String::as_str).collect();
        gluster(&[&["volume", "create", &name], layout, &places, &["force"]].concat());
        for (key, value) in options {
            gluster(&["volume", "set", &name, key, value]);
        }
        gluster(&["volume", "start", &name]);
        eventually("the bricks are up", || {
            gluster(&["volume", "status", &name]).matches(" Y ").count() >= bricks.len()
        });
        Self { name, bricks }
    }

    /// The image on a brick, if it lies there in one piece.
    pub fn on_brick(&self, brick: usize, image: &str) -> PathBuf {
        self.bricks[brick].join(image)
    }

    /// Removes an image and the bricks' second names of it, behind the volume's back.
    pub fn forget(&self, image: &str) {
        for brick in &self.bricks {
            let image = brick.join(image);
            let inode = fs::metadata(&image).unwrap().ino();
            // Under .glusterfs, two levels of folders deep.
            let folders = |folder: &Path| {
                fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path())
            };
            let names = folders(&brick.join(".glusterfs"))
                .flat_map(|one| folders(&one).collect::<Vec<_>>());
            let names = names.flat_map(|two| folders(&two).collect::<Vec<_>>());
            for name in names
                .filter(|name| fs::symlink_metadata(name).is_ok_and(|found| found.ino() == inode))
            {
                fs::remove_file(name).unwrap();
            }
            fs::remove_file(image).unwrap();
        }
    }

    /// Creates an image, or grows one, through the volume, as an admin does.
    pub fn image(&self, image: &str, bytes: u64) {
        self.mounted(|place| {
            let file = fs::File::options()
                .create(true)
                .write(true)
                .truncate(false)
                .open(place.join(image));
            file.unwrap().set_len(bytes).unwrap();
        });
    }

    /// Does `work` with the volume mounted.
    pub fn mounted(&self, work: impl FnOnce(&Path)) {
        let place = root().join(format!("mount-{}", self.name));
        fs::create_dir_all(&place).unwrap();
        let text = place.to_str().unwrap();
        let Environment { host, mount, .. } = environment();
        run("mount", &["-t", "glusterfs", "-o", mount, &format!("{host}:/{}", self.name), text])
            .unwrap();
        work(&place);
        run("umount", &[text]).unwrap();
    }

    pub fn cfgstring(&self, image: &str, options: &str) -> String {
        // Whatever this machine's disk has left: no LUN warns of it, unless its test is about that.
        let space = if options.contains("space-warning=") { "" } else { ";space-warning=0" };
        format!("glfs/{}@{}/{image}{space}{options}", self.name, environment().host)
    }

    /// kill -9 of all bricks.
    pub fn kill_bricks(&self) {
        kill_all(&Path::new(BRICK_PIDS).join(&self.name));
    }

    /// kill -9 of one.
    pub fn kill_brick(&self, brick: usize) {
        let name = format!("bricks-{}-{brick}-b.pid", self.name);
        let files = fs::read_dir(Path::new(BRICK_PIDS).join(&self.name))
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let file = files
            .into_iter()
            .find(|path| path.to_str().unwrap().ends_with(&name))
            .expect("a pid file");
        kill_process(pid_in(&file).expect("a pid"));
    }

    /// Brings killed bricks back.
    pub fn restart_bricks(&self) {
        gluster(&["volume", "start", &self.name, "force"]);
    }
}
