// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Images that the bricks keep for one owner.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use nix::fcntl::{FcntlArg, fcntl};
use serde_json::json;

use crate::cluster::Volume;
use crate::support::{Mount, place, run, set_attribute};

const ENFORCING: [(&str, &str); 2] =
    [("locks.mandatory-locking", "forced"), ("features.enforce-mandatory-lock", "on")];

/// A volume with a fenced image.
pub(crate) fn fenced(layout: &[&str], bricks: usize) -> (Volume, Mount) {
    let volume = Volume::start(layout, bricks, &ENFORCING);
    run(&["create", &place(&volume, "disk.img"), "--size", "16M"]).well("created");
    run(&["check", &place(&volume, "disk.img")]).well("ok: it can be fenced");
    let mount = Mount::new(&volume);
    let file = File::options().write(true).open(mount.path("disk.img")).unwrap();
    file.write_all_at(&[9; 4096], 4096).unwrap();
    drop(file);
    set_attribute(&mount.path("disk.img"), "trusted.glusterfs.enforce-mandatory-lock", "1");
    (volume, mount)
}

/// Owns a file as a gateway does: with a lock over all of it.
pub(crate) fn own(path: &Path) -> File {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let all = libc::flock {
        l_type: libc::F_WRLCK.try_into().unwrap(),
        l_whence: libc::SEEK_SET.try_into().unwrap(),
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    fcntl(&file, FcntlArg::F_SETLK(&all)).unwrap();
    set_attribute(path, "trusted.tcmu-glfs.owner", "gateway1 4711 12");
    file
}

pub(crate) fn in_use() {
    for (layout, bricks) in
        [(&[][..], 1), (&["replica", "3"], 3), (&["disperse", "3", "redundancy", "1"], 3)]
    {
        let (volume, mount) = fenced(layout, bricks);
        let image = place(&volume, "disk.img");
        let _held = own(&mount.path("disk.img"));
        run(&["check", &image])
            .well("note: it is in use, and owned by gateway1, process 4711")
            .well("ok: it is fenced");
        run(&["check", &format!("{image};fence=off")]).failed(&["the bricks refuse this LUN"]);
        let info = run(&["info", "--json", &image]).well("").json();
        assert_eq!(
            (&info["fencing"], &info["owner"]),
            (&json!("active"), &json!("gateway1, process 4711"))
        );
        run(&["resize", &image, "--size", "+1M"]).well("-> 17.00 MiB");
        run(&["create", &place(&volume, "copy.img"), "--from", &image])
            .failed(&["is owned by gateway1", "snapshot"]);
        // Nobody has taken the lock from its owner.
        run(&["check", &image]).well("owned by gateway1, process 4711");
    }
}

pub(crate) fn free() {
    let (volume, mount) = fenced(&["replica", "3"], 3);
    let image = place(&volume, "disk.img");
    run(&["check", &image]).well("ok: it is fenced, and no gateway owns it now");
    run(&["create", &place(&volume, "copy.img"), "--from", &image]).well("created");
    let copy = mount.read("copy.img");
    assert!(
        copy.len() == 16 << 20
            && copy[4096..8192] == [9; 4096]
            && copy[8192..].iter().all(|&byte| byte == 0)
    );
    run(&["check", &image]).well("no gateway owns it now");
    run(&["resize", &image, "--size", "17M"]).well("-> 17.00 MiB");
}
