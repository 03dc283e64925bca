// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! `tcmu-glfs status`, as a program: what it prints, and how it exits.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use testbed::metrics_socket::{LUN, Lun, serve, text};

/// Exit code, standard output, standard error. An error of 90 seconds ago stays one of 90, though a
/// second or two end meanwhile.
fn status(socket: &Path, arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tcmu-glfs"));
    let output =
        command.arg("status").arg("--socket").arg(socket).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let out = ["(91s ago)", "(92s ago)"]
        .iter()
        .fold(text(output.stdout), |out, late| out.replace(late, "(90s ago)"));
    (output.status.code().unwrap(), out, text(output.stderr))
}

const LUNS: [Lun; 3] = [
    Lun { reads: 12_300, writes: 1000, ..LUN },
    Lun { name: "d2", image: "b.img", fence: "standby", ..LUN },
    Lun {
        name: "d10",
        image: "/c.img",
        fence: "open",
        ready: false,
        outage: true,
        not_ready: 7,
        last_error: Some("WRITE: ENOTCONN: Transport endpoint is not connected"),
        ..LUN
    },
];

#[test]
fn a_line_for_each_lun_and_each_volume() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    serve(&socket, [text(&LUNS, 2)]);
    let (code, out, err) = status(&socket, &[]);
    let right = "\
3 LUNs: 1 OUTAGE, 2 ready   tcmu-glfs 0.1.0, gfapi 10.3

LUN  IMAGE           SIZE  STATE   ACCESS  CACHE  FENCE    TLS  BRICKS  SERVER       OPS  ERRORS  WORST        P99 ms  IN FLIGHT  SLOW
d10  vms/c.img      1 TiB  OUTAGE  rw      none   open     on      2/3  gl1:24007      0       7  7 not_ready       -          4     0
d0   vms/dir/a.img  1 TiB  ready   rw      none   owned    on      2/3  gl1:24007  13.3k       0  -              15.3          4     0
d2   vms/b.img      1 TiB  ready   rw      none   standby  on      2/3  gl1:24007      0       0  -                 -          4     0

d10: OUTAGE: WRITE: ENOTCONN: Transport endpoint is not connected (90s ago); \
see gluster volume status vms and gluster volume heal vms info

VOLUME  SERVER     BRICKS            GRAPH SWITCHES
vms     gl1:24007  2 of 3 connected               1
";
    assert_eq!((code, out.as_str(), err.as_str()), (1, right, ""), "{out}");
    let (code, out, _) = status(&socket, &["d0", "d2"]);
    assert_eq!(code, 0, "these two are well");
    assert!(out.starts_with("2 LUNs: 2 ready ") && !out.contains("d10"), "{out}");
    let (code, _, err) = status(&socket, &["d0", "d7"]);
    assert_eq!((code, err.as_str()), (1, "error: There is no LUN d7; there are: d0, d2, d10.\n"));
}

#[test]
fn json_for_programs() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    serve(&socket, [text(&LUNS, 2)]);
    let (code, out, _) = status(&socket, &["--json"]);
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (code, &report["ok"], &report["version"], &report["gfapi"]),
        (1, &json!(false), &json!("0.1.0"), &json!("10.3"))
    );
    assert_eq!(
        report["volumes"],
        json!([{
            "volume": "vms", "server": "gl1:24007", "bricks": 3, "bricks_connected": 2,
            "graph_switches": 1,
        }])
    );
    let names: Vec<&Value> =
        report["luns"].as_array().unwrap().iter().map(|lun| &lun["lun"]).collect();
    assert_eq!(names, ["d0", "d2", "d10"]);
    assert_eq!(report["schema"], "tcmu-glfs.status/1");
    let mut lun = report["luns"][2].clone();
    assert!(lun["last_error_at"].take().as_u64().is_some_and(|at| at > 1_700_000_000), "{lun}");
    assert_eq!(lun["errors"].as_object_mut().unwrap().remove("not_ready"), Some(json!(7)));
    let (operations, bytes, errors) =
        (lun["operations"].take(), lun["data_bytes"].take(), lun["errors"].take());
    let none = |map: &Value| map.as_object().unwrap().values().all(|value| value == 0);
    assert!(none(&operations) && none(&bytes) && none(&errors), "{report}");
    let right = json!({
        "lun": "d10", "volume": "vms", "image": "/c.img", "servers": ["gl1", "gl2"],
        "size_bytes": 1_u64 << 40, "state": "outage", "access": "rw", "cache": "none",
        "fence": "open", "tls": true,
        "last_error": "WRITE: ENOTCONN: Transport endpoint is not connected", "last_error_at": null,
        "next_step": "see gluster volume status vms and gluster volume heal vms info",
        "server": "gl1:24007", "bricks": 3, "bricks_connected": 2,
        "operations": null, "data_bytes": null, "errors": null, "p99_seconds": {},
        "in_flight": 4, "slow_commands": 0, "outages": 1, "reopens": 0,
    });
    assert_eq!(lun, right);
    let p99 = report["luns"][0]["p99_seconds"]["read"].as_f64().unwrap();
    assert!((p99 - 0.008_192 * 2_f64.powf(0.9)).abs() < 1e-9, "{p99}");
}

