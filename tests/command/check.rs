// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! `tcmu-glfs check`.

use std::fs;
use std::sync::LazyLock;
use std::time::Duration;

use serde_json::json;

use crate::cluster::{HOST, NOWHERE, Volume, gluster};
use crate::support::{Said, command, place, run};

/// An address of the node that nobody listens on is one with a port that nobody has.
const NOBODY: &str = "24999";

/// A volume, which is not changed, with an image.
fn volume_with_image() -> &'static (Volume, String) {
    static SHARED: LazyLock<(Volume, String)> = LazyLock::new(|| with_image(&["replica", "3"], 3));
    &SHARED
}

fn with_image(layout: &[&str], bricks: usize) -> (Volume, String) {
    let volume = Volume::start(layout, bricks, &[]);
    let image = place(&volume, "disk.img");
    run(&["create", &image, "--size", "1G"]).well("created");
    (volume, image)
}

pub(crate) fn well() {
    let (_volume, image) = volume_with_image();
    let said = run(&["check", image]).well(&format!("ok: {HOST}:24007 answers\n"));
    let said =
        said.well(": 3 replicas\n").well("ok: the image opens: 1.00 GiB (1073741824 bytes), ");
    let said = said.well(
        "warning: it cannot be fenced: it needs the volume options locks.mandatory-locking forced",
    );
    assert!(!said.out.contains('\x1b') && said.err.is_empty(), "{said:?}");
    // As the kernel has it.
    run(&["check", &format!("glfs/{image};server=10.77.99.7")])
        .well("ok: 10.77.99.7:24007 answers");
    let found = run(&["check", "--json", image]).well("").json();
    assert_eq!((&found["worst"], &found["subject"]), (&json!("warning"), &json!(image)));
    let about: Vec<_> = found["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["about"].as_str().unwrap())
        .collect();
    let areas = ["configuration", "server", "server", "volume", "bricks", "size", "fencing", "tls"];
    assert_eq!(about, areas);
    assert_eq!(found["schema"], "tcmu-glfs.check/1");
    run(&["check", &format!("{image};fence=required")])
        .failed(&["fence=required, and it cannot be fenced"]);
    run(&["check", &format!("{image};cahce=none")])
        .wrong(&["Unknown key \"cahce\"; did you mean cache?", "VOLUME@HOST/PATH[;KEY=VALUE]"]);
    let document = run(&["check", "--json", &format!("{image};cahce=none")]).json();
    assert_eq!(
        (&document["schema"], &document["exit_status"]),
        (&json!("tcmu-glfs.error/1"), &json!(2))
    );
}

pub(crate) fn missing() {
    let (volume, image) = with_image(&[], 1);
    let said = run(&["check", &format!("nosuchvolume@{HOST}/disk.img")]);
    said.failed(&["knows no volume of this name", "gluster volume list"]);
    run(&["check", &place(&volume, "nosuch.img")]).failed(&["no such file", "tcmu-glfs create"]);
    run(&["check", &place(&volume, ".shard")]).failed(&["error: "]);
    gluster(&["volume", "stop", &volume.name]);
    run(&["check", &image]).failed(&["is the volume started?"]);
}

pub(crate) fn servers() {
    let (volume, image) = volume_with_image();
    let several = format!("{}@{NOWHERE}/disk.img;server={HOST};server=10.77.98.3", volume.name);
    let said = run(&["check", &several]).well(&format!("ok: {HOST}:24007 answers\n"));
    let said = said.well(&format!("warning: {NOWHERE}:24007 does not answer: "));
    said.well("warning: 10.77.98.3:24007 does not answer: ").well("ok: the image opens");
    let none = format!("{image};server=10.77.99.8;port={NOBODY}");
    let said = run(&["check", &none])
        .failed(&["no server answers", "10.77.99.8:24999: Connection refused"]);
    assert_eq!(said.out.matches("error: ").count(), 1, "{said:?}");
}

pub(crate) fn bounded() {
    let (volume, _) = volume_with_image();
    for command in [&["check"][..], &["info"], &["resize", "--size", "+1G"]] {
        let silent = format!("{}@{NOWHERE}/disk.img;open-timeout=1", volume.name);
        let said = run(&[command, &[&silent]].concat()).failed(&["error: "]);
        assert!(said.took < Duration::from_secs(4), "{said:?}");
    }
}

pub(crate) fn read_only() {
    let (volume, image) = with_image(&[], 1);
    gluster(&["volume", "set", &volume.name, "features.read-only", "on"]);
    run(&["check", &image])
        .well("ok: its brick is connected")
        .well("warning: the volume lets this host change nothing");
    run(&["check", &format!("{image};access=ro")]).well("note: the LUN is read-only (access=ro)");
    run(&["check", &format!("{image};access=rw")]).failed(&["access=rw asks for it"]);
    assert_eq!(run(&["info", "--json", &image]).json()["writable"], json!(false));
    run(&["resize", &image, "--size", "+1G"]).failed(&["EROFS"]);
    run(&["create", &place(&volume, "new.img"), "--size", "1G"])
        .failed(&["could not be created: EROFS", "the volume is read-only"]);
}

pub(crate) fn degraded() {
    let (volume, image) = with_image(&["replica", "3"], 3);
    run(&["check", &image]).well("ok: all 3 bricks are connected");
    volume.kill_brick(2);
    run(&["check", &image]).well("warning: only 2 of 3 bricks are connected").well("volume status");
}

pub(crate) fn hints() {
    run(&["check", &format!("vol@{HOST}:24007/a.img")])
        .wrong(&["not after HOST: ", "/a.img;port=24007"]);
    run(&["check", &format!("gluster://{HOST}/vol/a.img")])
        .wrong(&[&format!("write vol@{HOST}/a.img")]);
    run(&["info", "vol@fd00::1/a.img"]).wrong(&["vol@fd00%3A%3A1/a.img"]);
}

pub(crate) fn tls() {
    let (volume, image) = with_image(&[], 1);
    gluster(&["volume", "set", &volume.name, "client.ssl", "on"]);
    run(&["check", &image]).failed(&[
        "the bricks do not",
        "libgfapi's log says: ",
        "could not load our cert",
    ]);
}

pub(crate) fn site_file() {
    let (_volume, image) = volume_with_image();
    let file = tempfile::NamedTempFile::new().unwrap();
    let check = |text: &str, image: &str| {
        fs::write(file.path(), text).unwrap();
        let output =
            command(&["check", image]).env("TCMU_GLFS_CONFIG", file.path()).output().unwrap();
        Said::of(output, Duration::ZERO)
    };
    let said = check("[defaults]\ncache = \"on\"\n", image);
    let said =
        said.well("warning: the site file has a mistake, and its last valid version is in use");
    said.well(":2:")
        .well("cache=on: expected none, writeback or through")
        .well("ok: the image opens");
    let profile = format!("{image};profile=strict");
    check("[profile.strict]\nfence = \"required\"\n", &profile)
        .failed(&["fence=required, and it cannot be fenced"]);
    check("[profile.other]\nfence = \"off\"\n", &profile).wrong(&["strict"]);
    check("[defaults]\nfence = \"off\"\n", image).well("not fenced (fence=off)");
}
