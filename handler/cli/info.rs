// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! `tcmu-glfs info`: what an image is, and what state it is in.

use std::process::ExitCode;

use handler_glfs::config::{Access, Config};
use handler_glfs::gluster::Opener;
use handler_glfs::lun::backend::Source as _;
use serde_json::{Value, json};

use crate::findings::failed;
use crate::portrait::{Fencing, Portrait};
use crate::session::Session;
use crate::{place, size};

/// Says what an image is: its size, the space it takes, how it lies on the volume, who owns it.
///
/// Nothing is changed and no lock is taken: a LUN that is in use is not disturbed. For the volume
/// itself ask `gluster volume info`, and for what its bricks hold `gluster volume status VOLUME
/// detail`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: tcmu-glfs info --json vol@gluster1/disk.img")]
pub(crate) struct Args {
    /// VOLUME@HOST/PATH[;KEY=VALUE]... as in a configuration, see tcmu-glfs(5)
    #[arg(value_parser = place::parse)]
    image: Config,
    /// Print one JSON document. Sizes are in bytes; what is not known is null
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    let config = &args.image;
    let session = Session::begin();
    let source = Opener::new(&Config { access: Access::ReadOnly, ..config.clone() });
    let opened = match source.open(config.open_timeout, None) {
        Ok(opened) => opened,
        Err(not) => return failed(&session.explain(&format!("{}: {}", config.label(), not.why))),
    };
    match Portrait::of(&opened.image) {
        Ok(portrait) if args.json => println!("{:#}", document(config, &portrait)),
        Ok(portrait) => print(config, &portrait),
        Err(errno) => {
            return failed(&format!("{}: its size could not be asked: {errno}", config.label()));
        }
    }
    // Before the session, which ends the connections.
    drop(opened);
    ExitCode::SUCCESS
}

fn document(config: &Config, portrait: &Portrait) -> Value {
    let Portrait { from, makeup, facts, may_change, fencing } = portrait;
    let (fence, owner) = match fencing {
        Ok(Fencing::Impossible(_)) => ("impossible", None),
        Ok(Fencing::Possible) => ("possible", None),
        Ok(Fencing::Free) => ("active", None),
        Ok(Fencing::Owned(owner)) => ("active", Some(owner)),
        Err(_) => ("unknown", None),
    };
    let volume = json!({
        "bricks": makeup.bricks,
        "replicas": makeup.replicas,
        "arbiters": makeup.arbiters,
        "dispersed": makeup.dispersed,
        "redundancy": makeup.redundancy,
        "shard_bytes": makeup.shard,
        "tls": makeup.tls,
    });
    json!({
        "volume": config.volume,
        "path": config.path,
        "server": from,
        "bytes": facts.bytes,
        "allocated_bytes": facts.allocated,
        "writable": may_change.ok(),
        "layout": volume,
        "fence": fence,
        "owner": owner,
    })
}

fn print(config: &Config, portrait: &Portrait) {
    let Portrait { from, makeup, facts, may_change, fencing } = portrait;
    let line = |what: &str, text: &str| println!("{what:<10} {text}");
    let unknown = || String::from("not known");
    line("image", &config.label());
    line("size", &size::show(facts.bytes));
    line("allocated", &size::show(facts.allocated));
    line("volume", &makeup.to_string());
    let pieces = |bytes| format!("in pieces of {}", size::show(bytes));
    line("sharded", &makeup.shard.map_or_else(|| String::from("no"), pieces));
    line("server", from);
    line(
        "access",
        match may_change {
            Ok(true) => "read and write",
            Ok(false) => "read-only",
            Err(_) => "not known",
        },
    );
    let (fence, owner) = match fencing {
        Ok(Fencing::Impossible(why)) => (format!("impossible: {why}"), unknown()),
        Ok(Fencing::Possible) => (String::from("possible, nobody has asked for it"), unknown()),
        Ok(Fencing::Free) => (String::from("active"), String::from("nobody")),
        Ok(Fencing::Owned(owner)) => (String::from("active"), owner.clone()),
        Err(errno) => (format!("not known: {errno}"), unknown()),
    };
    line("fence", &fence);
    line("owner", &owner);
    line("tls", if makeup.tls { "on" } else { "off" });
}
