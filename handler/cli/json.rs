// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! JSON documents: each names its schema and version, and has a JSON schema in the package.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use schemars::{Schema, schema_for};
use serde::Serialize;
use serde_json::Value;

use crate::exit::{self, CommandError};
use crate::{bench, finding, info, list, status};

/// Incremented when a key changes its meaning or goes away. New keys do not increment it.
const VERSION: u32 = 1;

/// Prints a document: its schema's name and version first, then its keys.
pub(crate) fn print<D: Serialize>(name: &str, document: &D) {
    println!("{:#}", stamped(name, document));
}

fn stamped<D: Serialize>(name: &str, document: &D) -> Value {
    let mut keys = serde_json::Map::new();
    keys.insert(String::from("schema"), Value::from(format!("tcmu-glfs.{name}/{VERSION}")));
    if let Ok(Value::Object(document)) = serde_json::to_value(document) {
        keys.extend(document);
    }
    Value::Object(keys)
}

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
        ("check", schema_for!(finding::Document)),
        ("doctor", schema_for!(finding::Document)),
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
        let stamp = serde_json::json!({ "const": format!("tcmu-glfs.{name}/{VERSION}") });
        properties.insert(String::from("schema"), stamp);
    }
    if let Some(required) = value.get_mut("required").and_then(Value::as_array_mut) {
        required.push(Value::from("schema"));
    }
    value
}

pub(crate) fn run(args: &Args) -> ExitCode {
    let write = |(name, schema)| {
        let path = args.directory.join(format!("{name}.schema.json"));
        fs::write(&path, format!("{:#}\n", with_stamp(name, schema)))
            .map_err(|why| format!("{}: {why}", path.display()))
    };
    let written = schemas().into_iter().try_for_each(write);
    exit::conclude(false, written.map(|()| true).map_err(CommandError::Failed))
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
