// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Text and messages from outside. Beyond "no panic, no wrong access": what is accepted has the
//! properties that its readers rely on.

use handler_glfs::config::{Config, Site};
use handler_glfs::gluster::fuzzing as gluster;
use handler_glfs::metrics::fuzzing as metrics;

// The command's reader of metrics needs nothing of the command.
#[allow(dead_code, reason = "the command uses all of it")]
#[path = "../../handler/cli/scrape/text.rs"]
mod text;

fn utf8(data: &[u8], parse: impl FnOnce(&str)) {
    if let Ok(text) = std::str::from_utf8(data) {
        parse(text);
    }
}

/// A refusal is one sentence for one line of a log.
fn assert_sentence(why: &str) {
    assert!(!why.trim().is_empty(), "an empty reason");
    assert!(!why.contains(['\n', '\r', '\0']), "more than one line: {why:?}");
}

/// A LUN's configuration, as `targetcli` hands it over.
pub fn cfgstring(data: &[u8]) {
    utf8(data, |text| {
        if let Err(why) = Config::read(text, &Site::none("/etc/tcmu/glfs.toml")) {
            assert_sentence(&why.to_string());
        }
    });
}

/// The site file, and a LUN under it: its first line is the LUN's cfgstring.
pub fn site(data: &[u8]) {
    utf8(data, |text| {
        let (cfgstring, file) = text.split_once('\n').unwrap_or(("glfs/v@h/i", text));
        match Site::parse(file, "/etc/tcmu/glfs.toml") {
            Ok(site) => {
                if let Err(why) = Config::read(cfgstring, &site) {
                    assert_sentence(&why.to_string());
                }
            }
            Err(why) => assert!(!why.to_string().trim().is_empty()),
        }
    });
}

/// A volume's graph.
pub fn volfile(data: &[u8]) {
    utf8(data, gluster::volfile);
}

/// What a server of port 24007 answers to the question for a volfile, and says afterwards.
pub fn glusterd(data: &[u8]) {
    gluster::glusterd(data);
}

/// A request to the metrics socket.
pub fn http(data: &[u8]) {
    metrics::http(data);
}

/// Metrics as the command reads them, and as the plugin converts them.
pub fn metrics(data: &[u8]) {
    utf8(data, |openmetrics| {
        let classic = metrics::to_prometheus(openmetrics);
        if let Ok(samples) = text::parse(openmetrics) {
            for sample in &samples {
                assert!(!sample.name.is_empty(), "a sample without a name");
            }
        }
        let bare = |line: &str| line.trim_end_matches('\r').to_owned();
        for line in classic.lines().filter(|line| !line.starts_with('#')).map(bare) {
            assert!(openmetrics.lines().map(bare).any(|of| of == line), "invented: {line:?}");
        }
    });
}
