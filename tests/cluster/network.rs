// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The network: a bridge, and a cable to every node and gateway that can be cut, mended and made
//! slow.

use std::process::Command;

const BRIDGE: &str = "gluster0";
/// All addresses begin so.
const NET: &str = "10.77.0";

/// Runs a program to its end: what it printed, or why not.
pub(crate) fn run(program: &str, arguments: &[&str]) -> Result<String, String> {
    let output =
        Command::new(program).args(arguments).output().map_err(|e| format!("{program}: {e}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    Err(format!("{program} {arguments:?}: {text}{}", String::from_utf8_lossy(&output.stderr)))
}

/// The bridge, with an address for this process. Once, in a network of its own.
pub(crate) fn start() {
    run("ip", &["link", "add", BRIDGE, "type", "bridge"]).unwrap();
    run("ip", &["addr", "add", &format!("{NET}.254/24"), "dev", BRIDGE]).unwrap();
    run("ip", &["link", "set", BRIDGE, "up"]).unwrap();
}

/// The address with this last number.
pub(crate) fn address(number: usize) -> String {
    format!("{NET}.{number}")
}

/// A cable from the bridge to the network namespace of a process. It is gone when that namespace
/// is.
#[derive(Debug)]
pub(crate) struct Cable {
    name: String,
}

impl Cable {
    /// To the process with this pid, which gets the address with this last number.
    pub(crate) fn to(pid: u32, name: &str, number: usize) -> Self {
        let pid = pid.to_string();
        run("ip", &["link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", &pid])
            .unwrap();
        run("ip", &["link", "set", name, "master", BRIDGE, "up"]).unwrap();
        let inside = format!(
            "ip link set lo up && ip addr add {}/24 dev eth0 && ip link set eth0 up",
            address(number)
        );
        run("nsenter", &["-t", &pid, "-n", "sh", "-c", &inside]).unwrap();
        Self { name: name.to_owned() }
    }

    /// What is sent vanishes from now on: nobody gets a reset.
    pub(crate) fn cut(&self) {
        run("ip", &["link", "set", &self.name, "down"]).unwrap();
    }

    pub(crate) fn mend(&self) {
        run("ip", &["link", "set", &self.name, "up"]).unwrap();
    }

    /// Everything towards the end of the cable waits: 20 ms, or where the kernel cannot delay
    /// (`sch_netem`), behind 4 Mbit/s.
    pub(crate) fn slow(&self) {
        let qdisc = |what: &[&str]| {
            run("tc", &[&["qdisc", "replace", "dev", &self.name, "root"], what].concat())
        };
        let delayed = qdisc(&["netem", "delay", "20ms"]);
        delayed
            .or_else(|_| qdisc(&["tbf", "rate", "4mbit", "burst", "16kb", "latency", "2s"]))
            .unwrap();
    }

    pub(crate) fn fast(&self) {
        run("tc", &["qdisc", "del", "dev", &self.name, "root"]).unwrap();
    }
}
