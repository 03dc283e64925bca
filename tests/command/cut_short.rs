// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Commands that are cut short, by a brick that dies under them or by Ctrl-C: they end in time, and
//! leave nothing behind that they do not name.

use std::fs;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::bad_input::{COMMANDS, files, source};
use crate::cluster::{HOST, NOWHERE, Volume};
use crate::support::{Said, command, eventually, place, run};

/// Starts a command that has bytes to move to a slow brick, waits until it is at work, strikes, and
/// returns what it said and how many files were left in its temporary directory.
fn struck(arguments: &[&str], volume: &Volume, strike: impl FnOnce(&Child)) -> (Said, usize) {
    let temporary = TempDir::new().unwrap();
    let mut command = command(arguments);
    command.env("TMPDIR", temporary.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let before = files(&volume.on_brick(0, ""));
    let begin = Instant::now();
    let child = command.spawn().unwrap();
    eventually("it is at work", || files(&volume.on_brick(0, "")) != before);
    strike(&child);
    let said = Said::of(child.wait_with_output().unwrap(), begin.elapsed());
    (said, fs::read_dir(temporary.path()).unwrap().count())
}

fn slow() -> Volume {
    let delay = [
        ("debug.delay-gen", "posix"),
        ("delay-gen.delay-percentage", "100"),
        ("delay-gen.delay-duration", "500000"),
        ("delay-gen.enable", "write"),
    ];
    Volume::start(&[], 1, &delay)
}

/// The brick dies under them. What could not be removed is named, with what removes it; and that
/// does, when the brick is back.
pub(crate) fn half_way() {
    let from = source();
    for (name, arguments, leftover) in [
        ("copy", &["create", "--from", &from][..], "the incomplete image could not be removed"),
        ("bench", &["bench", "--size", "64"], "could not be removed"),
    ] {
        let volume = slow();
        let image = place(&volume, "half.img");
        let arguments = [arguments, &[&image]].concat();
        let (said, left) = struck(&arguments, &volume, |_| volume.kill_brick(0));
        let remove = format!("tcmu-glfs remove {}@{HOST}/", volume.name);
        assert!(said.err.contains(&remove), "{name}: {said:?}");
        assert_eq!(said.err.matches("error: ").count(), 1, "{name}: {said:?}");
        assert_eq!(left, 0, "{name}: files are left on this host");
        let took = said.took;
        said.failed(&["ENOTCONN", leftover]);
        assert!(took < Duration::from_secs(45), "{name}: {took:?}");

        volume.restart_bricks();
        let brick = volume.on_brick(0, "");
        let names = |path: String| path.rsplit_once('/').unwrap().1.to_owned();
        for leftover in files(&brick).into_iter().map(names) {
            eventually("the leftover is removed", || {
                run(&["remove", &place(&volume, &leftover)]).code == Some(0)
            });
        }
        assert_eq!(files(&brick), Vec::<String>::new());
    }
}

/// Ctrl-C ends a command that waits, at once, and one that has something to clear away, after that.
pub(crate) fn interrupted() {
    let strike = |child: &Child| {
        kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGINT).unwrap();
    };
    let (from, volume) = (source(), slow());
    let image = place(&volume, "half.img");
    for arguments in [&["create", "--from", &from, &image][..], &["bench", "--size", "64", &image]]
    {
        let (said, left) = struck(arguments, &volume, strike);
        assert_eq!((left, files(&volume.on_brick(0, ""))), (0, vec![]), "{said:?}");
        said.failed(&["interrupted"]);
    }
    let silent = format!("{}@{NOWHERE}/a.img;open-timeout=20", volume.name);
    for (name, arguments) in COMMANDS {
        let temporary = TempDir::new().unwrap();
        let arguments: Vec<&str> =
            arguments.iter().map(|&word| if word == "FROM" { &from } else { word }).collect();
        let mut command = command(&[&arguments[..], &[&silent]].concat());
        command.env("TMPDIR", temporary.path()).stdout(Stdio::null());
        let mut child = command.spawn().unwrap();
        std::thread::sleep(Duration::from_secs(1));
        strike(&child);
        let begin = Instant::now();
        child.wait().unwrap();
        assert!(begin.elapsed() < Duration::from_secs(2), "{name}: {:?}", begin.elapsed());
        assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0, "{name}");
    }
}
