// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The inside of a gateway: a process with the plugin and one LUN, that does what it is told line
//! by line.
//!
//! Every command is answered by one line: the status, the milliseconds it took, and what else there
//! is to say.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::baseline_client::BaselineClient;
use crate::load::{Answer, Disk, Load, Region, answer, offset};
use crate::stamp::{BLOCK, Content, Stamp};
use support::log;
use support::metrics::{scrape, sum};
use support::runner::{Lun, OK, Pending, table};
use support::symbols::LOG_DIR;
use support::usage::Usage;

/// The argument that makes this executable a gateway.
pub(crate) const GATEWAY: &str = "--gateway";

/// A COMPARE AND WRITE that found something else.
const MISCOMPARE: u8 = 0x0e;

struct Agent {
    gateway: u64,
    lun: Option<Arc<Lun>>,
    /// How many LUNs there have been.
    opened: u64,
    /// In its place.
    baseline: Option<Arc<BaselineClient>>,
    next: Arc<AtomicU64>,
    load: Option<Load>,
    contest: Option<Contest>,
}

/// Who looks for a moment in which nobody owns the image.
struct Contest {
    over: Arc<AtomicBool>,
    /// How often the lock could be had, of how many attempts.
    thread: JoinHandle<[u64; 2]>,
}

impl Contest {
    fn start(baseline: Arc<BaselineClient>) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&over);
        let thread = thread::spawn(move || {
            let (mut owned, mut tried) = (0, 0);
            while !is_over.load(Ordering::SeqCst) {
                owned += u64::from(baseline.could_own());
                tried += 1;
                thread::sleep(Duration::from_millis(1));
            }
            [owned, tried]
        });
        Self { over, thread }
    }

    fn end(self) -> [u64; 2] {
        self.over.store(true, Ordering::SeqCst);
        self.thread.join().unwrap()
    }
}

/// Serves until its standard input ends. libgfapi's log goes to `folder`.
pub(crate) fn serve(gateway: &str, folder: &str) -> ! {
    folder.clone_into(&mut LOG_DIR.lock().unwrap());
    let mut agent = Agent {
        gateway: gateway.parse().unwrap(),
        lun: None,
        opened: 0,
        baseline: None,
        next: Arc::new(AtomicU64::new(1)),
        load: None,
        contest: None,
    };
    println!("ready");
    for line in std::io::stdin().lines().map_while(Result::ok) {
        let begin = Instant::now();
        let (status, text) = agent.obey(&line);
        println!("{status} {} {text}", begin.elapsed().as_millis());
        std::io::stdout().flush().unwrap();
    }
    std::process::exit(0)
}

impl Agent {
    fn obey(&mut self, line: &str) -> (i32, String) {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |at: usize| words[at].parse::<u64>().unwrap();
        match words[0] {
            "baseline" => {
                let folder = LOG_DIR.lock().unwrap().clone();
                self.baseline = Some(Arc::new(BaselineClient::open(
                    words[1],
                    &format!("{folder}/baseline.log"),
                )));
                (OK, String::new())
            }
            "contend" => {
                self.contest = Some(Contest::start(Arc::clone(
                    self.baseline.as_ref().expect("a baseline client"),
                )));
                (OK, String::new())
            }
            "contended" => (
                OK,
                self.contest
                    .take()
                    .expect("a contest")
                    .end()
                    .map(|count| count.to_string())
                    .join(" "),
            ),
            "open" => {
                self.opened += 1;
                let mut lun = Lun::named(&format!("lun{}", self.opened), words[1], number(2));
                let status = lun.open();
                self.lun = (status == 0).then(|| Arc::new(lun));
                (status, log::lines("error: ").pop().unwrap_or_default())
            }
            "close" => {
                let lun = Arc::into_inner(self.lun.take().expect("open")).expect("no load");
                drop(lun);
                (OK, String::new())
            }
            "write" => {
                let (first, stamp) =
                    (number(1), Stamp { gateway: self.gateway, number: number(3) });
                let data: Vec<u8> =
                    (first..first + number(2)).flat_map(|block| stamp.fill(block)).collect();
                told(self.lun().submit_write(offset(first), &data))
            }
            "read" => self.read(number(1), number(2)),
            "flush" => told(self.lun().submit_flush()),
            "dump" => self.dump(Path::new(words[1])),
            "caw-increment" => self.increment(number(1), number(2)),
            "load" => {
                let region = Region { first: number(1), blocks: number(2), depth: number(3) };
                let disk: Arc<dyn Disk> = if let Some(baseline) = &self.baseline {
                    Arc::<BaselineClient>::clone(baseline)
                } else {
                    Arc::<Lun>::clone(self.lun())
                };
                self.load =
                    Some(Load::start(&disk, self.gateway, &self.next, region, Path::new(words[4])));
                (OK, String::new())
            }
            "stop" => (
                OK,
                self.load.take().expect("a load").stop().map(|count| count.to_string()).join(" "),
            ),
            "abandon" => (
                OK,
                self.load
                    .take()
                    .expect("a load")
                    .abandon()
                    .map(|count| count.to_string())
                    .join(" "),
            ),
            "usage" => {
                let usage = Usage::now();
                (OK, format!("{} {} {}", usage.kib, usage.fds, usage.threads))
            }
            "log" => (OK, log::lines(line.strip_prefix("log ").unwrap()).join(" | ")),
            "moves" => {
                let text = scrape();
                let of_lun = |name: &str| sum(&text, name, &[]).unwrap_or_default();
                let (moves, pause) =
                    (of_lun("tcmu_glfs_moves_total"), of_lun("tcmu_glfs_move_pause_seconds_max"));
                (OK, format!("{moves} {pause}"))
            }
            "bytes" => (OK, self.lun().bytes().to_string()),
            "lock" | "unlock" | "lock-state" | "report" => (self.fencing(&words), String::new()),
            "locks-lost" => (OK, self.lun().device.locks_lost.load(Ordering::SeqCst).to_string()),
            other => panic!("not a command: {other}"),
        }
    }

