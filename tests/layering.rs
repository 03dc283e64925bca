// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The folders keep to what they may know.

use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    fn collect(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push((path.clone(), fs::read_to_string(path).unwrap()));
            }
        }
    }
    let mut found = Vec::new();
    collect(&Path::new(ROOT).join(folder), &mut found);
    assert!(!found.is_empty(), "{folder} has no sources");
    found
}

/// No line of code (comments may) in `folder` has one of `words`.
fn forbid(folder: &str, words: &[&str]) {
    for (path, text) in sources(folder) {
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            for word in words {
                assert!(
                    !code.contains(word),
                    "{}:{}: {word} does not belong here",
                    path.display(),
                    number + 1
                );
            }
        }
    }
}

#[test]
fn the_runner_edge_knows_nothing_of_gluster_or_luns() {
    forbid("handler/runner", &["glfs_", "gfapi", "crate::gluster", "crate::lun"]);
}

#[test]
fn the_gluster_edge_knows_nothing_of_the_runner_or_scsi() {
    forbid("handler/gluster", &["tcmu_", "tcmur", "crate::runner", "Sense", "cdb", "Lba"]);
}

#[test]
fn the_vocabulary_of_scsi_knows_nobody_above_it() {
    forbid("handler/scsi", &["crate::runner", "crate::lun", "crate::gluster", "unsafe", "tcmu_"]);
}

#[test]
fn luns_know_neither_storage_nor_raw_values() {
    forbid(
        "handler/lun",
        &["glfs_", "crate::gluster", "unsafe", "*mut", "*const", "libc::", "TCMU_STS"],
    );
}

#[test]
fn the_metrics_know_neither_side() {
    forbid(
        "handler/metrics",
        &[
            "gfapi::",
            "glfs_t",
            "tcmur",
            "crate::gluster",
            "crate::lun",
            "crate::runner",
            "unsafe",
            "libc::",
        ],
    );
}

#[test]
fn unsafe_stays_at_the_edges() {
    for (path, text) in sources("handler") {
        let inner = path.strip_prefix(Path::new(ROOT).join("handler")).unwrap();
        if ["runner", "gluster", "iovec.rs"].iter().any(|edge| inner.starts_with(edge)) {
            continue;
        }
        for line in text.lines().map(|line| line.split("//").next().unwrap_or_default()) {
            // The attributes that forbid it, and the one exported symbol.
            let allowed = line.contains("unsafe_code") || line.contains("unsafe(no_mangle)");
            assert!(allowed || !line.contains("unsafe"), "{}: {line}", path.display());
        }
    }
}

#[test]
fn modules_stay_readable() {
    for (path, text) in sources("handler") {
        let product = text.split("#[cfg(test)]").next().unwrap_or_default();
        assert!(product.lines().count() <= 400, "{} has more than 400 lines", path.display());
    }
}
