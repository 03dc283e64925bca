// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The LUNs of this host, as the kernel's target has them in configfs.

use handler_glfs::config::{Config, Site};

use crate::cfgstring_arg;
use crate::files::Files;

/// Where the kernel's target keeps its storage objects.
const CORE: &str = "/sys/kernel/config/target/core";

/// A LUN of the handler `glfs`.
#[derive(Debug)]
pub(crate) struct KernelLun {
    /// Name of the backstore in targetcli.
    pub(crate) name: String,
    /// Its directory in configfs.
    pub(crate) folder: String,
    /// As the kernel has it: `glfs/...`.
    pub(crate) cfgstring: String,
    /// What that means, or the mistake in it.
    pub(crate) config: Result<Config, String>,
}

/// How sure it is that two configurations name one image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sameness {
    /// Volume and path are equal, and a server is common to both.
    Certain,
    /// Volume and path are equal; the servers may be two names of one cluster.
    Possible,
}

impl KernelLun {
    pub(crate) fn all(files: &Files, site: &Site) -> Vec<Self> {
        let adapters = files.names(CORE).into_iter().filter(|name| name.starts_with("user_"));
        let folders = adapters.flat_map(|adapter| {
            let names = files.names(&format!("{CORE}/{adapter}"));
            names.into_iter().map(move |name| (format!("{CORE}/{adapter}/{name}"), name))
        });
        folders.filter_map(|(folder, name)| Self::read(files, site, folder, name)).collect()
    }

    /// Those that serve the image of `config`.
    pub(crate) fn serving(files: &Files, config: &Config) -> Vec<Self> {
        let luns = Self::all(files, &Site::current()).into_iter();
        luns.filter(|lun| lun.config.as_ref().is_ok_and(|own| sameness(own, config).is_some()))
            .collect()
    }

    fn read(files: &Files, site: &Site, folder: String, name: String) -> Option<Self> {
        // Later kernels have it as an attribute, all of them in a text for people. An attribute
        // that was never set reads as nothing.
        let info = files.read(&format!("{folder}/info")).unwrap_or_default();
        let shown = info
            .split_whitespace()
            .skip_while(|word| *word != "Config:")
            .nth(1)
            .unwrap_or_default();
        let cfgstring =
            files.read(&format!("{folder}/attrib/dev_config")).filter(|text| !text.is_empty());
        let cfgstring = cfgstring.unwrap_or_else(|| shown.to_owned());
        if !cfgstring.starts_with("glfs/") {
            return None;
        }
        let config = cfgstring_arg::parse_with(&cfgstring, site).map_err(|why| why.to_string());
        Some(Self { name, folder, cfgstring, config })
    }
}

/// Whether two configurations name one image.
pub(crate) fn sameness(one: &Config, other: &Config) -> Option<Sameness> {
    let path = |config: &Config| config.path.trim_start_matches('/').to_owned();
    if one.volume != other.volume || path(one) != path(other) {
        return None;
    }
    let common = one.hosts.iter().any(|host| other.hosts.contains(host));
    Some(if common { Sameness::Certain } else { Sameness::Possible })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_image_has_one_volume_and_path_whatever_its_options() {
        let sameness = |one: &str, other: &str| {
            super::sameness(&one.parse().unwrap(), &other.parse().unwrap())
        };
        let image = "glfs/vol@h/dir/a.img";
        assert_eq!(sameness(image, "glfs/vol@h//dir/a.img;fence=off"), Some(Sameness::Certain));
        let common_server = sameness(image, "glfs/vol@g/dir/a.img;server=h");
        assert_eq!(common_server, Some(Sameness::Certain));
        assert_eq!(sameness(image, "glfs/vol@g/dir/a.img"), Some(Sameness::Possible));
        assert_eq!(sameness(image, "glfs/vol@h/dir/b.img"), None);
        assert_eq!(sameness(image, "glfs/other@h/dir/a.img"), None);
    }
}
