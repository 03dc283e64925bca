// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! What an image looks like to a gateway. Looking takes no lock and changes nothing.

use handler_glfs::gluster::{Facts, File, Makeup};
use handler_glfs::lun::backend::{Enforcement, ImageLock as _};
use nix::errno::Errno;

/// Everything that is known of an open image. What could not be asked has its errno.
#[derive(Debug)]
pub(crate) struct Portrait {
    /// The server that the volume's graph came from.
    pub(crate) from: String,
    pub(crate) makeup: Makeup,
    pub(crate) facts: Facts,
    pub(crate) may_change: Result<bool, Errno>,
    pub(crate) fencing: Result<Fencing, Errno>,
}

/// Who is kept from the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fencing {
    /// Nobody, and nobody could be: why.
    Impossible(&'static str),
    /// Nobody. The volume could.
    Possible,
    /// Everybody who does not own it; nobody does now.
    Free,
    /// Everybody but this one.
    Owned(String),
}

impl Portrait {
    /// # Errors
    /// Not even the size.
    pub(crate) fn of(file: &File) -> Result<Self, Errno> {
        let store = file.store();
        let fencing = fencing(file);
        // Whoever owns it changes it, and to ask would get in its way.
        let may_change =
            if matches!(fencing, Ok(Fencing::Owned(_))) { Ok(true) } else { file.may_change() };
        Ok(Self {
            from: store.from().to_owned(),
            makeup: store.makeup(),
            facts: file.facts()?,
            may_change,
            fencing,
        })
    }
}

fn fencing(file: &File) -> Result<Fencing, Errno> {
    // First of all: what else is asked would queue up behind an owner that is frozen.
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
