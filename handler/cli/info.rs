// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! `tcmu-glfs info`: what an image is, and what state it is in.

use handler_glfs::config::{Access, Config};
use schemars::JsonSchema;
use serde::Serialize;

use crate::exit::Outcome;
use crate::gfapi_session::GfapiSession;
use crate::image_info::{self, Fencing, ImageInfo};
use crate::{cfgstring_arg, json, size};

/// Shows an image: size, allocated space, layout of its volume, owner.
///
/// Nothing is changed and no lock is taken: a LUN that is in use is not disturbed. For the volume
/// itself ask `gluster volume info`, and for what its bricks hold `gluster volume status VOLUME
/// detail`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: tcmu-glfs info --json vol@gluster1/disk.img")]
pub(crate) struct Args {
    /// VOLUME@HOST/PATH[;KEY=VALUE]... as in a configuration, see tcmu-glfs(5)
    image: String,
    /// Print one JSON document. Sizes are in bytes; what is unknown is null
    #[arg(long)]
    pub(crate) json: bool,
}

/// The JSON document.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Document {
    volume: String,
    /// Path from the root of the volume.
    image: String,
    /// Server that the volume's layout came from.
    server: String,
    size_bytes: u64,
    allocated_bytes: u64,
    /// Whether this host may change the image; null if unknown.
    writable: Option<bool>,
    layout: Layout,
    fencing: FencingState,
    /// Gateway that owns the fenced image, as it names itself.
    owner: Option<String>,
    /// Whether connections to the bricks are encrypted.
    tls: bool,
}

/// Layout of the volume.
#[derive(Debug, Serialize, JsonSchema)]
struct Layout {
    bricks: usize,
    /// Bricks of a replica set, arbiters included; 0: not replicated.
    replicas: usize,
    arbiters: usize,
    /// Bricks of a disperse set; 0: not dispersed.
    dispersed: usize,
    redundancy: usize,
    /// Size of a shard; null: not sharded.
    shard_bytes: Option<u64>,
}

/// Whether the bricks can keep other gateways from the image, and do.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum FencingState {
    Impossible,
    Possible,
    Active,
    Unknown,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let config = &cfgstring_arg::parse(&args.image)?;
    let session = GfapiSession::begin();
    let image = image_info::open(config, Access::ReadOnly, &session)?;
    let info = ImageInfo::of(&image).map_err(|errno| {
        let why = image_info::explain(config, errno);
        format!("{}: its size is unknown: {why}", config.label())
    })?;
    if args.json {
        json::print("info", &document(config, &info));
    } else {
        print(config, &info);
    }
    // Before the session, which ends the connections.
    drop(image);
    Ok(true)
}

fn document(config: &Config, info: &ImageInfo) -> Document {
    let ImageInfo { volfile_server, topology, stat, may_change, fencing } = info;
    let (fencing, owner) = match fencing {
        Ok(Fencing::Impossible(_)) => (FencingState::Impossible, None),
        Ok(Fencing::Possible) => (FencingState::Possible, None),
        Ok(Fencing::Free) => (FencingState::Active, None),
        Ok(Fencing::Owned(owner)) => (FencingState::Active, Some(owner.clone())),
        Err(_) => (FencingState::Unknown, None),
    };
    Document {
        volume: config.volume.clone(),
        image: config.path.clone(),
        server: volfile_server.clone(),
        size_bytes: stat.bytes,
        allocated_bytes: stat.allocated,
        writable: may_change.ok(),
        layout: Layout {
            bricks: topology.bricks,
            replicas: topology.replicas,
            arbiters: topology.arbiters,
            dispersed: topology.dispersed,
            redundancy: topology.redundancy,
            shard_bytes: topology.shard,
        },
        fencing,
        owner,
        tls: topology.tls,
    }
}

fn print(config: &Config, info: &ImageInfo) {
    let ImageInfo { volfile_server, topology, stat, may_change, fencing } = info;
    let line = |what: &str, text: &str| println!("{what:<10} {text}");
    let unknown = || String::from("unknown");
    line("image", &config.label());
    line("size", &size::show(stat.bytes));
    line("allocated", &size::show(stat.allocated));
    line("volume", &topology.to_string());
    let pieces = |bytes| format!("in pieces of {}", size::show(bytes));
    line("sharded", &topology.shard.map_or_else(|| String::from("no"), pieces));
    line("server", volfile_server);
    line(
        "access",
        match may_change {
            Ok(true) => "read and write",
            Ok(false) => "read-only",
            Err(_) => "unknown",
        },
    );
    let (fence, owner) = match fencing {
        Ok(Fencing::Impossible(why)) => (format!("impossible: {why}"), unknown()),
        Ok(Fencing::Possible) => (String::from("possible, not in use"), unknown()),
        Ok(Fencing::Free) => (String::from("active"), String::from("none")),
        Ok(Fencing::Owned(owner)) => (String::from("active"), owner.clone()),
        Err(errno) => (format!("unknown: {errno}"), unknown()),
    };
    line("fence", &fence);
    line("owner", &owner);
    line("tls", if topology.tls { "on" } else { "off" });
}
