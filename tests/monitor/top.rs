// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! `tcmu-glfs top` on a terminal: a pseudo terminal, and an emulator that knows what it shows.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use testbed::metrics_socket::{LUN, Lun, serve, text};
use vt100::{Color, Parser, Screen};

/// The command on a terminal of its own.
struct Terminal {
    child: Child,
    keyboard: File,
    parser: Arc<Mutex<Parser>>,
}

const ROWS: u16 = 16;

/// Starts the command on a terminal of its own; the other end of that.
fn on_terminal(columns: u16, socket: &Path, environment: &[(&str, &str)]) -> (Child, File) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let slave =
        OpenOptions::new().read(true).write(true).open(OsStr::from_bytes(name.to_bytes())).unwrap();
    let keyboard = File::from(master);
    tcsetwinsize(&keyboard, size(columns)).unwrap();
    // A session of its own, so that the terminal tells it of another size.
    let mut command = Command::new("setsid");
    command
        .args(["--ctty", env!("CARGO_BIN_EXE_tcmu-glfs"), "top", "--interval", "0.2", "--socket"])
        .arg(socket);
    command.env("TERM", "xterm-256color").env_remove("NO_COLOR").envs(environment.iter().copied());
    command.stdin(slave.try_clone().unwrap()).stdout(slave.try_clone().unwrap()).stderr(slave);
    (command.spawn().unwrap(), keyboard)
}

impl Terminal {
    fn start(columns: u16, socket: &Path, environment: &[(&str, &str)]) -> Self {
        let (child, keyboard) = on_terminal(columns, socket, environment);
        let parser = Arc::new(Mutex::new(Parser::new(ROWS, columns, 0)));
        let (mut output, shown) = (keyboard.try_clone().unwrap(), Arc::clone(&parser));
        let read = move || {
            let mut piece = [0; 4096];
            while let Ok(bytes @ 1..) = output.read(&mut piece) {
                shown.lock().unwrap().process(&piece[..bytes]);
            }
        };
        thread::Builder::new().spawn(read).unwrap();
        Self { child, keyboard, parser }
    }

    fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    fn resize(&self, columns: u16) {
        self.parser.lock().unwrap().screen_mut().set_size(ROWS, columns);
        tcsetwinsize(&self.keyboard, size(columns)).unwrap();
    }

