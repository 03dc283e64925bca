// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! What the doctor finds on real volumes is mended by what it says.

use std::process::Command;

use crate::cluster::{HOST, NOWHERE, Volume};
use crate::support::{Said, command, eventually, place, run};

/// The doctor's words about a LUN, on a host that is nothing else.
fn doctor(volume: &Volume, arguments: &[&str]) -> Said {
    run(&[&["doctor", "--root", "/nonexistent", &place(volume, "d0.img")], arguments].concat())
}

/// It said all of this, and how bad it is.
fn says(said: &Said, code: i32, words: &[&str]) {
    assert_eq!(said.code, Some(code), "{said:?}");
    assert!(words.iter().all(|word| said.out.contains(word)), "{words:?} are not in {said:?}");
}

/// What it says is done, by a shell.
fn follow(commands: &Said) {
    let done = Command::new("sh").args(["-exc", &commands.out]).output().unwrap();
    assert!(done.status.success(), "{commands:?}: {}", String::from_utf8_lossy(&done.stderr));
}

pub(crate) fn a_new_replica() {
    let volume = Volume::start(&["replica", "3"], 3, &[]);
    let wrong = [
        "warning: locks.mandatory-locking is off",
        "warning: features.enforce-mandatory-lock is off",
        "warning: features.locks-revocation-secs is 0",
        "warning: server.tcp-user-timeout is 42",
        "note: auth.allow is *",
        "ok: cluster.eager-lock is on",
        "ok: cluster.quorum-type is auto",
    ];
    says(&doctor(&volume, &["--gateways", "2"]), 1, &wrong);
    let commands = doctor(&volume, &["--gateways", "2", "--commands=cluster"]);
    assert!(!commands.out.contains("auth.allow"), "a choice is not made for anybody: {commands:?}");
    follow(&commands);
    let after = doctor(&volume, &["--gateways", "2"]);
    says(&after, 0, &["note: auth.allow is *", " 0 warnings"]);
    assert!(!after.out.contains("warning: "), "{after:?}");
    assert_eq!(doctor(&volume, &["--gateways", "2", "--commands"]).out, "");
    let json = doctor(&volume, &["--gateways", "2", "--json"]);
    assert_eq!((json.code, json.json()["worst"].as_str()), (Some(0), Some("note")));
    // A fence that is required is not only advised.
    let alone = Volume::start(&["replica", "3"], 3, &[]);
    let required = format!("{};fence=required", place(&alone, "d0.img"));
    says(
        &run(&["doctor", "--root", "/nonexistent", &required]),
        1,
        &["error: locks.mandatory-locking is off"],
    );
    says(&doctor(&alone, &[]), 1, &["note: locks.mandatory-locking is off"]);
}

pub(crate) fn a_mistreated_replica() {
    let options = [
        ("cluster.quorum-type", "none"),
        ("cluster.self-heal-daemon", "off"),
        ("server.allow-insecure", "off"),
        ("features.shard", "on"),
        ("debug.delay-gen", "client"),
    ];
    let volume = Volume::start(&["replica", "3"], 3, &options);
    let before = doctor(&volume, &["--json"]);
    assert_eq!((before.code, before.json()["worst"].as_str()), (Some(1), Some("error")));
    let commands = doctor(&volume, &["--commands=cluster"]);
    says(
        &commands,
        1,
        &[
            "quorum-type auto",
            "self-heal-daemon on",
            "allow-insecure on",
            "lookup-optimize off",
            " reset ",
        ],
    );
    follow(&commands);
    says(&doctor(&volume, &[]), 0, &["ok: cluster.self-heal-daemon is on"]);
}

pub(crate) fn a_dead_brick() {
    let volume = Volume::start(&["replica", "3"], 3, &[]);
    follow(&doctor(&volume, &["--commands=cluster"]));
    volume.kill_brick(1);
    let brick = volume.on_brick(1, "");
    let named = format!(
        "warning: brick {HOST}:{} does not run",
        brick.display().to_string().trim_end_matches('/')
    );
    eventually("glusterd has noticed", || doctor(&volume, &[]).out.contains(&named));
    follow(&doctor(&volume, &["--commands=cluster"]));
    eventually("the brick runs", || doctor(&volume, &[]).code == Some(0));
}

pub(crate) fn without_glusters_tool() {
    let volume = Volume::start(&["replica", "3"], 3, &[("cluster.eager-lock", "off")]);
    let mut doctor = command(&["doctor", "--root", "/nonexistent", &place(&volume, "d0.img")]);
    let said =
        Said::of(doctor.env("PATH", "/nonexistent").output().unwrap(), std::time::Duration::ZERO);
    says(&said, 1, &["not checked", "server.tcp-user-timeout", "apt-get install -y glusterfs-cli"]);
    // The client's part of the volume is known all the same.
    says(&said, 1, &["note: cluster.eager-lock is off", "3 replicas"]);
}

pub(crate) fn a_silent_server() {
    let volume = Volume::start(&["replica", "3"], 3, &[]);
    let place = format!("{}@{NOWHERE}/d0.img;server={HOST}", volume.name);
    let said = run(&["doctor", "--root", "/nonexistent", &place]);
    says(&said, 1, &["warning: server.tcp-user-timeout is 42"]);
    assert!(said.took.as_secs() < 15, "{said:?}");
}

pub(crate) fn a_missing_volume() {
    let volume = Volume::start(&[], 1, &[]);
    let missing = format!("{}x@{HOST}/d0.img", volume.name);
    run(&["doctor", "--root", "/nonexistent", &missing]).failed(&["knows no volume"]);
    run(&["doctor", "--root", "/nonexistent"]).well("0 warnings");
}
