// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The thread that has the numbers told: over the socket to whoever asks, into the file now and
//! then.

use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::encode::{self, Format};
use super::socket::Socket;
use super::{Settings, http, meter, textfile};
use crate::log;

/// How often to look whether the socket is there, and to try again if it could not be had: a daemon
/// that is being replaced goes on for a while beside its successor.
const ROUND: Duration = Duration::from_secs(5);
/// Between two versions of the file at least.
const LEAST: Duration = Duration::from_secs(1);

/// Between a panic and the next attempt.
const AFTER_PANIC: Duration = Duration::from_secs(1);

/// The thread, if it runs.
struct Server {
    settings: Settings,
    /// Wakes it.
    bell: UnixStream,
}

static SERVER: Mutex<Option<Server>> = Mutex::new(None);

fn server() -> MutexGuard<'static, Option<Server>> {
    SERVER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts and tells from now on as `settings` say. May be called again; what has been counted
/// stays.
pub fn configure(settings: Settings) {
    meter::enable(settings.enabled, settings.slow);
    let mut server = server();
    match &mut *server {
        Some(running) => {
            running.settings = settings;
            // A bell that has been rung often enough already is full.
            let _rung = running.bell.write(&[0]).is_ok();
        }
        None if settings.enabled => match start() {
            Ok(bell) => *server = Some(Server { settings, bell }),
            Err(why) => {
                log::warning_always!(log::PLUGIN, "Metrics: nobody can ask for them: {why}");
            }
        },
        None => {}
    }
}

fn start() -> io::Result<UnixStream> {
    let (bell, heard) = UnixStream::pair()?;
    bell.set_nonblocking(true)?;
    heard.set_nonblocking(true)?;
    thread::Builder::new()
        .name(String::from("glfs-metrics"))
        .spawn(move || serve(&Arc::new(heard)))?;
    Ok(bell)
}

/// The thread. A panic costs a round: who asks next is answered.
fn serve(heard: &Arc<UnixStream>) {
    let tell = || Teller::new(Arc::clone(heard)).run();
    while catch_unwind(AssertUnwindSafe(tell)).is_err() {
        log::error_always!(log::PLUGIN, "Metrics: PANIC; they are shown anew");
        thread::sleep(AFTER_PANIC);
    }
}

/// What the thread has at hand.
struct Teller {
    bell: Arc<UnixStream>,
    socket: Option<Socket>,
    /// The file that it keeps, and when it has written it last.
    file: Option<(PathBuf, Instant)>,
    /// What it has complained about, not to do so again.
    complaints: Vec<String>,
}

impl Teller {
    fn new(bell: Arc<UnixStream>) -> Self {
        Self { bell, socket: None, file: None, complaints: Vec::new() }
    }

    fn run(mut self) {
        while let Some(settings) = self.settings() {
            self.listen(&settings);
            let next = self.keep_file(&settings).map_or(ROUND, |next| next.min(ROUND));
            self.wait(next);
            if let Some(client) = self.socket.as_ref().and_then(|socket| socket.accept().ok()) {
                // It may be gone, or have no patience.
                let _answered = http::answer(client, encode::text).is_ok();
            }
        }
        self.forget_file();
    }

    /// None: it is over.
    fn settings(&mut self) -> Option<Settings> {
        while (&*self.bell).read(&mut [0; 64]).is_ok_and(|bytes| bytes > 0) {}
        let mut server = server();
        if server.as_ref().is_some_and(|server| !server.settings.enabled) {
            // Under the lock: who enables it again starts another.
            *server = None;
            self.socket = None;
        }
        server.as_ref().map(|server| server.settings.clone())
    }

    fn listen(&mut self, settings: &Settings) {
        let is_right = |socket: &Socket| socket.path() == settings.socket && socket.is_reachable();
        if self.socket.as_ref().is_some_and(is_right) {
            return;
        }
        self.socket = None;
        match Socket::bind(&settings.socket) {
            Ok(socket) => self.socket = Some(socket),
            Err(why) => self.complain(format!(
                "nobody can ask for them at {}: {why}",
                settings.socket.display()
            )),
        }
    }

    /// Writes the file if it is time. How long until the next time.
    fn keep_file(&mut self, settings: &Settings) -> Option<Duration> {
        if self.file.as_ref().is_some_and(|(path, _)| settings.textfile.as_ref() != Some(path)) {
            self.forget_file();
        }
        let path = settings.textfile.as_ref()?;
        let interval = settings.interval.max(LEAST);
        if let Some((_, when)) = &self.file
            && let Some(left) = interval.checked_sub(when.elapsed())
            && !left.is_zero()
        {
            return Some(left);
        }
        if let Err(why) = textfile::write(path, &encode::text(Format::Classic)) {
            self.complain(format!("the file {} cannot be written: {why}", path.display()));
        }
        self.file = Some((path.clone(), Instant::now()));
        Some(interval)
    }

    fn forget_file(&mut self) {
        if let Some((path, _)) = self.file.take() {
            textfile::remove(&path);
        }
    }

    fn complain(&mut self, what: String) {
        if !self.complaints.contains(&what) {
            log::warning_always!(log::PLUGIN, "Metrics: {what}");
            self.complaints.push(what);
        }
    }

    /// Until somebody asks, or there is something else to do.
    fn wait(&self, time: Duration) {
        let fds = [Some(self.bell.as_fd()), self.socket.as_ref().map(Socket::as_fd)];
        let mut fds: Vec<PollFd<'_>> =
            fds.into_iter().flatten().map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        let time = PollTimeout::try_from(time).unwrap_or(PollTimeout::MAX);
        // An interruption is as good as a reason.
        let _ready = poll(&mut fds, time).is_ok();
    }
}
