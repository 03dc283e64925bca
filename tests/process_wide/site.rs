// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The site file, as the daemon meets with it.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::sync::atomic::Ordering;

use tempfile::TempDir;

use support::runner::{Lun, check};
use support::volume::LocalVolume;
use support::{eventually, log};

const MIB: u64 = 1 << 20;

static FOLDER: Mutex<Option<TempDir>> = Mutex::new(None);

const VARIABLES: [&str; 2] = ["TCMU_GLFS_CONFIG", "TCMU_GLFS_STATE"];

/// Points the plugin at a site file of the tests' own, while the process has one thread. The daemon
/// that is restarted finds it so.
pub fn prepare() {
    if VARIABLES.iter().any(|variable| std::env::var_os(variable).is_some()) {
        return;
    }
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    for (variable, name) in VARIABLES.into_iter().zip(["glfs.toml", "state"]) {
        // SAFETY: no other thread is there to read the environment.
        unsafe { std::env::set_var(variable, folder.path().join(name)) };
    }
    *FOLDER.lock().unwrap() = Some(folder);
}

/// Statics are not dropped.
pub fn tidy() {
    drop(FOLDER.lock().unwrap().take());
}

fn in_folder(name: &str) -> PathBuf {
    FOLDER.lock().unwrap().as_ref().unwrap().path().join(name)
}

pub fn file() -> PathBuf {
    in_folder("glfs.toml")
}

fn kept() -> PathBuf {
    in_folder("state/glfs.toml")
}

/// Puts another file in the place of the one there is, as editors do: with another inode.
pub fn write(text: &str) {
    let new = file().with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, file()).unwrap();
}

/// Whether initiators of a LUN are told that it is read-only.
fn is_protected(cfgstring: &str) -> bool {
    let lun = Lun::opened(cfgstring, MIB);
    lun.device.write_protect.load(Ordering::SeqCst)
}

/// A volume whose layout a profile knows, and a cfgstring.
fn volume(image: &str) -> (LocalVolume, String, String) {
    let volume = LocalVolume::new();
    volume.image(image, MIB);
    let cfgstring = format!("glfs/local@here/{};profile=it", volume.path(image));
    let profile = format!("[profile.it]\nvolfile = \"{}\"\n", volume.volfile.display());
    (volume, cfgstring, profile)
}

pub fn applied() {
    let (_volume, cfgstring, profile) = volume("applied.img");
    write(&profile);
    assert!(!is_protected(&cfgstring));
    write(&format!("{profile}access = \"ro\""));
    assert!(is_protected(&cfgstring), "the next open");
    assert!(!is_protected(&format!("{cfgstring};access=rw")), "the cfgstring comes first");
    write(&format!("[defaults]\naccess = \"ro\"\n{profile}"));
    assert!(is_protected(&cfgstring), "from the defaults");
}

pub fn unknown_profile() {
    write("[profile.fast]\n[profile.safe]\n");
    let expected =
        format!("profile=slow: {} has no [profile.slow]; it has fast, safe", file().display());
    assert_eq!(check("glfs/v@h/d;profile=slow"), Some(expected.clone()));
    assert_eq!(check("glfs/v@h/d;profile=fast"), None);
    assert!(Lun::new("glfs/v@h/unknown-profile;profile=slow", MIB, 512).open() < 0);
    // Paths of the machine it runs on may make it too long for a line.
    let lines = log::lines("").join(" ").replace("error: ", "");
    assert!(lines.contains(&expected), "{lines}");
}

pub fn broken() {
    let (_volume, cfgstring, profile) = volume("broken.img");
    write(&format!("{profile}access = \"ro\""));
    assert!(is_protected(&cfgstring));
    for (mistake, place) in [
        ("access = \"or\"", "glfs.toml:3:10: access=or: expected auto, rw or ro"),
        ("[", "glfs.toml:3:2: not TOML"),
    ] {
        write(&format!("{profile}{mistake}"));
        for _ in 0..5 {
            assert!(is_protected(&cfgstring), "what was right last");
        }
        let lines = log::lines(place);
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].starts_with("error: "), "{lines:?}");
        assert_eq!(
            log::lines("the last version that was right").len(),
            log::lines("glfs.toml:3:").len()
        );
    }
    let why = check("glfs/v@h/d;profile=else").unwrap();
    assert!(why.contains("it has it. Its newest version is not in use: "), "{why}");
    // A pipe would be waited for.
    fs::remove_file(file()).unwrap();
    nix::unistd::mkfifo(&file(), nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(is_protected(&cfgstring));
    write(&profile);
    assert!(!is_protected(&cfgstring), "mended");
}

/// The argument that makes this executable a daemon that opens one LUN: 1 if it serves it
/// read-only, as the profile says.
pub const RESTARTED: &str = "--restarted";

pub fn restarted(cfgstring: &str) -> ExitCode {
    let protected = is_protected(cfgstring);
    println!("{}", log::lines("").join("\n"));
    ExitCode::from(u8::from(protected))
}

pub fn restart() {
    let (_volume, cfgstring, profile) = volume("restart.img");
    write(&format!("{profile}access = \"ro\""));
    assert!(is_protected(&cfgstring));
    write("[profile");
    let child = Command::new(std::env::current_exe().unwrap())
        .args([RESTARTED, &cfgstring])
        .output()
        .unwrap();
    let text = String::from_utf8(child.stdout).unwrap();
    assert_eq!(child.status.code(), Some(1), "{text}{}", String::from_utf8_lossy(&child.stderr));
    assert!(text.contains("error: ") && text.contains("glfs.toml:1:"), "{text}");
}

pub fn absent() {
    let (volume, cfgstring, profile) = volume("absent.img");
    write(&format!("[defaults]\naccess = \"ro\"\n{profile}"));
    assert!(is_protected(&volume.cfgstring("absent.img", "")));
    fs::remove_file(file()).unwrap();
    assert!(!is_protected(&volume.cfgstring("absent.img", "")));
    let why = check(&cfgstring).unwrap();
    assert!(
        why.starts_with("profile=it: there is no ") && why.ends_with(" that could have it"),
        "{why}"
    );
}

pub fn check_only_reads() {
    write("[profile.a]\n");
    assert!(Lun::new("glfs/v@h/d;profile=none", MIB, 512).open() < 0);
    let before = (fs::read_to_string(kept()).unwrap(), log::lines("").len());
    write("[profile.b]\n");
    assert_eq!(check("glfs/v@h/d;profile=b"), None);
    assert_eq!((fs::read_to_string(kept()).unwrap(), log::lines("").len()), before);
    // Whoever opens a LUN keeps it.
    assert!(Lun::new("glfs/v@h/d;profile=none", MIB, 512).open() < 0);
    assert_eq!(fs::read_to_string(kept()).unwrap(), "[profile.b]\n");
}

pub fn metrics() {
    write("");
    let (volume, _, _) = volume("measured.img");
    let _lun = Lun::opened(&volume.cfgstring("measured.img", ""), MIB);
    let socket = support::metrics::socket();
    eventually("the plugin listens", || socket.exists());
    write("[metrics]\nenabled = false\n");
    eventually("it does not any more", || !socket.exists());
    let file = in_folder("tcmu-glfs.prom");
    write(&format!("[metrics]\ninterval = 1\ntextfile = \"{}\"\n", file.display()));
    eventually("it does again, and writes the file", || socket.exists() && file.exists());
    write("");
    eventually("the file is gone", || !file.exists());
}
