// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::finding::Severity;
use crate::report::Report;

/// A host that is well: a LUN with two gateways, saved, restored and served as it should be.
struct MadeUp {
    root: TempDir,
}

fn at(root: &Path) -> Host {
    Host::new(Files::new(root), &Site::default())
}

const PLUGIN: &str = "usr/lib/x86_64-linux-gnu/tcmu-runner/handler_glfs.so";
const MAPS: &str =
    "7f00-7f01 r-xp 0 fe:00 1  /usr/lib/x86_64-linux-gnu/tcmu-runner/handler_glfs.so\n";
const LUN: &str = "sys/kernel/config/target/core/user_1/d0";
const CFGSTRING: &str = "glfs/vol@h/d0.img;fence=required";

impl MadeUp {
    fn host() -> Self {
        let host = Self { root: TempDir::new().unwrap() };
        for (file, text) in [
            (format!("{LUN}/attrib/dev_config"), CFGSTRING),
            (format!("{LUN}/attrib/cmd_time_out"), "130\n"),
            (format!("{LUN}/attrib/max_data_area_mb"), "1024\n"),
            (format!("{LUN}/attrib/emulate_pr"), "0\n"),
            (format!("{LUN}/alua/default_tg_pt_gp/alua_access_type"), "Implicit and Explicit\n"),
            (format!("{LUN}/alua/gateway2/alua_access_type"), "Implicit\n"),
            (format!("{LUN}/alua/gateway2/alua_access_state"), "1\n"),
            (format!("{LUN}/alua/gateway2/nonop_delay_msecs"), "0\n"),
            (format!("{LUN}/alua/gateway2/members"), "iSCSI/iqn.x/tpgt_2/lun_0\n"),
            ("usr/bin/tcmu-runner".to_owned(), "#!/bin/sh\necho tcmu-runner 1.5.4 >&2\n"),
            (PLUGIN.to_owned(), "ELF /etc/tcmu/glfs.toml"),
            ("proc/1/comm".to_owned(), "systemd\n"),
            ("proc/4711/comm".to_owned(), "tcmu-runner\n"),
            ("proc/4711/maps".to_owned(), MAPS),
            (
                "etc/rtslib-fb-target/saveconfig.json".to_owned(),
                r#"{"storage_objects": [{"plugin": "user", "name": "d0",
                    "config": "glfs/vol@h/d0.img;fence=required"}]}"#,
            ),
            (
                "lib/systemd/system/tcmu-runner.service".to_owned(),
                "[Unit]\nAfter=network-online.target rsyslog.service\n",
            ),
            (
                "lib/systemd/system/rtslib-fb-targetctl.service".to_owned(),
                "[Unit]\nAfter=network.target\n",
            ),
            (
                "etc/systemd/system/rtslib-fb-targetctl.service.d/order.conf".to_owned(),
                "[Unit]\nAfter=tcmu-runner.service\n",
            ),
            ("etc/systemd/system/multi-user.target.wants/none".to_owned(), ""),
        ] {
            host.write(&file, text);
        }
        let runner = host.root.path().join("usr/bin/tcmu-runner");
        fs::set_permissions(runner, fs::Permissions::from_mode(0o755)).unwrap();
        for unit in ["tcmu-runner.service", "rtslib-fb-targetctl.service"] {
            let enabled =
                host.root.path().join("etc/systemd/system/multi-user.target.wants").join(unit);
            // Where it leads to is systemd's affair.
            symlink(format!("/lib/systemd/system/{unit}"), enabled).unwrap();
        }
        host
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.root.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn remove(&self, file: &str) {
        fs::remove_file(self.root.path().join(file)).unwrap();
    }

    fn commands(&self) -> String {
        Report::new(None, at(self.root.path()).findings()).commands(None)
    }

    /// The findings that are worth fix.
    fn wrong(&self) -> Vec<(Severity, String)> {
        let findings = at(self.root.path()).findings();
        findings.iter().filter(|f| f.is_bad()).map(|f| (f.severity, f.what.clone())).collect()
    }

    /// The only one there is.
    fn only(&self) -> (Severity, String) {
        let wrong = self.wrong();
        assert_eq!(wrong.len(), 1, "{wrong:?}");
        wrong.into_iter().next().unwrap()
    }
}

