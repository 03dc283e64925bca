// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Configuration: the cfgstring of each LUN, and the site file that LUNs share.
//!
//! | module | |
//! |---|---|
//! | `options` | [`Config`]: the value of every key of one LUN |
//! | `values` | enums of the keys whose values are words |
//! | `keys` | the table of keys, from which messages and documentation are made |
//! | `layers` | cfgstring over profile over site defaults, and the rules between keys |
//! | `cfgstring`, `escape` | [`Config::read`] and back, within the alphabet of targetcli |
//! | `site` | [`Site`]: the TOML file, checked as a whole |
//! | `reload` | [`Site::reload`]: that file on disk, and its last good version |

mod cfgstring;
mod error;
mod escape;
mod keys;
mod layers;
mod options;
mod reload;
mod site;
#[cfg(test)]
mod tests;
mod values;

pub use error::ConfigError;
pub use keys::{KEYS, Key, METRICS, help};
pub use options::Config;
pub use site::{Site, SiteError};
pub use values::{
    Access, Cache, Connection, CopyRange, Fence, Grow, IoThreads, LogLevel, OnUnreachable,
    Transport,
};
