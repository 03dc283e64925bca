//! Volfile servers: which of them answer.

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::Builder;
use std::time::{Duration, Instant};

use super::images::Answer;
use crate::lun::config::{Config, Transport};

/// How long to wait for one address of one server.
const PATIENCE: Duration = Duration::from_secs(3);

/// Where a glusterd listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Server {
    Tcp { host: String, port: u16 },
    Unix { socket: String },
}

/// A server that was tried, and why it does not serve.
#[derive(Debug)]
pub struct Unreachable {
    pub(super) server: Server,
    pub(super) why: io::Error,
}

impl Server {
    /// The servers of a configuration, in the order to try.
    pub(super) fn all(config: &Config) -> Vec<Self> {
        match config.transport {
            Transport::Unix => vec![Self::Unix { socket: config.socket.clone() }],
            Transport::Tcp => {
                config.hosts.iter().map(|host| Self::Tcp { host: host.clone(), port: config.port }).collect()
            }
        }
    }

    /// Connects and hangs up. libgfapi says neither which server failed nor why, and takes 15 s to get past one that is dead.
    fn probe(&self) -> io::Result<Family> {
        match self {
            Self::Unix { socket } => UnixStream::connect(socket).map(|_| Family::Any),
            Self::Tcp { host, port } => {
                let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
                for address in (host.as_str(), *port).to_socket_addrs()? {
                    match TcpStream::connect_timeout(&address, PATIENCE) {
                        Ok(stream) => match greet(stream) {
                            Ok(()) => return Ok(Family::of(&address)),
                            Err(e) => failure = e,
                        },
                        Err(e) => failure = e,
                    }
                }
                Err(failure)
            }
        }
    }
}

/// Says something, and waits for any reaction: a glusterd that hangs has a kernel that takes connections all the same. What it is
/// asked is the procedure 0 of its handshake program, which does nothing (RFC 5531; 10.3, `glusterfs3.h`). One that wants TLS hangs up, which
/// is a reaction too.
fn greet(mut stream: TcpStream) -> io::Result<()> {
    const LAST_FRAGMENT: u32 = 1 << 31;
    const GLUSTER_HNDSK_PROGRAM: u32 = 14_398_633;
    const GLUSTER_HNDSK_VERSION: u32 = 2;
    // XID, CALL, RPC version, program, version, procedure, no credentials, no verifier.
    let call = [1, 0, 2, GLUSTER_HNDSK_PROGRAM, GLUSTER_HNDSK_VERSION, 0, 0, 0, 0, 0];
    let bytes = u32::try_from(size_of_val(&call)).unwrap_or(0);
    let message: Vec<u8> = [LAST_FRAGMENT | bytes].iter().chain(&call).flat_map(|word| word.to_be_bytes()).collect();
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(&message)?;
    match stream.read(&mut [0; 4]) {
        Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
            Err(io::Error::new(io::ErrorKind::TimedOut, "takes connections, and does not answer"))
        }
        _ => Ok(()),
    }
}

/// How addresses are to be looked up: libgfapi takes the first that a name has, unless it is told a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Any,
    Inet6,
}

impl Family {
    fn of(address: &SocketAddr) -> Self {
        if address.is_ipv6() { Self::Inet6 } else { Self::Any }
    }
}

/// Tries the servers in order, up to the first that answers. That one comes first in the result, then those not tried, then the
/// dead ones: they may be needed later. And how it was reached.
///
/// # Errors
/// None answers.
pub(super) fn reachable_first(servers: &[Server]) -> Result<(Vec<Server>, Family), Vec<Unreachable>> {
    let mut dead = Vec::new();
    for (index, server) in servers.iter().enumerate() {
        match server.probe() {
            Ok(family) => {
                let alive = servers.iter().skip(index).cloned();
                return Ok((alive.chain(dead.into_iter().map(|d: Unreachable| d.server)).collect(), family));
            }
            Err(why) => dead.push(Unreachable { server: server.clone(), why }),
        }
    }
    Err(dead)
}

/// Tries all of them at once. One that has not answered within `patience` is taken not to.
pub(super) fn survey(servers: &[Server], patience: Duration) -> Vec<Answer> {
    let begin = Instant::now();
    let ask = |server: &Server| {
        let (sender, answer) = sync_channel(1);
        let asked = server.clone();
        let thread = Builder::new().name(String::from("glfs-server"));
        let asking = thread.spawn(move || sender.send(asked.probe().map(drop)));
        (server.to_string(), asking.map(|_| answer))
    };
    // All are asked before the first is waited for.
    let asked: Vec<_> = servers.iter().map(ask).collect();
    let late = |_| Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time"));
    let answer = |(server, answer): (String, io::Result<Receiver<io::Result<()>>>)| Answer {
        server,
        answers: answer
            .and_then(|answer| answer.recv_timeout(patience.saturating_sub(begin.elapsed())).unwrap_or_else(late)),
    };
    asked.into_iter().map(answer).collect()
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix { socket } => f.write_str(socket),
        }
    }
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.server, self.why)
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn at(port: u16) -> Server {
        Server::Tcp { host: String::from("127.0.0.1"), port }
    }

    #[test]
    fn the_first_that_answers_leads_and_the_dead_come_last() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let alive = at(listener.local_addr().unwrap().port());
        // Port 9 is discard's, and nobody runs it.
        std::thread::Builder::new().spawn(move || listener.accept()).unwrap();
        let servers = [at(9), alive.clone(), at(1)];
        assert_eq!(reachable_first(&servers).unwrap(), (vec![alive, at(1), at(9)], Family::Any));
    }

    #[test]
    fn every_dead_server_is_named_with_its_reason() {
        let dead = reachable_first(&[at(9), Server::Unix { socket: String::from("/no/such.sock") }]).unwrap_err();
        let text: Vec<String> = dead.iter().map(ToString::to_string).collect();
        assert!(text[0].starts_with("127.0.0.1:9: ") && text[1].starts_with("/no/such.sock: "), "{text:?}");
    }
}
