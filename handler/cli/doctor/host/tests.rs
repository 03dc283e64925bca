// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::*;
use crate::report::Report;

/// A host that is well: a LUN with two gateways, saved, restored and served as it should be.
struct MadeUp {
    root: TempDir,
}

fn at(root: &Path) -> Host {
    Host::new(Files { root: root.to_owned() }, &Site::default())
}

const PLUGIN: &str = "usr/lib/x86_64-linux-gnu/tcmu-runner/handler_glfs.so";
const MAPS: &str = "7f00-7f01 r--p 0 fe:00 1  /usr/lib/libc.so.6
7f02-7f03 r-xp 0 fe:00 2  /usr/lib/x86_64-linux-gnu/tcmu-runner/handler_glfs.so\n";
const LUN: &str = "sys/kernel/config/target/core/user_1/d0";
const TIME_OUT: &str = "sys/kernel/config/target/core/user_1/d0/attrib/cmd_time_out";
const SAVED: &str = "etc/rtslib-fb-target/saveconfig.json";
const CFGSTRING: &str = "glfs/vol@h/d0.img;fence=required";

impl MadeUp {
    fn host() -> Self {
        let host = Self { root: TempDir::new().unwrap() };
        for (file, text) in [
            ("attrib/dev_config", CFGSTRING),
            ("attrib/cmd_time_out", "130\n"),
            ("attrib/max_data_area_mb", "1024\n"),
            ("attrib/emulate_pr", "0\n"),
            ("alua/default_tg_pt_gp/alua_access_type", "Implicit and Explicit\n"),
            ("alua/gateway2/alua_access_type", "Implicit\n"),
            ("alua/gateway2/alua_access_state", "1\n"),
            ("alua/gateway2/nonop_delay_msecs", "0\n"),
            ("alua/gateway2/members", "iSCSI/iqn.x/tpgt_2/lun_0\n"),
        ] {
            host.write(&format!("{LUN}/{file}"), text);
        }
        host.save(&[("d0", CFGSTRING)]);
        host.write(PLUGIN, "ELF /etc/tcmu/glfs.toml");
        host.write("proc/1/comm", "systemd\n");
        host.write("proc/4711/comm", "tcmu-runner\n");
        host.write("proc/4711/maps", MAPS);
        host.write("usr/bin/tcmu-runner", "#!/bin/sh\necho tcmu-runner 1.5.4 >&2\n");
        fs::set_permissions(host.path("usr/bin/tcmu-runner"), Permissions::from_mode(0o755))
            .unwrap();
        for (file, after) in [
            ("lib/systemd/system/tcmu-runner.service", "network-online.target rsyslog.service"),
            ("lib/systemd/system/rtslib-fb-targetctl.service", "network.target"),
            ("etc/systemd/system/rtslib-fb-targetctl.service.d/order.conf", "tcmu-runner.service"),
        ] {
            host.write(file, &format!("[Unit]\nAfter={after}\n"));
        }
        fs::create_dir_all(host.path("etc/systemd/system/multi-user.target.wants")).unwrap();
        for unit in ["tcmu-runner.service", "rtslib-fb-targetctl.service"] {
            let enabled = host.path("etc/systemd/system/multi-user.target.wants").join(unit);
            // Where it leads to is systemd's affair.
            symlink(format!("/lib/systemd/system/{unit}"), enabled).unwrap();
        }
        host
    }

