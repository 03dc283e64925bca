// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Where a glusterd listens, and the connection to it as bytes.

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::tls::{self, TlsStream};
use crate::config::{Config, Transport};

/// Bounds the connect to one address, a ping, and an answer from its first byte to its last.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);

/// Where a glusterd listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Server {
    Tcp { host: String, port: u16 },
    Unix { socket: String },
}

impl Server {
    /// The servers of a configuration, in the order to try.
    pub(super) fn all(config: &Config) -> Vec<Self> {
        match config.transport {
            Transport::Unix => vec![Self::Unix { socket: config.socket.clone() }],
            Transport::Tcp => config
                .hosts
                .iter()
                .map(|host| Self::Tcp { host: host.clone(), port: config.port })
                .collect(),
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix { socket } => f.write_str(socket),
        }
    }
}

/// Bytes to and from a glusterd, with or without TLS.
#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream>),
}

impl Stream {
    /// Connects, with TLS where this host is set up for it as libgfapi sees it
    /// ([`tls::is_required`]). Blocks, within bounds.
    ///
    /// # Errors
    /// Why not, of the last address that was tried.
    pub(super) fn connect(server: &Server) -> io::Result<Self> {
        match server {
            Server::Unix { socket } => UnixStream::connect(socket).map(Self::Unix),
            Server::Tcp { host, port } => connect_tcp(host, *port),
        }
    }

    pub(super) fn set_timeout(&self, timeout: Duration) -> io::Result<()> {
        let tcp = match self {
            Self::Unix(stream) => {
                stream.set_read_timeout(Some(timeout))?;
                return stream.set_write_timeout(Some(timeout));
            }
            Self::Tcp(stream) => stream,
            Self::Tls(stream) => stream.get_ref(),
        };
        tcp.set_read_timeout(Some(timeout))?;
        tcp.set_write_timeout(Some(timeout))
    }

    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.read(buffer),
            Self::Tcp(stream) => stream.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }

    pub(super) fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Unix(stream) => stream.write_all(bytes),
            Self::Tcp(stream) => stream.write_all(bytes),
            Self::Tls(stream) => stream.write_all(bytes),
        }
    }
}

fn connect_tcp(host: &str, port: u16) -> io::Result<Stream> {
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in (host, port).to_socket_addrs()? {
        let connected = TcpStream::connect_timeout(&address, ANSWER_TIMEOUT).and_then(|stream| {
            stream.set_nodelay(true)?;
            if !tls::is_required() {
                return Ok(Stream::Tcp(stream));
            }
            stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
            stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
            tls::connect(stream).map(|stream| Stream::Tls(Box::new(stream)))
        });
        match connected {
            Ok(stream) => return Ok(stream),
            Err(why) => failure = why,
        }
    }
    Err(failure)
}