    /// Waits until the screen is as wanted.
    fn shows(&self, what: &str, wanted: impl Fn(&Screen) -> bool) {
        let patience = Instant::now() + Duration::from_secs(20);
        while !wanted(self.parser.lock().unwrap().screen()) {
            let screen = self.parser.lock().unwrap().screen().contents();
            assert!(Instant::now() < patience, "not seen: {what}\n{screen}");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn size(columns: u16) -> Winsize {
    Winsize { ws_row: ROWS, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}

/// d1 is the busiest, d2 the slowest to answer and away, d10 idle.
fn scrapes() -> impl Iterator<Item = String> {
    (0_u64..).map(|time| {
        let luns = [
            Lun { reads: 100 * time, ..LUN },
            Lun { name: "d1", reads: 500 * time, writes: 500 * time, ..LUN },
            Lun { name: "d2", outage: true, ..LUN },
            Lun { name: "d10", ..LUN },
        ];
        text(&luns, 2)
    })
}

/// The first words of the lines with LUNs.
fn order(screen: &Screen) -> Vec<String> {
    let contents = screen.contents();
    let names = contents.lines().filter_map(|line| line.split(' ').next());
    names.filter(|name| ["d0", "d1", "d2", "d10"].contains(name)).map(str::to_owned).collect()
}

/// The colour in which a text begins, if it is on the screen.
fn colour(screen: &Screen, text: &str) -> Option<Color> {
    let contents = screen.contents();
    let (row, line) = contents.lines().enumerate().find(|(_, line)| line.contains(text))?;
    let column = line[..line.find(text)?].chars().count();
    Some(screen.cell(u16::try_from(row).unwrap(), u16::try_from(column).unwrap())?.fgcolor())
}

#[test]
fn the_live_view_answers_keys_sizes_and_losses() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    serve(&socket, scrapes());
    let mut top = Terminal::start(80, &socket, &[]);
    top.shows("rates", |screen| {
        screen.contents().contains("- READ -") && order(screen) == ["d2", "d1", "d0", "d10"]
    });
    top.shows("columns of 80", |screen| {
        screen.contents().contains("ERR/s") && !screen.contents().contains("IMAGE")
    });
    top.shows("a missing brick", |screen| {
        screen.contents().contains("volume vms by gl1:24007: 2 of 3 bricks connected")
    });
    top.shows("red", |screen| colour(screen, "OUTAGE") == Some(Color::Idx(1)));
    top.shows("yellow", |screen| colour(screen, "volume vms") == Some(Color::Idx(3)));

    top.resize(140);
    top.shows("more columns", |screen| {
        screen.contents().contains("IMAGE") && screen.contents().contains("p50ms")
    });
    top.resize(50);
    top.shows("fewer columns", |screen| {
        let contents = screen.contents();
        contents.contains("p99ms")
            && !contents.contains("MB/s p")
            && !contents.contains("FENCE")
            && contents.contains("ERR/s")
    });

    top.resize(80);
    top.press("p");
    top.shows("a pause", |screen| screen.contents().contains("PAUSED"));
    let held = top.parser.lock().unwrap().screen().contents();
    thread::sleep(Duration::from_millis(700));
    assert_eq!(top.parser.lock().unwrap().screen().contents(), held);
    top.press("p");
    top.shows("no pause", |screen| !screen.contents().contains("PAUSED"));

    fs::remove_file(&socket).unwrap();
    top.shows("a loss", |screen| {
        screen.contents().contains("No answer for") && order(screen).is_empty()
    });
    serve(&socket, scrapes());
    top.shows("a restart", |screen| screen.contents().contains("restarted 0s ago: d0, d1;"));
    top.shows("rates again", |screen| order(screen) == ["d2", "d1", "d0", "d10"]);

    assert!(top.parser.lock().unwrap().screen().alternate_screen());
    top.press("q");
    assert!(top.child.wait().unwrap().success());
    top.shows("the terminal as it was", |screen| {
        !screen.alternate_screen() && !screen.hide_cursor()
    });
}

#[test]
fn a_signal_leaves_the_terminal_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    serve(&socket, scrapes());
    let mut top = Terminal::start(40, &socket, &[]);
    top.shows("the least", |screen| {
        screen.alternate_screen() && screen.contents().contains("ERR/s")
    });
    kill_process(Pid::from_child(&top.child), Signal::TERM).unwrap();
    assert!(top.child.wait().unwrap().success());
    top.shows("the terminal as it was", |screen| {
        !screen.alternate_screen() && !screen.hide_cursor()
    });
}

#[test]
fn a_terminal_that_is_closed_ends_it() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    serve(&socket, scrapes());
    let (mut child, mut terminal) = on_terminal(80, &socket, &[]);
    // It is drawing.
    terminal.read_exact(&mut [0; 200]).unwrap();
    drop(terminal);
    let patience = Instant::now() + Duration::from_secs(10);
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > patience {
            child.kill().unwrap();
            panic!("it goes on without a terminal");
        }
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn no_color_means_none() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    serve(&socket, scrapes());
    let top = Terminal::start(80, &socket, &[("NO_COLOR", "1")]);
    top.shows("a LUN that is away", |screen| screen.contents().contains("OUTAGE"));
    let screen = top.parser.lock().unwrap();
    assert_eq!(colour(screen.screen(), "OUTAGE"), Some(Color::Default));
}

#[test]
fn where_there_is_nothing_to_show_it_says_so_and_leaves_the_terminal_alone() {
    let folder = tempfile::tempdir().unwrap();
    let mut top = Terminal::start(80, &folder.path().join("missing"), &[]);
    assert_eq!(top.child.wait().unwrap().code(), Some(1));
    top.shows("why", |screen| {
        screen.contents().contains("tcmu-runner") && !screen.alternate_screen()
    });
}
