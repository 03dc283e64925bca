// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! What can be set, in one place: messages, `help create`, the manual and README's table are held
//! to it.

/// A key of the cfgstring, and of the sets in the site file.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// As it is written.
    pub name: &'static str,
    /// What it takes, with commas between, the default first; in capitals what stands for
    /// something, and has no default.
    pub values: &'static str,
    /// What it is about, in a line.
    pub meaning: &'static str,
}

const fn key(name: &'static str, values: &'static str, meaning: &'static str) -> Key {
    Key { name, values, meaning }
}

/// Every key of the cfgstring.
pub const KEYS: [Key; 18] = [
    key("server", "HOST", "a further server of the cluster, tried in order after HOST; may repeat"),
    key("port", "24007", "glusterd's TCP port"),
    key("transport", "tcp, unix", "unix: ask the glusterd of this host, through its socket"),
    key("socket", "/var/run/glusterd.socket", "that socket"),
    key("volfile", "PATH", "take the layout of the volume from this file, and ask no server"),
    key(
        "cache",
        "none, writeback",
        "writeback: writes may be held back until a flush; for LUNs with one path only",
    ),
    key("access", "auto, rw, ro", "auto: read-only if the volume answers EROFS or EACCES"),
    key("io-threads", "auto, on, off", "the client's io-threads translator; auto is off"),
    key("connection", "shared, own", "whether LUNs of a volume share a connection"),
    key(
        "fence",
        "auto, off, required",
        "whether the bricks refuse a gateway that has lost the LUN to another one",
    ),
    key(
        "grow",
        "auto, manual",
        "manual: a grown image makes its LUN grow only when dev_size is set; the default in block-store/",
    ),
    key("open", "defer, fail", "the cluster cannot be reached: come up and go on trying, or fail"),
    key("open-timeout", "30", "seconds; an open that takes longer has failed"),
    key(
        "ping-timeout",
        "10",
        "seconds; a brick that says nothing for this long, twice at most, is given up",
    ),
    key(
        "log-level",
        "warning, critical, error, info, debug, trace",
        "of libgfapi's log, and of the LUN's own lines",
    ),
    key("outage", "120", "seconds; how long the volume may be away before commands fail"),
    key("profile", "NAME", "take the set of this name from the site file"),
    key("tcmur_cmd_time_out", "SECONDS", "tcmu-runner's own; must come last"),
];

/// Every key of `[metrics]` in the site file.
pub const METRICS: [Key; 5] = [
    key("enabled", "true, false", "whether anything is counted and shown"),
    key("socket", "/run/tcmu-glfs/metrics.sock", "where GET /metrics is answered"),
    key("textfile", "PATH", "also write them to this file, for node_exporter"),
    key("interval", "15", "seconds between two writes of that file"),
    key("slow", "1.0", "seconds; a command that takes longer is a slow one"),
];

/// The names, for the message about an unknown one.
pub(super) fn names(keys: &[Key]) -> String {
    keys.iter().map(|key| key.name).collect::<Vec<_>>().join(", ")
}

/// The cfgstring in a screenful, for `help create`.
#[must_use]
pub fn help() -> String {
    let head = "VOLUME@HOST/PATH[;KEY=VALUE]...\n\
        VOLUME@HOST: the Gluster volume and a server of its cluster. PATH: the image file in it, which must exist.\n\
        %XX stands for a byte that targetcli refuses (IPv6: fd00%3A%3A1). KEY=VALUE, the default first:\n";
    KEYS.iter().fold(head.to_owned(), |text, Key { name, values, meaning }| {
        text + &format!("  {name}={}  {meaning}\n", values.replace(", ", "|"))
    })
}
