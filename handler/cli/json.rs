// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! JSON documents: each names its schema and version, and has a JSON schema in the package.

use serde::Serialize;
use serde_json::Value;

/// Incremented when a key changes its meaning or goes away. New keys do not increment it.
const VERSION: u32 = 1;

/// Prints a document, with its schema's name and version.
pub(crate) fn print<D: Serialize>(name: &str, document: &D) {
    let mut keys = serde_json::Map::new();
    keys.insert(String::from("schema"), Value::from(stamp(name)));
    if let Ok(Value::Object(document)) = serde_json::to_value(document) {
        keys.extend(document);
    }
    println!("{:#}", Value::Object(keys));
}

/// Name and version of a document, as its key `schema` has them.
pub(crate) fn stamp(name: &str) -> String {
    format!("tcmu-glfs.{name}/{VERSION}")
}
