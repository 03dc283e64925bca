// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! libgfapi's own log, on a real volume: its level is that of the LUNs that share the connection,
//! and it moves while they are busy.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use support::background::{KeepGoing, with_background};
use support::cluster::Volume;
use support::runner::{Lun, OK, table};
use support::symbols::LOG_DIR;
use support::{eventually, log};

const MIB: u64 = 1 << 20;

/// The daemon's log directory is another one from now on.
fn move_to(folder: &Path) {
    folder.to_str().unwrap().clone_into(&mut LOG_DIR.lock().unwrap());
    // SAFETY: as the daemon does, when its configuration has changed.
    assert!(unsafe { (table().update_logdir)() });
}

fn text(folder: &Path) -> String {
    fs::read_to_string(folder.join("tcmu-runner-glfs.log")).unwrap_or_default()
}

pub(crate) fn follows() {
    let volume = Volume::start(&[], 1, &[]);
    volume.image("one.img", MIB);
    volume.image("other.img", MIB);
    let folders = [(); 2].map(|()| tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap());
    let [first, second] = folders.each_ref().map(tempfile::TempDir::path);
    move_to(first);
    let one = Lun::opened(&volume.cfgstring("one.img", ""), MIB);
    // Other tests have volumes too.
    let mark = format!("-{}-", volume.name);
    let details = |folder: &Path| {
        assert_eq!((one.write(0, &[1; 512]), one.flush()), (OK, OK));
        let ours = |line: &&str| {
            line.contains(&mark) && (line.contains("] D [") || line.contains("] T ["))
        };
        text(folder).lines().filter(ours).count()
    };
    assert_eq!(details(first), 0, "warning is the default");
    let other = Lun::opened(&volume.cfgstring("other.img", ";log-level=trace"), MIB);
    eventually("the more talkative of two has its way", || details(first) > 0);
    assert_eq!(
        log::lines(&format!("Volume {}: connected", volume.name)).len(),
        1,
        "and needs no other connection"
    );

    let load = |keep_going: KeepGoing<'_>| {
        while keep_going() {
            let commands = [&one, &other]
                .map(|lun| [lun.submit_write(4096, &[1; 512]), lun.submit_read(4096, 512)]);
            assert!(commands.into_iter().flatten().all(|command| command.wait().0 == OK));
        }
    };
    with_background(load, || {
        for folder in [second, first].repeat(3) {
            move_to(folder);
            let before = text(folder).len();
            eventually("it is written there", || text(folder).len() > before);
        }
    });
    drop(other);
    eventually("it is quiet again", || {
        let before = details(first);
        sleep(Duration::from_millis(300));
        details(first) == before
    });
    LOG_DIR.lock().unwrap().clear();
}