    fn lun(&self) -> &Arc<Lun> {
        self.lun.as_ref().expect("open")
    }

    /// The callbacks of fencing. A plugin without them fails the test that asks for them.
    fn fencing(&self, words: &[&str]) -> i32 {
        let (table, device) = (table(), &raw const *self.lun().device);
        // SAFETY: as the daemon does, on an open device.
        unsafe {
            match words[0] {
                "lock" => {
                    (table.lock.expect("the plugin fences"))(device, words[1].parse().unwrap())
                }
                "unlock" => (table.unlock.expect("the plugin fences"))(device),
                "report" => (table.report_event.expect("the plugin fences"))(device),
                _ => (table.get_lock_state.expect("the plugin fences"))(device),
            }
        }
    }

    /// What the blocks hold: gateway:number, zeros or torn.
    fn read(&self, first: u64, count: u64) -> (i32, String) {
        let len = usize::try_from(count).unwrap() * BLOCK;
        match Disk::read(&**self.lun(), offset(first), len) {
            Answer::Good(data) => {
                let contents =
                    (first..).zip(data.chunks(BLOCK)).map(|(at, bytes)| {
                        match Content::of(bytes, at) {
                            Content::Write(stamp) => format!("{}:{}", stamp.gateway, stamp.number),
                            other => format!("{other:?}").to_lowercase(),
                        }
                    });
                (OK, contents.collect::<Vec<_>>().join(" "))
            }
            Answer::Repeat => (REPEAT, String::new()),
            Answer::Failed(why) => (FAILED, why),
        }
    }

    /// Copies the whole LUN to a file, repeating what an initiator would repeat.
    fn dump(&self, to: &Path) -> (i32, String) {
        const PIECE: u64 = 64 << 10;
        let (file, bytes) = (File::create(to).unwrap(), self.lun().bytes());
        for at in (0..bytes).step_by(64 << 10) {
            let len = usize::try_from(PIECE.min(bytes - at)).unwrap();
            let patience = Instant::now();
            loop {
                match Disk::read(&**self.lun(), i64::try_from(at).unwrap(), len) {
                    Answer::Good(data) => break file.write_all_at(&data, at).unwrap(),
                    Answer::Repeat if patience.elapsed() < Duration::from_secs(30) => {
                        thread::sleep(Duration::from_millis(50));
                    }
                    Answer::Repeat => return (REPEAT, format!("at {at}")),
                    Answer::Failed(why) => return (FAILED, format!("at {at}: {why}")),
                }
            }
        }
        (OK, bytes.to_string())
    }

    /// Adds one to the number in a block's first bytes, `times` times, by COMPARE AND WRITE. How
    /// often another was quicker.
    fn increment(&self, block: u64, times: u64) -> (i32, String) {
        const LEN: usize = 512;
        let at = offset(block);
        let (mut known, mut others) = (vec![0; LEN], 0);
        for _ in 0..times {
            loop {
                let counter = u64::from_le_bytes(known[..8].try_into().unwrap());
                let new = (counter + 1).to_le_bytes().repeat(LEN / 8);
                let (status, command) =
                    self.lun().submit_compare_and_write(at.unsigned_abs(), &known, &new).wait();
                if status == OK {
                    known = new;
                    break;
                }
                let repeat = status == support::runner::BUSY;
                if !repeat && command.sense().0 != MISCOMPARE && command.sense().0 != 2 {
                    return (FAILED, format!("status {status}, sense {:x?}", command.sense()));
                }
                others += 1;
                if let Answer::Good(data) = Disk::read(&**self.lun(), at, LEN) {
                    known.copy_from_slice(&data);
                }
            }
        }
        (OK, others.to_string())
    }
}

/// Answers that ask for a repetition, and others.
pub(crate) const REPEAT: i32 = -1;
pub(crate) const FAILED: i32 = -2;

fn told(pending: Pending) -> (i32, String) {
    match answer(pending) {
        Answer::Good(_) => (OK, String::new()),
        Answer::Repeat => (REPEAT, String::new()),
        Answer::Failed(why) => (FAILED, why),
    }
}
