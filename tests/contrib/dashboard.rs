// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The dashboard as a file: there is no Grafana in Debian to load it.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

fn panels(path: &Path) -> Vec<Value> {
    let json: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    json["panels"].as_array().unwrap().clone()
}

/// Title of the panel and expression of each query, with all variables set to everything.
pub(crate) fn expressions(path: &Path) -> Vec<(String, String)> {
    let panels = panels(path);
    let targets = panels.iter().flat_map(|panel| {
        let targets = panel["targets"].as_array().into_iter().flatten();
        targets.map(|target| {
            (panel["title"].as_str().unwrap().to_owned(), target["expr"].as_str().unwrap())
        })
    });
    let expressions = targets.map(|(title, expression)| {
        let all = ["instance", "lun", "volume"];
        let set = |text: String, name: &str| text.replace(&format!("\"${name}\""), "\".*\"");
        let expression = all.into_iter().fold(expression.replace("$__rate_interval", "1m"), set);
        assert!(!expression.contains('$'), "{title}: {expression}");
        (title, expression)
    });
    expressions.collect()
}

pub(crate) fn check_layout(path: &Path) {
    const WIDTH: u64 = 24;
    let (mut taken, mut ids) = (HashSet::new(), HashSet::new());
    for panel in panels(path) {
        let title = panel["title"].as_str().unwrap();
        assert!(!title.is_empty() && ids.insert(panel["id"].as_u64().unwrap()), "{title}");
        let place = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        let (x, y, w, h) = (place("x"), place("y"), place("w"), place("h"));
        assert!(x + w <= WIDTH, "{title}");
        for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            assert!(taken.insert(cell), "{title} overlaps another panel");
        }
        if panel["type"] != "row" {
            assert!(
                panel["description"].as_str().is_some_and(|text| text.len() > 10),
                "{title} is not explained"
            );
            assert!(
                panel["targets"].as_array().is_some_and(|targets| !targets.is_empty()),
                "{title}"
            );
        }
        if matches!(panel["type"].as_str(), Some("timeseries" | "stat")) {
            assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{title} has no unit");
        }
    }
}
