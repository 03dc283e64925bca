// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! `tcmu-glfs schemas`: the JSON schemas of all documents.

use std::fs;
use std::path::PathBuf;

use schemars::{Schema, schema_for};
use serde_json::Value;

use crate::exit::{self, Outcome};
use crate::{bench, info, json, list, report, status};

/// Writes the JSON schemas of all documents, one file each.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to
    directory: PathBuf,
}

/// Every document, by name.
fn schemas() -> [(&'static str, Schema); 7] {
    [
        ("bench", schema_for!(bench::Document)),
        ("check", schema_for!(report::Document)),
        ("doctor", schema_for!(report::Document)),
        ("error", schema_for!(exit::ErrorDocument)),
        ("info", schema_for!(info::Document)),
        ("list", schema_for!(list::Document)),
        ("status", schema_for!(status::Document)),
    ]
}

/// A schema that also requires the key `schema`.
fn with_stamp(name: &str, schema: Schema) -> Value {
    let mut value = schema.to_value();
    if let Some(properties) = value.get_mut("properties").and_then(Value::as_object_mut) {
        let stamp = serde_json::json!({ "const": json::stamp(name) });
        properties.insert(String::from("schema"), stamp);
    }
    if let Some(required) = value.get_mut("required").and_then(Value::as_array_mut) {
        required.push(Value::from("schema"));
    }
    value
}

pub(crate) fn run(args: &Args) -> Outcome {
    for (name, schema) in schemas() {
        let path = args.directory.join(format!("{name}.schema.json"));
        fs::write(&path, format!("{:#}\n", with_stamp(name, schema)))
            .map_err(|why| format!("{}: {why}", path.display()))?;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_schema_requires_its_name_and_version() {
        for (name, schema) in schemas() {
            let value = with_stamp(name, schema);
            let wanted = Value::from(format!("tcmu-glfs.{name}/1"));
            assert_eq!(value["properties"]["schema"]["const"], wanted);
            let required = value["required"].as_array().unwrap();
            assert!(required.contains(&Value::from("schema")), "{value}");
        }
    }
}
