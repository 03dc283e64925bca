// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Layers of configuration: the cfgstring, its profile, the site's defaults, the built-in defaults.

use super::error::ConfigError;
use super::keys;
use super::options::Config;
use super::values::{Cache, Fence, Transport};

/// Name of the lowest layer of the site file.
pub(super) const DEFAULTS: &str = "[defaults]";

/// Keys and their values, in the order given.
pub(super) type Set = Vec<(&'static str, String)>;

/// Sets the keys of the first layer, then those of each other layer that no layer before it has
/// set; and checks the result. Layers of the site file `file` have a name.
pub(super) fn combine(
    config: &mut Config,
    layers: &[(String, &Set)],
    file: &str,
) -> Result<(), ConfigError> {
    let mut given: Vec<(&'static str, &str)> = Vec::new();
    for (layer, set) in layers {
        let above: Vec<&'static str> = given.iter().map(|(key, _)| *key).collect();
        for (key, value) in set.iter().filter(|(key, _)| !above.contains(key)) {
            keys::set(&keys::FIELDS, config, key, value)?;
            given.push((key, layer));
        }
    }
    // How servers are reached by default is no concern of a LUN that reaches them in another way,
    // or asks none.
    let meant = |key: &str| given.iter().any(|(given, layer)| *given == key && *layer != DEFAULTS);
    let Some((rule, keys)) = broken_rule(config, meant) else { return Ok(()) };
    let inherited = given.iter().filter(|(key, layer)| !layer.is_empty() && keys.contains(key));
    let origins: Vec<_> =
        inherited.map(|(key, layer)| format!("; {key} is from {layer} of {file}")).collect();
    Err(ConfigError::Conflict { rule, origin: origins.concat() })
}

/// The first rule about keys that exclude each other which `config` breaks, and those keys.
fn broken_rule(
    config: &Config,
    given: impl Fn(&str) -> bool,
) -> Option<(&'static str, &'static [&'static str])> {
    let any = |keys: &[&str]| keys.iter().any(|key| given(key));
    if config.volfile.is_some() && any(&["server", "port", "transport", "socket"]) {
        return Some((
            "volfile= asks no server: leave out server=, port=, transport= and socket=",
            &["volfile", "server", "port", "transport", "socket"],
        ));
    }
    if config.fence == Fence::Required && config.cache == Cache::Writeback {
        return Some((
            "fence=required needs cache=none: what is held back is acknowledged before the bricks \
             could refuse it",
            &["fence", "cache"],
        ));
    }
    if config.transport == Transport::Tcp && given("socket") {
        return Some(("socket= needs transport=unix", &["socket", "transport"]));
    }
    if config.transport == Transport::Unix && any(&["port", "server"]) {
        return Some((
            "transport=unix reaches the glusterd of this host: leave out port= and server=",
            &["transport", "port", "server"],
        ));
    }
    None
}
