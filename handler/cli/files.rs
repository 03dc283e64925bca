// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Files of this host, below a root that tests can replace.

use std::fs;
use std::path::{Path, PathBuf};

/// Where this host's files are: a hidden option of commands that look at this host.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Files {
    /// Where the host's files are
    #[arg(long, value_name = "PATH", default_value = "/", hide = true)]
    pub(crate) root: PathBuf,
}

impl Files {
    /// Whether these are the files of the running system, not a test's.
    pub(crate) fn are_real(&self) -> bool {
        self.root == Path::new("/")
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    pub(crate) fn exists(&self, path: &str) -> bool {
        self.path(path).exists()
    }

    /// The text of a file, without its last line end.
    pub(crate) fn read(&self, path: &str) -> Option<String> {
        Some(fs::read_to_string(self.path(path)).ok()?.trim_end().to_owned())
    }

    /// The names in a directory, sorted; none if there is no such directory.
    pub(crate) fn names(&self, directory: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(directory)).into_iter().flatten();
        let mut names: Vec<String> =
            entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
        names.sort();
        names
    }
}
