// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The LUNs of this host, as the kernel has them in configfs.

use std::time::Duration;

use handler_glfs::config::{Config, Fence, Site};

use crate::configfs::{KernelLun, Sameness, sameness};
use crate::files::Files;
use crate::finding::{Finding, Severity, word};

/// The kernel makes this group for each LUN; tcmu-runner does not look at it.
const NO_GROUP: &str = "default_tg_pt_gp";

/// A LUN of the handler's.
#[derive(Debug)]
pub(super) struct Lun {
    pub(super) name: String,
    /// As the kernel has it: `glfs/...`.
    pub(super) cfgstring: String,
    pub(super) config: Result<Config, String>,
    attributes: Vec<(&'static str, String)>,
    groups: Vec<Group>,
    exported: bool,
    /// The kernel keeps persistent reservations for it (`emulate_pr`).
    has_reservations: bool,
}

/// An ALUA group of it.
#[derive(Debug)]
struct Group {
    name: String,
    access_type: String,
    state: String,
    delay: String,
}

/// How an attribute may be set.
#[derive(Debug, Clone, Copy)]
enum When {
    /// Only while no target exports the LUN.
    BeforeExport,
    /// When the LUN is created.
    Creation,
    Always,
}

/// An attribute of the LUN, and what it must be for its configuration.
#[derive(Debug)]
struct Rule {
    attribute: &'static str,
    severity: Severity,
    when: When,
    /// What would be right, if this value is not.
    fixed: fn(u64, &Config) -> Option<u64>,
    why: &'static str,
}

const RULES: &[Rule] = &[
    Rule {
        attribute: "qfull_time_out",
        severity: Severity::Warning,
        when: When::Always,
        // -1, the default: as long as cmd_time_out.
        fixed: |seconds, config| (seconds == 0).then_some(config.outage.as_secs() + 10),
        why: "a command that finds the kernel's ring full is refused at once instead of waiting \
              for room",
    },
    Rule {
        attribute: "cmd_time_out",
        severity: Severity::Warning,
        when: When::BeforeExport,
        // 0: never.
        fixed: |seconds, config| {
            let outage = config.outage.as_secs();
            (seconds != 0 && seconds <= outage).then_some(outage + 10)
        },
        why: "the kernel answers errors in the handler's place before the outage= of the LUN has \
              run out; a command that is still under way \
              may then be done after the initiator has repeated it",
    },
    Rule {
        attribute: "max_data_area_mb",
        severity: Severity::Note,
        when: When::Creation,
        fixed: |megabytes, _| (megabytes < 64).then_some(64),
        why: "room for the data of all commands in flight: with little of it the kernel makes \
              large ones wait",
    },
];

impl Lun {
    pub(super) fn all(files: &Files, site: &Site) -> Vec<Self> {
        KernelLun::all(files, site).into_iter().map(|lun| Self::read(files, lun)).collect()
    }

    fn read(files: &Files, KernelLun { name, folder, cfgstring, config }: KernelLun) -> Self {
        let attributes = RULES.iter().filter_map(|rule| {
            Some((rule.attribute, files.read(&format!("{folder}/attrib/{}", rule.attribute))?))
        });
        let groups = files.names(&format!("{folder}/alua"));
        let exported = groups.iter().any(|group| {
            files
                .read(&format!("{folder}/alua/{group}/members"))
                .is_some_and(|members| !members.is_empty())
        });
        let groups = groups.into_iter().filter(|group| group != NO_GROUP).map(|group| {
            let part =
                |name| files.read(&format!("{folder}/alua/{group}/{name}")).unwrap_or_default();
            let (access_type, state, delay) =
                (part("alua_access_type"), part("alua_access_state"), part("nonop_delay_msecs"));
            Group { access_type, state, delay, name: group }
        });
        let (attributes, groups) = (attributes.collect(), groups.collect());
        // Kernels before 5.0 have no such attribute, and nothing can be done.
        let has_reservations =
            files.read(&format!("{folder}/attrib/emulate_pr")).is_some_and(|value| value == "1");
        Self { name, cfgstring, config, attributes, groups, exported, has_reservations }
    }

    /// Whether it serves the image of `config`.
    pub(super) fn serves(&self, config: &Config) -> bool {
        self.config.as_ref().is_ok_and(|own| sameness(own, config).is_some())
    }

    /// LUNs of one image, pair by pair.
    pub(super) fn duplicates(luns: &[Self]) -> Vec<Finding> {
        let pairs = luns
            .iter()
            .enumerate()
            .flat_map(|(index, one)| luns.iter().skip(index + 1).map(move |other| (one, other)));
        let same = pairs.filter_map(|(one, other)| {
            let (Ok(config), Ok(second)) = (&one.config, &other.config) else { return None };
            let (severity, verb) = match sameness(config, second)? {
                Sameness::Certain => (Severity::Error, "serve"),
                Sameness::Possible => (Severity::Warning, "may serve"),
            };
            let what = format!(
                "LUNs {} and {} of this host {verb} one image, {}/{}",
                one.name, other.name, config.volume, config.path
            );
            let why = "initiators take them for separate disks, and overwrite each other's data; \
                       nothing fences LUNs of one gateway from each other";
            Some(
                Finding::new(severity, what)
                    .because(why)
                    .on_host(delete(&other.name))
                    .by_hand("after its initiators have logged out"),
            )
        });
        same.collect()
    }

