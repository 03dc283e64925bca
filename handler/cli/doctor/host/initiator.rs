// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! This host as an initiator: open-iscsi's records of targets, and multipath. Only what belongs to
//! LIO's targets can be meant, but a record does not say whose target it is: records are looked at
//! where a target has two portals.

use crate::files::Files;
use crate::finding::{Finding, word};

/// Where open-iscsi keeps what it knows of targets: Debian, others.
const NODES: [&str; 2] = ["/etc/iscsi/nodes", "/var/lib/iscsi/nodes"];

/// A time-out of a target with two paths: what is wanted at most, in seconds.
struct Rule {
    key: &'static str,
    most: u64,
    why: &'static str,
}

const NOTICED: &str =
    "so long it takes until the initiator notices that a gateway is gone, and uses the other one";

const RULES: &[Rule] = &[
    Rule { key: "node.conn[0].timeo.noop_out_interval", most: 5, why: NOTICED },
    Rule { key: "node.conn[0].timeo.noop_out_timeout", most: 5, why: NOTICED },
    Rule {
        key: "node.session.timeo.replacement_timeout",
        most: 3,
        why: "so long commands wait for a gateway that is gone before they go to the other one \
              (if multipath's fast_io_fail_tmo does not say otherwise)",
    },
    Rule {
        key: "node.session.err_timeo.lu_reset_timeout",
        most: 5,
        why: "a gateway that answers pings but no commands is given up after this and the other \
              two steps",
    },
];

/// The section of multipath's configuration, a line each, as docs/high-availability.md explains it.
const MULTIPATH: [&str; 14] = [
    "devices {",
    "device {",
    "vendor \"LIO-ORG\"",
    "product \"TCMU device\"",
    "path_grouping_policy group_by_prio",
    "prio alua",
    "path_checker tur",
    "hardware_handler \"1 alua\"",
    "path_selector \"service-time 0\"",
    "failback 15",
    "no_path_retry 24",
    "fast_io_fail_tmo 3",
    "}",
    "}",
];

pub(super) fn findings(files: &Files) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut paths = 0;
    for folder in NODES {
        for target in files.names(folder) {
            let portals = files.names(&format!("{folder}/{target}"));
            if portals.len() < 2 {
                continue;
            }
            paths += portals.len();
            for portal in portals {
                findings.extend(
                    records(files, &format!("{folder}/{target}/{portal}"))
                        .iter()
                        .flat_map(|record| timeouts(&target, record)),
                );
            }
        }
    }
    // Both portals of a target are mended by one command.
    findings.dedup();
    if paths > 0 {
        findings.extend(multipath(files));
    }
    findings
}

/// A portal's records: one for each interface, or the portal itself is the record.
fn records(files: &Files, portal: &str) -> Vec<String> {
    let interfaces = files.names(portal);
    if interfaces.is_empty() {
        return files.read(portal).into_iter().collect();
    }
    interfaces.iter().filter_map(|interface| files.read(&format!("{portal}/{interface}"))).collect()
}

fn timeouts(target: &str, record: &str) -> Vec<Finding> {
    let wrong = RULES.iter().filter_map(|Rule { key, most, why }| {
        let value = record
            .lines()
            .find_map(|line| line.strip_prefix(key)?.trim_start().strip_prefix('='))?
            .trim();
        // 0 is never.
        let right = value.parse::<u64>().is_ok_and(|seconds| (1..=*most).contains(&seconds));
        (!right).then(|| {
            let target_word = word(target);
            Finding::warning(format!("{target} has two portals, and {key} is {value}"))
                .because(*why)
                .on_host(format!(
                    "iscsiadm -m node -T {target_word} -o update -n '{key}' -v {most}"
                ))
                .by_hand("counts from the next login on; only if the target is served by LIO")
        })
    });
    wrong.collect()
}

fn multipath(files: &Files) -> Option<Finding> {
    let folder = "/etc/multipath/conf.d";
    let others = files.names(folder).into_iter().map(|name| format!("{folder}/{name}"));
    let texts = ["/etc/multipath.conf".to_owned()]
        .into_iter()
        .chain(others)
        .filter_map(|file| files.read(&file));
    let text: String = texts.collect::<Vec<_>>().join("\n");
    let code: Vec<&str> = text.lines().filter_map(|line| line.split(['#', '!']).next()).collect();
    if !code.iter().any(|line| line.contains("LIO-ORG")) {
        let missing = Finding::warning("multipath has no section for LIO-ORG").because(
            "paths are not preferred as the gateways say (ALUA), and what happens when all of \
             them are away is left to chance",
        );
        return Some(missing.on_host(format!(
            "mkdir -p {folder} && printf '%s\\n' '{}' >{folder}/tcmu-glfs.conf && \
             multipathd reconfigure",
            MULTIPATH.join("' '")
        )));
    }
    let immediate = code.iter().any(|line| line.split_whitespace().eq(["failback", "immediate"]));
    immediate.then(|| {
        Finding::warning("multipath has failback immediate")
            .because(
                "a gateway that comes and goes takes the LUN's lock along each time; 15 s let it \
                 settle",
            )
            .on_host("multipathd reconfigure")
            .by_hand("after you have written failback 15 into the section of LIO-ORG")
    })
}