fn warning(what: &str) -> (Severity, String) {
    (Severity::Warning, what.to_owned())
}

#[test]
fn a_host_that_is_well_is_told_so() {
    assert_eq!(MadeUp::host().wrong(), []);
}

#[test]
fn a_host_that_is_neither_gateway_nor_initiator_has_nothing_to_be_told() {
    assert!(at(TempDir::new().unwrap().path()).findings().is_empty());
}

#[test]
fn the_kernel_must_not_answer_before_the_handler_gives_up() {
    let host = MadeUp::host();
    host.write(&format!("{LUN}/attrib/cmd_time_out"), "30\n");
    assert_eq!(host.only(), warning("LUN d0: cmd_time_out is 30"));
    assert!(
        host.commands()
            .contains("# by hand (the kernel refuses it while a target exports the LUN)"),
        "{}",
        host.commands()
    );
    // Exported by nobody, it can be set.
    host.write(&format!("{LUN}/alua/gateway2/members"), "");
    let set = "\ntargetcli /backstores/user:glfs/d0 set attribute cmd_time_out=130 && targetcli \
               saveconfig\n";
    assert!(host.commands().contains(set), "{}", host.commands());
}

#[test]
fn commands_wait_for_room_in_the_ring() {
    let host = MadeUp::host();
    host.write(&format!("{LUN}/attrib/qfull_time_out"), "-1\n");
    assert_eq!(host.wrong(), []);
    host.write(&format!("{LUN}/attrib/qfull_time_out"), "0\n");
    assert_eq!(host.only(), warning("LUN d0: qfull_time_out is 0"));
}

#[test]
fn groups_are_implicit_and_do_not_delay() {
    let host = MadeUp::host();
    host.write(&format!("{LUN}/alua/gateway2/alua_access_type"), "Implicit and Explicit\n");
    let explicit = "LUN d0: group gateway2: alua_access_type is Implicit and Explicit";
    assert_eq!(host.only(), (Severity::Error, explicit.to_owned()));
    host.write(&format!("{LUN}/alua/gateway2/alua_access_type"), "Implicit\n");
    host.write(&format!("{LUN}/alua/gateway2/nonop_delay_msecs"), "100\n");
    assert_eq!(host.only(), warning("LUN d0: group gateway2: nonop_delay_msecs is 100"));
}

#[test]
fn a_lun_with_another_gateway_has_no_reservations() {
    let host = MadeUp::host();
    host.write(&format!("{LUN}/attrib/emulate_pr"), "1\n");
    assert_eq!(host.only(), warning("LUN d0 has ALUA groups and emulate_pr=1"));
    assert!(host.commands().contains(
        "targetcli /backstores/user:glfs/d0 set attribute emulate_pr=0 && targetcli saveconfig"
    ));
    for file in ["alua_access_type", "alua_access_state", "nonop_delay_msecs", "members"] {
        host.remove(&format!("{LUN}/alua/gateway2/{file}"));
    }
    fs::remove_dir(host.root.path().join(format!("{LUN}/alua/gateway2"))).unwrap();
    assert_eq!(host.wrong(), [], "one gateway");
}

#[test]
fn an_older_kernel_tells_the_configuration_in_its_info_only() {
    let host = MadeUp::host();
    host.remove(&format!("{LUN}/attrib/dev_config"));
    host.write(
        &format!("{LUN}/info"),
        &format!("Status: ACTIVATED\n        Config: {CFGSTRING} Size: 1048576 MaxDataAreaMB: 8\n"),
    );
    assert_eq!(host.wrong(), []);
    host.write(&format!("{LUN}/attrib/cmd_time_out"), "30\n");
    assert_eq!(host.only(), warning("LUN d0: cmd_time_out is 30"));
}

