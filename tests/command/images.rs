// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! `tcmu-glfs list`, `remove`, `unfence`, and what all commands say to bad input.

use std::fs;

use serde_json::json;
use tempfile::TempDir;

use crate::cluster::{HOST, Volume};
use crate::fenced::{fenced, own};
use crate::support::{eventually, place, plain, run};

/// A host whose kernel has these LUNs: name, configuration string.
fn host(luns: &[(&str, &str)]) -> (TempDir, String) {
    let root = TempDir::new().unwrap();
    for (number, (name, cfgstring)) in luns.iter().enumerate() {
        let folder = format!("sys/kernel/config/target/core/user_{number}/{name}/attrib");
        let folder = root.path().join(folder);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("dev_config"), format!("glfs/{cfgstring}")).unwrap();
    }
    let path = root.path().to_str().unwrap().to_owned();
    (root, path)
}

pub(crate) fn listed() {
    let volume = Volume::start(&[], 1, &[]);
    let directory = format!("{}@{HOST}", volume.name);
    run(&["list", &directory]).well("no images");
    run(&["create", &place(&volume, "b.img"), "--size", "2G"]).well("created");
    run(&["create", &place(&volume, "dir/a.img"), "--size", "1M", "--parents"]).well("created");
    let (_root, root) = host(&[("d0", &place(&volume, "b.img"))]);
    let said = run(&["list", &directory, "--root", &root]).well("NAME").well("dir/");
    let line = said.out.lines().find(|line| line.starts_with("b.img")).unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    assert!(words[1..3] == ["2", "GiB"] && words.last() == Some(&"d0"), "{said:?}");
    let document = run(&["list", "--json", &format!("{directory}/dir;open-timeout=5")]).json();
    assert_eq!(document["schema"], "tcmu-glfs.list/1");
    let image = &document["images"][0];
    assert_eq!((&image["name"], &image["size_bytes"]), (&json!("a.img"), &json!(1 << 20)));
    run(&["list", &format!("{directory}/none")]).failed(&["no such directory"]);
    run(&["list", &format!("{directory}/b.img")]).failed(&["it is a file"]);
}

pub(crate) fn in_use() {
    let (volume, mount) = fenced(&["replica", "3"], 3);
    let image = place(&volume, "disk.img");
    {
        let _held = own(&mount.path("disk.img"));
        run(&["remove", &image]).failed(&["not removed: it is owned by gateway1"]);
        run(&["unfence", &image]).failed(&["not unfenced: it is owned by gateway1"]);
        run(&["list", &format!("{}@{HOST}", volume.name)]).well("gateway1, process 4711");
    }
    let (_root, root) = host(&[("d0", &image)]);
    let served = "LUN d0 of this host";
    run(&["remove", &image, "--root", &root]).failed(&[served, "delete the LUN first"]);
    run(&["unfence", &image, "--root", &root]).failed(&[served]);
    let copy = place(&volume, "copy.img");
    run(&["create", &copy, "--from", &image, "--root", &root]).failed(&[
        served,
        "--force",
        ".snaps/NAME/disk.img",
    ]);
    assert!(!mount.path("copy.img").exists());
    run(&["create", &copy, "--from", &image, "--root", &root, "--force"]).well("created");
}

pub(crate) fn removed() {
    let (volume, mount) = fenced(&[], 1);
    let image = place(&volume, "disk.img");
    run(&["unfence", &image]).well("unfenced");
    run(&["check", &image]).well("ok: it can be fenced");
    run(&["unfence", &image]).well("is not fenced");
    run(&["remove", &image]).well("removed");
    // The mount knows its names for a second.
    eventually("it is gone", || !mount.path("disk.img").exists());
    run(&["remove", &image]).failed(&["no such file"]);
}

pub(crate) fn overcommitted() {
    let image = place(plain(), "huge.img");
    let said = run(&["create", &image, "--size", "9T"]).well("created, 9.00 TiB");
    assert!(said.err.contains("note: the volume has only "), "{said:?}");
    let small = run(&["create", &place(plain(), "small.img"), "--size", "1M"]).well("created");
    assert_eq!(small.err, "");
}

pub(crate) fn two_luns() {
    let volume = plain();
    let image = place(volume, "twice.img");
    run(&["create", &image, "--size", "1M"]).well("created");
    let (_root, root) = host(&[("d0", &image), ("d1", &format!("{image};fence=off"))]);
    run(&["check", &image, "--root", &root]).failed(&["LUNs d0, d1 of this host all serve"]);
    let (_root, root) = host(&[("d0", &image)]);
    run(&["check", &image, "--root", &root]).well("note: LUN d0 of this host serves the image");
}
