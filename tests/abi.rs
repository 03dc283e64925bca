// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! What the plugin exports and what it needs from the process around it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The symbols of `file` that `nm -D` lists with `option`, without their versions.
fn symbols(file: &Path, option: &str) -> BTreeSet<String> {
    let nm = Command::new("nm")
        .args(["-D", option])
        .arg(file)
        .output()
        .expect("nm is needed (Debian: binutils)");
    assert!(nm.status.success(), "nm {}: {}", file.display(), String::from_utf8_lossy(&nm.stderr));
    let text = String::from_utf8(nm.stdout).unwrap();
    text.lines()
        .filter(|line| !line.trim_start().starts_with("w "))
        .filter_map(|line| line.split_whitespace().next_back())
        .map(|name| name.split('@').next().unwrap().to_owned())
        .collect()
}

/// The plugin that is installed or shipped: `HANDLER_SO`, or the one built with these tests.
fn plugin() -> PathBuf {
    let built = || std::env::current_exe().unwrap().with_file_name("libhandler_glfs.so");
    std::env::var_os("HANDLER_SO").map_or_else(built, PathBuf::from)
}

/// A shared library, where the loader finds it.
fn library(name: &str) -> PathBuf {
    let cache = Command::new("/sbin/ldconfig").arg("-p").output().expect("ldconfig is needed");
    let text = String::from_utf8(cache.stdout).unwrap();
    let line = text.lines().find(|line| line.trim_start().starts_with(name));
    let path = line
        .and_then(|line| line.split("=> ").nth(1))
        .unwrap_or_else(|| panic!("{name} is not installed"));
    PathBuf::from(path)
}

#[test]
fn handler_init_alone_is_exported() {
    assert_eq!(symbols(&plugin(), "--defined-only"), BTreeSet::from(["handler_init".to_owned()]));
}

#[test]
fn everything_undefined_is_found_in_libgfapi_openssl_or_the_c_runtime() {
    let known: BTreeSet<String> = [
        "libgfapi.so.0",
        "libssl.so.3",
        "libcrypto.so.3",
        "libc.so.6",
        "libgcc_s.so.1",
        "ld-linux-x86-64.so.2",
    ]
    .iter()
    .flat_map(|name| symbols(&library(name), "--defined-only"))
    .collect();
    let unknown: Vec<_> =
        symbols(&plugin(), "--undefined-only").difference(&known).cloned().collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn everything_looked_up_at_load_time_is_exported_by_the_daemon_or_libtcmu() {
    let mut exported = symbols(Path::new("/usr/bin/tcmu-runner"), "--defined-only");
    exported.extend(symbols(&library("libtcmu.so.2"), "--defined-only"));
    let missing: Vec<_> = handler_glfs::runner::symbol_names()
        .iter()
        .filter(|name| !exported.contains(**name))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn the_gfapi_functions_in_use_are_these() {
    let used: Vec<String> = symbols(&plugin(), "--undefined-only")
        .into_iter()
        .filter(|name| name.starts_with("glfs_"))
        .collect();
    assert_eq!(
        used,
        [
            "glfs_close",
            "glfs_discard_async",
            "glfs_dup",
            "glfs_fallocate",
            "glfs_fd_set_lkowner",
            "glfs_fdatasync_async",
            "glfs_fgetxattr",
            "glfs_file_lock",
            "glfs_fini",
            "glfs_fsetxattr",
            "glfs_fstat",
            "glfs_fsync",
            "glfs_getxattr",
            "glfs_init",
            "glfs_lseek",
            "glfs_new",
            "glfs_open",
            "glfs_posix_lock",
            "glfs_pread",
            "glfs_preadv_async",
            "glfs_pwrite",
            "glfs_pwritev_async",
            "glfs_set_logging",
            "glfs_set_volfile",
            "glfs_set_xlator_option",
            "glfs_setfsgid",
            "glfs_setfsgroups",
            "glfs_setfsuid",
            "glfs_statvfs",
            "glfs_zerofill_async",
        ]
    );
}
