// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! `check_config`: an admin learns of a mistake in one sentence, before anything is created.

use std::ffi::CStr;
use std::ptr;

use handler_glfs::config::KEYS;

use support::runner::{check, table};

#[test]
fn good_configurations_pass_whatever_exists() {
    for good in [
        "glfs/vol@host/disk.img",
        "glfs/no-such-volume@192.0.2.1/no/such/file",
        "glfs/vol@host/block-store/1234;tcmur_cmd_time_out=43",
        "glfs/vol@host/disk.img;cache=writeback;server=b;server=c;tcmur_cmd_time_out=43",
        "glfs/vol@fd00%3A%3A1/disk.img",
    ] {
        assert_eq!(check(good), None, "{good}");
    }
}

#[test]
fn bad_configurations_are_answered_with_what_would_be_right() {
    for (bad, expected) in [
        ("glfs/vol", "@HOST is missing: expected VOLUME@HOST/PATH"),
        (
            "glfs/vol@host/disk.img;cahce=none",
            "Unknown key \"cahce\"; did you mean cache? All keys are in tcmu-glfs(5)",
        ),
        ("glfs/vol@host:24007/disk.img", "vol@host/disk.img;port=24007"),
        ("glfs/vol@host/a:b", "write %3A"),
        ("", "does not begin with glfs/"),
    ] {
        let why = check(bad).unwrap();
        assert!(why.contains(expected), "{bad}: {why}");
    }
}

#[test]
fn no_configuration_at_all_and_bytes_that_are_no_text_are_refused() {
    // SAFETY: NULL is what a confused caller might pass; the place for the reason is valid.
    unsafe {
        let mut reason = ptr::null_mut();
        assert!(!(table().check_config)(ptr::null(), &raw mut reason));
        assert!(reason.is_null());
        assert!(!(table().check_config)(c"glfs/\xff@h/x".as_ptr(), &raw mut reason));
        assert!(CStr::from_ptr(reason).to_str().unwrap().contains("UTF-8"));
        libc::free(reason.cast());
        assert!(
            !(table().check_config)(c"glfs/bad".as_ptr(), ptr::null_mut()),
            "nobody wants the reason"
        );
    }
}

#[test]
fn help_create_names_every_key() {
    // SAFETY: a C string that lives as long as the table.
    let help = unsafe { CStr::from_ptr(table().cfg_desc) }.to_str().unwrap();
    let named: Vec<&str> =
        help.lines().filter_map(|line| line.strip_prefix("  ")?.split('=').next()).collect();
    assert_eq!(named, KEYS.map(|key| key.name));
    assert!(help.contains("  cache=none|writeback|through  "), "{help}");
}
