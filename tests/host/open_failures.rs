// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Opens that must fail: one error line naming place, reason and next step, and no trace otherwise.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use support::log;
use support::runner::{Lun, OK};
use support::volume::LocalVolume;

const MIB: u64 = 1 << 20;

/// The one error line of an open that fails; `unique` is a part of the cfgstring that no other test
/// uses.
fn why(cfgstring: &str, unique: &str) -> String {
    let mut lun = Lun::new(cfgstring, MIB, 512);
    assert!(lun.open() < 0, "{cfgstring} was opened");
    assert!(lun.device.private.load(Ordering::SeqCst).is_null(), "a dangling private pointer");
    let mut lines: Vec<_> =
        log::lines(unique).into_iter().filter(|line| line.starts_with("error")).collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(!lines[0].ends_with("..."), "goes on in another line: {lines:?}");
    lines.remove(0)
}

#[test]
fn missing_files_directories_and_specials_are_told_apart() {
    let volume = LocalVolume::new();
    fs::create_dir(volume.brick_path("a-directory")).unwrap();
    nix::unistd::mkfifo(&volume.brick_path("a-fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let why = |name: &str| why(&volume.cfgstring(name, ""), &format!("/{name}"));
    let missing = why("missing-file.img");
    assert!(missing.contains("no such file") && missing.contains("tcmu-glfs create"), "{missing}");
    assert!(why("a-directory").contains("directory"));
    let fifo = why("a-fifo");
    assert!(fifo.contains("regular file"), "{fifo}");
}

#[test]
fn a_symlink_is_sized_by_its_target() {
    let volume = LocalVolume::new();
    volume.image("target.img", MIB);
    symlink("target.img", volume.brick_path("link.img")).unwrap();
    let lun = Lun::opened(&volume.cfgstring("link.img", ""), MIB);
    assert_eq!((lun.bytes(), lun.write(0, &[1; 512])), (MIB, OK));
}

#[test]
fn a_missing_volfile_is_named() {
    let line = why("glfs/v@h/d;volfile=/no/such/volfile", "/no/such/volfile");
    assert!(line.contains("No such file"), "{line}");
}

#[test]
fn a_volfile_that_libgfapi_would_not_survive_is_refused() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let volfile = dir.path().join("with-a-brick.vol");
    fs::write(
        &volfile,
        "volume brick\n  type storage/posix\n  option directory /nowhere\nend-volume\n",
    )
    .unwrap();
    let line = why(&format!("glfs/v@h/brick-inside;volfile={}", volfile.display()), "brick-inside");
    assert!(line.contains("protocol/client"), "{line}");
}

#[test]
fn servers_that_do_not_answer_are_all_named_with_their_reasons() {
    let line = why(
        "glfs/deadvol@127.0.0.1/disk.img;port=9;server=no-such-host.invalid;open=fail",
        "deadvol@127.0.0.1",
    );
    assert!(line.contains("127.0.0.1:9: Connection refused"), "{line}");
    assert!(line.contains("no-such-host.invalid:9: "), "{line}");
    assert!(line.contains("glusterd"), "{line}");
    let line = why(
        "glfs/deadvol@unixhost/disk.img;transport=unix;socket=/no/such.sock;open=fail",
        "deadvol@unixhost",
    );
    assert!(line.contains("/no/such.sock: No such file"), "{line}");
}

#[test]
fn a_malformed_configuration_that_reaches_open_is_refused() {
    assert!(why("glfs/malformed-one", "malformed-one").contains("@HOST is missing"));
}

#[test]
fn a_server_that_accepts_and_says_nothing_costs_the_open_timeout_and_no_more() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let begin = Instant::now();
    let line = why(
        &format!("glfs/silentvol@127.0.0.1/d;port={port};open-timeout=2;open=fail"),
        "silentvol@",
    );
    assert!(line.contains("within 2 s"), "{line}");
    assert!(begin.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_read_only_lun_refuses_writes_as_protected_and_reads() {
    let volume = LocalVolume::new();
    volume.image("ro.img", MIB);
    let lun = Lun::opened(&volume.cfgstring("ro.img", ";access=ro"), MIB);
    let (status, command) = lun.submit_write(0, &[1; 512]).wait();
    assert_eq!((status, command.sense()), (2, (7, 0x27, 0)));
    let changes = [lun.submit_unmap(0, 512), lun.submit_write_same(0, 512, &[0; 512])];
    assert!(changes.into_iter().all(|change| change.returned == 2));
    assert!(
        lun.device.write_protect.load(Ordering::SeqCst),
        "told to initiators, by runners that can"
    );
    assert_eq!(lun.read(0, 512), (OK, vec![0; 512]));
}
