// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! A glusterd that can be told to misbehave: it stands between the plugin and the real one.
//!
//! Records are those of RFC 5531, section 11; what is asked for is GETSPEC of glusterd's handshake
//! program (10.3, `glusterfs3-xdr.x`).

use std::collections::HashSet;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use support::cluster::{HOST, NOWHERE};
use support::pattern;

const GLUSTERD: u16 = 24007;
const LAST_FRAGMENT: u32 = 1 << 31;
const REPLY: u32 = 1;
const GETSPEC: [u32; 3] = [14_398_633, 2, 2];

/// What becomes of glusterd's answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// They arrive.
    Faithful,
    /// Connections are taken, and nothing is answered.
    Silent,
    /// Bytes that mean nothing, instead of any answer.
    Rubbish,
    /// Half of the volfile, in an answer that is well formed.
    HalfVolfile,
    /// Half of the answer that has the volfile, and nothing more.
    Stuck,
    /// Half of that answer, and the connection ends.
    HangsUp,
    /// A volfile of 10 MiB.
    HugeVolfile,
    /// A volfile whose bricks are where nobody is.
    BricksNowhere,
    /// Connections end, and are refused.
    Dead,
}

struct State {
    mode: Mode,
    /// When it was asked for volfiles.
    asked: Vec<Instant>,
    streams: Vec<TcpStream>,
}

pub(crate) struct Relay {
    address: &'static str,
    pub(crate) port: u16,
    state: Arc<Mutex<State>>,
}

impl Relay {
    /// On any port of the node.
    pub(crate) fn start() -> Self {
        Self::listening(HOST, 0)
    }

    /// On that port of that address; 0 is any.
    pub(crate) fn listening(address: &'static str, port: u16) -> Self {
        let listener = TcpListener::bind((address, port)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State {
            mode: Mode::Faithful,
            asked: Vec::new(),
            streams: Vec::new(),
        }));
        let shared = Arc::clone(&state);
        thread::spawn(move || listen(&listener, &shared));
        Self { address, port, state }
    }

    pub(crate) fn set(&self, mode: Mode) {
        let mut state = self.state.lock().unwrap();
        state.mode = mode;
        if mode == Mode::Dead {
            state.streams.iter().for_each(hang_up);
            state.streams.clear();
            drop(state);
            // Who waits in accept sees that it is dead.
            drop(TcpStream::connect((self.address, self.port)));
        }
    }

    /// How it is called in the plugin's lines and metrics.
    pub(crate) fn name(&self) -> String {
        format!("{}:{}", self.address, self.port)
    }

    /// When it was first asked for a volfile after that.
    pub(crate) fn asked_after(&self, when: Instant) -> Option<Instant> {
        self.state.lock().unwrap().asked.iter().copied().find(|&asked| asked >= when)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.set(Mode::Dead);
    }
}

fn hang_up(stream: &TcpStream) {
    let _ended_already = stream.shutdown(Shutdown::Both).is_err();
}

fn listen(listener: &TcpListener, state: &Arc<Mutex<State>>) {
    loop {
        let (client, _) = listener.accept().unwrap();
        let mut known = state.lock().unwrap();
        if known.mode == Mode::Dead {
            return;
        }
        let glusterd = TcpStream::connect((HOST, GLUSTERD)).unwrap();
        known.streams.extend([client.try_clone().unwrap(), glusterd.try_clone().unwrap()]);
        drop(known);
        let volfiles = Arc::new(Mutex::new(HashSet::new()));
        let (to, from) = (client.try_clone().unwrap(), glusterd.try_clone().unwrap());
        let (questions, asked) = (Arc::clone(state), Arc::clone(&volfiles));
        // A connection may end at any time, and why does not matter.
        thread::spawn(move || drop(ask(client, glusterd, &questions, &asked)));
        let answers = Arc::clone(state);
        thread::spawn(move || drop(answer(from, to, &answers, &volfiles)));
    }
}

