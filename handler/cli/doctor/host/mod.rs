// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! This host: the LUNs it has, the daemon that serves them, and what it is an initiator of.

mod initiator;
mod luns;
mod service;

use std::fs;
use std::path::{Path, PathBuf};

use handler_glfs::config::{Config, Site};

use self::luns::Lun;
use super::finding::Finding;

/// Files, below a root that tests make up.
#[derive(Debug)]
struct Files {
    root: PathBuf,
}

impl Files {
    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    fn exists(&self, path: &str) -> bool {
        self.path(path).exists()
    }

    /// The text of a file, without the line's end.
    fn read(&self, path: &str) -> Option<String> {
        Some(fs::read_to_string(self.path(path)).ok()?.trim_end().to_owned())
    }

    /// The names in a folder, in order. None if there is no folder.
    fn names(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(folder)).into_iter().flatten();
        let mut names: Vec<String> =
            entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
        names.sort();
        names
    }
}

#[derive(Debug)]
pub(super) struct Host {
    files: Files,
    luns: Vec<Lun>,
}

impl Host {
    pub(super) fn new(root: &Path, site: &Site) -> Self {
        let files = Files { root: root.to_owned() };
        Self { luns: Lun::all(&files, site), files }
    }

    /// Whether this host's LUN of that image has ALUA groups: then there is another gateway.
    pub(super) fn shares(&self, config: &Config) -> bool {
        self.luns.iter().any(|lun| lun.serves(config) && lun.is_shared())
    }

    pub(super) fn findings(&self) -> Vec<Finding> {
        let luns = self.luns.iter().flat_map(Lun::findings);
        let services = service::findings(&self.files, &self.luns);
        luns.chain(services).chain(initiator::findings(&self.files)).collect()
    }
}

#[cfg(test)]
mod tests;
