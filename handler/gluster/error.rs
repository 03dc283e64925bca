// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Why an image could not be opened. Each sentence says what the system said, by which server, and
//! what to do; and is short, because with the place of the image before it, it is to be one line in
//! the log.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;

use super::server::Unreachable;
use crate::lun::backend::OpenErrorKind;

/// Why an image could not be opened, and what to do about it. An errno is what libgfapi said, the
/// text beside it the server that was asked.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// No glusterd answers.
    #[error("no server answers ({}); is glusterd running there, its port open?", list(.0))]
    NoServer(Vec<Unreachable>),
    /// The local volfile.
    #[error("volfile {0}: {why}; check volfile=", why = reason(.1))]
    NoVolfile(String, #[source] io::Error),
    /// A volfile that libgfapi does not survive.
    #[error(
        "volfile {0} has a brick (storage/posix) in it (EINVAL), which libgfapi \
         cannot host; connect to one (protocol/client)"
    )]
    BrickInVolfile(String),
    /// Before the connection.
    #[error(
        "volume {0} could not be set up: {1}; can libgfapi's log, tcmu-runner-glfs.log, be written?"
    )]
    Setup(String, #[source] Errno),
    /// `glfs_init`.
    #[error("{}", init_failed(*.0, .1))]
    Init(Errno, String),
    /// The cluster answers, but nothing that holds data.
    #[error("{1} answers, the bricks do not ({0}); is the volume started? quorum?")]
    NoBricks(Errno, String),
    /// As another LUN of the volume has just been told.
    #[error("{0}")]
    Again(Arc<OpenError>),
    /// `glfs_open`, through the server that gave the graph.
    #[error("{why}; through {1}", why = open_failed(*.0))]
    Open(Errno, String),
    /// Opened, but no image.
    #[error("it is {0}, not a regular file (EINVAL); name an image file")]
    NotRegular(&'static str),
    /// Longer than `open-timeout`.
    #[error(
        "no answer within {} s (ETIMEDOUT, open-timeout=) through {tried}; are server and bricks \
         up?",
        .after.as_secs()
    )]
    TimedOut {
        /// How long it was waited for.
        after: Duration,
        /// Whom it was asked of.
        tried: String,
    },
}

impl OpenError {
    /// The nearest errno, for a caller that can pass on no more.
    #[must_use]
    pub fn errno(&self) -> Errno {
        match self {
            Self::NoServer(_) => Errno::ENOTCONN,
            Self::NoVolfile(..) => Errno::ENOENT,
            Self::Setup(_, errno)
            | Self::Open(errno, _)
            | Self::Init(errno, _)
            | Self::NoBricks(errno, _) => *errno,
            Self::NotRegular(_) | Self::BrickInVolfile(_) => Errno::EINVAL,
            Self::TimedOut { .. } => Errno::ETIMEDOUT,
            Self::Again(why) => why.errno(),
        }
    }

    /// Whether another attempt may succeed.
    #[must_use]
    pub fn kind(&self) -> OpenErrorKind {
        let is_transient = match self {
            Self::NoServer(_) | Self::NoBricks(..) | Self::TimedOut { .. } => true,
            Self::Init(errno, _) => is_outage(*errno) || *errno == Errno::EIO,
            Self::Open(errno, _) => is_outage(*errno),
            Self::Again(why) => return why.kind(),
            Self::NoVolfile(..)
            | Self::BrickInVolfile(_)
            | Self::Setup(..)
            | Self::NotRegular(_) => false,
        };
        if is_transient { OpenErrorKind::Transient } else { OpenErrorKind::Permanent }
    }
}

/// The errnos of a cluster that is away for a while.
fn is_outage(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::ENOTCONN | Errno::ETIMEDOUT | Errno::ESTALE | Errno::EBADFD | Errno::EAGAIN
    )
}

/// The servers, with a reason behind those that have it in common.
fn list(servers: &[Unreachable]) -> String {
    let alike = servers.chunk_by(|one, other| reason(&one.why) == reason(&other.why));
    let groups = alike.map(|group| {
        let names =
            group.iter().map(|server| server.server.to_string()).collect::<Vec<_>>().join(", ");
        let why = group.first().map(|server| reason(&server.why)).unwrap_or_default();
        format!("{names}: {why}")
    });
    groups.collect::<Vec<_>>().join("; ")
}

/// Without the number: `Connection refused`.
fn reason(why: &io::Error) -> String {
    why.raw_os_error()
        .map_or_else(|| why.to_string(), |number| Errno::from_raw(number).desc().to_owned())
}

