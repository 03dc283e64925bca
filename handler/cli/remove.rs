// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! `tcmu-glfs remove` and `tcmu-glfs unfence`: both refuse an image that is in use.

use handler_glfs::config::Access;
use handler_glfs::gluster::AdminClient;
use nix::errno::Errno;

use crate::configfs::KernelLun;
use crate::exit::{CommandError, Outcome};
use crate::files::Files;
use crate::gfapi_session::GfapiSession;
use crate::image_info::{self, Fencing, ImageInfo};
use crate::{cfgstring_arg, size};

/// Removes an image from its volume, with its data.
///
/// An image that a LUN of this host serves, or that another gateway owns, is left alone. A LUN of
/// another gateway on an image without a fence is not seen: delete it there first.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: tcmu-glfs remove vol@gluster1/disk.img")]
pub(crate) struct RemoveArgs {
    /// VOLUME@HOST/PATH[;KEY=VALUE]... as in a configuration, see tcmu-glfs(5)
    image: String,
    #[command(flatten)]
    files: Files,
}

/// Removes the fence of an image: bricks let every client write to it again.
///
/// A LUN with fence=auto or fence=required fences its image, and the image stays fenced when the
/// LUN is deleted. That keeps out clients that take no lock, such as a FUSE mount or a LUN with
/// fence=off. An image that a gateway owns, or that a LUN of this host serves, is left alone.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: tcmu-glfs unfence vol@gluster1/disk.img")]
pub(crate) struct UnfenceArgs {
    /// VOLUME@HOST/PATH[;KEY=VALUE]... as in a configuration, see tcmu-glfs(5)
    image: String,
    #[command(flatten)]
    files: Files,
}

pub(crate) fn remove(args: &RemoveArgs) -> Outcome {
    let (label, info, ()) =
        change_unused(&args.image, &args.files, "removed", AdminClient::remove)?;
    println!("{label}: removed, {} were allocated", size::show(info.stat.allocated));
    Ok(true)
}

pub(crate) fn unfence(args: &UnfenceArgs) -> Outcome {
    let unfenced = change_unused(&args.image, &args.files, "unfenced", |client, path| {
        // A volume that cannot change anything is no obstacle where nothing is to be changed.
        let is_fenced = client.is_fenced(path)?;
        if is_fenced {
            client.unfence(path)?;
        }
        Ok(is_fenced)
    });
    let (label, _, was_fenced) = unfenced?;
    println!("{label}: {}", if was_fenced { "unfenced" } else { "is not fenced" });
    Ok(true)
}

/// Makes `change` if the image is there, and in use by nobody as far as can be known from here.
/// The image's label, what it was before, and what `change` returns.
fn change_unused<T>(
    image: &str,
    files: &Files,
    done: &str,
    change: impl FnOnce(&AdminClient, &str) -> Result<T, Errno>,
) -> Result<(String, ImageInfo, T), CommandError> {
    let config = cfgstring_arg::parse(image)?;
    let label = config.label();
    if let Some(lun) = KernelLun::serving(files, &config).first() {
        return Err(CommandError::Failed(format!(
            "{label}: not {done}: LUN {} of this host serves it; delete the LUN first (targetcli \
             /backstores/user:glfs delete {})",
            lun.name, lun.name
        )));
    }
    let session = GfapiSession::begin();
    let image = image_info::open(&config, Access::ReadOnly, &session)?;
    let info = ImageInfo::of(&image)
        .map_err(|errno| format!("{label}: {}", image_info::explain(&config, errno)))?;
    let client = image.admin_client();
    drop(image);
    if let Ok(Fencing::Owned(owner)) = &info.fencing {
        return Err(CommandError::Failed(format!(
            "{label}: not {done}: it is owned by {owner}; delete its LUN there first"
        )));
    }
    let changed = change(&client, &config.path);
    // Before the session, which ends the connections.
    drop(client);
    let outcome = changed.map_err(|errno| {
        let why = image_info::explain(&config, errno);
        session.explain(&format!("{label}: not {done}: {why}"))
    })?;
    Ok((label, info, outcome))
}
