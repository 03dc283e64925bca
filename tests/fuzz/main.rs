// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! One executable for all fuzzers; `FUZZ_TARGET` names the one to run. Built and run by `run`.
#![no_main]

mod commands;
mod gfapi;
mod parsers;
mod runner;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

static TARGET: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let name = std::env::var("FUZZ_TARGET").expect("FUZZ_TARGET names a target");
    match name.as_str() {
        "cfgstring" => parsers::cfgstring,
        "site" => parsers::site,
        "volfile" => parsers::volfile,
        "glusterd" => parsers::glusterd,
        "http" => parsers::http,
        "metrics" => parsers::metrics,
        "commands" => commands::run,
        other => panic!("no target {other}"),
    }
});

fuzz_target!(|data: &[u8]| TARGET(data));
