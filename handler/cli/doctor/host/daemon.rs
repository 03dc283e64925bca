// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The running daemon: its process, its name on D-Bus, the handler that it has loaded.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::files::Files;
use crate::finding::{Finding, Severity};
use crate::scrape;

const RESTART: &str = "systemctl restart tcmu-runner";
const WHY_RESTART: &str = "a restart interrupts its LUNs for some seconds: with two gateways, one \
                           after the other";

/// `socket` is that of the metrics.
pub(super) fn findings(files: &Files, has_luns: bool, socket: Option<&Path>) -> Vec<Finding> {
    let Some(pid) = pid(files) else {
        let (severity, why) = if has_luns {
            (
                Severity::Error,
                "the LUNs of this host answer nothing: initiators hang, then see errors",
            )
        } else {
            (Severity::Warning, "no LUN can be created")
        };
        return vec![
            Finding::new(severity, "tcmu-runner is not running")
                .because(why)
                .on_host("systemctl enable --now tcmu-runner"),
        ];
    };
    let mut findings = vec![loaded(files, &pid, socket)];
    if files.are_real() {
        findings.push(on_dbus());
    }
    findings
}

fn pid(files: &Files) -> Option<String> {
    let processes = files.names("/proc").into_iter();
    let mut processes = processes.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
    processes.find(|pid| {
        // The kernel keeps 15 characters of a name.
        files.read(&format!("/proc/{pid}/comm")).is_some_and(|comm| comm == "tcmu-runner")
    })
}

/// Whether the daemon has our handler, and in which version.
fn loaded(files: &Files, pid: &str, socket: Option<&Path>) -> Finding {
    let own = env!("CARGO_PKG_VERSION");
    let Some(maps) = files.read(&format!("/proc/{pid}/maps")) else {
        let what = format!("what tcmu-runner (process {pid}) has loaded cannot be seen");
        return Finding::note(what).because("only root may look: run the doctor as root");
    };
    let Some((path, deleted)) = handler_in(&maps) else {
        return Finding::error("tcmu-runner runs without the handler glfs")
            .because(
                "it was started before the plugin was installed, or has refused it: its log, \
                 /var/log/tcmu-runner.log, says so; targetcli has no user:glfs",
            )
            .on_host(RESTART);
    };
    if deleted {
        let what = format!("tcmu-runner runs a handler whose file has been replaced ({path})");
        return Finding::warning(what)
            .because("an upgrade takes effect with the next start of the daemon")
            .on_host(RESTART)
            .by_hand(WHY_RESTART);
    }
    if is_foreign(files, path) {
        return Finding::error(format!("tcmu-runner has loaded another handler glfs, {path}"))
            .because(
                "it is tcmu-runner's C handler, or an unknown one: none of this program's \
                 promises hold, and its metrics are missing",
            )
            .on_host(RESTART)
            .by_hand("after the other handler's package has been removed, and this one installed");
    }
    let Some(socket) = socket.filter(|_| files.are_real()) else {
        return Finding::ok(format!("tcmu-runner runs with the handler {path}"));
    };
    match (scrape::Source { socket: socket.to_owned() }).scrape() {
        Ok(snapshot) if snapshot.version == own => {
            Finding::ok(format!("tcmu-runner runs with the handler {path}, version {own}"))
        }
        Ok(snapshot) => Finding::warning(format!(
            "tcmu-runner runs version {} of the handler, and this is tcmu-glfs {own}",
            snapshot.version
        ))
        .because("they belong together")
        .on_host(RESTART)
        .by_hand(WHY_RESTART),
        Err(why) => {
            Finding::warning(format!("tcmu-runner has the handler {path}, which does not answer"))
                .because(why)
        }
    }
}

/// The handler of the subtype `glfs` among the files that a process has mapped, and whether its
/// file has been replaced or removed since.
fn handler_in(maps: &str) -> Option<(&str, bool)> {
    const NAMES: [&str; 3] = ["glfs.so", "handler_glfs.so", "handler_0glfs.so"];
    maps.lines().find_map(|line| {
        let path = line.get(line.find('/')?..)?;
        let replaced = path.strip_suffix(" (deleted)");
        let handler = replaced.unwrap_or(path);
        NAMES.contains(&handler.rsplit('/').next()?).then_some((handler, replaced.is_some()))
    })
}

/// Whether the file is another implementation: ours has the name of its site file in it.
fn is_foreign(files: &Files, path: &str) -> bool {
    const MARK: &[u8] = b"/etc/tcmu/glfs.toml";
    fs::read(files.path(path))
        .is_ok_and(|bytes| !bytes.windows(MARK.len()).any(|window| window == MARK))
}

/// Whether targetcli will find the daemon.
fn on_dbus() -> Finding {
    const NAME: &str = "org.kernel.TCMUService1";
    let asked = Command::new("dbus-send")
        .args(["--system", "--print-reply=literal", "--dest=org.freedesktop.DBus"])
        .args(["/org/freedesktop/DBus", "org.freedesktop.DBus.NameHasOwner"])
        .arg(format!("string:{NAME}"))
        .output();
    let wrong = match asked {
        Ok(output) if String::from_utf8_lossy(&output.stdout).contains("true") => {
            return Finding::ok(format!("tcmu-runner is on D-Bus as {NAME}"));
        }
        Ok(output) if output.status.success() => {
            Finding::error(format!("tcmu-runner is not on D-Bus as {NAME}"))
                .on_host(RESTART)
                .by_hand(WHY_RESTART)
        }
        Ok(_) => Finding::error("the system bus (D-Bus) does not answer")
            .on_host("systemctl start dbus")
            .by_hand("then restart tcmu-runner"),
        Err(_) => Finding::note("D-Bus was not asked, as dbus-send is not installed"),
    };
    wrong.because("targetcli asks the daemon over D-Bus, and has no user:glfs without it")
}
