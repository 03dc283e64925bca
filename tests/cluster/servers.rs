// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Servers that are not there when a LUN is opened, by name.

use std::time::Duration;

use crate::gateway::Gateway;
use crate::nodes::{NOBODY, cluster, name};
use crate::replica::{IMAGE, seconds};
use crate::volumes::Volume;
use support::runner::OK;

const BLOCKS: u64 = 256;

/// Opens and writes through the servers in this order, the last of which lives.
fn opens(volume: &Volume, servers: &[&str]) {
    opens_within(volume, servers, seconds(10));
}

fn opens_within(volume: &Volume, servers: &[&str], limit: Duration) {
    let [first, rest @ ..] = servers else { panic!("no servers") };
    let rest = rest.join(";server=");
    let cfgstring =
        format!("glfs/{}@{first}/{IMAGE};server={rest};space-warning=0;open=fail", volume.name);
    let mut gateway = Gateway::start();
    let answer = gateway.open(&cfgstring, BLOCKS * 4096);
    println!("{servers:?}: {:?}", answer.time);
    assert_eq!(answer.status, OK, "{answer:?}");
    assert!(answer.time < limit, "{servers:?}: {:?}", answer.time);
    gateway.ask("write 0 1 1").good();
    assert_eq!(gateway.ask("read 0 1").good(), format!("{}:1", gateway.id));
}

pub(crate) fn dead_ones_are_passed_over() {
    let _turn = cluster().alone();
    let volume = Volume::start(&["replica", "3"], 3, &[]);
    volume.image(IMAGE, BLOCKS * 4096);
    let (first, second) = (name(0), name(1));
    // An address that nobody has; a name that nobody knows; both.
    opens(&volume, &[NOBODY, &second]);
    opens(&volume, &["no-such-name", &second]);
    opens(&volume, &["no-such-name", NOBODY, &second]);
    // A node whose glusterd is dead: the connection is refused.
    crate::faults::kill_glusterd(0);
    opens(&volume, &[&first, &second]);
    cluster().node(0).start_glusterd();
    // A glusterd that takes connections, and says nothing.
    crate::faults::freeze_glusterd(0);
    // Its bricks cannot be found either, and replicas wait 10 s for all of them.
    opens_within(&volume, &[&first, &second], seconds(20));
    crate::faults::thaw_glusterd(0);
}
