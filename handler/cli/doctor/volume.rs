// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! What a volume is, as far as it can be known from this host.
//!
//! Glusterd answers `volume info` and `volume status` to other hosts, and nothing that changes
//! anything (`volume get` neither): what `info` does not list has its default value. Without the
//! command line tool there is the client's volfile, which shows the client's part.

use std::collections::BTreeMap;
use std::process::Command;
use std::str::FromStr;
use std::time::Duration;

use handler_glfs::config::{Config, Fence, Transport};
use handler_glfs::gluster::{Opener, translators};

use crate::finding::Severity;

/// The LUN that the volume is judged for.
#[derive(Debug)]
pub(super) struct Lun {
    pub(super) fence: Fence,
    /// More than one gateway serves it.
    pub(super) shared: bool,
}

impl Lun {
    /// How bad it is that there is no fence. None: it is not asked for.
    pub(super) fn need_of_fence(&self) -> Option<Severity> {
        match (self.fence, self.shared) {
            (Fence::Required, _) => Some(Severity::Error),
            (Fence::Auto, true) => Some(Severity::Warning),
            (Fence::Auto, false) => Some(Severity::Note),
            (Fence::Off, _) => None,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Volume {
    pub(super) name: String,
    pub(super) started: bool,
    pub(super) replicas: u32,
    pub(super) arbiters: u32,
    /// Bricks of a dispersed volume that may fail.
    pub(super) redundancy: u32,
    /// What is not at its default.
    pub(super) options: BTreeMap<String, String>,
    /// Bricks that do not run, as HOST:PATH.
    pub(super) down: Vec<String>,
    /// Why only the client's part is known.
    pub(super) client_only: Option<String>,
}

/// Bounds the answer of a server to a probe.
const PROBE_TIMEOUT: Duration = Duration::from_secs(4);
/// Bounds its answer to the command line tool.
const TOOL_TIMEOUT: &str = "--timeout=15";

impl Volume {
    /// Queries the servers of `config` in turn, those that answer at all, and then its client's
    /// graph.
    ///
    /// `option_of` names the option of a volume that a translator's key shows.
    pub(super) fn query(
        config: &Config,
        option_of: impl Fn(&str, &str) -> Option<&'static str>,
    ) -> Result<Self, String> {
        let opener = Opener::new(config);
        let mut why = String::from("no server was asked");
        for (server, answer) in servers(config).into_iter().zip(opener.probe_servers(PROBE_TIMEOUT))
        {
            if let Err(silent) = answer.outcome {
                why = format!("{}: {silent}", answer.server);
                continue;
            }
            match gluster(&server, &["volume", "info", &config.volume])
                .and_then(|xml| Self::of_info(&xml))
            {
                Ok(mut volume) => {
                    // What does not run is not known then; the rest is.
                    let status = gluster(&server, &["volume", "status", &config.volume]);
                    volume.down = status.and_then(|xml| down(&xml)).unwrap_or_default();
                    return Ok(volume);
                }
                Err(failure) => why = failure,
            }
        }
        let client = opener.connect(config.open_timeout).map_err(|not| not.why)?;
        Ok(Self {
            name: config.volume.clone(),
            client_only: Some(why),
            ..Self::of_volfile(client.graph(), option_of)
        })
    }

    /// Reads `gluster --xml volume info NAME`.
    fn of_info(xml: &str) -> Result<Self, String> {
        let document = parse(xml)?;
        let volume = document
            .descendants()
            .find(|node| node.has_tag_name("volume"))
            .ok_or("it knows no such volume")?;
        let text = |name| child(volume, name).unwrap_or_default().trim();
        let options = volume.descendants().filter(|node| node.has_tag_name("option"));
        let options = options.filter_map(|option| {
            let value = child(option, "value").unwrap_or_default();
            Some((child(option, "name")?.to_owned(), value.to_owned()))
        });
        Ok(Self {
            name: text("name").to_owned(),
            started: text("statusStr") == "Started",
            replicas: number(text("replicaCount")),
            arbiters: number(text("arbiterCount")),
            redundancy: number(text("redundancyCount")),
            options: options.collect(),
            ..Self::default()
        })
    }

    /// Reads a client's volfile.
    pub(super) fn of_volfile(
        volfile: &str,
        option_of: impl Fn(&str, &str) -> Option<&'static str>,
    ) -> Self {
        let mut volume = Self { started: true, replicas: 1, ..Self::default() };
        for translator in translators(volfile) {
            let kind = translator.kind;
            if kind == "features/shard" {
                volume.options.insert("features.shard".to_owned(), "on".to_owned());
            }
            if kind == "cluster/replicate" {
                volume.replicas = u32::try_from(translator.children.len()).unwrap_or(u32::MAX);
            }
            volume.arbiters = translator.option("arbiter-count").map_or(volume.arbiters, number);
            volume.redundancy = translator.option("redundancy").map_or(volume.redundancy, number);
            for &(key, value) in &translator.options {
                let option = option_of(kind, key);
                volume.options.extend(option.map(|name| (name.to_owned(), value.to_owned())));
            }
        }
        volume
    }

    pub(super) fn is_sharded(&self) -> bool {
        self.options.get("features.shard").is_some_and(|value| value == "on" || value == "enable")
    }
}

/// How the tool is told whom to ask.
fn servers(config: &Config) -> Vec<String> {
    match config.transport {
        _ if config.volfile.is_some() => Vec::new(),
        Transport::Unix => vec![format!("--glusterd-sock={}", config.socket)],
        Transport::Tcp => config.hosts.iter().map(|host| format!("--remote-host={host}")).collect(),
    }
}

pub(super) const MISSING: &str = "gluster is not installed";

/// Runs Gluster's command line tool: XML, or a sentence.
fn gluster(server: &str, words: &[&str]) -> Result<String, String> {
    let output = Command::new("gluster")
        .args([server, "--mode=script", TOOL_TIMEOUT, "--xml"])
        .args(words)
        .output();
    let output = output.map_err(|why| match why.kind() {
        std::io::ErrorKind::NotFound => MISSING.to_owned(),
        _ => format!("gluster: {why}"),
    })?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let answer = parse(&text).map(|document| (tag(&document, "opRet"), tag(&document, "opErrstr")));
    match answer {
        Ok((result, _)) if result == "0" => Ok(text),
        Ok((_, why)) if !why.is_empty() => Err(format!("gluster {server}: {why}")),
        _ => Err(format!(
            "gluster {server}: {} {}",
            text.trim(),
            String::from_utf8_lossy(&output.stderr).trim()
        )),
    }
}

fn parse(xml: &str) -> Result<roxmltree::Document<'_>, String> {
    roxmltree::Document::parse(xml).map_err(|why| format!("its answer is no XML: {why}"))
}

fn tag(document: &roxmltree::Document<'_>, name: &str) -> String {
    let node = document.descendants().find(|node| node.has_tag_name(name));
    node.and_then(|node| node.text()).unwrap_or_default().trim().to_owned()
}

/// The text of a node's child.
fn child<'a>(node: roxmltree::Node<'a, '_>, name: &str) -> Option<&'a str> {
    node.children().find(|child| child.has_tag_name(name))?.text()
}

/// The bricks that do not run, of `gluster --xml volume status NAME`.
fn down(xml: &str) -> Result<Vec<String>, String> {
    let document = parse(xml)?;
    let nodes = document.descendants().filter(|node| node.has_tag_name("node"));
    let bricks = nodes.filter_map(|node| {
        let path = child(node, "path").filter(|path| path.starts_with('/'))?;
        let host = child(node, "hostname").unwrap_or_default();
        (child(node, "status")? == "0").then(|| format!("{host}:{path}"))
    });
    Ok(bricks.collect())
}

fn number<T: FromStr + Default>(text: &str) -> T {
    text.parse().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &str = "<?xml version=\"1.0\"?><cliOutput><opRet>0</opRet>\
        <volInfo><volumes><volume><name>vol</name><statusStr>Started</statusStr>\
        <brickCount>3</brickCount><replicaCount>3</replicaCount><arbiterCount>1</arbiterCount>\
        <redundancyCount>0</redundancyCount><options>\
        <option><name>features.shard</name><value>on</value></option>\
        <option><name>nfs.disable</name><value>on</value></option>\
        </options></volume></volumes></volInfo></cliOutput>";

    #[test]
    fn volume_info_tells_the_layout_and_what_is_set() {
        let volume = Volume::of_info(INFO).unwrap();
        assert_eq!(
            (volume.name.as_str(), volume.replicas, volume.arbiters, volume.redundancy),
            ("vol", 3, 1, 0)
        );
        assert!(volume.started && volume.is_sharded() && volume.options.len() == 2);
        assert!(Volume::of_info("<cliOutput><opRet>0</opRet></cliOutput>").is_err());
    }

    #[test]
    fn bricks_that_do_not_run_are_named_and_daemons_are_no_bricks() {
        let node = |host, path, status| {
            format!(
                "<node><hostname>{host}</hostname><path>{path}</path>\
                 <status>{status}</status></node>"
            )
        };
        let nodes = node("a", "/b/1", 1)
            + &node("b", "/b/2", 0)
            + &node("Self-heal Daemon", "localhost", 0);
        assert_eq!(down(&format!("<volStatus>{nodes}</volStatus>")).unwrap(), ["b:/b/2"]);
    }
}
