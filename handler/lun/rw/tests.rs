//! READ and WRITE over a backend in memory that does what real ones do on bad days.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::super::attention::Attention;
use super::super::backend::{Bricks, Compared, Enforcement, Exchange, NotOpened, Opened, Ownership, Source};
use super::super::config::LogLevel;
use super::super::fence::Fence;
use super::super::fill::Missing;
use super::super::flush::Flushes;
use super::super::geometry::BlockSize;
use super::super::image::Image;
use super::super::outage::Outage;
use super::*;
use crate::report::Log;
use crate::runner::testing::{command, device_handle};
use crate::runner::{Lun as _, Rejected};

const SIZE: usize = 8192;

/// What the backend does with the next calls, in order; then it behaves.
#[derive(Debug, Clone, Copy)]
enum Mood {
    /// Moves at most so many bytes.
    Short(usize),
    Fails(Errno),
}

struct Memory {
    bytes: Arc<Mutex<Vec<u8>>>,
    moods: Mutex<Vec<Mood>>,
    /// Bricks with copies, if there are any.
    bricks: Mutex<Option<Bricks>>,
    jobs: Mutex<Sender<Box<dyn FnOnce() + Send>>>,
}

impl Memory {
    fn new(moods: Vec<Mood>) -> Self {
        let (sender, jobs) = channel::<Box<dyn FnOnce() + Send>>();
        let thread = thread::Builder::new().name(String::from("memory"));
        thread.spawn(move || jobs.into_iter().for_each(|job| job())).unwrap();
        let bytes = Arc::new(Mutex::new(vec![0; SIZE]));
        Self { bytes, moods: Mutex::new(moods), bricks: Mutex::new(None), jobs: Mutex::new(sender) }
    }

    /// Answers `request` later with what `work` makes of the image and the number of bytes that may be moved.
    fn later<R: Request>(&self, request: R, work: impl FnOnce(&R, &mut Vec<u8>, usize) -> usize + Send + 'static) {
        let mood = self.moods.lock().unwrap().pop();
        let bytes = Arc::clone(&self.bytes);
        let job = move || match mood {
            Some(Mood::Fails(errno)) => request.done(Err(errno)),
            Some(Mood::Short(limit)) => {
                let moved = work(&request, &mut bytes.lock().unwrap(), limit);
                request.done(Ok(moved));
            }
            None => {
                let moved = work(&request, &mut bytes.lock().unwrap(), usize::MAX);
                request.done(Ok(moved));
            }
        };
        self.jobs.lock().unwrap().send(Box::new(job)).unwrap();
    }
}

impl Ownership for Memory {
    fn enforcement(&self) -> Result<Enforcement, Errno> {
        Ok(Enforcement::Impossible("it is memory"))
    }

    fn take(&self) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    fn release(&self) -> Result<(), Errno> {
        Ok(())
    }

    fn is_taken(&self) -> Result<bool, Errno> {
        Ok(false)
    }

    fn settling(&self) -> Duration {
        Duration::ZERO
    }

    fn note(&self) -> Result<String, Errno> {
        Err(Errno::ENODATA)
    }

    fn set_note(&self, _: &str) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }
}

impl Backend for Memory {
    fn read(&self, request: impl Request, offset: u64) {
        self.later(request, move |request, bytes, limit| {
            let from = usize::try_from(offset).unwrap().min(bytes.len());
            request.data().store(&bytes[from..bytes.len().min(from.saturating_add(limit))])
        });
    }

    fn write(&self, request: impl Request, offset: u64) {
        self.later(request, move |request, bytes, limit| {
            let to = usize::try_from(offset).unwrap();
            let mut data = request.data().load();
            data.truncate(limit);
            bytes[to..to + data.len()].copy_from_slice(&data);
            data.len()
        });
    }

    fn discard(&self, request: impl Request, offset: u64, len: u64) {
        self.zero(request, offset, len);
    }

    fn zero(&self, request: impl Request, offset: u64, len: u64) {
        self.later(request, move |_, bytes, _| {
            let from = usize::try_from(offset).unwrap();
            bytes[from..from + usize::try_from(len).unwrap()].fill(0);
            0
        });
    }

    fn nothing(&self, request: impl Request) {
        self.later(request, |_, _, _| 0);
    }

    fn compare_and_write(&self, _: Exchange, _: impl FnOnce(Result<Compared, Errno>) + Send + 'static) {
        panic!("no test here needs it");
    }

    fn sync(&self, request: impl Request) {
        self.later(request, |_, _, _| 0);
    }

    fn is_replicated(&self) -> bool {
        self.bricks().is_some()
    }

    fn bricks(&self) -> Option<Bricks> {
        *self.bricks.lock().unwrap()
    }

    fn size(&self) -> Result<u64, Errno> {
        Ok(SIZE as u64)
    }

    fn close(&self) -> Result<(), Errno> {
        Ok(())
    }
}

/// Nothing here opens an image again.
struct Nowhere;

impl Source for Nowhere {
    type Backend = Memory;

    fn open(&self, _: Duration, _: Option<Instant>) -> Result<Opened<Memory>, NotOpened> {
        Err(NotOpened { errno: Errno::ENOENT, passes: false, why: String::from("nowhere") })
    }

    fn set_log_level(&self, _: LogLevel) {}
}

