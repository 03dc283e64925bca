// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
use std::time::Duration;

use super::super::{Cache, Fence, LogLevel, Transport};
use super::*;

fn site(text: &str) -> Site {
    Site::parse(text, "/etc/x.toml").unwrap_or_else(|why| panic!("{text}: {why}"))
}

/// The sentence an admin reads.
fn why(text: &str) -> String {
    Site::parse(text, "/etc/x.toml").expect_err(text).to_string()
}

fn read(cfgstring: &str, site: &Site) -> Config {
    Config::read(cfgstring, site).unwrap_or_else(|why| panic!("{cfgstring}: {why}"))
}

#[test]
fn the_cfgstring_beats_the_profile_beats_the_defaults() {
    let site = site(
        "[defaults]\nping-timeout = 15\noutage = 30\ncache = \"writeback\"\n\
         [profile.vmware]\noutage = 60\nserver = [\"b\", \"c\"]\ncache = \"none\"\n\
         fence = \"required\"\nopen-timeout = 0x10",
    );
    let plain = read("glfs/v@a/d", &site);
    assert_eq!((plain.ping_timeout.as_secs(), plain.outage.as_secs()), (15, 30));
    assert_eq!((plain.cache, plain.open_timeout.as_secs()), (Cache::Writeback, 30));
    let profile = read("glfs/v@a/d;profile=vmware", &site);
    assert_eq!((profile.ping_timeout.as_secs(), profile.outage.as_secs()), (15, 60));
    assert_eq!(
        (profile.cache, profile.fence, profile.open_timeout.as_secs()),
        (Cache::None, Fence::Required, 16)
    );
    assert_eq!(profile.hosts, ["a", "b", "c"]);
    let own = read("glfs/v@a/d;outage=5;profile=vmware;server=z;log-level=debug", &site);
    assert_eq!((own.outage.as_secs(), own.log_level), (5, LogLevel::Debug));
    assert_eq!(own.hosts, ["a", "z"], "a list is replaced, not added to");
}

#[test]
fn a_server_may_stand_alone_and_ways_to_reach_one_in_a_profile() {
    let site = site(
        "[profile.a]\nserver = 'b'\nport = 24010\n[profile.l]\ntransport = 'unix'\nsocket = '/s'",
    );
    assert_eq!(read("glfs/v@a/d;profile=a", &site).hosts, ["a", "b"]);
    assert_eq!(read("glfs/v@a/d;profile=a", &site).port, 24010);
    assert_eq!(read("glfs/v@a/d;profile=l", &site).transport, Transport::Unix);
}

#[test]
fn a_profile_that_is_not_there_is_answered_with_those_that_are_and_the_file() {
    let why = |site: &Site| Config::read("glfs/v@a/d;profile=x", site).unwrap_err().to_string();
    assert_eq!(
        why(&site("[profile.fast]\n[profile.'sa fe']")),
        "profile=x: /etc/x.toml has no [profile.x]; it has fast, sa fe"
    );
    let empty = site("[defaults]");
    assert_eq!(why(&empty), "profile=x: /etc/x.toml has no [profile.x], nor any other");
    let none = why(&Site::default());
    assert_eq!(none, "profile=x: there is no /etc/tcmu/glfs.toml that could have it");
    let broken = Site::parse("[", "/etc/x.toml").unwrap_err();
    let broken = why(&Site::none("/etc/x.toml").in_place_of("/etc/x.toml", broken));
    assert!(broken.contains("not in use: /etc/x.toml:1:2: not TOML: "));
}

