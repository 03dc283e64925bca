// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Folders for files of tests.

use std::fs;
use std::path::PathBuf;

/// Cargo's folder for files of integration tests (`CARGO_TARGET_TMPDIR`, which Cargo tells only
/// to the tests themselves): `tmp` beside the profile's folder, in which this executable is.
///
/// Not a tmpfs, which may lack the `trusted.*` attributes that bricks need.
///
/// # Panics
/// If it cannot be created.
pub fn folder() -> PathBuf {
    let executable = std::env::current_exe().unwrap();
    // target/debug/deps/NAME
    let folder = executable.ancestors().nth(3).expect("a target folder").join("tmp");
    fs::create_dir_all(&folder).unwrap();
    folder
}
