// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! A client of glusterd's handshake program: asks for a volume's volfile, and hears that it has
//! changed.
//!
//! glusterd keeps a list of all connections and calls each back (`GF_CBK_FETCHSPEC`) after every
//! change of any volume (10.3, `glusterd_fetchspec_notify`). What is asked and answered:
//! `glusterfs3-xdr.x`, `gf_getspec_req` and `gf_getspec_rsp`; `__server_getspec` in
//! `glusterd-handshake.c`.

use std::io;
#[cfg(fuzzing)]
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::rpc::{self, Encoder, Message, Procedure, invalid};
use super::stream::{ANSWER_TIMEOUT, Server, Stream};
use super::volfile::{Volfile, brick_honours_dsync};

/// Bounds the wait for a volfile: a server that answers pings may be busy with a command of an
/// admin, which holds the lock that this needs (10.3, `glusterd_big_locked_handler`).
const VOLFILE_TIMEOUT: Duration = Duration::from_secs(15);
/// A volfile has some 1.4 KiB a brick: more than 2,000 bricks. What claims to be larger is not read
/// into memory.
const LARGEST_RECORD: usize = 4 << 20;

const GETSPEC: Procedure = Procedure { program: 14_398_633, version: 2, number: 2 };
const PING: Procedure = Procedure { program: 123_451_501, version: 1, number: 2 };
const FETCHSPEC: Procedure = Procedure { program: 52_743_234, version: 1, number: 1 };

/// A connection to glusterd.
#[derive(Debug)]
pub(super) struct Glusterd {
    stream: Stream,
    pub(super) server: Server,
    xid: u32,
    /// glusterd has called back since [`Glusterd::wait_for_change`] last returned.
    changed: bool,
}

/// Why there is no volfile.
#[derive(Debug)]
pub(super) enum SpecError {
    /// The server does not answer, or rubbish; another may.
    Server(io::Error),
    /// It answers with an errno: ENOENT for a volume that it does not know.
    Refused(Errno),
}

impl Glusterd {
    /// Connects, with TLS where this host is set up for it as libgfapi sees it
    /// ([`tls::is_required`](super::tls::is_required)). Blocks, within bounds.
    ///
    /// # Errors
    /// Why not, of the last address that was tried.
    pub(super) fn connect(server: &Server) -> io::Result<Self> {
        let stream = Stream::connect(server)?;
        Ok(Self { stream, server: server.clone(), xid: 0, changed: false })
    }

    /// A connection to whoever has the other end of `stream`.
    #[cfg(fuzzing)]
    pub(super) fn over(stream: UnixStream) -> Self {
        let server = Server::Unix { socket: String::new() };
        Self { stream: Stream::Unix(stream), server, xid: 0, changed: false }
    }

    /// Asks for the volfile of `volume`, and whether the bricks call fsync for a write with
    /// `O_DSYNC`. `op_version` is the highest that this client supports: glusterd refuses volumes
    /// that need more (`_client_supports_volume`). Blocks, within bounds.
    ///
    /// # Errors
    /// [`SpecError`]: there is no volfile, or it is broken.
    pub(super) fn volfile(
        &mut self,
        volume: &str,
        op_version: u32,
    ) -> Result<(Volfile, bool), SpecError> {
        let text = self.spec(volume, op_version, VOLFILE_TIMEOUT)?;
        let volfile =
            Volfile::from_glusterd(text, volume).map_err(|why| SpecError::Server(invalid(why)))?;
        let honours_dsync = self.honours_dsync(&volfile, volume, op_version);
        Ok((volfile, honours_dsync))
    }

    fn spec(&mut self, id: &str, op_version: u32, timeout: Duration) -> Result<String, SpecError> {
        const NO_FLAGS: u32 = 0;
        let mut request = Encoder::default();
        request.number(NO_FLAGS);
        request.opaque(id.as_bytes());
        request.opaque(&versions(op_version));
        let reply = self.ask(GETSPEC, request, timeout).map_err(SpecError::Server)?;
        read_spec(&reply)
    }

    /// Asks whether the bricks call fsync for a write with `O_DSYNC`. An option of the volume: the
    /// first brick speaks for all. False where that cannot be found out. Blocks, within bounds.
    ///
    /// On a connection of its own: glusterd remembers for each what it has asked for last, and lets
    /// no option be set that a client of the volume does not support (10.3, `__server_getspec`,
    /// `glusterd_check_client_op_version_support`).
    fn honours_dsync(&self, volfile: &Volfile, volume: &str, op_version: u32) -> bool {
        let Some(brick) = volfile.brick_volfile_id(volume) else { return false };
        let Ok(mut other) = Self::connect(&self.server) else { return false };
        let answer = other.spec(&brick, op_version, ANSWER_TIMEOUT);
        answer.is_ok_and(|text| brick_honours_dsync(&text))
    }

    /// Asks for a sign of life. Blocks, for `patience` at most.
    ///
    /// # Errors
    /// There was none.
    pub(super) fn ping(&mut self, patience: Duration) -> io::Result<()> {
        self.ask(PING, Encoder::default(), patience).map(drop)
    }

