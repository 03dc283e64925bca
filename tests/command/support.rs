// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! What the command's tests share with the others, and a way to run the command.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

pub(crate) use testbed::eventually;

use crate::cluster::{HOST, Volume};

/// What a command said, and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) took: Duration,
}

impl Said {
    pub(crate) fn of(output: Output, took: Duration) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self {
            code: output.status.code(),
            out: text(output.stdout),
            err: text(output.stderr),
            took,
        }
    }

    /// All went well, and this was said.
    pub(crate) fn well(self, words: &str) -> Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        assert!(self.out.contains(words), "{words:?} is not in {self:?}");
        self
    }

    /// The command line was wrong, and why.
    pub(crate) fn wrong(self, words: &[&str]) -> Self {
        assert_eq!(self.code, Some(2), "{self:?}");
        assert!(words.iter().all(|word| self.err.contains(word)), "{words:?} are not in {self:?}");
        self
    }

    /// It failed, and said all of this.
    pub(crate) fn failed(self, words: &[&str]) -> Self {
        assert_eq!(self.code, Some(1), "{self:?}");
        let text = format!("{}{}", self.out, self.err);
        assert!(words.iter().all(|word| text.contains(word)), "{words:?} are not in {self:?}");
        assert!(text.contains("error: ") && !text.contains('\x1b'), "{self:?}");
        self
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }
}

/// The command, on a host without a site file.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tcmu-glfs"));
    command.args(arguments).env("TCMU_GLFS_CONFIG", "/nonexistent/glfs.toml").stdin(Stdio::null());
    command
}

pub(crate) fn run(arguments: &[&str]) -> Said {
    let begin = Instant::now();
    let output = command(arguments).output().unwrap();
    Said::of(output, begin.elapsed())
}

/// As the command line names an image.
pub(crate) fn place(volume: &Volume, image: &str) -> String {
    format!("{}@{HOST}/{image}", volume.name)
}

/// A volume of one brick that tests share, each with images of its own.
pub(crate) fn plain() -> &'static Volume {
    static PLAIN: LazyLock<Volume> = LazyLock::new(|| Volume::start(&[], 1, &[]));
    &PLAIN
}

/// A volume, mounted as an admin would.
pub(crate) struct Mount(TempDir);

impl Mount {
    pub(crate) fn new(volume: &Volume) -> Self {
        let folder = tempfile::Builder::new().prefix("mount-").tempdir().unwrap();
        let source = format!("{HOST}:/{}", volume.name);
        let mounted =
            Command::new("mount").args(["-t", "glusterfs", &source]).arg(folder.path()).status();
        assert!(mounted.unwrap().success(), "mount {source}");
        Self(folder)
    }

    pub(crate) fn path(&self, image: &str) -> PathBuf {
        self.0.path().join(image)
    }

    pub(crate) fn read(&self, image: &str) -> Vec<u8> {
        fs::read(self.path(image)).unwrap()
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _gone_already = Command::new("umount").arg(self.0.path()).status();
    }
}

/// Sets an attribute of a file as an admin would.
pub(crate) fn set_attribute(file: &Path, name: &str, value: &str) {
    let set = Command::new("setfattr").args(["-n", name, "-v", value]).arg(file).status();
    assert!(
        set.expect("setfattr is needed (Debian: attr)").success(),
        "{name} of {}",
        file.display()
    );
}
