// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! libgfapi's own log: where it goes, and what is in it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::Ordering;

use crate::site;
use support::faults::{ENDING, ENDLESS};
use support::runner::{Lun, OK, table};
use support::symbols::LOG_DIR;
use support::volume::LocalVolume;
use support::{eventually, log};

const MIB: u64 = 1 << 20;
const NAME: &str = "tcmu-runner-glfs.log";

/// The daemon's log directory is another one from now on.
fn move_to(folder: &Path) {
    folder.to_str().unwrap().clone_into(&mut LOG_DIR.lock().unwrap());
    // SAFETY: as the daemon does, when its configuration has changed.
    assert!(unsafe { (table().update_logdir)() });
}

fn len(file: &Path) -> u64 {
    fs::metadata(file).map_or(0, |found| found.len())
}

pub fn moves() {
    site::write("[defaults]\nlog-level = \"trace\"\n");
    let folders = [(); 2].map(|()| tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap());
    let [first, second] = folders.each_ref().map(|folder| folder.path().join(NAME));
    let volume = LocalVolume::new();
    volume.image("moves.img", MIB);
    move_to(folders[0].path());
    let lun = Lun::opened(&volume.cfgstring("moves.img", ";connection=own"), MIB);
    assert!(len(&first) > 0, "from the beginning");

    move_to(folders[1].path());
    eventually("the new file is there", || lun.flush() == OK && second.exists());
    let before = len(&first);
    eventually("and is written to", || {
        lun.write(0, &[1; 512]) == OK && lun.flush() == OK && len(&second) > 0
    });
    assert_eq!(len(&first), before, "and the old one is not");

    // As tcmu-runner's logrotate snippet does it.
    let rotated = second.with_extension("log.1");
    fs::rename(&second, &rotated).unwrap();
    eventually("there is a file of that name again", || lun.flush() == OK && second.exists());
    eventually("and it is written to", || {
        lun.write(0, &[1; 512]) == OK && lun.flush() == OK && len(&second) > 0
    });
    assert_ne!(fs::metadata(&rotated).unwrap().ino(), fs::metadata(&second).unwrap().ino());

    // As Gluster's own does it, by copytruncate: what is written next begins the file.
    fs::File::options().write(true).open(&second).unwrap().set_len(0).unwrap();
    eventually("it is written to", || {
        lun.write(0, &[1; 512]) == OK && lun.flush() == OK && len(&second) > 0
    });
    assert!(!fs::read(&second).unwrap().contains(&0), "a hole");
    site::write("");
    drop(lun);
    *LOG_DIR.lock().unwrap() = String::new();
}

pub fn goes_on() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let volume = LocalVolume::new();
    volume.image("goes.img", MIB);
    volume.image("stays.img", MIB);
    let goes = Lun::opened(&volume.cfgstring("goes.img", ";connection=own"), MIB);
    let stays = Lun::opened(&volume.cfgstring("stays.img", ";connection=own"), MIB);
    eventually("earlier tests' connections are gone", || ENDING.load(Ordering::SeqCst) == 0);
    ENDLESS.store(true, Ordering::SeqCst);
    drop(goes);
    eventually("the connection of the one is being ended", || ENDING.load(Ordering::SeqCst) > 0);
    move_to(folder.path());
    eventually("that of the other logs elsewhere", || {
        stays.flush() == OK && folder.path().join(NAME).exists()
    });
    ENDLESS.store(false, Ordering::SeqCst);
    LOG_DIR.lock().unwrap().clear();
}

pub fn level() {
    site::write("");
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let file = folder.path().join(NAME);
    move_to(folder.path());
    let volume = LocalVolume::new();
    volume.image("gfapi-level.img", MIB);
    let lun = Lun::opened(&volume.cfgstring("gfapi-level.img", ";connection=own"), MIB);
    let debug_lines = || {
        assert_eq!((lun.write(0, &[1; 512]), lun.flush()), (OK, OK));
        fs::read_to_string(&file)
            .unwrap()
            .lines()
            .filter(|line| line.contains("] D [") || line.contains("] T ["))
            .count()
    };
    assert_eq!(debug_lines(), 0, "warning is the default");
    let connections = || log::lines("Volume local: connected").len();
    let before = connections();
    site::write("[defaults]\nlog-level = \"trace\"\n");
    eventually("it is detailed", || debug_lines() > 0);
    site::write("");
    let last = std::cell::Cell::new(debug_lines());
    eventually("it is not any more", || {
        std::thread::sleep(std::time::Duration::from_millis(100));
        debug_lines() == last.replace(debug_lines())
    });
    assert_eq!(connections(), before, "a new connection");
    drop(lun);
    *LOG_DIR.lock().unwrap() = String::new();
}