fn init_failed(errno: Errno, from: &str) -> String {
    match errno {
        Errno::ENOENT => {
            format!("{from} knows no volume of this name ({errno}); see gluster volume list")
        }
        _ => format!("no connection through {from}: {errno}; see tcmu-runner-glfs.log"),
    }
}

fn open_failed(errno: Errno) -> String {
    match errno {
        Errno::ENOENT => format!(
            "the volume has no such file ({errno}); create the image first (tcmu-glfs create)"
        ),
        Errno::EISDIR => format!("it is a directory ({errno}); name an image file"),
        Errno::EINVAL => {
            format!("the volume does not open it ({errno}); it must be a regular file")
        }
        Errno::ENOTDIR => format!("a part of its path is not a directory ({errno}); check PATH"),
        Errno::EROFS => format!("the volume is read-only ({errno}); see features.read-only"),
        _ => format!("{errno}; see libgfapi's log, tcmu-runner-glfs.log"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::stream::Server;
    use super::*;

    fn unreachable(host: &str, errno: Errno) -> Unreachable {
        let server = Server::Tcp { host: host.to_owned(), port: 24007 };
        Unreachable { server, why: io::Error::from_raw_os_error(errno as i32) }
    }

    /// gluster-block's names, a full host name, and the longest of the usual reasons.
    #[test]
    fn every_reason_names_an_errno_and_a_next_step_and_fits_in_a_line_with_the_image() {
        const LABEL: &str =
            "block-vol@gluster1.example.com/block-store/0d9c7a3a-2f5e-4b8e-9c54-2f1c4e9f7a11";
        const LINE: usize = 240;
        let from = || String::from("gluster1.example.com:24007");
        let open = |errno| OpenError::Open(errno, from());
        let init = |errno| OpenError::Init(errno, from());
        let hosts =
            ["gluster1", "gluster2", "gluster3"].map(|host| unreachable(host, Errno::ECONNREFUSED));
        let errors = [
            (OpenError::NoServer(hosts.into()), "Connection refused", "is glusterd running"),
            (
                OpenError::NoVolfile("/etc/v.vol".into(), io::Error::from_raw_os_error(2)),
                "No such file or directory",
                "check volfile=",
            ),
            (OpenError::BrickInVolfile("/etc/v.vol".into()), "EINVAL", "connect to one"),
            (
                OpenError::Setup("block-vol".into(), Errno::EACCES),
                "EACCES: Permission denied",
                "be written?",
            ),
            (init(Errno::ENOENT), "ENOENT: No such", "see gluster volume list"),
            (init(Errno::ENOTCONN), "ENOTCONN: Transport", "see tcmu-runner-glfs.log"),
            (
                OpenError::NoBricks(Errno::ENOTCONN, from()),
                "ENOTCONN: Transport",
                "volume started? quorum?",
            ),
            (open(Errno::ENOENT), "ENOENT: No such", "create the image first"),
            (open(Errno::EISDIR), "EISDIR: Is a", "name an image file"),
            (open(Errno::EINVAL), "EINVAL: Invalid", "must be a regular file"),
            (open(Errno::ENOTDIR), "ENOTDIR: Not a", "check PATH"),
            (open(Errno::EROFS), "EROFS: Read-only", "see features.read-only"),
            (open(Errno::EACCES), "EACCES: Permission", "see libgfapi's log"),
            (OpenError::NotRegular("a special file"), "EINVAL", "name an image file"),
            (
                OpenError::TimedOut {
                    after: Duration::from_secs(30),
                    tried: "gluster1:24007".into(),
                },
                "ETIMEDOUT",
                "are server and bricks up?",
            ),
        ];
        for (error, errno, step) in errors {
            let outcome = match error.kind() {
                OpenErrorKind::Transient => "not ready yet, tries on",
                OpenErrorKind::Permanent => "not opened",
            };
            let line = format!("{LABEL}: {outcome}: {}", OpenError::Again(Arc::new(error)));
            assert!(line.contains(errno) && line.contains(step), "{line}");
            assert!(line.len() <= LINE, "{} bytes: {line}", line.len());
        }
    }

    #[test]
    fn servers_are_listed_with_their_reasons() {
        let servers = [
            unreachable("a", Errno::ECONNREFUSED),
            unreachable("b", Errno::ECONNREFUSED),
            unreachable("c", Errno::EHOSTUNREACH),
        ];
        assert_eq!(
            list(&servers),
            "a:24007, b:24007: Connection refused; c:24007: No route to host"
        );
    }
}