    fn path(&self, file: impl AsRef<Path>) -> PathBuf {
        self.root.path().join(file)
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.path(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Names and configuration strings of the LUNs that targetcli has saved.
    fn save(&self, luns: &[(&str, &str)]) {
        let object = |(name, config): &(&str, &str)| {
            format!(r#"{{"plugin": "user", "name": "{name}", "config": "{config}"}}"#)
        };
        let objects = luns.iter().map(object).collect::<Vec<_>>().join(", ");
        self.write(SAVED, &format!(r#"{{"storage_objects": [{objects}]}}"#));
    }

    fn remove(&self, file: &str) {
        fs::remove_file(self.path(file)).unwrap();
    }

    fn commands(&self) -> String {
        Report::new(None, at(self.root.path()).findings()).commands(None)
    }

    /// The findings that are worth a fix.
    fn wrong(&self) -> Vec<String> {
        let findings = at(self.root.path()).findings().into_iter().filter(Finding::is_bad);
        findings.map(|found| format!("{}: {}", found.severity.label().0, found.what)).collect()
    }

    /// What is wrong with this file as it is.
    fn wrong_with(&self, file: &str, text: &str) -> Vec<String> {
        self.write(file, text);
        self.wrong()
    }
}

#[test]
fn a_host_that_is_well_is_told_so() {
    assert!(MadeUp::host().wrong().is_empty());
}

#[test]
fn a_host_that_is_neither_gateway_nor_initiator_has_nothing_to_be_told() {
    assert!(at(TempDir::new().unwrap().path()).findings().is_empty());
}

#[test]
fn the_kernel_must_not_answer_before_the_handler_gives_up() {
    let host = MadeUp::host();
    assert_eq!(host.wrong_with(TIME_OUT, "30\n"), ["warning: LUN d0: cmd_time_out is 30"]);
    let by_hand = "# by hand (the kernel refuses it while a target exports the LUN)";
    assert!(host.commands().contains(by_hand), "{}", host.commands());
    // Exported by nobody, it can be set.
    host.write(&format!("{LUN}/alua/gateway2/members"), "");
    let set = "\ntargetcli /backstores/user:glfs/d0 set attribute cmd_time_out=130 && targetcli \
               saveconfig\n";
    assert!(host.commands().contains(set), "{}", host.commands());
}

#[test]
fn commands_wait_for_room_in_the_ring() {
    let host = MadeUp::host();
    let file = format!("{LUN}/attrib/qfull_time_out");
    assert!(host.wrong_with(&file, "-1\n").is_empty());
    assert_eq!(host.wrong_with(&file, "0\n"), ["warning: LUN d0: qfull_time_out is 0"]);
}

#[test]
fn groups_are_implicit_and_do_not_delay() {
    let host = MadeUp::host();
    let file = format!("{LUN}/alua/gateway2/alua_access_type");
    let explicit = "error: LUN d0: group gateway2: alua_access_type is Implicit and Explicit";
    assert_eq!(host.wrong_with(&file, "Implicit and Explicit\n"), [explicit]);
    host.write(&file, "Implicit\n");
    let delays = "warning: LUN d0: group gateway2: nonop_delay_msecs is 100";
    let file = format!("{LUN}/alua/gateway2/nonop_delay_msecs");
    assert_eq!(host.wrong_with(&file, "100\n"), [delays]);
}

#[test]
fn a_lun_with_another_gateway_has_no_reservations() {
    let host = MadeUp::host();
    let file = format!("{LUN}/attrib/emulate_pr");
    let reserves = "warning: LUN d0 has ALUA groups and emulate_pr=1";
    assert_eq!(host.wrong_with(&file, "1\n"), [reserves]);
    assert!(host.commands().contains(
        "targetcli /backstores/user:glfs/d0 set attribute emulate_pr=0 && targetcli saveconfig"
    ));
    fs::remove_dir_all(host.path(format!("{LUN}/alua/gateway2"))).unwrap();
    assert!(host.wrong().is_empty(), "one gateway");
}

#[test]
fn an_older_kernel_tells_the_configuration_in_its_info_only() {
    let host = MadeUp::host();
    host.remove(&format!("{LUN}/attrib/dev_config"));
    let info =
        format!("Status: ACTIVATED\n        Config: {CFGSTRING} Size: 1048576 MaxDataAreaMB: 8\n");
    assert!(host.wrong_with(&format!("{LUN}/info"), &info).is_empty());
    assert_eq!(host.wrong_with(TIME_OUT, "30\n"), ["warning: LUN d0: cmd_time_out is 30"]);
}

#[test]
fn other_handlers_luns_are_left_alone() {
    let host = MadeUp::host();
    host.write("sys/kernel/config/target/core/user_2/other/attrib/dev_config", "qcow//tmp/x.qcow2");
    let time_out = "sys/kernel/config/target/core/user_2/other/attrib/cmd_time_out";
    assert!(host.wrong_with(time_out, "30").is_empty());
}

#[test]
fn a_lun_in_two_places_is_shared_and_wants_a_fence() {
    let host = MadeUp::host();
    let shares = |cfgstring: &str| at(host.root.path()).shares(&cfgstring.parse().unwrap());
    assert!(shares("glfs/vol@elsewhere/d0.img") && !shares("glfs/vol@h/d1.img"));
    let off = "glfs/vol@h/d0.img;fence=off";
    host.write(&format!("{LUN}/attrib/dev_config"), off);
    host.save(&[("d0", off)]);
    assert_eq!(host.wrong(), ["warning: LUN d0 has ALUA groups and fence=off"]);
}

#[test]
fn the_core_must_not_lose_patience_with_a_brick_that_hangs() {
    let host = MadeUp::host();
    let with = |seconds: u32| {
        let cfgstring = format!("{CFGSTRING};tcmur_cmd_time_out={seconds}");
        host.write(&format!("{LUN}/attrib/dev_config"), &cfgstring);
        host.save(&[("d0", &cfgstring)]);
        host.wrong()
    };
    assert_eq!(with(15), ["warning: LUN d0: tcmur_cmd_time_out is 15"]);
    assert!(with(43).is_empty());
}

#[test]
fn a_configuration_that_no_handler_takes_is_an_error() {
    let host = MadeUp::host();
    let file = format!("{LUN}/attrib/dev_config");
    let wrong = host.wrong_with(&file, "glfs/vol@h/d0.img;fense=on");
    assert!(wrong.iter().any(|what| what.starts_with("error: ") && what.contains("fense")));
}

#[test]
fn luns_that_are_not_saved_are_named() {
    let host = MadeUp::host();
    host.remove(SAVED);
    let unsaved = "warning: not as they are in targetcli's saved configuration: LUN d0";
    assert_eq!(host.wrong(), [unsaved]);
    assert_eq!(host.commands(), "# On this host:\ntargetcli saveconfig\n");
}

#[test]
fn the_daemon_is_new_enough_there_and_quiet() {
    let host = MadeUp::host();
    let tells = |version| format!("#!/bin/sh\necho tcmu-runner {version} >&2\n");
    let old = host.wrong_with("usr/bin/tcmu-runner", &tells("1.5.2"));
    assert_eq!(old, ["error: tcmu-runner is 1.5.2"]);
    host.write("usr/bin/tcmu-runner", &tells("1.6.2"));
    let loud = host.wrong_with("etc/tcmu/tcmu.conf", "# log_level = 5\nlog_level = 4\n");
    assert_eq!(loud, ["warning: log_level is 4 in /etc/tcmu/tcmu.conf"]);
    host.remove("etc/tcmu/tcmu.conf");
    host.remove(PLUGIN);
    assert_eq!(host.wrong(), ["error: handler_glfs.so is not installed"]);
}

#[test]
fn a_daemon_that_does_not_run_or_runs_without_the_handler_is_an_error() {
    let host = MadeUp::host();
    let another = MAPS.replace("handler_glfs.so", "handler_rbd.so");
    let without = host.wrong_with("proc/4711/maps", &another);
    assert_eq!(without, ["error: tcmu-runner runs without the handler glfs"]);
    assert_eq!(host.commands(), "# On this host:\nsystemctl restart tcmu-runner\n");
    let replaced = host.wrong_with("proc/4711/maps", &MAPS.replace("glfs.so", "glfs.so (deleted)"));
    let what = "warning: tcmu-runner runs a handler whose file has been replaced";
    assert_eq!(replaced, [format!("{what} (/{PLUGIN})")]);
    let own = "/usr/lib/x86_64-linux-gnu/tcmu-runner/glfs.so";
    host.write(&own[1..], "ELF tcmu-runner's own glfs.c");
    let foreign = host.wrong_with("proc/4711/maps", &MAPS.replace("handler_glfs.so", "glfs.so"));
    assert_eq!(foreign, [format!("error: tcmu-runner has loaded another handler glfs, {own}")]);
    let stopped = host.wrong_with("proc/4711/comm", "other\n");
    assert_eq!(stopped, ["error: tcmu-runner is not running"]);
}

#[test]
fn two_luns_on_one_image_are_an_error() {
    let host = MadeUp::host();
    let second = "sys/kernel/config/target/core/user_2/d1/attrib/dev_config";
    let saved = |config: &str| {
        host.write(second, config);
        host.save(&[("d0", CFGSTRING), ("d1", config)]);
        host.wrong()
    };
    assert!(saved("glfs/vol@h/d1.img").is_empty());
    let both = "error: LUNs d0 and d1 of this host serve one image, vol/d0.img";
    assert_eq!(saved("glfs/vol@h/d0.img;fence=off"), [both]);
    let both = "warning: LUNs d0 and d1 of this host may serve one image, vol/d0.img";
    assert_eq!(saved("glfs/vol@another/d0.img"), [both]);
}

#[test]
fn luns_are_restored_after_the_daemon_has_started() {
    let host = MadeUp::host();
    host.remove("etc/systemd/system/rtslib-fb-targetctl.service.d/order.conf");
    let early = "warning: rtslib-fb-targetctl.service does not wait for tcmu-runner.service";
    assert_eq!(host.wrong(), [early]);
    // Its own command, at work below the made-up root.
    let commands =
        host.commands().replace("/etc/", &format!("{}/etc/", host.root.path().display()));
    let commands = commands.replace("&& systemctl daemon-reload", "");
    let done = std::process::Command::new("sh").arg("-ec").arg(commands).status().unwrap();
    assert!(done.success());
    assert!(host.wrong().is_empty());
    host.remove("etc/systemd/system/multi-user.target.wants/rtslib-fb-targetctl.service");
    assert_eq!(host.wrong(), ["warning: rtslib-fb-targetctl.service is not enabled"]);
}

#[test]
fn an_initiator_with_two_paths_has_short_timeouts_and_multipath() {
    let host = MadeUp::host();
    let record =
        "node.session.timeo.replacement_timeout = 120\nnode.conn[0].timeo.noop_out_interval = 5\n";
    for gateway in ["10.0.0.1,3260,1", "10.0.0.2,3260,2"] {
        host.write(&format!("etc/iscsi/nodes/iqn.x/{gateway}/default"), record);
    }
    let late = "warning: iqn.x has two portals, and node.session.timeo.replacement_timeout is 120";
    assert_eq!(host.wrong(), [late, "warning: multipath has no section for LIO-ORG"]);
    let immediate = host.wrong_with(
        "etc/multipath/conf.d/lio.conf",
        "devices {\n device {\n  vendor \"LIO-ORG\"\n  failback immediate\n }\n}\n",
    );
    assert_eq!(immediate, [late, "warning: multipath has failback immediate"]);
    // With one path it is left alone.
    fs::remove_dir_all(host.path("etc/iscsi/nodes/iqn.x/10.0.0.2,3260,2")).unwrap();
    assert!(host.wrong().is_empty());
}
