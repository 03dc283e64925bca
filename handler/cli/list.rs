// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! `tcmu-glfs list`: the images of a volume.

use handler_glfs::config::{Access, Config};
use handler_glfs::gluster::{EntryKind, Opener};
use handler_glfs::lun::backend::Source as _;
use nix::errno::Errno;
use schemars::JsonSchema;
use serde::Serialize;

use crate::configfs::KernelLun;
use crate::exit::{CommandError, Outcome};
use crate::files::Files;
use crate::gfapi_session::GfapiSession;
use crate::image_info::{self, Fencing, ImageInfo};
use crate::terminal::table::{Align, Cell, Column, render};
use crate::terminal::{self, units};
use crate::{cfgstring_arg, json};

/// Lists the images in a directory of a volume: size, allocated space, owner, LUN of this host.
///
/// Every regular file is listed: any of them can be an image. Directories end in a slash. OWNER is
/// the gateway that owns a fenced image; a dash means that it is not fenced, and that any gateway
/// may be using it. LUN is the backstore of this host that serves it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples: tcmu-glfs list vol@gluster1
          tcmu-glfs list --json 'vol@gluster1/tenants/one;server=gluster2'")]
pub(crate) struct Args {
    /// VOLUME@HOST, or VOLUME@HOST/DIRECTORY; the keys of a configuration string may follow
    directory: String,
    /// Print one JSON document. Sizes are in bytes
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    files: Files,
}

/// The JSON document.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Document {
    volume: String,
    /// Path from the root of the volume; empty: the root.
    directory: String,
    directories: Vec<String>,
    images: Vec<Image>,
}

/// A file.
#[derive(Debug, Serialize, JsonSchema)]
struct Image {
    name: String,
    size_bytes: u64,
    allocated_bytes: u64,
    fenced: bool,
    /// Gateway that owns the fenced image, as it names itself.
    owner: Option<String>,
    /// LUNs of this host that serve it.
    luns: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let document = list(args)?;
    if args.json {
        json::print("list", &document);
    } else {
        print(&document);
    }
    Ok(true)
}

/// Any name: it completes the directory to the path of an image, as configurations have it.
const ANY: &str = "image";

fn list(args: &Args) -> Result<Document, CommandError> {
    let (place, options) = args.directory.split_once(';').unwrap_or((&args.directory, ""));
    let place = place.trim_end_matches('/');
    let separator = if options.is_empty() { "" } else { ";" };
    let mut config = cfgstring_arg::parse(&format!("{place}/{ANY}{separator}{options}"))?;
    config.access = Access::ReadOnly;
    let directory = config.path.strip_suffix(ANY).unwrap_or_default().trim_matches('/').to_owned();
    let session = GfapiSession::begin();
    let client = Opener::new(&config)
        .connect(config.open_timeout)
        .map_err(|not| session.explain(&format!("{}: {}", args.directory, not.why)))?;
    let entries = client.entries(&directory).map_err(|errno| {
        let why = match errno {
            Errno::ENOENT => String::from("no such directory on the volume (ENOENT)"),
            Errno::ENOTDIR => String::from("it is a file (ENOTDIR): tcmu-glfs info shows it"),
            errno => image_info::explain(&config, errno),
        };
        session.explain(&format!("{}: {why}", args.directory))
    })?;
    let mut document =
        Document { volume: config.volume.clone(), directory, directories: vec![], images: vec![] };
    for entry in entries {
        let path = match document.directory.as_str() {
            "" => entry.name.clone(),
            directory => format!("{directory}/{}", entry.name),
        };
        match entry.kind {
            // Gluster's own.
            EntryKind::Directory if matches!(path.as_str(), ".trashcan" | ".shard") => {}
            EntryKind::Directory => document.directories.push(entry.name),
            EntryKind::Other => {}
            EntryKind::File { bytes, allocated } => {
                let config = Config { path, ..config.clone() };
                let fenced = client.is_fenced(&config.path).unwrap_or(false);
                let luns = KernelLun::serving(&args.files, &config);
                document.images.push(Image {
                    name: entry.name,
                    size_bytes: bytes,
                    allocated_bytes: allocated,
                    fenced,
                    owner: fenced.then(|| owner(&config)).flatten(),
                    luns: luns.into_iter().map(|lun| lun.name).collect(),
                });
            }
        }
    }
    Ok(document)
}

fn owner(config: &Config) -> Option<String> {
    let opened = Opener::new(config).open(config.open_timeout, None).ok()?;
    match ImageInfo::of(&opened.image).ok()?.fencing {
        Ok(Fencing::Owned(owner)) => Some(owner),
        _ => None,
    }
}

const COLUMNS: [Column; 5] = [
    Column { group: "", head: "NAME", align: Align::Shrink(16), least: 0, rank: 0 },
    Column { group: "", head: "SIZE", align: Align::Right, least: 0, rank: 0 },
    Column { group: "", head: "ALLOCATED", align: Align::Right, least: 0, rank: 3 },
    Column { group: "", head: "OWNER", align: Align::Shrink(12), least: 0, rank: 2 },
    Column { group: "", head: "LUN", align: Align::Left, least: 0, rank: 1 },
];

fn print(document: &Document) {
    let directories = document.directories.iter().map(|name| {
        let dash = || Cell::plain("-");
        vec![Cell::plain(&format!("{name}/")), dash(), dash(), dash(), dash()]
    });
    let images = document.images.iter().map(|image| {
        let owner = match (&image.owner, image.fenced) {
            (Some(owner), _) => owner.as_str(),
            (None, true) => "none",
            (None, false) => "-",
        };
        let luns = if image.luns.is_empty() { String::from("-") } else { image.luns.join(",") };
        vec![
            Cell::plain(&image.name),
            Cell::plain(&units::bytes(image.size_bytes)),
            Cell::plain(&units::bytes(image.allocated_bytes)),
            Cell::plain(owner),
            Cell::plain(&luns),
        ]
    });
    let rows: Vec<Vec<Cell>> = directories.chain(images).collect();
    if rows.is_empty() {
        println!("no images");
        return;
    }
    for line in render(&COLUMNS, &rows, terminal::width()) {
        anstream::println!("{line}");
    }
}
