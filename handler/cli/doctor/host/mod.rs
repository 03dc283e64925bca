// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! This host: the LUNs it has, the daemon that serves them, and what it is an initiator of.

mod daemon;
mod initiator;
mod luns;
mod service;

use handler_glfs::config::{Config, Site};

use std::path::PathBuf;

use self::luns::Lun;
use crate::files::Files;
use crate::finding::Finding;

#[derive(Debug)]
pub(super) struct Host {
    files: Files,
    luns: Vec<Lun>,
    /// Socket of the metrics, if they are enabled.
    socket: Option<PathBuf>,
}

impl Host {
    pub(super) fn new(files: Files, site: &Site) -> Self {
        let metrics = site.metrics();
        let socket = metrics.enabled.then(|| metrics.socket.clone());
        Self { luns: Lun::all(&files, site), files, socket }
    }

    /// Whether this host's LUN of that image has ALUA groups: then there is another gateway.
    pub(super) fn shares(&self, config: &Config) -> bool {
        self.luns.iter().any(|lun| lun.serves(config) && lun.is_shared())
    }

    pub(super) fn findings(&self) -> Vec<Finding> {
        let luns = self.luns.iter().flat_map(Lun::findings).chain(Lun::duplicates(&self.luns));
        let luns = luns.map(|finding| finding.about("lun"));
        let has_luns = !self.luns.is_empty();
        let mut services = Vec::new();
        // Else this host is no gateway.
        if has_luns || self.files.exists(service::RUNNER) {
            services = daemon::findings(&self.files, has_luns, self.socket.as_deref());
            services.extend(service::findings(&self.files, &self.luns));
        }
        let services = services.into_iter().map(|finding| finding.about("daemon"));
        let initiator = initiator::findings(&self.files).into_iter();
        luns.chain(services).chain(initiator.map(|finding| finding.about("initiator"))).collect()
    }
}

#[cfg(test)]
mod tests;
