// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The plugin's lines in the daemon's log.

use std::process::{Command, ExitCode};
use std::sync::MutexGuard;
use std::time::{Duration, Instant};

use libc::ENXIO;

use crate::site;
use support::eventually;
use support::faults::{self, Fault};
use support::log::{self, STUCK};
use support::runner::{Lun, OK, RD_ERR, WR_ERR, table};
use support::volume::LocalVolume;

const MIB: u64 = 1 << 20;

/// A LUN on an image of its own, and the image as lines and faults name it.
pub fn lun(name: &str, options: &str) -> (LocalVolume, Lun, String) {
    let volume = LocalVolume::new();
    volume.image(name, MIB);
    let path = volume.path(name);
    let lun = Lun::opened(&volume.cfgstring(name, options), MIB);
    (volume, lun, path)
}

fn fail(path: &str) {
    faults::set(path, Some(Fault::AtSubmit(ENXIO)));
}

/// Submits `count` READs, many at a time, and fails unless all of them do.
fn failing_reads(lun: &Lun, count: usize) {
    const AT_ONCE: usize = 100;
    for _ in 0..count / AT_ONCE {
        let pending: Vec<_> = (0..AT_ONCE).map(|_| lun.submit_read(0, 512)).collect();
        assert!(pending.into_iter().all(|command| command.wait().0 == RD_ERR));
    }
}

pub fn storm() {
    let (_volume, lun, path) = lun("storm.img", "");
    fail(&path);
    let begin = Instant::now();
    failing_reads(&lun, 1_000_000);
    let took = begin.elapsed();
    faults::set(&path, None);
    assert_eq!(lun.read(0, 512).0, OK);
    let lines = log::lines(&path);
    let lines: Vec<_> = lines.iter().filter(|line| line.contains("READ")).collect();
    println!("{} lines in {took:?}: {lines:#?}", lines.len());
    assert!(lines.len() <= 20, "{} lines", lines.len());
    assert!(
        lines[0].starts_with("error: ")
            && lines[0].ends_with("READ offset=0 len=512 failed: ENXIO: No such device or address")
    );
    let last = lines.last().unwrap();
    assert!(
        last.starts_with("warn: ") && last.contains("READ serves again after 1000000 failures in "),
        "{last}"
    );
    // One more storm begins anew with a line, and that it ends is a line again.
    fail(&path);
    assert_eq!(lun.write(0, &[1; 512]), WR_ERR);
    faults::set(&path, None);
    assert_eq!(lun.write(0, &[1; 512]), OK);
    assert_eq!(
        log::lines(&path).last().unwrap().split(": ").last(),
        Some("WRITE serves again after 1 failure in 0.0 s")
    );
}

pub fn neighbours() {
    let (_one, one, stormy) = lun("stormy.img", "");
    let (_other, other, quiet) = lun("quiet.img", "");
    fail(&stormy);
    failing_reads(&one, 10_000);
    fail(&quiet);
    assert_eq!(other.read(0, 512).0, RD_ERR);
    assert_eq!(log::lines(&format!("{quiet}: READ offset=0 len=512 failed")).len(), 1);
    faults::set(&stormy, None);
    faults::set(&quiet, None);
}

pub fn told_at_the_end() {
    let (_volume, lun, path) = lun("over.img", "");
    fail(&path);
    failing_reads(&lun, 1000);
    eventually("the watch tells", || {
        let told = log::lines(&path)
            .into_iter()
            .find(|line| line.contains("995 more like this were held back, the last "));
        told.is_some_and(|line| line.starts_with("warn: ") && line.contains("READ offset=0"))
    });
    // A LUN that is closed tells at once.
    failing_reads(&lun, 1000);
    drop(lun);
    assert_eq!(
        log::lines(&path).iter().filter(|line| line.contains("995 more like this")).count(),
        2
    );
    faults::set(&path, None);
}

/// Lines of a level about failed READs.
fn failures(path: &str, level: &str) -> usize {
    log::lines(path)
        .iter()
        .filter(|line| line.starts_with(level) && line.contains("READ offset"))
        .count()
}