#[test]
fn other_handlers_luns_are_left_alone() {
    let host = MadeUp::host();
    host.write("sys/kernel/config/target/core/user_2/other/attrib/dev_config", "qcow//tmp/x.qcow2");
    host.write("sys/kernel/config/target/core/user_2/other/attrib/cmd_time_out", "30");
    assert_eq!(host.wrong(), []);
}

#[test]
fn a_lun_in_two_places_is_shared_and_wants_a_fence() {
    let host = MadeUp::host();
    let shares = |cfgstring: &str| at(host.root.path()).shares(&cfgstring.parse().unwrap());
    assert!(shares("glfs/vol@elsewhere/d0.img") && !shares("glfs/vol@h/d1.img"));
    let off = "glfs/vol@h/d0.img;fence=off";
    host.write(&format!("{LUN}/attrib/dev_config"), off);
    host.write(
        "etc/rtslib-fb-target/saveconfig.json",
        &format!(
            r#"{{"storage_objects": [{{"plugin": "user", "name": "d0", "config": "{off}"}}]}}"#
        ),
    );
    assert_eq!(host.only(), warning("LUN d0 has ALUA groups and fence=off"));
}

#[test]
fn the_core_must_not_lose_patience_with_a_brick_that_hangs() {
    let host = MadeUp::host();
    let with = |seconds: u32| {
        let cfgstring = format!("{CFGSTRING};tcmur_cmd_time_out={seconds}");
        host.write(&format!("{LUN}/attrib/dev_config"), &cfgstring);
        host.write(
            "etc/rtslib-fb-target/saveconfig.json",
            &format!(
                r#"{{"storage_objects": [{{"plugin": "user", "name": "d0",
                    "config": "{cfgstring}"}}]}}"#
            ),
        );
        host.wrong()
    };
    assert_eq!(with(15), [warning("LUN d0: tcmur_cmd_time_out is 15")]);
    assert_eq!(with(43), []);
}

#[test]
fn a_configuration_that_no_handler_takes_is_an_error() {
    let host = MadeUp::host();
    host.write(&format!("{LUN}/attrib/dev_config"), "glfs/vol@h/d0.img;fense=on");
    assert!(
        host.wrong()
            .iter()
            .any(|(severity, what)| *severity == Severity::Error && what.contains("fense"))
    );
}

#[test]
fn luns_that_are_not_saved_are_named() {
    let host = MadeUp::host();
    host.remove("etc/rtslib-fb-target/saveconfig.json");
    assert_eq!(host.only(), warning("not as they are in targetcli's saved configuration: LUN d0"));
    assert_eq!(host.commands(), "# On this host:\ntargetcli saveconfig\n");
}

#[test]
fn the_daemon_is_new_enough_there_and_quiet() {
    let host = MadeUp::host();
    host.write("usr/bin/tcmu-runner", "#!/bin/sh\necho tcmu-runner 1.5.2 >&2\n");
    assert_eq!(host.only(), (Severity::Error, "tcmu-runner is 1.5.2".to_owned()));
    host.write("usr/bin/tcmu-runner", "#!/bin/sh\necho tcmu-runner 1.6.2 >&2\n");
    host.write("etc/tcmu/tcmu.conf", "# log_level = 5\nlog_level = 4\n");
    assert_eq!(host.only(), warning("log_level is 4 in /etc/tcmu/tcmu.conf"));
    host.remove("etc/tcmu/tcmu.conf");
    host.remove(PLUGIN);
    assert_eq!(host.only(), (Severity::Error, "handler_glfs.so is not installed".to_owned()));
}