#[test]
fn one_lun_is_a_page() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    serve(&socket, [text(&LUNS, 2)]);
    let (code, out, _) = status(&socket, &["d10"]);
    let right = "\
lun          d10
state        OUTAGE
last error   WRITE: ENOTCONN: Transport endpoint is not connected (90s ago)
next step    see gluster volume status vms and gluster volume heal vms info
image        vms/c.img
size         1 TiB (1099511627776 bytes)
servers      gl1, gl2
connection   by gl1:24007
bricks       2 of 3 connected
";
    assert!(code == 1 && out.starts_with(right) && !out.contains("OPERATION"), "{out}");
    let (code, out, _) = status(&socket, &["d0"]);
    assert_eq!(code, 0);
    assert!(!out.contains("next step") && out.contains("\nread "), "{out}");
}

#[test]
fn a_mistake_in_the_site_file_of_the_daemon_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let mistake = "tcmu_glfs_site_file_ok 0\n\
                   tcmu_glfs_site_file_error_info{error=\"/etc/tcmu/glfs.toml:3:9: no\"} 1\n# \
                   EOF\n";
    serve(&socket, [text(&LUNS[..1], 3).replace("# EOF\n", mistake)]);
    let (code, out, _) = status(&socket, &[]);
    assert_eq!(code, 0);
    assert!(out.contains("in use: /etc/tcmu/glfs.toml:3:9: no"), "{out}");
}

#[test]
fn with_json_errors_are_documents_too() {
    let folder = tempfile::tempdir().unwrap();
    let (code, out, err) = status(&folder.path().join("missing"), &["--json"]);
    let document: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, err.as_str()), (1, ""));
    assert_eq!(
        (&document["schema"], &document["exit_status"]),
        (&json!("tcmu-glfs.error/1"), &json!(1))
    );
    assert!(document["error"].as_str().unwrap().contains("tcmu-runner"), "{document}");
}

#[test]
fn without_luns_all_is_well() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let version = "tcmu_glfs_build_info{version=\"0.1.0\",gfapi=\"unknown\"} 1\n# EOF\n";
    serve(&socket, [version.to_owned()]);
    assert_eq!(status(&socket, &[]), (0, "0 LUNs   tcmu-glfs 0.1.0\n".to_owned(), String::new()));
}

#[test]
fn what_cannot_be_found_out_is_said_with_the_next_step() {
    let folder = tempfile::tempdir().unwrap();
    let refuses = |name: &str, words: &[&str]| {
        let (code, out, err) = status(&folder.path().join(name), &[]);
        assert_eq!((code, out.as_str(), err.lines().count()), (1, "", 1), "{err}");
        assert!(words.iter().any(|word| err.contains(word)), "{err}");
    };
    // Which of the two depends on whether this machine runs the daemon.
    let no_socket = ["tcmu-runner is not running", "/etc/tcmu/glfs.toml"];
    refuses("missing", &no_socket);
    drop(UnixListener::bind(folder.path().join("dead")).unwrap());
    refuses("dead", &no_socket);
    fs::write(folder.path().join("file"), "").unwrap();
    refuses("file", &no_socket);
    serve(&folder.path().join("cut"), [text(&LUNS, 3).replace("# EOF\n", "")]);
    refuses("cut", &["cut: no # EOF"]);
}
