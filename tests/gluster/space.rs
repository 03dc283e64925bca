// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Which ranges of an image are allocated, and how much space there is.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use handler_glfs::config::Config;
use handler_glfs::gluster::{File, Opener};
use handler_glfs::iovec::Buffer;
use handler_glfs::lun::backend::{Backend, Data, Durability, Extent, Request, Source, Space};
use nix::errno::Errno;

use crate::types::SHARDED;
use support::cluster::{self, Volume, gluster};
use support::runner::{Lun, PASSTHROUGH_ERR};
use support::{eventually, log};

const MIB: u64 = 1 << 20;
const SIZE: u64 = 64 * MIB;
const PATIENCE: Duration = Duration::from_secs(30);
const HOLE: bool = false;
const DATA: bool = true;

/// A request whose outcome is waited for.
struct Waited(Buffer, std::sync::mpsc::Sender<Result<usize, Errno>>);

impl Request for Waited {
    fn data(&self) -> &Data {
        self.0.data()
    }

    fn done(self, outcome: Result<usize, Errno>) {
        self.1.send(outcome).unwrap();
    }
}

fn wait(buffer: Buffer, submit: impl FnOnce(Waited)) -> Result<usize, Errno> {
    let (sender, outcome) = channel();
    submit(Waited(buffer, sender));
    outcome.recv_timeout(PATIENCE).unwrap()
}

fn open(volume: &Volume, image: &str, options: &str) -> File {
    let config: Config = volume.cfgstring(image, options).parse().unwrap();
    Opener::new(&config).open(PATIENCE, None).unwrap().image
}

fn status(file: &File, offset: u64, len: u64) -> Result<Extent, Errno> {
    let (sender, outcome) = channel();
    file.block_status(offset, len, move |outcome| sender.send(outcome).unwrap());
    outcome.recv_timeout(PATIENCE).unwrap()
}

/// The extents of an image: whether allocated, and the first MiB after them.
fn extents(file: &File) -> Vec<(bool, u64)> {
    let (mut extents, mut offset): (Vec<(bool, u64)>, _) = (Vec::new(), 0);
    while offset < SIZE {
        let Extent { allocated, len } = status(file, offset, SIZE - offset).unwrap();
        offset += len;
        match extents.last_mut() {
            Some((before, end)) if *before == allocated => *end = offset / MIB,
            _ => extents.push((allocated, offset / MIB)),
        }
    }
    extents
}

fn bytes(byte: u8, len: usize) -> Buffer {
    Buffer::of(vec![byte; len])
}

fn write(file: &File, mib: u64, durability: Durability) {
    let moved = wait(bytes(0x5a, 1 << 20), |request| file.write(request, mib * MIB, durability));
    assert_eq!(moved, Ok(1 << 20));
}

/// On volumes whose bricks can tell.
pub(crate) fn holes() {
    for (layout, bricks) in [(&[][..], 1), (&["replica", "3"][..], 3)] {
        let volume = Volume::start(layout, bricks, &[]);
        volume.image("disk.img", SIZE);
        let file = open(&volume, "disk.img", "");
        assert_eq!(extents(&file), [(HOLE, 64)], "{layout:?}");
        write(&file, 8, Durability::Volatile);
        write(&file, 32, Durability::Durable);
        let two = [(HOLE, 8), (DATA, 9), (HOLE, 32), (DATA, 33), (HOLE, 64)];
        assert_eq!(extents(&file), two, "{layout:?}");
        assert_eq!(status(&file, 8 * MIB, 4096), Ok(Extent { allocated: true, len: 4096 }));
        assert_eq!(status(&file, 0, 4096), Ok(Extent { allocated: false, len: 4096 }));
        assert_eq!(status(&file, 2 * SIZE, 512), Ok(Extent { allocated: false, len: 512 }));
        let discarded = wait(Buffer::empty(), |request| file.discard(request, 8 * MIB, MIB));
        assert_eq!(discarded, Ok(0));
        assert_eq!(extents(&file), [(HOLE, 32), (DATA, 33), (HOLE, 64)], "{layout:?}");
        file.close(PATIENCE).unwrap();
    }
}

