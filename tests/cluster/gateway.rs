// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Gateways: each a process with the real plugin, a network of its own, and a cable that can be
//! cut.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::agent::{FAILED, GATEWAY, REPEAT};
use crate::network::Cable;
use crate::nodes::cluster;
use crate::stamp::Content;
use support::runner::OK;

/// What a gateway has answered.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: i32,
    pub(crate) time: Duration,
    pub(crate) text: String,
}

impl Answer {
    /// BUSY or NOT READY: an initiator repeats it.
    pub(crate) fn is_repeat(&self) -> bool {
        self.status == REPEAT
    }

    pub(crate) fn is_failure(&self) -> bool {
        self.status == FAILED
    }

    /// The text, of a command that was to be done.
    pub(crate) fn good(self) -> String {
        assert_eq!(self.status, OK, "{self:?}");
        self.text
    }
}

/// What a load has done.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Done {
    pub(crate) acknowledged: u64,
    pub(crate) read: u64,
    pub(crate) flushed: u64,
    pub(crate) repeated: u64,
    pub(crate) errors: u64,
    /// From the first submission of a command to its last answer.
    pub(crate) slowest: Duration,
}

#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) id: u64,
    process: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    /// None until it has a network.
    cable: Option<Cable>,
    folder: PathBuf,
    /// Journals of its loads.
    journals: Vec<PathBuf>,
}

impl Gateway {
    /// A machine with nothing open yet. No two have the same number.
    pub(crate) fn start() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = cluster().root().join(format!("gateway{id}"));
        std::fs::create_dir(&folder).unwrap();
        let mut process = Command::new("unshare")
            .args(["--net", "--mount"])
            .arg(std::env::current_exe().unwrap())
            .args([GATEWAY, &id.to_string(), folder.to_str().unwrap()])
            // Where a core file would go.
            .current_dir(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (orders, answers) =
            (process.stdin.take().unwrap(), BufReader::new(process.stdout.take().unwrap()));
        let mut gateway =
            Self { id, process, orders, answers, cable: None, folder, journals: Vec::new() };
        // Its network exists when it has said something.
        assert_eq!(gateway.line(), "ready", "a gateway could not be started");
        // 100 to 249, again and again: those of long ago are gone.
        let address = usize::try_from(100 + id % 150).unwrap();
        gateway.cable = Some(Cable::to(gateway.process.id(), &format!("gateway{id}"), address));
        gateway
    }

    /// With an image of a volume open: a cluster that is busy has time for it.
    pub(crate) fn with(cfgstring: &str, bytes: u64) -> Self {
        let mut gateway = Self::start();
        let answer = gateway.open(&format!("{cfgstring};open=fail"), bytes);
        assert_eq!(answer.status, OK, "{cfgstring}: {answer:?}");
        gateway
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        if self.answers.read_line(&mut line).unwrap() == 0 {
            self.is_dead();
        }
        line.trim_end().to_owned()
    }

    /// Tells it to do something, and does not wait.
    pub(crate) fn order(&mut self, order: &str) {
        if writeln!(self.orders, "{order}").is_err() {
            self.is_dead();
        }
    }

    /// Nobody killed it.
    fn is_dead(&mut self) -> ! {
        let status = self.process.wait();
        panic!("gateway {} has died: {status:?}; its folder is {}", self.id, self.folder.display());
    }

    /// Its next answer.
    pub(crate) fn answer(&mut self) -> Answer {
        let line = self.line();
        let words: Vec<&str> = line.splitn(3, ' ').collect();
        Answer {
            status: words[0].parse().unwrap(),
            time: Duration::from_millis(words[1].parse().unwrap()),
            text: words.get(2).copied().unwrap_or_default().to_owned(),
        }
    }

    pub(crate) fn ask(&mut self, order: &str) -> Answer {
        self.order(order);
        self.answer()
    }

    pub(crate) fn open(&mut self, cfgstring: &str, bytes: u64) -> Answer {
        self.ask(&format!("open {cfgstring} {bytes}"))
    }

    /// Starts a load on `blocks` blocks from `first` on, with `depth` in flight.
    pub(crate) fn load(&mut self, first: u64, blocks: u64, depth: u64) {
        let journal = self.folder.join(format!("journal{}", self.journals.len()));
        self.ask(&format!("load {first} {blocks} {depth} {}", journal.display())).good();
        self.journals.push(journal);
    }

    pub(crate) fn stop(&mut self) -> Done {
        let text = self.ask("stop").good();
        let counts: Vec<u64> = text.split(' ').map(|count| count.parse().unwrap()).collect();
        let [acknowledged, read, flushed, repeated, errors, slowest] = counts[..] else {
            panic!("{text}")
        };
        if errors > 0 {
            let log = self.ask("log /").good().replace(" | ", "\n");
            println!("gateway {}:\n{log}", self.id);
        }
        Done {
            acknowledged,
            read,
            flushed,
            repeated,
            errors,
            slowest: Duration::from_millis(slowest),
        }
    }

    /// The journals of its loads, from the first to the last.
    pub(crate) fn journals(&self) -> &[PathBuf] {
        &self.journals
    }

    /// The image as it gives it.
    pub(crate) fn image(&mut self, blocks: u64) -> Vec<Content> {
        let file = self.folder.join("image");
        self.ask(&format!("dump {}", file.display())).good();
        Content::of_file(&file, blocks)
    }

    /// Resident KiB, descriptors, threads.
    pub(crate) fn usage(&mut self) -> [u64; 3] {
        let text = self.ask("usage").good();
        let figures: Vec<u64> = text.split(' ').map(|figure| figure.parse().unwrap()).collect();
        figures.try_into().unwrap()
    }

    pub(crate) fn cable(&self) -> &Cable {
        self.cable.as_ref().unwrap()
    }

    /// SIGKILL, SIGSTOP, SIGCONT.
    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.process.id()).unwrap()), signal).unwrap();
    }

    /// How often its LUN has left one graph of a volume for another, and for how long a command has
    /// waited for that at most, as its metrics say.
    pub(crate) fn moves(&mut self) -> (u64, Duration) {
        let text = self.ask("moves").good();
        let (moves, pause) = text.split_once(' ').unwrap();
        (moves.parse().unwrap(), Duration::from_secs_f64(pause.parse().unwrap()))
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may be frozen or cut off.
        let _gone_already = self.process.kill().is_err();
        let _status = self.process.wait();
    }
}
