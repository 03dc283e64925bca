// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The files that are measured: beside the image, and gone afterwards.
//!
//! One for each graph: on a volume with replicas a client keeps the locks of its last write for a
//! second, and another that writes to the same file would wait for them.

use std::time::Duration;

use handler_glfs::config::Config;
use handler_glfs::gluster::{AdminClient, File};
use handler_glfs::lun::backend::Backend as _;

use crate::copy::Progress;
use crate::{image_info, size};

/// A file of its own. Removed when it is dropped.
#[derive(Debug)]
pub(super) struct Scratch {
    /// The volume that it is on.
    pub(super) client: AdminClient,
    path: String,
    /// As the command line names it.
    label: String,
    pub(super) file: File,
    pub(super) bytes: u64,
}

const MEBIBYTE: usize = 1 << 20;
/// How long closing it may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(30);

impl Scratch {
    /// Creates it beside the image of `config`, through the graph of `client`, and fills it: what
    /// was never written would be read from no disk.
    pub(super) fn create(
        config: &Config,
        client: AdminClient,
        name: &str,
        bytes: u64,
        progress: &Progress,
    ) -> Result<Self, String> {
        let folder = config
            .path
            .rsplit_once('/')
            .map_or_else(String::new, |(folder, _)| format!("{folder}/"));
        let path = format!("{folder}.tcmu-glfs-bench-{}-{name}", std::process::id());
        let free = client.free().map_err(|errno| {
            format!("the volume's free space is unknown: {}", image_info::explain(config, errno))
        })?;
        if free / 4 < bytes {
            return Err(format!(
                "{} are free on the volume, too few for two scratch files of {}: choose a smaller \
                 --size",
                size::show(free),
                size::show(bytes)
            ));
        }
        let file = client.create(&path).map_err(|errno| {
            let why = image_info::explain(config, errno);
            format!("{path} cannot be created beside the image: {why}")
        })?;
        // From here on it is removed, whatever happens.
        let label = Config { path: path.clone(), ..config.clone() }.label();
        let scratch = Self { client, path, label, file, bytes };
        let failed = |errno| format!("{}: {errno}", scratch.path);
        let chunk = vec![0xa5; MEBIBYTE];
        for at in (0..bytes).step_by(MEBIBYTE) {
            scratch.file.write_at(&chunk, at).map_err(failed)?;
            if !progress.advance(chunk.len() as u64) {
                return Err("interrupted; the scratch files are removed".to_owned());
            }
        }
        scratch.file.sync_all().map_err(failed)?;
        Ok(scratch)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A failed write has been told, and the file goes.
        let _closed = self.file.close(CLOSE_TIMEOUT);
        if let Err(errno) = self.client.remove(&self.path) {
            anstream::eprintln!(
                "warning: a scratch file could not be removed ({errno}): tcmu-glfs remove {}, when \
                 the volume answers again",
                self.label
            );
        }
    }
}
