// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> Result<Config, ConfigError> {
    text.parse()
}

/// The sentence an admin reads.
fn why(text: &str) -> String {
    parse(text).expect_err(text).to_string()
}

#[test]
fn the_c_handlers_strings_mean_what_they_meant() {
    let config = parse("glfs/vol@host/block-store/1234-abcd;tcmur_cmd_time_out=43").unwrap();
    assert_eq!((config.volume.as_str(), config.path.as_str()), ("vol", "block-store/1234-abcd"));
    assert_eq!(
        (config.hosts, config.port, config.cache),
        (vec!["host".to_owned()], 24007, Cache::None)
    );
    assert_eq!(parse("glfs/vol@host//a@b/c=d").unwrap().path, "/a@b/c=d");
}

#[test]
fn gluster_blocks_images_grow_by_hand_and_others_by_themselves() {
    let grow = |text: &str| parse(text).unwrap().grow;
    assert_eq!(grow("glfs/v@h/block-store/1234"), Grow::Manual);
    assert_eq!(grow("glfs/v@h//block-store/1234;tcmur_cmd_time_out=43"), Grow::Manual);
    assert_eq!(grow("glfs/v@h/block-store/1234;grow=auto"), Grow::Auto);
    assert_eq!(grow("glfs/v@h/d.img"), Grow::Auto);
    assert_eq!(grow("glfs/v@h/my-block-store/d"), Grow::Auto);
    let shown = |text: &str| parse(text).unwrap().to_string();
    assert_eq!(shown("glfs/v@h/block-store/1;grow=auto"), "glfs/v@h/block-store/1;grow=auto");
    assert_eq!(shown("glfs/v@h/block-store/1;grow=manual"), "glfs/v@h/block-store/1");
}

#[test]
fn every_key_is_understood() {
    let config = parse(
        "glfs/vol@a/d.img;server=b;server=fd00%3A%3A1;port=24010;cache=none;access=ro;\
         io-threads=on;connection=own;open-timeout=7;ping-timeout=5;outage=0;space-warning=95;\
         copy=daemon;log-level=debug;fence=required;grow=manual;open=fail",
    )
    .unwrap();
    assert_eq!(config.hosts, ["a", "b", "fd00::1"]);
    assert_eq!(
        (config.port, config.open_timeout.as_secs(), config.outage.as_secs()),
        (24010, 7, 0)
    );
    assert_eq!((config.cache, config.access), (Cache::None, Access::ReadOnly));
    assert_eq!(parse("glfs/v@h/d;cache=writeback").unwrap().cache, Cache::Writeback);
    assert_eq!((config.io_threads, config.connection), (IoThreads::On, Connection::Own));
    assert_eq!((config.fence, config.open), (Fence::Required, OnUnreachable::Fail));
    assert_eq!((config.grow, config.space_warning), (Grow::Manual, 95));
    assert_eq!(config.copy, CopyRange::Daemon);
    assert_eq!((config.ping_timeout.as_secs(), config.log_level), (5, LogLevel::Debug));
    let local = parse("glfs/vol@a/d.img;transport=unix;socket=/run/g.sock").unwrap();
    assert_eq!((local.transport, local.socket.as_str()), (Transport::Unix, "/run/g.sock"));
    assert_eq!(
        parse("glfs/vol@a/d;volfile=/etc/v.vol").unwrap().volfile.as_deref(),
        Some("/etc/v.vol")
    );
}

/// The values of a key that are words: what it takes, the default first.
fn words(key: &Key) -> Vec<&str> {
    key.values.split(", ").filter(|value| value.bytes().all(|b| b.is_ascii_lowercase())).collect()
}

#[test]
fn what_the_table_says_is_what_is_taken() {
    for key in &KEYS {
        let words = words(key);
        for word in &words {
            parse(&format!("glfs/v@h/d;{}={word}", key.name)).unwrap();
        }
        let default = key.values.split(", ").next().unwrap();
        if !default.starts_with(char::is_uppercase) {
            // A socket has a meaning only with its transport.
            let socket = key.name == "socket";
            let plain = if socket { "glfs/v@h/d;transport=unix" } else { "glfs/v@h/d" };
            let set = format!("{plain};{}={default}", key.name);
            assert_eq!(parse(&set), parse(plain), "{}", key.name);
        }
        if !words.is_empty() {
            let said = why(&format!("glfs/v@h/d;{}=something", key.name));
            let said = said.split_once("expected ").unwrap().1.replace(" or ", ", ");
            let set = |list: &str| list.split(", ").map(str::to_owned).collect::<BTreeSet<_>>();
            assert_eq!(set(&said), set(key.values), "{}", key.name);
        }
    }
}