    /// Waits until glusterd calls back, for `patience` at most. Whether it has.
    ///
    /// # Errors
    /// The connection has ended, or is not glusterd's.
    pub(super) fn wait_for_change(&mut self, patience: Duration) -> io::Result<bool> {
        let deadline = Instant::now() + patience;
        while !self.changed {
            let Some(record) = self.record(deadline)? else { break };
            self.note_callback(&record)?;
        }
        Ok(std::mem::take(&mut self.changed))
    }

    /// Calls, and gives the record of the reply.
    fn ask(
        &mut self,
        procedure: Procedure,
        body: Encoder,
        timeout: Duration,
    ) -> io::Result<Vec<u8>> {
        let deadline = Instant::now() + timeout;
        self.xid = self.xid.wrapping_add(1);
        self.stream.set_timeout(ANSWER_TIMEOUT)?;
        self.stream.write_all(&rpc::call(self.xid, procedure, body))?;
        loop {
            let record = self.record(deadline)?.ok_or_else(silent)?;
            // Answers to questions that were given up are passed over.
            if self.note_callback(&record)? == Some(self.xid) {
                return Ok(record);
            }
        }
    }

    /// Notes a callback; gives the XID of a reply.
    fn note_callback(&mut self, record: &[u8]) -> io::Result<Option<u32>> {
        match rpc::parse(record)? {
            Message::Call(procedure) => {
                self.changed |= procedure == FETCHSPEC;
                Ok(None)
            }
            Message::Reply { xid, .. } => Ok(Some(xid)),
        }
    }

    /// The next record. None: none has begun by the deadline.
    fn record(&mut self, deadline: Instant) -> io::Result<Option<Vec<u8>>> {
        let mut record = Vec::new();
        let mut deadline = deadline;
        loop {
            let mut header = [0; 4];
            if !self.fill(&mut header, &mut deadline, record.is_empty())? {
                return Ok(None);
            }
            let (len, is_last) = rpc::fragment(header);
            let begin = record.len();
            if begin.saturating_add(len) > LARGEST_RECORD {
                return Err(invalid(format!("sends {len} bytes, more than a volfile has")));
            }
            record.resize(begin + len, 0);
            self.fill(record.get_mut(begin..).unwrap_or_default(), &mut deadline, false)?;
            if is_last {
                return Ok(Some(record));
            }
        }
    }

    /// Fills the buffer. False: nothing had come by the deadline, and `may_be_silent`. From the
    /// first byte on the peer has [`ANSWER_TIMEOUT`] for the rest of the record.
    fn fill(
        &mut self,
        buffer: &mut [u8],
        deadline: &mut Instant,
        may_be_silent: bool,
    ) -> io::Result<bool> {
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let begun = done > 0 || !may_be_silent;
            let left = deadline.saturating_duration_since(Instant::now());
            // A timeout of 0 means for ever to the socket.
            self.stream.set_timeout(left.max(Duration::from_millis(1)))?;
            match self.stream.read(rest) {
                Ok(0) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "hangs up")),
                Ok(read) => {
                    if !begun {
                        *deadline = Instant::now() + ANSWER_TIMEOUT;
                    }
                    done += read;
                }
                Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
                Err(why) if is_timeout(&why) && !begun => return Ok(false),
                Err(why) if is_timeout(&why) => return Err(silent()),
                Err(why) => return Err(why),
            }
            if Instant::now() > *deadline && done < buffer.len() {
                return Err(silent());
            }
        }
        Ok(true)
    }
}

/// The dictionary in which a client says what it supports (`glfs_volfile_fetch`): a count, then
/// length of key, length of value, key and value of each pair, with their NULs (10.3,
/// `dict_serialize_lk`).
fn versions(op_version: u32) -> Vec<u8> {
    let pairs = [("min-op-version", 1), ("max-op-version", op_version)];
    let mut bytes = u32::try_from(pairs.len()).unwrap_or(0).to_be_bytes().to_vec();
    for (key, value) in pairs {
        let value = format!("{value}\0");
        for len in [key.len(), value.len()] {
            bytes.extend(u32::try_from(len).unwrap_or(0).to_be_bytes());
        }
        bytes.extend(key.as_bytes());
        bytes.push(0);
        bytes.extend(value.as_bytes());
    }
    bytes
}

fn read_spec(record: &[u8]) -> Result<String, SpecError> {
    let server = SpecError::Server;
    let Message::Reply { mut body, .. } = rpc::parse(record).map_err(server)? else {
        return Err(server(invalid("answers with a call")));
    };
    let (result, errno) = (body.number().map_err(server)?, body.number().map_err(server)?);
    let spec = body.opaque().map_err(server)?;
    // Both are signed.
    match i32::from_ne_bytes(result.to_ne_bytes()) {
        ..0 => Err(SpecError::Refused(Errno::from_raw(i32::from_ne_bytes(errno.to_ne_bytes())))),
        _ if usize::try_from(result) != Ok(spec.len()) => {
            Err(server(invalid(format!("sends {} bytes of a volfile of {result}", spec.len()))))
        }
        _ => String::from_utf8(spec.to_vec())
            .map_err(|_| server(invalid("sends a volfile that is not text"))),
    }
}

fn silent() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "takes connections, and does not answer")
}

fn is_timeout(why: &io::Error) -> bool {
    matches!(why.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}