/// A READ or WRITE that ends meanwhile moves libgfapi's position of the descriptor.
pub(crate) fn holes_under_load() {
    let volume = Volume::start(&[], 1, &[]);
    volume.image("disk.img", SIZE);
    let file = open(&volume, "disk.img", "");
    write(&file, 8, Durability::Volatile);
    let end = AtomicBool::new(false);
    thread::scope(|scope| {
        for mib in [40, 41, 42, 43] {
            let (file, end) = (&file, &end);
            scope.spawn(move || {
                while !end.load(Ordering::SeqCst) {
                    wait(bytes(0, 512), |request| file.read(request, mib * MIB)).unwrap();
                }
            });
        }
        for _ in 0..2000 {
            let seen = status(&file, 0, SIZE);
            if seen != Ok(Extent { allocated: false, len: 8 * MIB }) {
                end.store(true, Ordering::SeqCst);
            }
            assert_eq!(seen, Ok(Extent { allocated: false, len: 8 * MIB }));
        }
        end.store(true, Ordering::SeqCst);
    });
}

/// Where nobody can tell, nothing is taken for a hole, and nothing breaks. On a dispersed volume a
/// look for data that finds none keeps the client from writing down what it has written before: the
/// descriptor would be bad from then on.
pub(crate) fn unknown() {
    let sharded = Volume::start(&[], 1, &SHARDED);
    let held_back = Volume::start(&[], 1, &[]);
    let dispersed = Volume::start(&["disperse", "3", "redundancy", "1"], 3, &[]);
    for (volume, options) in [(sharded, ""), (held_back, ";cache=writeback"), (dispersed, "")] {
        volume.image("disk.img", SIZE);
        let file = open(&volume, "disk.img", options);
        assert_eq!(extents(&file), [(DATA, 64)], "{options}");
        write(&file, 8, Durability::Durable);
        assert_eq!(extents(&file), [(DATA, 64)], "{options}");
        write(&file, 9, Durability::Durable);
        assert_eq!(file.close(PATIENCE), Ok(()), "{options}");
    }
}

/// Puts `/folder` under a quota of 100 MiB. glusterd mounts the volume for that, and refuses until
/// this mount answers.
fn limit_folder(volume: &Volume) {
    gluster(&["volume", "quota", &volume.name, "enable"]);
    let limit =
        ["--mode=script", "volume", "quota", &volume.name, "limit-usage", "/folder", "100MB"];
    eventually("the quota is set", || {
        cluster::run("gluster", &limit).inspect_err(|why| println!("{why}")).is_ok()
    });
}

/// Waits for the space of the image to be as expected; says what it was otherwise.
fn space_that(file: &File, what: &str, expected: impl Fn(&Space) -> bool) -> Space {
    let begin = Instant::now();
    loop {
        let space = file.space();
        match space {
            Ok(space) if expected(&space) => return space,
            _ => assert!(begin.elapsed() < PATIENCE, "never {what}: {space:?}"),
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// Of the volume, or of the quota that the image is under.
pub(crate) fn space() {
    let volume = Volume::start(&["replica", "3"], 3, &[]);
    volume.mounted(|place| fs::create_dir(place.join("folder")).unwrap());
    volume.image("folder/disk.img", SIZE);
    let file = open(&volume, "folder/disk.img", "");
    let whole = file.space().unwrap();
    assert!(whole.free > 0 && whole.free < whole.total, "{whole:?}");
    limit_folder(&volume);
    let quota = space_that(&file, "of the quota", |space| space.total == 100 * MIB);
    assert!(quota.free <= 100 * MIB, "{quota:?}");
}

/// The soft threshold of thin provisioning (`space-warning=`), of a quota.
pub(crate) fn warning() {
    let volume = Volume::start(&["replica", "3"], 3, &[]);
    volume.mounted(|place| {
        fs::create_dir(place.join("folder")).unwrap();
        fs::write(place.join("folder/other"), vec![0x5a; 60 << 20]).unwrap();
    });
    volume.image("folder/disk.img", SIZE);
    limit_folder(&volume);
    let file = open(&volume, "folder/disk.img", "");
    space_that(&file, "of the quota, less what is there", |space| {
        space.total == 100 * MIB && space.free < 50 * MIB
    });
    let opened = |options| Lun::opened(&volume.cfgstring("folder/disk.img", options), SIZE);
    let [warned, patient] = [";space-warning=50", ";space-warning=90"].map(opened);
    let sense = |lun: &Lun| {
        let (status, command) = lun.submit_read(0, 512).wait();
        (status == PASSTHROUGH_ERR).then(|| command.sense())
    };
    eventually("initiators are warned", || sense(&warned) == Some((6, 0x38, 7)));
    assert_eq!((sense(&warned), sense(&patient)), (None, None), "once, and beyond the threshold");
    let lines = log::lines("space-warning=50");
    assert!(lines.len() == 1 && lines[0].starts_with("warn"), "{lines:?}");
}
