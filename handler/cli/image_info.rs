// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! What a gateway can know about an image. Asking takes no lock and changes nothing.

use handler_glfs::config::{Access, Config};
use handler_glfs::gluster::{File, Opener, Topology};
use handler_glfs::lun::backend::{Enforcement, ImageLock as _, ImageStat, Source as _};
use nix::errno::Errno;

use crate::gfapi_session::GfapiSession;

/// Attributes of an open image; those that could not be queried have their errno.
#[derive(Debug)]
pub(crate) struct ImageInfo {
    /// The server that the volume's graph came from.
    pub(crate) volfile_server: String,
    pub(crate) topology: Topology,
    pub(crate) stat: ImageStat,
    pub(crate) may_change: Result<bool, Errno>,
    pub(crate) fencing: Result<Fencing, Errno>,
}

/// Fencing of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fencing {
    /// The volume cannot fence it: why.
    Impossible(&'static str),
    /// The volume can fence it; no LUN has done so.
    Possible,
    /// Fenced, and no gateway owns it now.
    Free,
    /// Fenced, and owned by this gateway.
    Owned(String),
}

impl ImageInfo {
    /// # Errors
    /// Not even the size.
    pub(crate) fn of(file: &File) -> Result<Self, Errno> {
        let client = file.admin_client();
        let fencing = fencing(file);
        // An owner can write, and asking would get in its way.
        let may_change =
            if matches!(fencing, Ok(Fencing::Owned(_))) { Ok(true) } else { file.may_change() };
        Ok(Self {
            volfile_server: client.volfile_server().to_owned(),
            topology: client.topology(),
            stat: file.metadata()?,
            may_change,
            fencing,
        })
    }
}

fn fencing(file: &File) -> Result<Fencing, Errno> {
    // First: any other call would queue up behind an owner that is frozen.
    if file.has_other_holder()? {
        let heartbeat = file.heartbeat().unwrap_or_default();
        let mut words = heartbeat.split_whitespace();
        return Ok(Fencing::Owned(match (words.next(), words.next()) {
            (Some(host), Some(pid)) => format!("{host}, process {pid}"),
            _ => String::from("a gateway that has left no name"),
        }));
    }
    Ok(match file.enforcement()? {
        Enforcement::Impossible(why) => Fencing::Impossible(why),
        Enforcement::Possible => Fencing::Possible,
        Enforcement::Active => Fencing::Free,
    })
}

/// Opens an image; an error is a sentence. With `ReadOnly` nothing is changed by it.
pub(crate) fn open(
    config: &Config,
    access: Access,
    session: &GfapiSession,
) -> Result<File, String> {
    Opener::new(&Config { access, ..config.clone() })
        .open(config.open_timeout, None)
        .map(|opened| opened.image)
        .map_err(|not| session.explain(&format!("{}: {}", config.label(), not.why)))
}

/// An errno of the storage as a sentence with the next step, like that of a failed open.
pub(crate) fn explain(config: &Config, errno: Errno) -> String {
    let volume = &config.volume;
    match errno {
        Errno::EIO | Errno::ENOTCONN | Errno::ETIMEDOUT | Errno::ESTALE => format!(
            "{errno}; is volume {volume} started, are its bricks up, and is there quorum? \
             (gluster volume status {volume})"
        ),
        Errno::EROFS => format!(
            "{errno}; the volume is read-only (gluster volume get {volume} features.read-only) or \
             has lost its quorum"
        ),
        Errno::EACCES | Errno::EPERM => format!(
            "{errno}; the volume does not let this host change anything (gluster volume get \
             {volume} auth.allow)"
        ),
        Errno::ENOSPC | Errno::EDQUOT => format!(
            "{errno}; the volume, a brick or a quota is full (gluster volume quota {volume} list)"
        ),
        Errno::ENOENT => format!("{errno}; tcmu-glfs list shows what is on the volume"),
        Errno::ENOTDIR => format!("{errno}: a part of the path is a file; check PATH"),
        Errno::ENAMETOOLONG => format!("{errno}; a name on the volume has 255 bytes at most"),
        errno => errno.to_string(),
    }
}