#[test]
fn a_daemon_that_does_not_run_or_runs_without_the_handler_is_an_error() {
    let host = MadeUp::host();
    host.write("proc/4711/maps", "7f00-7f01 r-xp 0 fe:00 1  /usr/lib/libc.so.6\n");
    let without = "tcmu-runner runs without the handler glfs";
    assert_eq!(host.only(), (Severity::Error, without.to_owned()));
    assert_eq!(host.commands(), "# On this host:\nsystemctl restart tcmu-runner\n");
    host.write("proc/4711/maps", &MAPS.replace(".so\n", ".so (deleted)\n"));
    assert!(host.only().1.starts_with("tcmu-runner runs a handler whose file has been replaced"));
    host.write("proc/4711/maps", MAPS);
    host.write(PLUGIN, "ELF tcmu-runner's own glfs.c");
    let (severity, what) = host.only();
    assert!(severity == Severity::Error && what.contains("another handler glfs"), "{what}");
    host.write("proc/4711/comm", "other\n");
    assert_eq!(host.only(), (Severity::Error, "tcmu-runner is not running".to_owned()));
}

#[test]
fn two_luns_on_one_image_are_an_error() {
    let host = MadeUp::host();
    let second = "sys/kernel/config/target/core/user_2/d1/attrib/dev_config";
    let saved = |config: &str| {
        let object = |name: &str, config: &str| {
            format!(r#"{{"plugin": "user", "name": "{name}", "config": "{config}"}}"#)
        };
        let text = format!(
            r#"{{"storage_objects": [{}, {}]}}"#,
            object("d0", CFGSTRING),
            object("d1", config)
        );
        host.write(second, config);
        host.write("etc/rtslib-fb-target/saveconfig.json", &text);
    };
    saved("glfs/vol@h/d1.img");
    assert_eq!(host.wrong(), []);
    saved("glfs/vol@h/d0.img;fence=off");
    let both = "LUNs d0 and d1 of this host serve one image, vol/d0.img";
    assert_eq!(host.only(), (Severity::Error, both.to_owned()));
    saved("glfs/vol@another/d0.img");
    assert!(host.only().0 == Severity::Warning && host.only().1.contains("may serve one image"));
}

#[test]
fn luns_are_restored_after_the_daemon_has_started() {
    let host = MadeUp::host();
    host.remove("etc/systemd/system/rtslib-fb-targetctl.service.d/order.conf");
    assert_eq!(
        host.only(),
        warning("rtslib-fb-targetctl.service does not wait for tcmu-runner.service")
    );
    // Its own command, at work below the made-up root.
    let commands =
        host.commands().replace("/etc/", &format!("{}/etc/", host.root.path().display()));
    let commands = commands.replace("&& systemctl daemon-reload", "");
    let done = std::process::Command::new("sh").arg("-ec").arg(commands).status().unwrap();
    assert!(done.success());
    assert_eq!(host.wrong(), []);
    host.remove("etc/systemd/system/multi-user.target.wants/rtslib-fb-targetctl.service");
    assert_eq!(host.only(), warning("rtslib-fb-targetctl.service is not enabled"));
}

#[test]
fn an_initiator_with_two_paths_has_short_timeouts_and_multipath() {
    let host = MadeUp::host();
    let record =
        "node.session.timeo.replacement_timeout = 120\nnode.conn[0].timeo.noop_out_interval = 5\n";
    for gateway in ["10.0.0.1,3260,1", "10.0.0.2,3260,2"] {
        host.write(&format!("etc/iscsi/nodes/iqn.x/{gateway}/default"), record);
    }
    let late = warning("iqn.x has two portals, and node.session.timeo.replacement_timeout is 120");
    assert_eq!(host.wrong(), [late.clone(), warning("multipath has no section for LIO-ORG")]);
    host.write(
        "etc/multipath/conf.d/lio.conf",
        "devices {\n device {\n  vendor \"LIO-ORG\"\n  failback immediate\n }\n}\n",
    );
    assert_eq!(host.wrong(), [late, warning("multipath has failback immediate")]);
}

#[test]
fn a_target_with_one_path_is_left_alone() {
    let host = MadeUp::host();
    host.write(
        "etc/iscsi/nodes/iqn.x/10.0.0.1,3260,1/default",
        "node.session.timeo.replacement_timeout = 120\n",
    );
    assert_eq!(host.wrong(), []);
}
