// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Volumes over the nodes: their bricks, their images, their healing.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::unistd::Pid;

use crate::network::run;
use crate::nodes::{NODES, cluster, name, pid_in};
use support::eventually;

/// A started volume. Dropping it stops and deletes it.
#[derive(Debug)]
pub(crate) struct Volume {
    pub(crate) name: String,
    bricks: Vec<Brick>,
    /// Bricks that it has ever had.
    made: usize,
}

#[derive(Debug, Clone)]
struct Brick {
    node: usize,
    path: PathBuf,
}

impl Brick {
    /// The folder of a brick that is to come, on the nodes in turn.
    fn create(volume: &str, number: usize) -> Self {
        let node = number % NODES;
        let path = cluster().node(node).folder().join(format!("{volume}-{number}/b"));
        fs::create_dir_all(&path).unwrap();
        Self { node, path }
    }

    fn place(&self) -> String {
        format!("{}:{}", name(self.node), self.path.display())
    }
}

impl Volume {
    /// `layout` is what stands between the name and the bricks: `&["replica", "3"]`. `options` are
    /// set before the start.
    pub(crate) fn start(layout: &[&str], bricks: usize, options: &[(&str, &str)]) -> Self {
        Self::start_on(layout, bricks, options, |_| ())
    }

    /// The same; `prepare` is given the folder of the first brick before anything is in it.
    pub(crate) fn start_on(
        layout: &[&str],
        bricks: usize,
        options: &[(&str, &str)],
        prepare: impl FnOnce(&Path),
    ) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("v{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let bricks: Vec<Brick> = (0..bricks).map(|number| Brick::create(&name, number)).collect();
        prepare(bricks[0].path.parent().unwrap());
        let places: Vec<String> = bricks.iter().map(Brick::place).collect();
        let places: Vec<&str> = places.iter().map(String::as_str).collect();
        cluster().cli(0, &[&["volume", "create", &name], layout, &places, &["force"]].concat());
        let volume = Self { name, made: bricks.len(), bricks };
        // Each command takes the cluster's lock for a second.
        let options: Vec<&str> = options.iter().flat_map(|&(key, value)| [key, value]).collect();
        if !options.is_empty() {
            cluster().cli(0, &[&["volume", "set", &volume.name], &options[..]].concat());
        }
        cluster().cli(0, &["volume", "start", &volume.name]);
        volume.all_up();
        volume
    }

    pub(crate) fn set(&self, key: &str, value: &str) {
        self.set_through(0, key, value);
    }

    pub(crate) fn set_through(&self, node: usize, key: &str, value: &str) {
        cluster().cli(node, &["volume", "set", &self.name, key, value]);
    }

    /// What a gateway is given to open, through the first node.
    pub(crate) fn cfgstring(&self, image: &str, options: &str) -> String {
        // Whatever this machine's disk has left, no LUN warns of it.
        format!("glfs/{}@{}/{image};space-warning=0{options}", self.name, name(0))
    }

    /// The processes of all bricks that run.
    pub(crate) fn up(&self) -> usize {
        (0..self.bricks.len()).filter(|&brick| self.pid(brick).is_some_and(is_alive)).count()
    }

    fn all_up(&self) {
        eventually("the bricks are up", || {
            self.up() == self.bricks.len() && {
                let status =
                    cluster().try_cli(0, &["volume", "status", &self.name]).unwrap_or_default();
                status.lines().filter(|line| line.contains(" Y ")).count() >= self.bricks.len()
            }
        });
    }

    /// The process of a brick; it may be dead.
    pub(crate) fn pid(&self, brick: usize) -> Option<Pid> {
        let node = cluster().node(self.bricks[brick].node);
        let folder = self.bricks[brick].path.parent()?.file_name()?.to_str()?;
        let end = format!("{folder}-b.pid");
        let files = fs::read_dir(node.folder().join("run/gluster/vols").join(&self.name)).ok()?;
        let mut files = files.map(|entry| entry.unwrap().path());
        pid_in(&files.find(|path| path.to_str().unwrap().ends_with(&end))?)
    }

    /// Brings killed bricks back.
    pub(crate) fn restart_bricks(&self) {
        cluster().cli(0, &["volume", "start", &self.name, "force"]);
        eventually("killed bricks run again", || self.up() == self.bricks.len());
    }

    /// The folder of one more brick, on the node whose turn it is.
    fn new_brick(&mut self) -> Brick {
        self.made += 1;
        Brick::create(&self.name, self.made - 1)
    }

    pub(crate) fn bricks(&self) -> usize {
        self.bricks.len()
    }

    /// Puts an empty brick in the place of one.
    pub(crate) fn replace_brick(&mut self, brick: usize) {
        let new = self.new_brick();
        let (old_place, new_place) = (self.bricks[brick].place(), new.place());
        cluster().cli(
            0,
            &["volume", "replace-brick", &self.name, &old_place, &new_place, "commit", "force"],
        );
        self.bricks[brick] = new;
    }

    /// Takes a brick out, as for another disk, and puts it back with what it had.
    pub(crate) fn reset_brick(&self, brick: usize) {
        let place = self.bricks[brick].place();
        cluster().cli(0, &["volume", "reset-brick", &self.name, &place, "start"]);
        cluster().cli(0, &["volume", "reset-brick", &self.name, &place, &place, "commit", "force"]);
    }