#[test]
fn mistakes_have_a_place_and_say_what_would_be_right() {
    for (text, expected) in [
        (
            "[default]",
            ":1:2: Unknown section \"default\"; known: defaults, profile.NAME, \
             metrics",
        ),
        ("ping-timeout = 5", ":1:1: Unknown section \"ping-timeout\"; known: defaults"),
        (
            "\n[defaults]\n  chace = \"none\"",
            ":3:3: Unknown key \"chace\"; did you mean cache? All keys are in",
        ),
        ("[defaults]\ncache = \"on\"", ":2:9: cache=on: expected none, writeback or through"),
        ("[defaults]\ncache = none", ":2:9: not TOML: "),
        ("[defaults]\nport = 24007\nport = 24007", ":3:1: not TOML: duplicate key"),
        ("[defaults]\nio-threads = true", ":2:14: io-threads=true: expected auto, on or off"),
        ("[defaults]\nport = -1", "port=-1: expected a port from 1 to 65535"),
        ("[defaults]\nport = [1]", "port=[...]: expected a port"),
        ("[defaults]\noutage = 1.5", "outage=1.5: expected seconds"),
        ("[defaults]\nsocket = \"s\"", "socket=s: expected an absolute path"),
        (
            "[defaults]\nserver = \"b\"",
            ":2:1: server has no place here: it would be asked for the volumes of every",
        ),
        ("[defaults]\nvolfile = \"/v\"", "volfile has no place here"),
        ("[defaults]\nprofile = \"a\"", "profile has no place here: sets are not nested"),
        ("[profile.a]\ntcmur_cmd_time_out = 5", "tcmu-runner itself reads it, from the cfgstring"),
        (
            "[profile.a]\nserver = [\"b\", \"\"]",
            ":2:16: server=: expected a host, or a list of hosts",
        ),
        ("[profile.a]\nserver = 5", "server=5: expected a host"),
        ("defaults = 5", ":1:12: defaults is a section, not a integer"),
        ("[profile]\na = 5", "a is a section"),
        (
            "[profile.a]\nsocket = \"/s\"",
            ":1:10: socket= needs transport=unix; socket is from [profile.a]",
        ),
        (
            "[profile.a]\nport = 5\n[defaults]\ntransport = \"unix\"",
            "leave out port= and server=; port is from [profile.a] of /etc/x.toml; transport is \
             from [defaults]",
        ),
        (
            "[profile.b]\ncache = \"writeback\"\n[defaults]\nfence = \"required\"",
            ":1:10: fence=required needs cache=none: what is held back is acknowledged \
             before the bricks could refuse it; cache is from [profile.b] of /etc/x.toml; fence is \
             from [defaults] of /etc/x.toml",
        ),
        (
            "[metrics]\nenable = true",
            "Unknown key \"enable\"; did you mean enabled? All keys are in tcmu-glfs(5)",
        ),
        ("[metrics]\nenabled = \"yes\"", "enabled=yes: expected true or false"),
        ("[metrics]\nslow = 0", "slow=0: expected seconds, more than 0"),
        ("[metrics]\nslow = nan", "slow=nan: expected seconds, more than 0"),
        ("[metrics]\ninterval = 0", "interval=0: expected seconds from 1 to 3600"),
        ("[metrics]\ntextfile = \"t.prom\"", "textfile=t.prom: expected an absolute path"),
    ] {
        let sentence = why(text);
        let is_there = sentence.starts_with("/etc/x.toml:") && sentence.contains(expected);
        assert!(is_there && !sentence.contains('\n'), "{text}: {sentence}");
    }
}

#[test]
fn a_cfgstring_that_contradicts_the_file_is_told_what_comes_from_there() {
    let site = site("[defaults]\nfence = \"required\"");
    let why = Config::read("glfs/v@a/d;cache=writeback", &site).unwrap_err().to_string();
    assert!(why.ends_with("; fence is from [defaults] of /etc/x.toml"), "{why}");
}

#[test]
fn defaults_for_servers_do_not_concern_those_who_ask_none_or_in_another_way() {
    let site = site("[defaults]\nport = 24010\nsocket = \"/s\"\n[profile.file]\nvolfile = \"/v\"");
    assert_eq!(read("glfs/v@a/d", &site).port, 24010);
    assert_eq!(read("glfs/v@a/d;transport=unix", &site).socket, "/s");
    assert_eq!(read("glfs/v@a/d;profile=file", &site).volfile.as_deref(), Some("/v"));
}

#[test]
fn metrics_are_read() {
    let text = "[metrics]\nenabled = false\nsocket = '/s'\ntextfile = '/t.prom'\n\
                interval = 30\nslow = 0.25";
    let expected = metrics::Settings {
        enabled: false,
        socket: "/s".into(),
        textfile: Some("/t.prom".into()),
        interval: Duration::from_secs(30),
        slow: Duration::from_millis(250),
    };
    assert_eq!(*site(text).metrics(), expected);
}

/// The file that is installed: commented out, it says nothing; uncommented, what is so anyway.
#[test]
fn the_shipped_file_has_every_key_with_its_default() {
    let shipped = include_str!("../../packaging/glfs.toml");
    assert!(shipped.lines().all(|line| line.is_empty() || line.starts_with('#')));
    assert_eq!(site(shipped), Site { file: "/etc/x.toml".into(), exists: true, ..Site::default() });
    // Prose has a blank after its #, and what has no default stands in an example.
    let text: String = shipped
        .lines()
        .filter(|line| !line.starts_with("# "))
        .map(|line| line.trim_start_matches('#').to_owned() + "\n")
        .collect();
    let set = site(&text);
    assert_eq!(read("glfs/v@a/d", &set), "glfs/v@a/d".parse().unwrap());
    assert_eq!(*set.metrics(), metrics::Settings::default());
    let shared = KEYS.iter().filter(|key| NOT_IN_FILE.iter().all(|(other, _)| *other != key.name));
    for key in shared.chain(&METRICS) {
        let line = format!("{} = ", key.name);
        let mut lines = shipped.lines().map(|line| line.trim_start_matches(['#', ' ']));
        assert!(lines.any(|text| text.starts_with(&line)), "{}", key.name);
        assert!(shipped.contains(key.meaning), "{}", key.meaning);
    }
}

/// What docs/configuration.md shows is right, and means what it says there.
#[test]
fn the_examples_of_the_documentation_are_right() {
    let page = include_str!("../../docs/configuration.md");
    let blocks: Vec<&str> =
        page.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(!blocks.is_empty());
    for block in &blocks {
        site(block);
    }
    let example = site(blocks[0]);
    let lun = read("glfs/vol@host/disk.img;profile=vmware", &example);
    assert_eq!(
        (lun.fence, lun.ping_timeout.as_secs(), lun.outage.as_secs()),
        (Fence::Required, 15, 60)
    );
}