fn lun(moods: Vec<Mood>) -> Arc<Lun<Memory>> {
    let log = Arc::new(Log::new(String::from("memory")));
    let image = Image::new();
    image.replace(Opened { image: Memory::new(moods), writable: true });
    let meter = crate::metrics::meter("memory", &log);
    Arc::new(Lun {
        image,
        source: Box::new(Nowhere),
        open_timeout: Duration::from_secs(1),
        block_size: BlockSize::new(512).unwrap(),
        bytes: AtomicU64::new(SIZE as u64),
        device: device_handle(),
        cut_off: AtomicBool::new(false),
        outage: Outage::new(&"glfs/v@h/memory".parse().unwrap(), &log, &meter),
        fence: Fence::new(&"glfs/v@h/memory;fence=off".parse().unwrap(), &meter),
        restoring: AtomicBool::new(false),
        gathering: AtomicBool::new(false),
        attention: Attention::default(),
        missing: Missing::default(),
        flushes: Flushes::default(),
        cfgstring: String::new(),
        log,
        meter,
    })
}

/// Submits a READ or WRITE; its status and data.
fn run(lun: &Arc<Lun<Memory>>, op: Op, offset: usize, data: Vec<u8>) -> (i32, Vec<u8>) {
    let (command, answers) = command(data, 700);
    transfer(Arc::clone(lun), &*lun.image.get().unwrap(), command, op, offset as u64);
    let answer = answers.recv().unwrap();
    (answer.status, answer.data)
}

#[test]
fn what_does_not_fit_is_given_back_and_not_served() {
    let (command, _answers) = command(vec![0; 1024], 700);
    let Err(Rejected(command, status)) = lun(Vec::new()).read(command, SIZE as u64 - 512) else { panic!("served") };
    assert_eq!(status, Status::OutOfRange);
    command.complete(status);
}

#[test]
fn a_dropped_command_is_answered_with_hardware_error() {
    let (command, answers) = command(vec![0; 512], 512);
    drop(command);
    assert_eq!(answers.recv().unwrap().status, 13);
}

/// The status of a WRITE, and whether the storage has seen it.
fn write(lun: &Arc<Lun<Memory>>) -> (Status, bool) {
    let (command, answers) = command(vec![7; 512], 512);
    match Arc::clone(lun).write(command, 0) {
        Ok(()) if answers.recv().unwrap().status == 0 => (Status::Ok, true),
        Ok(()) => (Status::Busy, true),
        Err(Rejected(command, status)) => {
            command.complete(status);
            (status, false)
        }
    }
}

/// A LUN of three copies, all of whose bricks but `away` have just come back.
fn after_an_outage(away: u64) -> (Arc<Lun<Memory>>, Arc<Memory>) {
    let lun = lun(vec![Mood::Fails(Errno::ENOTCONN)]);
    let image = lun.image.get().unwrap();
    *image.bricks.lock().unwrap() = Some(Bricks { connected: 3 - away, all: 3 });
    assert_eq!(write(&lun), (Status::Busy, true), "the outage begins");
    (lun, image)
}

#[test]
fn after_an_outage_nothing_is_served_before_all_bricks_are_back() {
    let (lun, image) = after_an_outage(1);
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(2) {
        assert_eq!(write(&lun), (Status::Busy, false), "a write reached two of three bricks");
        thread::sleep(Duration::from_millis(20));
    }
    *image.bricks.lock().unwrap() = Some(Bricks { connected: 3, all: 3 });
    let begin = Instant::now();
    while write(&lun) != (Status::Ok, true) {
        assert!(begin.elapsed() < Duration::from_secs(2), "not served by three of three bricks");
        thread::sleep(Duration::from_millis(20));
    }
    assert!(begin.elapsed() > Duration::from_millis(400), "served before the bricks had settled");
    assert!(lun.outage.lasting().is_none(), "the outage goes on");
}

#[test]
fn a_brick_that_stays_away_is_waited_for_only_for_a_while() {
    let (lun, _) = after_an_outage(1);
    let begin = Instant::now();
    while write(&lun) != (Status::Ok, true) {
        assert!(begin.elapsed() < Duration::from_secs(8), "still waiting");
        thread::sleep(Duration::from_millis(20));
    }
    assert!(begin.elapsed() > Duration::from_secs(3), "it had no chance");
}

#[test]
fn where_there_is_one_copy_nothing_is_waited_for() {
    let lun = lun(vec![Mood::Fails(Errno::ENOTCONN)]);
    assert_eq!(write(&lun), (Status::Busy, true));
    assert_eq!(write(&lun), (Status::Ok, true));
}

fn mood() -> impl Strategy<Value = Mood> {
    prop_oneof![
        4 => (1_usize..1500).prop_map(Mood::Short),
        1 => Just(Mood::Fails(Errno::ENXIO)),
    ]
}

proptest! {
    /// Whatever the backend cuts short, a command that is GOOD has moved every byte; and every command is answered.
    #[test]
    fn good_means_all_of_it(
        moods in proptest::collection::vec(mood(), 0..40),
        writes in proptest::collection::vec((0_usize..16, 1_usize..=8, any::<u8>()), 1..8),
    ) {
        let lun = lun(moods);
        let image = lun.image.get().unwrap();
        let mut model = vec![0_u8; SIZE];
        for (block, blocks, byte) in writes {
            let (offset, len) = (block * 512, (blocks * 512).min(SIZE - block * 512));
            let (status, _) = run(&lun, Op::Write, offset, vec![byte; len]);
            if status == 0 {
                model[offset..offset + len].fill(byte);
                prop_assert_eq!(&image.bytes.lock().unwrap()[offset..offset + len], &model[offset..offset + len]);
            } else {
                prop_assert_eq!(status, 4, "WRITE ERROR");
                // What a failed write left is unspecified: the model follows.
                model.copy_from_slice(&image.bytes.lock().unwrap());
            }
            let (status, data) = run(&lun, Op::Read, offset, vec![0xee; len]);
            if status == 0 {
                prop_assert_eq!(&data[..], &model[offset..offset + len]);
            } else {
                prop_assert_eq!(status, 5, "READ ERROR");
            }
        }
    }
}