    /// Adds bricks, on the nodes in turn.
    pub(crate) fn add_bricks(&mut self, count: usize) {
        let new: Vec<Brick> = (0..count).map(|_| self.new_brick()).collect();
        let places: Vec<String> = new.iter().map(Brick::place).collect();
        let places: Vec<&str> = places.iter().map(String::as_str).collect();
        cluster().cli(0, &[&["volume", "add-brick", &self.name], &places[..], &["force"]].concat());
        self.bricks.extend(new);
    }

    /// Spreads the files over all bricks; how that went.
    pub(crate) fn rebalance(&self) -> String {
        let ask = |words: &[&str]| {
            cluster().cli(0, &[&["volume", "rebalance", &self.name], words].concat())
        };
        ask(&["start", "force"]);
        eventually("the volume is rebalanced", || !ask(&["status"]).contains("in progress"));
        ask(&["status"])
    }

    /// Where a brick keeps its files, as this process reaches it.
    pub(crate) fn brick(&self, brick: usize) -> PathBuf {
        cluster().node(self.bricks[brick].node).path(&self.bricks[brick].path)
    }

    /// Does something with the mounted volume, as a user of it would.
    pub(crate) fn mounted<T>(&self, work: impl FnOnce(&Path) -> T) -> T {
        let place = cluster().root().join(format!("mount-{}", self.name));
        fs::create_dir_all(&place).unwrap();
        let text = place.to_str().unwrap();
        // Through the second: the first may be the one that is dead.
        run("mount", &["-t", "glusterfs", &format!("{}:/{}", name(1), self.name), text]).unwrap();
        let result = work(&place);
        run("umount", &[text]).unwrap();
        result
    }

    /// Creates an image, or grows one.
    pub(crate) fn image(&self, image: &str, bytes: u64) {
        self.mounted(|place| {
            let file = fs::File::options()
                .create(true)
                .write(true)
                .truncate(false)
                .open(place.join(image));
            file.unwrap().set_len(bytes).unwrap();
        });
    }

    /// Asks for healing until nothing is left to heal.
    pub(crate) fn heal(&self) -> Duration {
        let begin = Instant::now();
        loop {
            // Refused while the healing daemons are still connecting.
            drop(cluster().try_cli(0, &["volume", "heal", &self.name]));
            let left = self.to_heal();
            if left == Ok(0) {
                return begin.elapsed();
            }
            let info = || cluster().try_cli(0, &["volume", "heal", &self.name, "info"]);
            assert!(
                begin.elapsed() < Duration::from_secs(90),
                "{} is not healed: {left:?}, {:?}",
                self.name,
                info()
            );
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    pub(crate) fn is_healed(&self) -> bool {
        self.to_heal() == Ok(0)
    }

    /// How many entries are left to heal, if all bricks say so.
    fn to_heal(&self) -> Result<usize, String> {
        let info = cluster().try_cli(0, &["volume", "heal", &self.name, "info"])?;
        let counts: Vec<&str> =
            info.lines().filter_map(|line| line.strip_prefix("Number of entries: ")).collect();
        let left: Option<usize> = counts.iter().map(|count| count.parse::<usize>().ok()).sum();
        left.filter(|_| counts.len() == self.bricks.len()).ok_or(info)
    }

    /// The files of a brick, apart from what is Gluster's own: paths and contents.
    pub(crate) fn files(&self, brick: usize) -> BTreeMap<PathBuf, Vec<u8>> {
        fn collect(root: &Path, folder: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() && !path.ends_with(".glusterfs") {
                    collect(root, &path, found);
                } else if path.is_file() {
                    found.insert(
                        path.strip_prefix(root).unwrap().to_owned(),
                        fs::read(&path).unwrap(),
                    );
                }
            }
        }
        let (root, mut found) = (self.brick(brick), BTreeMap::new());
        collect(&root, &root, &mut found);
        found
    }

    /// Panics unless these bricks have the same files with the same bytes.
    pub(crate) fn assert_alike(&self, bricks: &[usize]) {
        let first = self.files(bricks[0]);
        assert!(!first.is_empty(), "nothing to compare");
        for &brick in &bricks[1..] {
            let other = self.files(brick);
            assert!(
                first.keys().eq(other.keys()),
                "brick {brick} has other files: {:?}",
                other.keys()
            );
            for (path, bytes) in &first {
                let differs = bytes.iter().zip(&other[path]).position(|(one, other)| one != other);
                assert!(
                    differs.is_none() && bytes.len() == other[path].len(),
                    "{} differs on bricks {} and {brick}, first at {differs:?}",
                    path.display(),
                    bricks[0]
                );
            }
        }
    }
}

/// Whether the process runs.
fn is_alive(pid: Pid) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

impl Drop for Volume {
    fn drop(&mut self) {
        // A test that failed may have left nodes cut off: what cannot be removed stays, as the
        // process ends soon.
        for what in ["stop", "delete"] {
            let words: &[&str] = if what == "stop" {
                &["volume", what, &self.name, "force"]
            } else {
                &["volume", what, &self.name]
            };
            drop(cluster().try_cli(0, words));
        }
    }
}
