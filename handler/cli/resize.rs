// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! `tcmu-glfs resize`: images grow.

use std::cmp::Ordering;

use handler_glfs::config::{Access, Config};
use handler_glfs::gluster::File;
use nix::errno::Errno;

use crate::exit::Outcome;
use crate::gfapi_session::GfapiSession;
use crate::{cfgstring_arg, image_info, size};

/// Makes an image larger. LUNs that are being served have the new size within 20 seconds, and tell
/// their initiators; those with grow=manual when targetcli sets their size.
///
/// The new space reads as zeros and takes nothing on the bricks until it is written. Nothing else
/// is to be done on the gateways; an initiator sees the new size after a rescan (Linux: iscsiadm -m
/// session --rescan), then its partitions and file systems can grow. An image is never made
/// smaller. To limit what may be used of a volume, use a quota: gluster volume quota.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples: tcmu-glfs resize vol@gluster1/disk.img --size 20G
          tcmu-glfs resize vol@gluster1/disk.img --size +512M")]
pub(crate) struct Args {
    /// VOLUME@HOST/PATH[;KEY=VALUE]... as in a configuration, see tcmu-glfs(5)
    image: String,
    /// The new size, or with + what to add: a whole number and K, M, G, T or P, of 1024 each
    #[arg(long, value_parser = Size::parse, value_name = "[+]SIZE")]
    size: Size,
}

#[derive(Debug, Clone, Copy)]
enum Size {
    To(u64),
    By(u64),
}

impl Size {
    fn parse(text: &str) -> Result<Self, String> {
        match text.strip_prefix('+') {
            Some(more) => size::parse(more).map(Self::By),
            None => size::parse(text).map(Self::To),
        }
    }
}

pub(crate) fn run(args: &Args) -> Outcome {
    let config = &cfgstring_arg::parse(&args.image)?;
    let label = config.label();
    let session = GfapiSession::begin();
    let image = image_info::open(config, Access::ReadWrite, &session)?;
    let resized = resize(config, &image, args.size, &session);
    // Before the session, which ends the connections.
    drop(image);
    println!("{label}: {}", resized.map_err(|why| format!("{label}: {why}"))?);
    Ok(true)
}

fn resize(
    config: &Config,
    image: &File,
    size: Size,
    session: &GfapiSession,
) -> Result<String, String> {
    let failed = |errno: Errno| {
        session.explain(&format!("not resized: {}", image_info::explain(config, errno)))
    };
    let old = image.metadata().map_err(failed)?.bytes;
    let new = match size {
        Size::To(bytes) => bytes,
        Size::By(bytes) => {
            old.checked_add(bytes).filter(|&new| i64::try_from(new).is_ok()).ok_or("too large")?
        }
    };
    match new.cmp(&old) {
        Ordering::Equal => return Ok(format!("has {} already", size::show(old))),
        Ordering::Less => {
            return Err(format!(
                "it has {}, and is not made smaller: initiators would lose what lies past the new \
                 end without being told; \
                 create a smaller image, and copy to it what is needed from within an initiator",
                size::show(old)
            ));
        }
        Ordering::Greater => {}
    }
    if new % size::BLOCK != 0 {
        return Err(format!(
            "{new} bytes would be no whole number of blocks of {}: name the size itself",
            size::BLOCK
        ));
    }
    let grown = match image.set_size(new) {
        // It is fenced. The bricks let nobody but its owner truncate it, not even to make it
        // larger; but anybody may give it space (docs/fencing.md): one block, the last.
        Err(Errno::EAGAIN | Errno::EBUSY) => image.allocate(new - size::BLOCK, size::BLOCK),
        other => other,
    };
    grown.map_err(failed)?;
    image
        .sync_all()
        .map_err(|errno| format!("resized, but whether that lasts is not known: {errno}"))?;
    Ok(format!("{} -> {}", size::show(old), size::show(new)))
}