#[test]
fn the_tables_defaults_are_the_built_in_ones() {
    let settings = crate::metrics::Settings::default();
    for field in &super::keys::METRICS_FIELDS {
        let key = METRICS.iter().find(|key| key.name == field.name()).unwrap();
        let default = key.values.split(", ").next().filter(|text| *text != "PATH");
        assert_eq!(field.values_of(&settings), Vec::from_iter(default), "{}", key.name);
    }
}

/// The table of docs/cfgstring.md has the same keys in the same order, with the same values.
#[test]
fn the_document_has_the_table() {
    let rows = include_str!("../../docs/cfgstring.md").lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `")?.split(" | ");
        let name = cells.next()?.strip_suffix('`')?;
        Some((name, cells.next()?.replace('`', "")))
    });
    let rows: Vec<(&str, String)> =
        rows.filter(|(name, _)| KEYS.iter().any(|key| key.name == *name)).collect();
    let table: Vec<(&str, String)> =
        KEYS.iter().map(|key| (key.name, key.values.to_owned())).collect();
    assert_eq!(rows, table);
}

#[test]
fn mistakes_are_named_with_what_would_be_right() {
    for (text, expected) in [
        ("", "does not begin with glfs/"),
        ("rbd/pool/image", "does not begin with glfs/"),
        ("glfs/", "@HOST is missing: expected VOLUME@HOST/PATH[;KEY=VALUE]..., found \"\""),
        ("glfs/vol", "@HOST is missing"),
        ("glfs/@host/p", "VOLUME is missing"),
        ("glfs/a/b@host/p", "VOLUME is missing"),
        ("glfs/vol@/p", "HOST is missing"),
        ("glfs/vol@host", "/PATH is missing"),
        ("glfs/vol@host/", "PATH is missing"),
        ("glfs/vol@host/;cache=none", "PATH is missing"),
        ("glfs/vol@host/dir/", "ends in a slash"),
        ("glfs/vol@host/p;", "\"\" is not KEY=VALUE"),
        ("glfs/vol@host/p;cache", "\"cache\" is not KEY=VALUE"),
        ("glfs/vol@host/p;cache=", "\"cache=\" is not KEY=VALUE"),
        (
            "glfs/vol@host/p;chace=none",
            "Unknown key \"chace\"; did you mean cache? All keys are in tcmu-glfs(5)",
        ),
        ("glfs/vol@host/p;cache=none;cache=none", "cache is given twice"),
        ("glfs/vol@host/p;cache=on", "cache=on: expected none, writeback or through"),
        ("glfs/vol@host/p;port=0", "port=0: expected a port from 1 to 65535"),
        ("glfs/vol@host/p;port=65536", "expected a port"),
        ("glfs/vol@host/p;port=+1", "expected a port"),
        ("glfs/vol@host/p;open-timeout=0", "seconds from 1 to 3600"),
        ("glfs/vol@host/p;volfile=etc/v", "expected an absolute path"),
        ("glfs/vol@host/p;volfile=/v;port=1", "leave out server="),
        ("glfs/vol@host/p;socket=/s", "socket= needs transport=unix"),
        ("glfs/vol@host/p;transport=unix;port=1", "leave out port="),
        ("glfs/vol@host/p;ping-timeout=1014", "seconds from 1 to 1013"),
        ("glfs/vol@host/p;fence=maybe", "expected auto, off or required"),
        ("glfs/vol@host/p;fence=required;cache=writeback", "fence=required needs cache=none"),
        ("glfs/vol@host/p;space-warning=100", "expected a percentage from 1 to 99, or 0"),
        ("glfs/vol@host/p;space-warning=-1", "expected a percentage"),
        ("glfs/vol@host/p;open=later", "expected defer or fail"),
        ("glfs/vol@host/p;outage=long", "expected seconds"),
        ("glfs/vol@host/p;profile=fast", "profile=fast: there is no /etc/tcmu/glfs.toml"),
        ("glfs/vol@host/p;tcmur_cmd_time_out=5;cache=none", "must come last"),
        ("glfs/vol@host/p;tcmur_cmd_time_out=soon", "expected seconds"),
        (
            "glfs/vol@host/a:b",
            "The character ':' does not survive targetcli and the kernel; write %3A",
        ),
        ("glfs/vol@host:24010/d/p;fence=off", "not after HOST: vol@host/d/p;port=24010"),
        ("glfs/vol@fd00::1/p", "are written %3A: vol@fd00%3A%3A1/p"),
        ("glfs/vol@[fd00::1]/p", "are written %3A: vol@fd00%3A%3A1/p"),
        ("gluster://host/vol/d/p", "write vol@host/d/p"),
        ("glfs/gluster+tcp://host:24010/vol/p", "write vol@host/p;port=24010"),
        ("glfs/host:/vol/d/p", "write vol@host/d/p"),
        ("glfs/vol@host/p;fense=off", "Unknown key \"fense\"; did you mean fence? All keys"),
        ("glfs/vol@host/p;ping_timeout=5", "did you mean ping-timeout?"),
        ("glfs/vol@host/p;xyzzy=5", "Unknown key \"xyzzy\"; known: "),
        ("glfs/vol@host/a,b", "write %2C"),
        ("glfs/vol@host/a b", "write %20"),
        ("glfs/vol@host/\u{e4}", "write %C3%A4"),
        ("glfs/vol@host/a\nb", "write %0A"),
        ("glfs/vol@host/a%2", "Wrong escape in \"a%2\""),
        ("glfs/vol@host/a%zz", "Wrong escape"),
        ("glfs/vol@host/a%", "Wrong escape"),
        ("glfs/vol@host/a%00", "Wrong escape"),
        ("glfs/vol@host/a%ff", "Wrong escape"),
    ] {
        let sentence = why(text);
        assert!(sentence.contains(expected) && !sentence.contains('\n'), "{text}: {sentence}");
    }
}

