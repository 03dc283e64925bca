// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! A gate between the daemon and a brick: while it is shut, commands reach the brick, and its
//! answers wait. Shorter than the ping-timeout (10 s), or the client gives the brick up.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex};
use std::{fs, thread};

use tempfile::TempDir;

use support::volume::LocalVolume;

#[derive(Default)]
struct State {
    shut: Mutex<bool>,
    opened: Condvar,
}

/// Open at first, and when it is dropped.
pub(crate) struct Gate {
    state: Arc<State>,
    _folder: TempDir,
}

impl Gate {
    /// The volume behind a gate of its own.
    pub(crate) fn before(mut volume: LocalVolume) -> (LocalVolume, Self) {
        // The name of a socket has room for 107 bytes: not in Cargo's folder.
        let folder = tempfile::Builder::new().prefix("gate-").tempdir().unwrap();
        let text = fs::read_to_string(&volume.volfile).unwrap();
        let brick = text.split_once("socket.connect-path ").unwrap().1.lines().next().unwrap();
        let (brick, socket) = (PathBuf::from(brick), folder.path().join("socket"));
        let volfile = folder.path().join("client.vol");
        let text = text.replace(brick.to_str().unwrap(), socket.to_str().unwrap());
        fs::write(&volfile, text).unwrap();
        let listener = UnixListener::bind(socket).unwrap();
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming() {
                let (client, brick) = (client.unwrap(), UnixStream::connect(&brick).unwrap());
                let (from, to) = (client.try_clone().unwrap(), brick.try_clone().unwrap());
                let answers = Arc::clone(&shared);
                thread::spawn(move || pass(&from, &to, || ()));
                thread::spawn(move || pass(&brick, &client, || answers.wait()));
            }
        });
        volume.volfile = volfile;
        (volume, Self { state, _folder: folder })
    }

    pub(crate) fn shut(&self) {
        *self.state.shut.lock().unwrap() = true;
    }

    pub(crate) fn open(&self) {
        *self.state.shut.lock().unwrap() = false;
        self.state.opened.notify_all();
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.open();
    }
}

impl State {
    fn wait(&self) {
        let shut = self.shut.lock().unwrap();
        drop(self.opened.wait_while(shut, |shut| *shut).unwrap());
    }
}

/// Passes bytes on until either end hangs up; each piece after `wait`.
fn pass(mut from: &UnixStream, mut to: &UnixStream, wait: impl Fn()) {
    let mut buffer = vec![0; 256 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        wait();
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ended_already = to.shutdown(Shutdown::Both).is_err();
}
