// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! What the command says about itself.

use std::fs;
use std::process::Command;

use handler_glfs::config::{KEYS, METRICS};

use crate::support::run;

pub(crate) fn pages() {
    let folder = tempfile::tempdir().unwrap();
    run(&["man", folder.path().to_str().unwrap()]).well("");
    for page in ["tcmu-glfs.8", "tcmu-glfs.5"] {
        let path = folder.path().join(page);
        let lint = Command::new("mandoc")
            .args(["-Tlint", "-Wwarning"])
            .arg(&path)
            .output()
            .expect("mandoc is needed");
        assert!(
            lint.status.success() && lint.stdout.is_empty(),
            "{page}: {}",
            String::from_utf8_lossy(&lint.stdout)
        );
        let mut man = Command::new("man");
        man.args(["--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z"])
            .arg(&path)
            .env("MANROFFSEQ", "");
        let shown = man.env("LC_ALL", "C.UTF-8").output().expect("man is needed (Debian: man-db)");
        assert!(
            shown.status.success() && shown.stderr.is_empty(),
            "{page}: {}",
            String::from_utf8_lossy(&shown.stderr)
        );
    }
    // As roff writes a hyphen.
    let five = fs::read_to_string(folder.path().join("tcmu-glfs.5")).unwrap().replace("\\-", "-");
    for key in KEYS.iter().chain(&METRICS) {
        let head = format!("\\fB{}\\fR", key.name);
        assert!(
            five.lines().any(|line| line.starts_with(&head)),
            "{} is not in tcmu-glfs(5)",
            key.name
        );
    }
    let eight = fs::read_to_string(folder.path().join("tcmu-glfs.8")).unwrap();
    let help = run(&["--help"]).well("Commands:").out;
    let listed = help.split("Commands:").nth(1).unwrap().split("\n\n").next().unwrap();
    // Longer descriptions go on in lines that are indented further.
    let names = listed
        .lines()
        .filter_map(|line| line.strip_prefix("  "))
        .filter(|line| !line.starts_with(' '));
    for command in names.filter_map(|line| line.split(' ').next()).filter(|name| *name != "help") {
        assert!(eight.contains(&format!(".SS {command}\n")), "{command} is not in tcmu-glfs(8)");
    }
}

pub(crate) fn schemas() {
    let folder = tempfile::tempdir().unwrap();
    run(&["schemas", folder.path().to_str().unwrap()]).well("");
    for name in ["bench", "check", "doctor", "error", "info", "list", "status"] {
        let text = fs::read_to_string(folder.path().join(format!("{name}.schema.json"))).unwrap();
        let schema: serde_json::Value = serde_json::from_str(&text).unwrap();
        let stamp = &schema["properties"]["schema"]["const"];
        assert_eq!(stamp, &serde_json::json!(format!("tcmu-glfs.{name}/1")));
    }
}

pub(crate) fn completions() {
    for shell in ["bash", "zsh", "fish"] {
        run(&["completions", shell]).well("preallocate");
    }
}

pub(crate) fn command_line() {
    for wrong in [
        &["create", "v@h/p"][..],
        &["create", "v@h/p", "--size", "1.5G"],
        &["create", "v@h/p", "--size", "1G", "--from", "v@h/"],
        &["create", "v@h/p", "--from", "v@h/q", "--preallocate"],
        &["resize", "v@h/p", "--size", "513"],
        &["info", "v@h/p;cache=on"],
        &["check"],
        &["nonsense"],
    ] {
        let said = run(wrong);
        assert!(said.code == Some(2) && said.err.starts_with("error: "), "{said:?}");
    }
}
