// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Every command against everything that can be wrong with a place: one sentence with the next
//! step, the right exit status, and nothing left behind, neither on the bricks nor on this host.

use std::fs;
use std::path::Path;
use std::process::Output;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::cluster::{HOST, NOWHERE, Volume, gluster};
use crate::small_brick::SmallBrick;
use crate::support::{Mount, Said, command, eventually, place, plain, run};

/// The commands that look at a place on a volume. `FROM` stands for an image that can be copied.
pub(crate) const COMMANDS: [(&str, &[&str]); 11] = [
    ("check", &["check"]),
    ("doctor", &["doctor", "--root", "/nonexistent"]),
    ("info", &["info"]),
    ("list", &["list"]),
    ("create", &["create", "--size", "1M"]),
    ("preallocate", &["create", "--size", "32M", "--preallocate"]),
    ("copy", &["create", "--from", "FROM"]),
    ("resize", &["resize", "--size", "+1M"]),
    ("remove", &["remove"]),
    ("unfence", &["unfence"]),
    ("bench", &["bench", "--size", "16", "--seconds", "1"]),
];

/// What a command is to say: its exit status, and words of its sentence. `Skip` leaves it out.
#[derive(Debug, Clone, Copy)]
enum Expected {
    Well,
    Fails(i32, &'static str),
    /// Exit status 1, for a finding that is no error.
    Finds(&'static str),
    Skip,
}
use Expected::{Fails, Finds, Skip, Well};

/// The 80 MiB that are copied: more than a small brick has.
pub(crate) fn source() -> String {
    const NAME: &str = "bad-input-source.img";
    static MADE: LazyLock<()> =
        LazyLock::new(|| fs::write(Mount::new(plain()).path(NAME), vec![6; 80 << 20]).unwrap());
    LazyLock::force(&MADE);
    place(plain(), NAME)
}

/// All files below a brick that are not Gluster's own.
pub(crate) fn files(brick: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(brick).into_iter().flatten() {
        let path = entry.unwrap().path();
        // Its bricks and its self-heal daemon have folders of their own.
        if path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".glusterfs")) {
            continue;
        }
        if path.is_dir() {
            found.extend(files(&path));
        }
        found.push(path.display().to_string());
    }
    found.sort();
    found
}

