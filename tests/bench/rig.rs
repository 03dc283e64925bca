// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Volumes to measure on, their images, and their FUSE mounts.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, ensure};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::statfs::{FUSE_SUPER_MAGIC, statfs};

use testbed::{cluster, eventually};

/// Bytes of all images of a contestant.
pub(crate) const IMAGES: u64 = 128 << 20;

/// What a volume is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    Single,
    Replica,
    Disperse,
    Sharded,
}

/// A volume with images full of data, and a FUSE mount.
pub(crate) struct Rig {
    volume: cluster::Volume,
    mount: PathBuf,
    fuse: Child,
    /// LUNs of each contestant.
    luns: usize,
}

/// Moves into namespaces of our own, with a file system in memory for the bricks: disks would be
/// measured otherwise. Must run while the process has one thread.
pub(crate) fn enter(folder: &Path) -> anyhow::Result<()> {
    cluster::enter_namespaces();
    mount(Some("bricks"), folder, Some("tmpfs"), MsFlags::empty(), Some("size=75%"))?;
    // BBR, which some systems have, paces each connection by what it believes of the network.
    fs::write("/proc/sys/net/ipv4/tcp_congestion_control", "reno")?;
    ensure!(cluster::FOLDER.set(folder.to_owned()).is_ok(), "entered twice");
    Ok(())
}

/// Gives the memory back. What still looks at it keeps it alive until it ends.
pub(crate) fn leave(folder: &Path) -> anyhow::Result<()> {
    Ok(umount2(folder, MntFlags::MNT_DETACH)?)
}

impl Rig {
    /// A started volume. `strict`: `O_DIRECT` is honoured by its translators, which is how its
    /// users without our graph avoid caches.
    pub(crate) fn new(
        layout: Layout,
        strict: bool,
        luns: usize,
        contestants: usize,
    ) -> anyhow::Result<Self> {
        let (words, bricks): (&[&str], usize) = match layout {
            Layout::Single | Layout::Sharded => (&[], 1),
            Layout::Replica => (&["replica", "3"], 3),
            Layout::Disperse => (&["disperse", "3", "redundancy", "1"], 3),
        };
        let mut options = Vec::new();
        if strict {
            options.push(("performance.strict-o-direct", "on"));
        }
        if layout == Layout::Sharded {
            options.push(("features.shard", "on"));
        }
        let volume = cluster::Volume::start(words, bricks, &options);
        let mount =
            cluster::FOLDER.get().context("not entered")?.join(format!("fuse-{}", volume.name));
        fs::create_dir(&mount)?;
        let fuse = Command::new("glusterfs")
            .args(["--no-daemon", "--direct-io-mode=enable", "--log-file=/dev/null"])
            .args(["--volfile-server", cluster::HOST, "--volfile-id", &volume.name])
            .arg(&mount)
            .stdout(Stdio::null())
            .spawn()
            .context("glusterfs is needed (Debian: glusterfs-client)")?;
        eventually("the volume is mounted", || {
            statfs(&mount).is_ok_and(|fs| fs.filesystem_type() == FUSE_SUPER_MAGIC)
        });
        let rig = Self { volume, mount, fuse, luns };
        // Nobody writes to another's: on replicas that would cost a second for each change of hands
        // (the lock is kept so long).
        let images: Vec<PathBuf> = (0..luns * contestants).map(|image| rig.path(image)).collect();
        fill(&images, rig.bytes())?;
        Ok(rig)
    }

    /// Bytes of each image.
    pub(crate) fn bytes(&self) -> u64 {
        IMAGES / self.luns as u64
    }

    /// An image on the FUSE mount.
    pub(crate) fn path(&self, image: usize) -> PathBuf {
        self.mount.join(format!("image{image}"))
    }

    /// Its cfgstring.
    pub(crate) fn cfgstring(&self, image: usize, options: &str) -> String {
        self.volume.cfgstring(&format!("image{image}"), options)
    }

    /// The process behind the mount.
    pub(crate) fn fuse(&self) -> i32 {
        i32::try_from(self.fuse.id()).unwrap_or(i32::MAX)
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let _ended_already = self.fuse.kill().is_err();
        let _status = self.fuse.wait();
        let _unmounted_already = nix::mount::umount(&self.mount).is_err();
        cluster::gluster(&["volume", "stop", &self.volume.name, "force"]);
        cluster::gluster(&["volume", "delete", &self.volume.name]);
    }
}

/// Writes images, no block like another: what was never written would be read without the brick's
/// disk. All of them side by side, so that all have memory of the same kind: what is allocated
/// first has been measured to be slower by a tenth.
fn fill(paths: &[PathBuf], bytes: u64) -> anyhow::Result<()> {
    let create =
        |path: &PathBuf| fs::File::create(path).with_context(|| path.display().to_string());
    let mut files = paths.iter().map(create).collect::<anyhow::Result<Vec<_>>>()?;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut block = vec![0; 128 << 10];
    for _ in 0..bytes / block.len() as u64 {
        for file in &mut files {
            for word in block.chunks_exact_mut(8) {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                word.copy_from_slice(&state.to_le_bytes());
            }
            file.write_all(&block)?;
        }
    }
    files.iter().try_for_each(|file| Ok(file.sync_all()?))
}
