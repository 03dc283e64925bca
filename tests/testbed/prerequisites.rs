// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! What tests need that start Gluster's daemons.

use std::process::{Command, ExitCode};

/// None if it is there. Else, after having said so, how the tests end: as a failure in CI.
pub fn missing() -> Option<ExitCode> {
    if nix::unistd::geteuid().is_root()
        && Command::new("glusterd").arg("--version").output().is_ok()
    {
        return None;
    }
    let message =
        "the tests against real Gluster need root and glusterd (Debian: glusterfs-server)";
    if std::env::var_os("CI").is_some() {
        eprintln!("FAILED: {message}");
        return Some(ExitCode::FAILURE);
    }
    eprintln!("SKIPPED, nothing was tested: {message}");
    Some(ExitCode::SUCCESS)
}