    /// Whether its groups say that there are paths through other gateways.
    pub(super) fn is_shared(&self) -> bool {
        !self.groups.is_empty()
    }

    pub(super) fn findings(&self) -> Vec<Finding> {
        let name = &self.name;
        let config = match &self.config {
            Ok(config) => config,
            Err(why) => {
                let what = format!("LUN {name}: {}: {why}", self.cfgstring);
                return vec![Finding::error(what).because("it cannot be served")];
            }
        };
        let mut findings = self.attributes(config);
        findings.extend(self.groups.iter().flat_map(|group| group.findings(name)));
        findings.extend(self.core_time_out(config.ping_timeout));
        if self.is_shared() && config.fence == Fence::Off {
            findings.push(
                Finding::warning(format!("LUN {name} has ALUA groups and fence=off"))
                    .because(
                        "a gateway that hangs and wakes up writes old data over what has been \
                         written through the other one (docs/fencing.md)",
                    )
                    .on_host(delete(name))
                    .by_hand("create it again without fence=off"),
            );
        }
        if self.is_shared() && self.has_reservations {
            findings.push(
                Finding::warning(format!("LUN {name} has ALUA groups and emulate_pr=1"))
                    .because(
                        "each gateway's kernel keeps reservations of its own: an initiator that \
                         is fenced off by one of them writes through the other one, and a cluster \
                         that trusts them loses data (docs/high-availability.md)",
                    )
                    .on_host(self.set("emulate_pr", 0)),
            );
        }
        if findings.is_empty() {
            findings.push(Finding::ok(format!("LUN {name}: timeouts, ALUA groups")));
        }
        findings
    }

    fn attributes(&self, config: &Config) -> Vec<Finding> {
        let name = &self.name;
        let judged = self.attributes.iter().filter_map(|(attribute, value)| {
            let rule = RULES.iter().find(|rule| rule.attribute == *attribute)?;
            let wanted = (rule.fixed)(value.parse().ok()?, config)?;
            let what = format!("LUN {name}: {attribute} is {value}");
            let finding = Finding::new(rule.severity, what)
                .because(rule.why)
                .on_host(self.set(attribute, wanted));
            Some(match rule.when {
                When::BeforeExport if self.exported => {
                    finding.by_hand("the kernel refuses it while a target exports the LUN")
                }
                When::Always | When::BeforeExport => finding,
                When::Creation => finding
                    .on_host(format!(
                        "targetcli /backstores/user:glfs create ... control={attribute}={wanted}"
                    ))
                    .by_hand("only when the LUN is created"),
            })
        });
        judged.collect()
    }

    /// The command that sets an attribute.
    fn set(&self, attribute: &str, value: u64) -> String {
        let path = word(&format!("/backstores/user:glfs/{}", self.name));
        format!("targetcli {path} set attribute {attribute}={value} && targetcli saveconfig")
    }

    /// What tcmu-runner itself takes for too long.
    fn core_time_out(&self, ping_timeout: Duration) -> Option<Finding> {
        let seconds: u64 = self.cfgstring.rsplit_once(";tcmur_cmd_time_out=")?.1.parse().ok()?;
        // A brick that hangs is given up after once to twice the time.
        let brick = ping_timeout.as_secs() * 2;
        let wanted = brick + 10;
        (seconds > 0 && seconds <= brick).then(|| {
            Finding::warning(format!("LUN {}: tcmur_cmd_time_out is {seconds}", self.name))
                .because(format!(
                    "a brick that hangs is given up after up to {brick} s (twice ping-timeout=), \
                     and tcmu-runner reports its commands before that"
                ))
                .on_host(delete(&self.name))
                .by_hand(format!("create it again with tcmur_cmd_time_out={wanted} or without"))
        })
    }
}

/// The command that deletes a LUN.
fn delete(lun: &str) -> String {
    format!("targetcli /backstores/user:glfs delete {}", word(lun))
}

impl Group {
    fn findings(&self, lun: &str) -> Vec<Finding> {
        let mut findings = Vec::new();
        let what = |attribute: &str, value: &str| {
            format!("LUN {lun}: group {}: {attribute} is {value}", self.name)
        };
        let path = word(&format!("/backstores/user:glfs/{lun}/alua/{}", self.name));
        let set =
            |setting: &str| format!("targetcli {path} set alua {setting} && targetcli saveconfig");
        if self.access_type.contains("Explicit") {
            findings.push(
                Finding::error(what("alua_access_type", &self.access_type))
                    .because(
                        "tcmu-runner knows implicit ALUA only, and answers HARDWARE ERROR to \
                         every INQUIRY",
                    )
                    .on_host(set("alua_access_type=1")),
            );
        }
        // 1 is active/non-optimized.
        let delays = self.delay.parse::<u64>().is_ok_and(|milliseconds| milliseconds > 0);
        if self.state == "1" && delays {
            findings.push(
                Finding::warning(what("nonop_delay_msecs", &self.delay))
                    .because(
                        "the kernel holds up every command on this path by so many milliseconds",
                    )
                    .on_host(set("nonop_delay_msecs=0")),
            );
        }
        findings
    }
}
