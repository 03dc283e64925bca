// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The bench measures, and leaves nothing behind.

use std::fs;

use crate::cluster::{HOST, Volume};
use crate::support::{place, run};

/// The bench's files on a brick.
fn scratch(volume: &Volume) -> Vec<String> {
    let entries = fs::read_dir(volume.on_brick(0, "")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with(".tcmu-glfs-bench-")).collect()
}

pub(crate) fn both_graphs() {
    let volume = Volume::start(&["replica", "3"], 3, &[]);
    let place = place(&volume, "d0.img");
    let said = run(&["bench", "--seconds", "1", "--depth", "2", "--size", "16", "--json", &place]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let report = said.json();
    let cells = report["cells"].as_array().unwrap();
    assert_eq!(cells.len(), 5, "{report}");
    for cell in cells {
        let figure = |variant: &str, name: &str| cell[variant][name].as_f64().unwrap();
        for variant in ["handler", "default"] {
            assert!(figure(variant, "iops") > 0.0, "{cell}");
            assert!(figure(variant, "p50") <= figure(variant, "p99"), "{cell}");
        }
        assert!(cell["ratio"].as_f64().unwrap() > 0.0, "{cell}");
    }
    assert_eq!(report["network"]["servers"][0]["host"], HOST);
    assert!(!report["summary"].as_array().unwrap().is_empty());
    assert_eq!(scratch(&volume), Vec::<String>::new());
}
