// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Layers of the product: which file may import which, and which words belong to which folder.
mod checker_tests;
mod imports;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use self::imports::{Imports, Tree, circles};

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

/// Each layer, and those from which it may import. A file belongs to the longest name that it
/// begins with.
const LAYERS: [(&str, &[&str]); 13] = [
    ("handler/scsi", &[]),
    ("handler/log", &[]),
    ("handler/iovec.rs", &[]),
    ("handler/threads.rs", &[]),
    ("handler/metrics", &[SCSI, LOG, THREADS]),
    ("handler/config", &[SCSI, LOG, METRICS, THREADS]),
    ("handler/runner", &[SCSI, LOG, METRICS, IOVEC]),
    // The port: all that storage knows of LUNs.
    ("handler/lun/backend", &[SCSI, CONFIG, IOVEC]),
    ("handler/lun", &[SCSI, LOG, METRICS, CONFIG, IOVEC, THREADS, RUNNER, PORT]),
    ("handler/gluster", &[LOG, METRICS, CONFIG, IOVEC, THREADS, PORT]),
    ("handler/lib.rs", &[SCSI, LOG, METRICS, CONFIG, RUNNER, LUN, GLUSTER]),
    // A program of its own, over the parts of the plugin that do without a daemon.
    ("handler/cli", &[SCSI, METRICS, CONFIG, IOVEC, PORT, GLUSTER]),
    ("", &[]),
];
const SCSI: &str = "handler/scsi";
const LOG: &str = "handler/log";
const IOVEC: &str = "handler/iovec.rs";
const THREADS: &str = "handler/threads.rs";
const METRICS: &str = "handler/metrics";
const CONFIG: &str = "handler/config";
const RUNNER: &str = "handler/runner";
const PORT: &str = "handler/lun/backend";
const LUN: &str = "handler/lun";
const GLUSTER: &str = "handler/gluster";

fn layer(file: &str) -> (&'static str, &'static [&'static str]) {
    let mut layers: Vec<_> =
        LAYERS.into_iter().filter(|(name, _)| file.starts_with(name)).collect();
    layers.sort_by_key(|(name, _)| name.len());
    layers.pop().unwrap()
}

/// Imports from a layer above, or beside.
fn upward(imports: &Imports) -> Vec<String> {
    let wrong = imports.iter().filter(|((from, to), _)| {
        let ((own, below), (other, _)) = (layer(from), layer(to));
        own != other && !below.contains(&other)
    });
    wrong.map(|((from, to), names)| format!("{from} -> {to}: {names:?}")).collect()
}

fn product() -> Tree {
    let root = Path::new(ROOT);
    let files: BTreeMap<String, String> = sources("handler")
        .into_iter()
        .map(|(path, text)| (path.strip_prefix(root).unwrap().display().to_string(), text))
        .collect();
    let mut tree = Tree::default();
    tree.add_crate("handler_glfs", "handler/lib.rs", &files);
    tree.add_crate("tcmu_glfs", "handler/cli/main.rs", &files);
    tree
}

#[test]
fn every_file_is_a_module_of_the_product_or_of_its_tests() {
    let (product, root) = (product(), Path::new(ROOT));
    for (path, _) in sources("handler") {
        let file = path.strip_prefix(root).unwrap().display().to_string();
        let is_of_tests = file.ends_with("tests.rs") || file.contains("/testing");
        assert!(is_of_tests || product.has(&file), "{file} is compiled into nothing");
    }
}

#[test]
fn no_file_imports_from_a_layer_above() {
    let wrong = upward(&product().imports());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// `Lun` has a field for each of its parts, and the parts work on the whole: they may import it.
const HUB: &str = "handler/lun/mod.rs";

#[test]
fn no_files_import_each_other_in_a_circle() {
    let mut imports = product().imports();
    assert!(imports.len() > 200, "{} imports cannot be all", imports.len());
    imports.retain(|(_, to), _| to != HUB);
    let circle = circles(&imports).into_iter().next().unwrap_or_default();
    let inside = |file: &String| circle.contains(file);
    let ties = imports.iter().filter(|((from, to), _)| inside(from) && inside(to));
    let ties: Vec<_> =
        ties.map(|((from, to), names)| format!("{from} -> {to}: {names:?}")).collect();
    assert!(ties.is_empty(), "a circle:\n{}", ties.join("\n"));
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
        if ["runner", "gluster", "iovec.rs", "iovec"].iter().any(|edge| inner.starts_with(edge)) {
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
fn files_stay_readable() {
    for (path, text) in ["handler", "tests"].into_iter().flat_map(sources) {
        assert!(text.lines().count() <= 400, "{} has more than 400 lines", path.display());
    }
}
