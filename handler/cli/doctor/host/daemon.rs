// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The running daemon: its process, its name on D-Bus, the handler that it has loaded.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::files::Files;
use crate::finding::{Finding, Place, Severity};
use crate::scrape;

const RESTART: &str = "systemctl restart tcmu-runner";
const WHY_RESTART: &str = "a restart interrupts its LUNs for some seconds: with two gateways, one \
                           after \
                           the other";

/// A library that the daemon has mapped.
#[derive(Debug, PartialEq, Eq)]
struct Mapped {
    path: String,
    /// Its file has been replaced or removed since.
    deleted: bool,
}

/// Nothing, if this host is no gateway. `socket` is that of the metrics.
pub(super) fn findings(files: &Files, has_luns: bool, socket: Option<&Path>) -> Vec<Finding> {
    if !has_luns && !files.exists(super::service::RUNNER) {
        return Vec::new();
    }
    let Some(pid) = pid(files) else {
        let severity = if has_luns { Severity::Error } else { Severity::Warning };
        let why = if has_luns {
            "the LUNs of this host answer nothing: initiators hang, then see errors"
        } else {
            "no LUN can be created"
        };
        return vec![
            Finding::new(severity, "tcmu-runner is not running", why)
                .fixed_by(Place::Host, "systemctl enable --now tcmu-runner"),
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
        return Finding::new(Severity::Note, what, "only root may look: run the doctor as root");
    };
    let Some(Mapped { path, deleted }) = handler_in(&maps) else {
        let what = "tcmu-runner runs without the handler glfs";
        let why = "it was started before the plugin was installed, or has refused it: its log, \
                   /var/log/tcmu-runner.log, says so; targetcli has no user:glfs";
        return Finding::new(Severity::Error, what, why).fixed_by(Place::Host, RESTART);
    };
    if deleted {
        let what = format!("tcmu-runner runs a handler whose file has been replaced ({path})");
        let why = "an upgrade takes effect with the next start of the daemon";
        return Finding::new(Severity::Warning, what, why).by_hand(
            Place::Host,
            RESTART,
            WHY_RESTART,
        );
    }
    if is_foreign(files, &path) {
        let what = format!("tcmu-runner has loaded another handler glfs, {path}");
        let why = "it is tcmu-runner's C handler, or an unknown one: none of this program's \
                   promises hold, and its metrics are missing";
        return Finding::new(Severity::Error, what, why).by_hand(
            Place::Host,
            RESTART,
            "after the other handler's package has been removed, and this one installed",
        );
    }
    let Some(socket) = socket.filter(|_| files.are_real()) else {
        return Finding::ok(format!("tcmu-runner runs with the handler {path}"), "");
    };
    match (scrape::Source { socket: socket.to_owned() }).scrape() {
        Ok(snapshot) if snapshot.version == own => {
            Finding::ok(format!("tcmu-runner runs with the handler {path}, version {own}"), "")
        }
        Ok(snapshot) => {
            let what = format!(
                "tcmu-runner runs version {} of the handler, and this is tcmu-glfs {own}",
                snapshot.version
            );
            Finding::new(Severity::Warning, what, "they belong together").by_hand(
                Place::Host,
                RESTART,
                WHY_RESTART,
            )
        }
        Err(why) => {
            let what = format!("tcmu-runner has the handler {path}, which does not answer");
            Finding::new(Severity::Warning, what, why)
        }
    }
}

/// The handler of the subtype `glfs` among the files that a process has mapped.
fn handler_in(maps: &str) -> Option<Mapped> {
    const NAMES: [&str; 3] = ["glfs.so", "handler_glfs.so", "handler_0glfs.so"];
    maps.lines().find_map(|line| {
        let path = line.get(line.find('/')?..)?;
        let (path, deleted) = match path.strip_suffix(" (deleted)") {
            Some(path) => (path, true),
            None => (path, false),
        };
        let name = path.rsplit('/').next()?;
        NAMES.contains(&name).then(|| Mapped { path: path.to_owned(), deleted })
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
    let why = "targetcli asks the daemon over D-Bus, and has no user:glfs without it";
    match asked {
        Ok(output) if String::from_utf8_lossy(&output.stdout).contains("true") => {
            Finding::ok(format!("tcmu-runner is on D-Bus as {NAME}"), "")
        }
        Ok(output) if output.status.success() => {
            Finding::new(Severity::Error, format!("tcmu-runner is not on D-Bus as {NAME}"), why)
                .by_hand(Place::Host, RESTART, WHY_RESTART)
        }
        Ok(_) => Finding::new(Severity::Error, "the system bus (D-Bus) does not answer", why)
            .by_hand(Place::Host, "systemctl start dbus", "then restart tcmu-runner"),
        Err(_) => {
            Finding::new(Severity::Note, "D-Bus was not asked, as dbus-send is not installed", why)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_handler_is_found_among_mapped_files() {
        let maps = |path: &str| {
            format!(
                "7f00-7f01 r--p 00000000 fe:00 1   /usr/lib/libc.so.6\n7f02-7f03 r-xp 0 fe:00 2 \
                 {path}\n"
            )
        };
        let found = |path: &str| handler_in(&maps(path)).map(|m| (m.path, m.deleted));
        let path = "/usr/lib/x86_64-linux-gnu/tcmu-runner/glfs.so";
        assert_eq!(found(path), Some((path.to_owned(), false)));
        assert_eq!(found(&format!("{path} (deleted)")), Some((path.to_owned(), true)));
        assert_eq!(found("/usr/lib/tcmu-runner/handler_rbd.so"), None);
    }
}