/// Passes calls on, and notes which of them ask for a volfile.
fn ask(
    mut client: TcpStream,
    mut glusterd: TcpStream,
    state: &Mutex<State>,
    asked: &Mutex<HashSet<u32>>,
) -> io::Result<()> {
    let outcome = (|| {
        loop {
            let record = read_record(&mut client)?;
            if [3, 4, 5].map(|at| word(&record, at)) == GETSPEC {
                asked.lock().unwrap().insert(word(&record, 0));
                state.lock().unwrap().asked.push(Instant::now());
            }
            write_record(&mut glusterd, &record)?;
        }
    })();
    hang_up(&glusterd);
    outcome
}

/// Passes answers on as the mode says.
fn answer(
    mut glusterd: TcpStream,
    mut client: TcpStream,
    state: &Mutex<State>,
    asked: &Mutex<HashSet<u32>>,
) -> io::Result<()> {
    let outcome = (|| {
        loop {
            let record = read_record(&mut glusterd)?;
            let is_volfile =
                word(&record, 1) == REPLY && asked.lock().unwrap().remove(&word(&record, 0));
            let mode = state.lock().unwrap().mode;
            match mode {
                Mode::Silent => {}
                Mode::Rubbish => client.write_all(&pattern(7, 4096))?,
                Mode::HalfVolfile if is_volfile => {
                    write_record(
                        &mut client,
                        &with_volfile(&record, |text| text[..text.len() / 2].to_vec()),
                    )?;
                }
                Mode::Stuck | Mode::HangsUp if is_volfile => {
                    client.write_all(&header(&record))?;
                    client.write_all(&record[..record.len() / 2])?;
                    if mode == Mode::HangsUp {
                        return Ok(());
                    }
                }
                Mode::HugeVolfile if is_volfile => {
                    write_record(&mut client, &with_volfile(&record, huge))?;
                }
                Mode::BricksNowhere if is_volfile => {
                    write_record(&mut client, &with_volfile(&record, nowhere))?;
                }
                _ => write_record(&mut client, &record)?,
            }
        }
    })();
    hang_up(&client);
    outcome
}

fn huge(text: &[u8]) -> Vec<u8> {
    let mut huge = text.to_vec();
    while huge.len() < 10 << 20 {
        huge.extend(b"# There is nothing to be read in this line, nor in the next one.\n");
    }
    huge
}

fn nowhere(text: &[u8]) -> Vec<u8> {
    String::from_utf8(text.to_vec()).unwrap().replace(HOST, NOWHERE).into_bytes()
}

fn word(record: &[u8], at: usize) -> u32 {
    record.get(at * 4..at * 4 + 4).map_or(0, |bytes| u32::from_be_bytes(bytes.try_into().unwrap()))
}

/// The answer with another volfile: result, errno, volfile and a dictionary follow a header of five
/// words and a verifier.
fn with_volfile(record: &[u8], change: impl FnOnce(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let verifier = usize::try_from(word(record, 4)).unwrap().next_multiple_of(4);
    let result = 6 * 4 + verifier;
    let at = |position: usize| word(record, position / 4);
    let begin = result + 12;
    let len = usize::try_from(at(result + 8)).unwrap();
    let volfile = change(&record[begin..begin + len]);
    let new_len = u32::try_from(volfile.len()).unwrap().to_be_bytes();
    let padding = vec![0; volfile.len().next_multiple_of(4) - volfile.len()];
    let errno = &record[result + 4..result + 8];
    let rest = &record[begin + len.next_multiple_of(4)..];
    [&record[..result], &new_len, errno, &new_len, &volfile, &padding, rest].concat()
}

fn read_record(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut record = Vec::new();
    loop {
        let mut header = [0; 4];
        stream.read_exact(&mut header)?;
        let header = u32::from_be_bytes(header);
        let begin = record.len();
        record.resize(begin + usize::try_from(header & !LAST_FRAGMENT).unwrap(), 0);
        stream.read_exact(&mut record[begin..])?;
        if header & LAST_FRAGMENT != 0 {
            return Ok(record);
        }
    }
}

fn header(record: &[u8]) -> [u8; 4] {
    (u32::try_from(record.len()).unwrap() | LAST_FRAGMENT).to_be_bytes()
}

fn write_record(stream: &mut TcpStream, record: &[u8]) -> io::Result<()> {
    stream.write_all(&[&header(record), record].concat())
}
