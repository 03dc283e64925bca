// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! `tcmu-glfs create`, and what `info` says of the outcome.

use std::fs;
use std::os::unix::fs::FileExt as _;

use serde_json::json;

use crate::cluster::Volume;
use crate::small_brick::SmallBrick;
use crate::support::{Mount, place, plain, run};

const MIB: u64 = 1 << 20;
const SIZE: u64 = 48 * MIB;

/// Data with holes, zeros and odd ends: offsets, lengths, and what.
const PIECES: [(u64, usize, u8); 6] = [
    (0, 512, 1),
    (5 * MIB - 512, 1024, 2),
    (8 * MIB, 3 << 20, 3),
    (20 * MIB, 2 << 20, 0),
    (31 * MIB, 4096, 4),
    (SIZE - 512, 512, 5),
];

/// What an image has that is not all of one kind.
fn write_source(mount: &Mount, image: &str) {
    let file = fs::File::options().create_new(true).write(true).open(mount.path(image)).unwrap();
    file.set_len(SIZE).unwrap();
    for (offset, len, byte) in PIECES {
        file.write_all_at(&vec![byte; len], offset).unwrap();
    }
    file.sync_all().unwrap();
}

/// Creates images of all kinds. `expected` is what the volume says of its layout.
fn all_kinds(volume: &Volume, expected: &serde_json::Value) {
    let mount = Mount::new(volume);
    let (sparse, thick) = (place(volume, "sparse.img"), place(volume, "thick.img"));
    run(&["create", &sparse, "--size", "10G"]).well("created, 10.00 GiB (10737418240 bytes)");
    let info = run(&["info", "--json", &sparse]).well("").json();
    assert_eq!(info["size_bytes"], json!(10_u64 << 30));
    assert!(info["allocated_bytes"].as_u64().unwrap() < MIB, "{info}");
    assert_eq!(info["writable"], json!(true));
    assert_eq!(&info["layout"], expected);
    assert_eq!(info["fencing"], json!("impossible"));

    run(&["create", &thick, "--size", "32M", "--preallocate"])
        .well("created, 32.00 MiB (33554432 bytes), allocated");
    let info = run(&["info", "--json", &thick]).well("").json();
    assert!(info["allocated_bytes"].as_u64().unwrap() >= 32 * MIB, "{info}");
    assert!(mount.read("thick.img") == vec![0; 32 << 20], "not zeros");

    write_source(&mount, "source.img");
    let (source, copy) = (place(volume, "source.img"), place(volume, "copy.img"));
    run(&["create", &copy, "--from", &source]).well("created, 48.00 MiB");
    assert!(mount.read("copy.img") == mount.read("source.img"), "the copy differs");
    let info = run(&["info", "--json", &copy]).json();
    assert!(info["allocated_bytes"].as_u64().unwrap() < 8 * MIB, "holes are left out: {info}");

    let larger = place(volume, "larger.img");
    run(&["create", &larger, "--from", &source, "--size", "64M"]).well("created, 64.00 MiB");
    let found = mount.read("larger.img");
    let (first, rest) = found.split_at(48 << 20);
    assert!(
        first == mount.read("source.img") && rest == vec![0; 16 << 20],
        "the larger copy differs"
    );
    run(&["create", &place(volume, "no.img"), "--from", &source, "--size", "1M"])
        .failed(&["--size is less than"]);
}

fn layout(bricks: u32, replicas: u32, dispersed: u32, shard: Option<u64>) -> serde_json::Value {
    json!({
        "bricks": bricks, "replicas": replicas, "arbiters": 0, "dispersed": dispersed,
        "redundancy": u32::from(dispersed > 0), "shard_bytes": shard,
    })
}

pub(crate) fn single() {
    all_kinds(&Volume::start(&[], 1, &[]), &layout(1, 0, 0, None));
}

pub(crate) fn replica() {
    let volume = Volume::start(&["replica", "3"], 3, &[]);
    all_kinds(&volume, &layout(3, 3, 0, None));
    for image in ["copy.img", "thick.img"] {
        let first = fs::read(volume.on_brick(0, image)).unwrap();
        assert!(
            (1..3).all(|brick| fs::read(volume.on_brick(brick, image)).unwrap() == first),
            "{image} differs"
        );
    }
}

pub(crate) fn disperse() {
    all_kinds(
        &Volume::start(&["disperse", "3", "redundancy", "1"], 3, &[]),
        &layout(3, 0, 3, None),
    );
}

pub(crate) fn sharded() {
    let volume =
        Volume::start(&[], 1, &[("features.shard", "on"), ("features.shard-block-size", "4MB")]);
    all_kinds(&volume, &layout(1, 0, 0, Some(4 * MIB)));
}

pub(crate) fn existing() {
    let volume = plain();
    let image = place(volume, "existing.img");
    run(&["create", &image, "--size", "1M"]).well("created");
    fs::write(volume.on_brick(0, "existing.img"), "precious").unwrap();
    for options in [&["--size", "2M"][..], &["--size", "2M", "--preallocate"], &["--from", &image]]
    {
        run(&[&["create", &image], options].concat()).failed(&["exists already"]);
    }
    assert_eq!(fs::read(volume.on_brick(0, "existing.img")).unwrap(), b"precious");
}

pub(crate) fn folders() {
    let volume = plain();
    let image = place(volume, "tenants/one/disk.img");
    run(&["create", &image, "--size", "1M"]).failed(&["folder does not exist", "--parents"]);
    run(&["create", &image, "--size", "1M", "--parents"]).well("created");
    run(&["create", &place(volume, "tenants/one/second.img"), "--size", "1M", "--parents"])
        .well("created");
    run(&["info", &image]).well("1.00 MiB");
}

/// A brick on a small file system that knows no fallocate: zeros are written; what does not fit is
/// refused, or removed again.
pub(crate) fn small_brick() {
    let small = SmallBrick::mount("small");
    let source = plain();
    fs::write(Mount::new(source).path("big.img"), vec![6; 64 << 20]).unwrap();
    run(&["create", &small.place("huge.img"), "--size", "60M", "--preallocate"])
        .failed(&["not enough space"]);
    let said = run(&["create", &small.place("copy.img"), "--from", &place(source, "big.img")]);
    said.failed(&["writing at ", "ENOSPC", "is removed"]);
    let brick = small.brick();
    assert!(!brick.join("copy.img").exists() && !brick.join("huge.img").exists());

    run(&["create", &small.place("disk.img"), "--size", "9M", "--preallocate"]).well("allocated");
    let info = run(&["info", "--json", &small.place("disk.img")]).json();
    assert_eq!(info["size_bytes"], json!(9 * MIB));
    assert!(info["allocated_bytes"].as_u64().unwrap() >= 9 * MIB, "{info}");
}