#[test]
fn a_string_that_may_have_been_clipped_is_refused() {
    let fits = format!("glfs/vol@host/{}", "x".repeat(240));
    assert_eq!(fits.len(), 254);
    assert!(parse(&fits).is_ok());
    assert!(why(&format!("{fits}x")).contains("has 255 bytes"));
}

/// A line of the daemon's log has 254 bytes, and the beginning of what the plugin says in it.
#[test]
fn the_sentence_about_an_unknown_key_fits_in_a_line_of_the_log() {
    for key in ["xyzzy".to_owned(), "x".repeat(200), "cache-but-longer".repeat(10)] {
        let why = why(&format!("glfs/v@h/p;{key}=1"));
        assert!(why.starts_with("Unknown key \"") && why.len() <= 235, "{}: {why}", why.len());
    }
}

fn any_config() -> impl Strategy<Value = Config> {
    // What can stand between the separators, escaped or not; no NUL, no slash at the end.
    let name = "[a-z%@;,: \u{e4}-]{0,8}[a-z]";
    let choice = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    (name, proptest::collection::vec(name, 1..4), name, 1_u16.., 1_u64..=3600, choice).prop_map(
        |(volume, hosts, path, port, timeout, (writeback, own, on, ro))| Config {
            hosts,
            port,
            cache: if writeback { Cache::Writeback } else { Cache::None },
            access: if ro { Access::ReadOnly } else { Access::Auto },
            io_threads: if on { IoThreads::On } else { IoThreads::Auto },
            connection: if own { Connection::Own } else { Connection::Shared },
            fence: if own && !writeback { Fence::Required } else { Fence::Auto },
            open: if ro { OnUnreachable::Fail } else { OnUnreachable::Defer },
            open_timeout: Duration::from_secs(timeout),
            ping_timeout: Duration::from_secs(timeout.min(1013)),
            outage: Duration::from_secs(timeout / 2),
            space_warning: u8::try_from(timeout % 100).unwrap(),
            copy: if own { CopyRange::Daemon } else { CopyRange::Lun },
            ..Config::new(volume, String::new(), path)
        },
    )
}

proptest! {
    #[test]
    fn what_is_displayed_is_parsed_to_the_same(config in any_config()) {
        let text = config.to_string();
        prop_assume!(text.len() <= super::escape::LONGEST);
        prop_assert_eq!(parse(&text), Ok(config));
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "(glfs/)?\\PC{0,60}") {
        if let Ok(config) = parse(&text) {
            prop_assert_eq!(parse(&config.to_string()), Ok(config));
        }
    }
}