/// Runs every command on `image`; `exceptions` are those that do not say `usual`.
fn table(image: &str, brick: &Path, usual: Expected, exceptions: &[(&str, Expected)]) {
    let from = source();
    let mut wrong = Vec::new();
    for (name, arguments) in COMMANDS {
        let exception = exceptions.iter().find(|(exception, _)| *exception == name);
        let expected = exception.map_or(usual, |(_, expected)| *expected);
        if matches!(expected, Skip) {
            continue;
        }
        let before = files(brick);
        let arguments: Vec<&str> =
            arguments.iter().map(|&word| if word == "FROM" { &from } else { word }).collect();
        let temporary = TempDir::new().unwrap();
        let begin = Instant::now();
        let mut command = command(&[&arguments[..], &[image]].concat());
        let output: Output = command.env("TMPDIR", temporary.path()).output().unwrap();
        let said = Said::of(output, begin.elapsed());
        let left = fs::read_dir(temporary.path()).unwrap().count();
        if let Some(why) = mistake(&said, expected, left, &before, &files(brick)) {
            let files = files(brick);
            wrong.push(format!("{name} {image}: {why}: {said:?}, {before:?} -> {files:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} mistakes\n{}", wrong.len(), wrong.join("\n"));
}

fn mistake(
    said: &Said,
    expected: Expected,
    left: usize,
    before: &[String],
    after: &[String],
) -> Option<&'static str> {
    let text = format!("{}{}", said.out, said.err);
    let sentences = text.matches("error: ").count();
    let (code, words) = match expected {
        Well => (0, ""),
        Fails(code, words) => (code, words),
        Finds(words) => (1, words),
        Skip => return None,
    };
    let is_failure = matches!(expected, Fails(..));
    let checks = [
        (said.code != Some(code), "the exit status is wrong"),
        (!text.contains(words), "the words are missing"),
        (sentences != usize::from(is_failure), "it is not one sentence"),
        (text.contains("panicked") || text.contains('\x1b'), "a trace, or colours"),
        (left != 0, "files are left on this host"),
        (is_failure && before != after, "files are left on the volume, or lost"),
        (said.took > Duration::from_secs(45), "it took too long"),
    ];
    checks.into_iter().find_map(|(is_wrong, why)| is_wrong.then_some(why))
}

pub(crate) fn host() {
    let volume = Volume::start(&[], 1, &[]);
    let (brick, name) = (volume.on_brick(0, ""), &volume.name);
    let silent = format!("{name}@{NOWHERE}/a.img;open-timeout=1");
    table(&silent, &brick, Fails(1, "are server and bricks up"), &[]);
    let unknown = format!("{name}@nosuchhost.invalid/a.img;open-timeout=2");
    table(&unknown, &brick, Fails(1, "no server answers"), &[]);
    let refusing = format!("{name}@{HOST}/a.img;port=24999;open-timeout=2");
    table(&refusing, &brick, Fails(1, "Connection refused"), &[]);
}

pub(crate) fn volume() {
    let volume = Volume::start(&[], 1, &[]);
    let brick = volume.on_brick(0, "");
    let unknown = format!("{}x@{HOST}/a.img", volume.name);
    table(&unknown, &brick, Fails(1, "gluster volume list"), &[]);
}

pub(crate) fn image() {
    let volume = &Volume::start(&[], 1, &[]);
    let brick = volume.on_brick(0, "");
    run(&["create", &place(volume, "folder/x.img"), "--size", "1M", "--parents"]);
    let is_there = Fails(1, "exists already");
    table(
        &place(volume, "folder"),
        &brick,
        Fails(1, "name an image file"),
        &[
            ("doctor", Well),
            ("list", Well),
            ("create", is_there),
            ("preallocate", is_there),
            ("copy", is_there),
            ("bench", Well),
        ],
    );
    table(
        &place(volume, "nowhere/none.img"),
        &brick,
        Fails(1, "no such file"),
        &[
            ("doctor", Well),
            ("list", Fails(1, "no such directory")),
            ("create", Fails(1, "--parents")),
            ("preallocate", Fails(1, "--parents")),
            ("copy", Fails(1, "--parents")),
            ("bench", Fails(1, "tcmu-glfs list")),
        ],
    );
    table(
        &place(volume, "folder/x.img/y.img"),
        &brick,
        Fails(1, "check PATH"),
        &[("doctor", Well), ("list", Fails(1, "it is a file"))],
    );
}

pub(crate) fn names() {
    let volume = &Volume::start(&[], 1, &[]);
    let brick = volume.on_brick(0, "");
    let long = place(volume, &"x".repeat(300));
    table(&long, &brick, Fails(2, "bytes"), &[]);
    table(&place(volume, "a.img;fence"), &brick, Fails(2, "is not KEY=VALUE"), &[]);
    table("vol@h", &brick, Fails(2, "/PATH is missing"), &[("list", Skip)]);
    table("vol", &brick, Fails(2, "VOLUME@HOST"), &[]);
    table(&place(volume, "ä.img"), &brick, Fails(2, "write %C3%A4"), &[]);
    let image = place(volume, "%C3%A4%E6%BC%A2.img");
    run(&["create", &image, "--size", "1M"]).well("ä漢.img: created");
    run(&["list", &format!("{}@{HOST}", volume.name)]).well("ä漢.img");
    run(&["resize", &image, "--size", "2M"]).well("-> 2.00 MiB");
    run(&["check", &image]).well("ok: the image opens");
    run(&["remove", &image]).well("removed");
}

pub(crate) fn stopped() {
    let volume = Volume::start(&[], 1, &[]);
    let image = place(&volume, "disk.img");
    run(&["create", &image, "--size", "1M"]).well("created");
    gluster(&["volume", "stop", &volume.name]);
    table(&image, &volume.on_brick(0, ""), Fails(1, "started"), &[]);
}

pub(crate) fn without_quorum() {
    let volume = Volume::start(&["replica", "3"], 3, &[]);
    let image = place(&volume, "disk.img");
    run(&["create", &image, "--size", "1M"]).well("created");
    eventually("all bricks have it", || {
        (0..3).all(|brick| volume.on_brick(brick, "disk.img").exists())
    });
    volume.kill_brick(1);
    volume.kill_brick(2);
    let new = place(&volume, "new.img");
    let brick = volume.on_brick(0, "");
    let dead = ("doctor", Finds("does not run"));
    table(&image, &brick, Fails(1, "quorum"), &[dead]);
    table(&new, &brick, Fails(1, "quorum"), &[dead]);
}

pub(crate) fn read_only() {
    let volume = Volume::start(&[], 1, &[("features.read-only", "on")]);
    gluster(&["volume", "set", &volume.name, "features.read-only", "off"]);
    let image = place(&volume, "disk.img");
    run(&["create", &image, "--size", "1M"]).well("created");
    gluster(&["volume", "set", &volume.name, "features.read-only", "on"]);
    let brick = volume.on_brick(0, "");
    let is_there = Fails(1, "");
    table(
        &image,
        &brick,
        Fails(1, "features.read-only"),
        &[
            ("check", Well),
            ("info", Well),
            ("list", Fails(1, "it is a file")),
            ("create", is_there),
            ("preallocate", is_there),
            ("copy", is_there),
            ("unfence", Well),
        ],
    );
}

pub(crate) fn full() {
    let small = SmallBrick::mount("full");
    let image = small.place("disk.img");
    run(&["create", &image, "--size", "1G"]).well("created");
    small.fill();
    let (brick, full) = (small.brick(), Fails(1, "free"));
    table(
        &image,
        &brick,
        Well,
        &[
            ("list", Fails(1, "it is a file")),
            ("create", Fails(1, "exists already")),
            ("preallocate", full),
            ("copy", Fails(1, "exists already")),
            ("remove", Skip),
            ("bench", Fails(1, "--size")),
        ],
    );
    table(
        &small.place("new.img"),
        &brick,
        Skip,
        &[("preallocate", full), ("copy", Fails(1, "is removed"))],
    );
    run(&["remove", &image]).well("removed");
}
