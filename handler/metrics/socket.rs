// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Listening Unix socket, accessible to root only and owned by one daemon at a time.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{
    DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _,
};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// A listening socket. Dropping it removes its name.
#[derive(Debug)]
pub(super) struct Socket {
    listener: UnixListener,
    path: PathBuf,
    /// Inode of its name: another daemon may have bound its own socket there since.
    inode: u64,
}

impl Socket {
    /// Binds `path`. A socket left by a dead daemon is removed; one that answers is an error.
    pub(super) fn bind(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent().filter(|folder| !folder.exists()) {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        match fs::symlink_metadata(path) {
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => {}
            Err(why) => return Err(why),
            Ok(found) if !found.file_type().is_socket() => {
                return Err(io::Error::other(
                    "there is a file of this name that is no socket; move it away",
                ));
            }
            Ok(_) => match UnixStream::connect(path) {
                Ok(_) => {
                    return Err(io::Error::other(
                        "another tcmu-runner listens there; each needs its own",
                    ));
                }
                Err(dead) if dead.kind() == io::ErrorKind::ConnectionRefused => {
                    fs::remove_file(path)?;
                }
                Err(why) => return Err(why),
            },
        }
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, Permissions::from_mode(0o600))?;
        // A client that hangs up before it is accepted must not block the thread.
        listener.set_nonblocking(true)?;
        Ok(Self { listener, path: path.to_owned(), inode: fs::symlink_metadata(path)?.ino() })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The next client, if one is waiting.
    pub(super) fn accept(&self) -> io::Result<UnixStream> {
        let (stream, _) = self.listener.accept()?;
        stream.set_nonblocking(false)?;
        Ok(stream)
    }

    /// Whether its name still refers to this socket.
    pub(super) fn is_reachable(&self) -> bool {
        fs::symlink_metadata(&self.path).is_ok_and(|found| found.ino() == self.inode)
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.is_reachable() {
            let _gone_already = fs::remove_file(&self.path).is_err();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_daemons_socket_is_replaced_and_one_that_answers_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.sock");
        let first = Socket::bind(&path).unwrap();
        assert!(Socket::bind(&path).unwrap_err().to_string().contains("another tcmu-runner"));
        assert!(UnixStream::connect(&path).is_ok() && first.is_reachable());
        // As after kill -9: the name stays, and nobody listens.
        drop(UnixListener::bind(folder.path().join("dead.sock")).unwrap());
        let dead = folder.path().join("dead.sock");
        let second = Socket::bind(&dead).unwrap();
        assert!(UnixStream::connect(&dead).is_ok());
        drop((first, second));
    }

    #[test]
    fn a_file_in_the_way_is_left_alone_and_one_that_came_later_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.sock");
        fs::write(&path, "precious").unwrap();
        assert!(Socket::bind(&path).unwrap_err().to_string().contains("no socket"));
        fs::remove_file(&path).unwrap();
        let socket = Socket::bind(&path).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, "precious").unwrap();
        assert!(!socket.is_reachable());
        drop(socket);
        assert_eq!(fs::read(&path).unwrap(), b"precious");
    }
}
