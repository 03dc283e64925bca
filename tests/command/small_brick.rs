// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! A volume on a file system of 64 MiB that knows no fallocate.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::cluster::{HOST, gluster};
use crate::support::plain;

/// Unmounted when it is dropped.
pub(crate) struct SmallBrick {
    volume: &'static str,
    folder: TempDir,
}

impl SmallBrick {
    pub(crate) fn mount(volume: &'static str) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("small-")
            .tempdir_in(env!("CARGO_TARGET_TMPDIR"))
            .unwrap();
        let small = Self { volume, folder };
        let (disk, mounted) = (small.folder.path().join("disk"), small.mounted());
        fs::File::create(&disk).unwrap().set_len(64 << 20).unwrap();
        fs::create_dir(&mounted).unwrap();
        let run_tool = |tool: &mut Command| assert!(tool.status().unwrap().success(), "{tool:?}");
        run_tool(Command::new("mkfs.ext3").args(["-q", "-F"]).arg(&disk));
        run_tool(Command::new("mount").args(["-o", "loop"]).args([&disk, &mounted]));
        // Starts the cluster, if nobody has yet.
        plain();
        let brick = format!("{HOST}:{}", small.brick().display());
        gluster(&["volume", "create", volume, &brick, "force"]);
        // Nothing but a file system without room says that there is none.
        gluster(&["volume", "set", volume, "storage.reserve", "0"]);
        gluster(&["volume", "start", volume]);
        small
    }

    fn mounted(&self) -> PathBuf {
        self.folder.path().join("mounted")
    }

    pub(crate) fn brick(&self) -> PathBuf {
        self.mounted().join("b")
    }

    pub(crate) fn place(&self, image: &str) -> String {
        format!("{}@{HOST}/{image}", self.volume)
    }

    /// Leaves it room for an image's inode and Gluster's folders for it, and for no data.
    pub(crate) fn fill(&self) {
        const ROOM: u64 = 256 << 10;
        let mut file = fs::File::create(self.mounted().join("filler")).unwrap();
        while file.write_all(&[1; 4096]).is_ok() {}
        let _full = file.sync_all();
        file.set_len(file.metadata().unwrap().len() - ROOM).unwrap();
        file.sync_all().unwrap();
    }
}

impl Drop for SmallBrick {
    fn drop(&mut self) {
        gluster(&["volume", "stop", self.volume]);
        let unmounted = Command::new("umount").arg("-l").arg(self.mounted()).status();
        assert!(unmounted.unwrap().success());
    }
}
