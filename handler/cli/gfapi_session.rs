// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! libgfapi, as a command uses it: its log kept out of sight until it is wanted, its connections
//! ended in time.

use std::fs::{self, File};
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;
use std::time::Duration;

use handler_glfs::gluster;

/// A young connection takes libgfapi 10 s to end; the end of the process ends it too.
const FAREWELL: Duration = Duration::from_millis(100);

/// From the first connection to the last. Ends them when it is dropped, which must be after all
/// files.
#[derive(Debug)]
pub(crate) struct GfapiSession {
    /// Without a name, so that no signal can leave it behind.
    log: Option<File>,
}

impl GfapiSession {
    pub(crate) fn begin() -> Self {
        let log = tempfile::tempfile().ok();
        gluster::set_log_file(&log.as_ref().map_or_else(|| PathBuf::from("/dev/null"), path_of));
        Self { log }
    }

    /// The last errors in libgfapi's log, without what repeats.
    pub(crate) fn complaints(&self) -> Vec<String> {
        const MOST: usize = 5;
        let log = self.log.as_ref().and_then(|log| fs::read(path_of(log)).ok()).unwrap_or_default();
        let mut found: Vec<String> = Vec::new();
        for text in String::from_utf8_lossy(&log).lines().rev().filter_map(complaint) {
            if found.len() < MOST && !found.iter().any(|known| known == text) {
                found.push(text.to_owned());
            }
        }
        found.reverse();
        found
    }

    /// A failure of the volume's, and what libgfapi said about it, a line each.
    pub(crate) fn explain(&self, why: &str) -> String {
        let said = self.complaints().into_iter().map(|text| format!("\n  libgfapi: {text}"));
        said.fold(why.to_owned(), |all, line| all + &line)
    }
}

impl Drop for GfapiSession {
    fn drop(&mut self) {
        gluster::shut_down(FAREWELL);
    }
}

/// A path by which this process can open a file without a name.
fn path_of(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// What an error line of the log says: `[TIME] E [MSGID: N] [FILE:LINE:FUNCTION] TRANSLATOR: TEXT`,
/// without what tells nobody anything.
fn complaint(line: &str) -> Option<&str> {
    let mut rest = line.strip_prefix('[')?.split_once("] ")?.1;
    rest = rest.strip_prefix("E ").or_else(|| rest.strip_prefix("C "))?;
    while let Some(after) = rest.strip_prefix('[') {
        rest = after.split_once("] ")?.1;
    }
    // A trace of libgfapi's own code.
    (!rest.starts_with("(-->")).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_errors_are_told_and_without_their_origin() {
        let line = |level: &str| {
            format!(
                "[2026-11-21 15:00:00.1 +0000] {level} [MSGID: 104024] [glfs-mgmt.c:1:f] 0-vol: no"
            )
        };
        assert_eq!(complaint(&line("E")), Some("0-vol: no"));
        assert_eq!(complaint(&line("W")), None);
        assert_eq!(
            complaint(
                "[2026-11-21 15:00:00.1 +0000] E (-->/usr/lib/client.so(+0x11b44) [0x7f82]) 0-: \
                 Assertion failed"
            ),
            None
        );
        assert_eq!(complaint("pending frames:"), None);
    }
}
