// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The daemon that serves LUNs, and what makes them again after a reboot.

use std::process::Command;

use handler_glfs::config::OnUnreachable;
use serde_json::Value;

use super::luns::Lun;
use crate::files::Files;
use crate::finding::{Finding, Severity};

pub(super) const RUNNER: &str = "/usr/bin/tcmu-runner";
/// The first whose interface the handler knows.
const OLDEST: [u32; 3] = [1, 5, 4];
/// Where targetcli saves: Debian, others.
const SAVED: [&str; 2] = ["/etc/rtslib-fb-target/saveconfig.json", "/etc/target/saveconfig.json"];
/// What restores it: Debian, others.
const RESTORERS: [&str; 2] = ["rtslib-fb-targetctl.service", "target.service"];
const DAEMON: &str = "tcmu-runner.service";
const UNITS: [&str; 3] = ["/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"];
const ENABLED: &str = "/etc/systemd/system/multi-user.target.wants";

pub(super) fn findings(files: &Files, luns: &[Lun]) -> Vec<Finding> {
    let mut findings = vec![runner(files), handler(files), log_level(files)];
    if !luns.is_empty() {
        findings.push(saved(files, luns));
        findings.extend(restored(files, luns));
    }
    findings
}

fn runner(files: &Files) -> Finding {
    let output = Command::new(files.path(RUNNER)).arg("--version").output();
    // It tells it on standard error.
    let text = output.map(|output| {
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    });
    let text = text.unwrap_or_default();
    let version = text.split_whitespace().last().unwrap_or_default();
    let numbers: Vec<u32> =
        version.trim_start_matches('v').split('.').map_while(|part| part.parse().ok()).collect();
    let install = "apt-get install -y tcmu-runner || dnf install -y tcmu-runner";
    if numbers.is_empty() {
        return Finding::error("tcmu-runner is not installed, or does not tell its version")
            .because("it is what serves LUNs")
            .on_host(install);
    }
    let what = format!("tcmu-runner is {version}");
    if numbers.as_slice() < OLDEST.as_slice() {
        return Finding::error(what)
            .because("the handler needs 1.5.4 and refuses what is older")
            .on_host(install);
    }
    Finding::ok(what)
}

fn handler(files: &Files) -> Finding {
    let places = files
        .names("/usr/lib")
        .into_iter()
        .map(|triplet| format!("/usr/lib/{triplet}/tcmu-runner"));
    let mut places =
        places.chain(["/usr/lib64/tcmu-runner", "/usr/lib/tcmu-runner"].map(str::to_owned));
    match places.find(|place| files.exists(&format!("{place}/handler_glfs.so"))) {
        Some(place) => Finding::ok(format!("handler_glfs.so is in {place}")),
        None => Finding::error("handler_glfs.so is not installed")
            .because("tcmu-runner cannot serve LUNs of GlusterFS")
            .on_host("apt install ./tcmu-runner-glusterfs_*.deb")
            .by_hand(
                "in no distribution's repository: docs/install.md says how to get or build the \
                 package",
            ),
    }
}

fn log_level(files: &Files) -> Finding {
    const FILE: &str = "/etc/tcmu/tcmu.conf";
    let text = files.read(FILE).unwrap_or_default();
    let mut set = text.lines().filter_map(|line| {
        let (key, value) = line.split_once('=')?;
        (key.trim() == "log_level").then(|| value.trim().parse::<u32>().ok())?
    });
    match set.next_back() {
        Some(level) if level > 3 => Finding::warning(format!("log_level is {level} in {FILE}"))
            .because(
                "a line is written, and waited for, with every command: slow, and the disk fills \
                 up",
            )
            .on_host(format!("sed -i 's/^[[:space:]]*log_level.*/log_level = 3/' {FILE}")),
        level => Finding::ok(format!("log_level of tcmu-runner is {}", level.unwrap_or(3))),
    }
}

