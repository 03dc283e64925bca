// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The `glfs-metrics` thread: serves scrapes on the socket, and rewrites the text file.

use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::encode::{self, Format};
use super::settings::Settings;
use super::socket::Socket;
use super::{http, lun, textfile};
use crate::log;
use crate::threads::lock;

/// Between two checks that the socket is reachable, and two attempts to bind it: a daemon that is
/// being replaced runs for a while beside its successor.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// Shortest interval between two versions of the file.
const MIN_FILE_INTERVAL: Duration = Duration::from_secs(1);
/// Between a panic and the restart of the loop.
const RESTART_DELAY: Duration = Duration::from_secs(1);

/// The running thread.
struct Server {
    settings: Settings,
    /// Wakes the thread.
    waker: UnixStream,
}

static SERVER: Mutex<Option<Server>> = Mutex::new(None);

/// Applies `settings`: starts, reconfigures or stops the exporter. Counters keep their values.
pub fn configure(settings: Settings) {
    lun::enable(settings.enabled, settings.slow);
    let mut server = lock(&SERVER);
    match &mut *server {
        Some(running) => {
            running.settings = settings;
            // A full pipe has wakes enough in it.
            let _woken = running.waker.write(&[0]).is_ok();
        }
        None if settings.enabled => match start() {
            Ok(waker) => *server = Some(Server { settings, waker }),
            Err(why) => {
                log::warning_always!(log::PLUGIN, "Metrics are not served: {why}");
            }
        },
        None => {}
    }
}

fn start() -> io::Result<UnixStream> {
    let (waker, woken) = UnixStream::pair()?;
    waker.set_nonblocking(true)?;
    woken.set_nonblocking(true)?;
    thread::Builder::new()
        .name(String::from("glfs-metrics"))
        .spawn(move || serve(&Arc::new(woken)))?;
    Ok(waker)
}

/// The thread. A panic costs one iteration; the next scrape is served.
fn serve(woken: &Arc<UnixStream>) {
    let run = || Exporter::new(Arc::clone(woken)).run();
    while catch_unwind(AssertUnwindSafe(run)).is_err() {
        log::error_always!(log::PLUGIN, "Metrics: PANIC; the exporter restarts");
        thread::sleep(RESTART_DELAY);
    }
}

/// State of the thread.
struct Exporter {
    waker: Arc<UnixStream>,
    socket: Option<Socket>,
    /// The text file, and when it was last written.
    file: Option<(PathBuf, Instant)>,
    /// Warnings that have been logged, so that each is logged once.
    warned: Vec<String>,
}

impl Exporter {
    fn new(waker: Arc<UnixStream>) -> Self {
        Self { waker, socket: None, file: None, warned: Vec::new() }
    }

    fn run(mut self) {
        while let Some(settings) = self.settings() {
            self.listen(&settings);
            let next =
                self.keep_file(&settings).map_or(CHECK_INTERVAL, |next| next.min(CHECK_INTERVAL));
            self.wait(next);
            if let Some(client) = self.socket.as_ref().and_then(|socket| socket.accept().ok()) {
                // The client may have hung up.
                let _answered = http::answer(client, encode::text).is_ok();
            }
        }
        self.forget_file();
    }

    /// Current settings. `None`: metrics are disabled, and the thread ends.
    fn settings(&mut self) -> Option<Settings> {
        while (&*self.waker).read(&mut [0; 64]).is_ok_and(|bytes| bytes > 0) {}
        let mut server = lock(&SERVER);
        if server.as_ref().is_some_and(|server| !server.settings.enabled) {
            // Under the lock: enabling metrics again starts another thread.
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
            Err(why) => self.warn(format!("not served at {}: {why}", settings.socket.display())),
        }
    }

    /// Writes the file if it is due. Time until it is due again.
    fn keep_file(&mut self, settings: &Settings) -> Option<Duration> {
        if self.file.as_ref().is_some_and(|(path, _)| settings.textfile.as_ref() != Some(path)) {
            self.forget_file();
        }
        let path = settings.textfile.as_ref()?;
        let interval = settings.interval.max(MIN_FILE_INTERVAL);
        if let Some((_, when)) = &self.file
            && let Some(left) = interval.checked_sub(when.elapsed())
            && !left.is_zero()
        {
            return Some(left);
        }
        if let Err(why) = textfile::write(path, &encode::text(Format::Prometheus)) {
            self.warn(format!("the file {} cannot be written: {why}", path.display()));
        }
        self.file = Some((path.clone(), Instant::now()));
        Some(interval)
    }

    fn forget_file(&mut self) {
        if let Some((path, _)) = self.file.take() {
            textfile::remove(&path);
        }
    }

    fn warn(&mut self, what: String) {
        if !self.warned.contains(&what) {
            log::warning_always!(log::PLUGIN, "Metrics: {what}");
            self.warned.push(what);
        }
    }

    /// Waits for a client, a wake-up or the timeout.
    fn wait(&self, time: Duration) {
        let fds = [Some(self.waker.as_fd()), self.socket.as_ref().map(Socket::as_fd)];
        let mut fds: Vec<PollFd<'_>> =
            fds.into_iter().flatten().map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        let time = PollTimeout::try_from(time).unwrap_or(PollTimeout::MAX);
        // EINTR is a wake-up, too.
        let _ready = poll(&mut fds, time).is_ok();
    }
}