pub fn levels() {
    site::write("");
    let (_volume, lun, path) = lun("level.img", "");
    fail(&path);
    failing_reads(&lun, 100);
    assert_eq!((failures(&path, "error"), failures(&path, "info")), (5, 0));
    let follows = |level: &str, holds: &dyn Fn() -> bool| {
        site::write(&format!("[defaults]\nlog-level = \"{level}\"\n"));
        eventually(level, || {
            failing_reads(&lun, 100);
            holds()
        });
    };
    follows("debug", &|| failures(&path, "info") > 0);
    let before = failures(&path, "info");
    failing_reads(&lun, 100);
    // Each, but for what the storm tells by itself.
    assert!(failures(&path, "info") >= before + 99);
    let quiet = std::cell::Cell::new(failures(&path, "info"));
    follows("error", &|| failures(&path, "info") == quiet.replace(failures(&path, "info")));
    faults::set(&path, None);
    let warnings = || log::lines(&path).iter().filter(|line| line.starts_with("warn: ")).count();
    let before = warnings();
    assert_eq!(lun.read(0, 512).0, OK);
    assert_eq!(warnings(), before, "that it serves again is a warning");
    // What a cfgstring says itself, no site file changes.
    let (_volume, lun, path) = self::lun("own-level.img", ";log-level=debug");
    fail(&path);
    failing_reads(&lun, 100);
    std::thread::sleep(Duration::from_secs(4));
    failing_reads(&lun, 100);
    assert_eq!(failures(&path, "info") + failures(&path, "error"), 200);
    faults::set(&path, None);
    site::write("");
}

fn stick() -> MutexGuard<'static, ()> {
    // What there is to be written is.
    log::lines("");
    STUCK.lock().unwrap()
}

pub fn stuck() {
    let (_volume, lun, path) = lun("stuck.img", ";log-level=debug");
    fail(&path);
    let held = stick();
    let begin = Instant::now();
    for sector in 0..2000 {
        assert_eq!(lun.read(sector * 512, 512).0, RD_ERR);
    }
    assert_eq!(lun.write(0, &[1; 512]), WR_ERR);
    faults::set(&path, None);
    assert_eq!((lun.write(0, &[2; 512]), lun.read(0, 512)), (OK, (OK, vec![2; 512])));
    println!("2003 commands in {:?} while the log was stuck", begin.elapsed());
    drop(held);
    let lines = log::lines("");
    let first = lines
        .iter()
        .position(|line| line.contains(&path) && line.contains("READ offset=0 "))
        .unwrap();
    let sectors = lines[first..]
        .iter()
        .map_while(|line| line.split_once("READ offset=")?.1.split(' ').next()?.parse().ok());
    let sectors: Vec<u64> = sectors.collect();
    assert!((1000..2000).contains(&sectors.len()), "{} lines", sectors.len());
    assert!(
        sectors.iter().zip(0..).all(|(offset, sector)| *offset == sector * 512),
        "not in order"
    );
    // 2000 READs, a WRITE, and that both serve again.
    let missing = 2003 - sectors.len();
    let count = &lines[first + sectors.len()];
    assert_eq!(
        *count,
        format!("warn: {missing} lines are missing here: tcmu-runner's log did not take them")
    );
}

/// The argument that makes this executable a daemon that ends.
pub const DESTROYED: &str = "--destroyed";

pub fn destroyed(how: &str) -> ExitCode {
    let (_volume, lun, _) = lun("destroyed.img", "");
    let held = (how == "stuck").then(stick);
    drop(lun);
    let begin = Instant::now();
    // SAFETY: as the daemon does, when all LUNs are closed.
    unsafe { (table().destroy)() };
    let took = begin.elapsed();
    // At once: the daemon takes its log down. Looked at without waiting for anything.
    println!("{}\n{}", took.as_millis(), log::so_far().join("\n"));
    drop(held);
    ExitCode::SUCCESS
}

pub fn last_lines() {
    let run = |how: &str| {
        let child =
            Command::new(std::env::current_exe().unwrap()).args([DESTROYED, how]).output().unwrap();
        assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stderr));
        let text = String::from_utf8(child.stdout).unwrap();
        let (took, lines) = text.split_once('\n').unwrap();
        println!("{how}: {took} ms\n{lines}");
        (took.parse::<u64>().unwrap(), lines.to_owned())
    };
    let (took, lines) = run("well");
    assert!(took < 5000 && lines.contains("destroyed.img: closed"), "{took} ms: {lines}");
    let (took, lines) = run("stuck");
    assert!(took < 6500 && !lines.contains("destroyed.img: closed"), "{took} ms: {lines}");
}