/// Whether the LUNs are there again after a reboot, and the same.
fn saved(files: &Files, luns: &[Lun]) -> Finding {
    let text = SAVED.iter().find_map(|file| files.read(file)).unwrap_or_default();
    let json: Value = serde_json::from_str(&text).unwrap_or_default();
    let is_saved = |lun: &&Lun| {
        let objects = json.get("storage_objects").and_then(Value::as_array);
        objects.into_iter().flatten().any(|object| {
            let part = |name| object.get(name).and_then(Value::as_str);
            part("plugin") == Some("user")
                && part("name") == Some(&lun.name)
                && part("config") == Some(&lun.cfgstring)
        })
    };
    let unsaved: Vec<&str> =
        luns.iter().filter(|lun| !is_saved(lun)).map(|lun| lun.name.as_str()).collect();
    if unsaved.is_empty() {
        return Finding::ok("all LUNs are in targetcli's saved configuration");
    }
    let what =
        format!("not as they are in targetcli's saved configuration: LUN {}", unsaved.join(", "));
    Finding::warning(what)
        .because("after a reboot they are gone, or as they were")
        .on_host("targetcli saveconfig")
}

/// Whether systemd starts the daemon and restores the LUNs, in this order.
fn restored(files: &Files, luns: &[Lun]) -> Vec<Finding> {
    let is_there =
        |name: &&str| UNITS.iter().any(|folder| files.exists(&format!("{folder}/{name}")));
    let Some(restorer) = RESTORERS.into_iter().find(is_there) else { return Vec::new() };
    let mut findings = Vec::new();
    for service in [DAEMON, restorer] {
        findings.push(if files.path(&format!("{ENABLED}/{service}")).is_symlink() {
            Finding::ok(format!("{service} is enabled"))
        } else {
            Finding::warning(format!("{service} is not enabled"))
                .because("after a reboot there are no LUNs")
                .on_host(format!("systemctl enable {service}"))
        });
    }
    if !after(&text_of(files, restorer), DAEMON) {
        findings.push(
            Finding::warning(format!("{restorer} does not wait for {DAEMON}"))
                .because(
                    "targets may be exported before anybody answers for their LUNs, and \
                     initiators that log in then see errors",
                )
                .on_host(drop_in(restorer, DAEMON)),
        );
    }
    if !after(&text_of(files, DAEMON), "network-online.target") {
        let fails = luns
            .iter()
            .any(|lun| lun.config.as_ref().is_ok_and(|config| config.open == OnUnreachable::Fail));
        let severity = if fails { Severity::Warning } else { Severity::Note };
        let why = "LUNs are opened before the cluster can be reached: with open=defer (the \
                   default) they come up later, with open=fail not at all";
        findings.push(
            Finding::new(severity, format!("{DAEMON} does not wait for the network"))
                .because(why)
                .on_host(drop_in(DAEMON, "network-online.target")),
        );
    }
    findings
}

/// A unit and its additions, from all places.
fn text_of(files: &Files, unit: &str) -> String {
    let additions = UNITS.iter().flat_map(|folder| {
        let names = files.names(&format!("{folder}/{unit}.d"));
        names.into_iter().map(move |name| format!("{folder}/{unit}.d/{name}"))
    });
    let own = UNITS.iter().map(|folder| format!("{folder}/{unit}"));
    own.chain(additions).filter_map(|file| files.read(&file)).collect::<Vec<_>>().join("\n")
}

fn after(unit: &str, other: &str) -> bool {
    let lists = unit.lines().filter_map(|line| line.trim().strip_prefix("After="));
    lists.flat_map(str::split_whitespace).any(|name| name == other)
}

fn drop_in(unit: &str, other: &str) -> String {
    let folder = format!("/etc/systemd/system/{unit}.d");
    let name = other.split('.').next().unwrap_or(other);
    format!(
        "mkdir -p {folder} && printf '[Unit]\\nWants={other}\\nAfter={other}\\n' \
         >{folder}/after-{name}.conf && systemctl daemon-reload"
    )
}
