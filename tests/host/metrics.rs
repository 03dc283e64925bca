// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! What the plugin counts, and who may ask for it.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use libc::{EIO, ENOSPC, ENOTCONN, EOPNOTSUPP};
use nix::sys::signal::{SigHandler, Signal, signal};

use support::background::{KeepGoing, with_background};
use support::eventually;
use support::faults::{self, Fault};
use support::log;
use support::metrics::{self, Numbers, ask, samples, scrape, socket, sum};
use support::runner::{BUSY, Lun, OK, PASSTHROUGH_ERR, RANGE, WR_ERR};
use support::volume::LocalVolume;

const MIB: u64 = 1 << 20;

#[test]
fn every_command_is_counted_once_by_what_it_was_and_what_became_of_it() {
    let volume = LocalVolume::new();
    volume.image("counted.img", MIB);
    let path = volume.path("counted.img");
    let lun = Lun::opened(&volume.cfgstring("counted.img", ""), MIB);
    for n in 0..5 {
        assert_eq!(lun.write(n * 4096, &[1; 4096]), OK);
    }
    for _ in 0..3 {
        assert_eq!(lun.read(0, 512).0, OK);
    }
    assert_eq!((lun.flush(), lun.flush()), (OK, OK));
    assert_eq!(lun.submit_unmap(0, 8192).wait().0, OK);
    assert_eq!(lun.submit_write_same(8192, 1024, &[7; 512]).wait().0, OK);
    assert_eq!(lun.submit_forced_write(0, &[0; 512]).wait().0, OK);
    // One that finds what it expects, and one that does not.
    assert_eq!(lun.submit_compare_and_write(0, &[0; 512], &[9; 512]).wait().0, OK);
    assert_eq!(lun.submit_compare_and_write(0, &[0; 512], &[9; 512]).wait().0, PASSTHROUGH_ERR);
    // One that is refused inside the call, and others that fail later.
    assert_eq!(lun.read(i64::try_from(MIB).unwrap(), 512).0, RANGE);
    faults::set(&path, Some(Fault::NoSpace));
    assert_eq!(lun.write(0, &[1; 512]), PASSTHROUGH_ERR);
    faults::set(&path, Some(Fault::NoSync(EIO)));
    assert_eq!(lun.flush(), WR_ERR);
    faults::set(&path, None);

    let numbers = Numbers::of(&path);
    assert_eq!(numbers.of_op("read", "range"), [4, 1, 3 * 512]);
    assert_eq!(numbers.of_op("write", "space"), [7, 1, 5 * 4096 + 512]);
    assert_eq!(numbers.of_op("flush", "medium"), [3, 1, -1]);
    assert_eq!(numbers.of_op("unmap", "medium"), [1, 0, 8192]);
    assert_eq!(numbers.of_op("write_same", "medium"), [1, 0, 1024]);
    assert_eq!(numbers.of_op("compare_and_write", "miscompare"), [2, 1, 512]);
    assert_eq!((numbers.get("operations_total", &[]), numbers.get("errors_total", &[])), (18, 4));
    assert_eq!(numbers.get("latency_seconds_count", &[]), 18);
    assert_eq!(numbers.get("latency_seconds_bucket", &[("le", "+Inf")]), 18);
    assert_eq!((numbers.get("in_flight", &[]), numbers.get("slow_commands_total", &[])), (0, 0));
}

#[test]
fn what_a_lun_is_can_be_read() {
    let volume = LocalVolume::new();
    volume.image("shown.img", MIB);
    let path = volume.path("shown.img");
    let mut lun = Lun::opened(&volume.cfgstring("shown.img", ";access=ro;fence=off"), MIB);
    let numbers = Numbers::of(&path);
    for (label, value) in [
        ("volume", "local"),
        ("image", path.as_str()),
        ("servers", "here"),
        ("cache", "none"),
        ("fence", "off"),
        ("access", "ro"),
        ("tls", "off"),
    ] {
        assert_eq!(numbers.get("lun_info", &[(label, value)]), 1, "{label}");
    }
    assert_eq!((numbers.get("size_bytes", &[]), numbers.get("ready", &[])), (1 << 20, 1));
    assert_eq!((numbers.get("read_only", &[]), numbers.get("outage", &[])), (1, 0));
    assert_eq!(numbers.get("fence_state", &[("state", "open")]), 1);
    assert_eq!(numbers.get("fence_state", &[]), 1, "one state at a time");
    let text = scrape();
    let of_volume = [("volume", "local"), ("server", "its volfile")];
    assert_eq!(sum(&text, "tcmu_glfs_volume_bricks", &of_volume), Some(1.0));
    assert_eq!(sum(&text, "tcmu_glfs_volume_bricks_connected", &of_volume), Some(1.0));
    assert_eq!(sum(&text, "tcmu_glfs_volume_graph_switches_total", &of_volume), Some(0.0));
    assert!(
        sum(&text, "tcmu_glfs_build_info", &[("version", env!("CARGO_PKG_VERSION"))]).is_some()
    );
    assert!(sum(&text, "tcmu_glfs_build_info", &[("gfapi", "unknown")]).is_none());
    lun.close();
    assert_eq!(Numbers::of(&path).get("ready", &[]), -1, "a LUN that is closed is not shown");
}

#[test]
fn an_outage_is_seen_and_a_lun_that_was_reopened_keeps_its_numbers() {
    let volume = LocalVolume::new();
    volume.image("away.img", MIB);
    let path = volume.path("away.img");
    let mut lun = Lun::opened(&volume.cfgstring("away.img", ""), MIB);
    let outage = || {
        let numbers = Numbers::of(&path);
        (numbers.get("outage", &[]), numbers.get("outages_total", &[]))
    };
    let mut busy = 0;
    for n in 1..=2 {
        faults::set(&path, Some(Fault::AtSubmit(ENOTCONN)));
        assert_eq!((lun.read(0, 512).0, lun.read(0, 512).0), (BUSY, BUSY));
        busy += 2;
        assert_eq!(outage(), (1, n));
        faults::set(&path, None);
        // Commands are held back for a moment yet.
        while lun.read(0, 512).0 == BUSY {
            busy += 1;
        }
        assert_eq!(outage(), (0, n));
    }
    lun.close();
    assert_eq!(lun.open(), 0);
    assert_eq!(outage(), (0, 2));
    assert_eq!(Numbers::of(&path).of_op("read", "busy"), [busy + 2, busy, 1024]);
}

#[test]
fn a_command_that_is_being_served_is_in_flight() {
    let volume = LocalVolume::new();
    volume.image("held.img", MIB);
    let path = volume.path("held.img");
    let lun = Lun::opened(&volume.cfgstring("held.img", ""), MIB);
    faults::set(&path, Some(Fault::HeldSync));
    let pending: Vec<_> = (0..3).map(|_| lun.submit_flush()).collect();
    let numbers = Numbers::of(&path);
    assert_eq!((numbers.get("in_flight", &[]), numbers.get("operations_total", &[])), (3, 0));
    faults::set(&path, None);
    for flush in pending {
        assert_eq!(flush.wait().0, OK);
    }
    let numbers = Numbers::of(&path);
    assert_eq!((numbers.get("in_flight", &[]), numbers.get("operations_total", &[])), (0, 3));
}

#[test]
fn a_slow_command_is_counted_and_said() {
    let volume = LocalVolume::new();
    volume.image("slow.img", MIB);
    let path = volume.path("slow.img");
    let lun = Lun::opened(&volume.cfgstring("slow.img", ""), MIB);
    faults::set(&path, Some(Fault::Slow(Duration::from_millis(1100))));
    assert_eq!(lun.write(4096, &[1; 1024]), OK);
    faults::set(&path, None);
    assert_eq!(lun.write(4096, &[1; 1024]), OK);
    let numbers = Numbers::of(&path);
    assert_eq!(numbers.get("slow_commands_total", &[]), 1);
    assert_eq!(numbers.get("latency_seconds_bucket", &[("op", "write"), ("le", "1.048576")]), 1);
    assert!(numbers.get("latency_seconds_sum", &[("op", "write")]) >= 1);
    let said = log::lines(&format!("{path}: slow: "));
    assert_eq!(said.len(), 1, "{said:?}");
    let (_, took) = said[0].split_once("slow: WRITE offset=4096 len=1024 took ").expect(&said[0]);
    let seconds: f64 = took.strip_suffix(" s").expect(took).parse().unwrap();
    assert!((1.1..10.0).contains(&seconds), "{said:?}");
}

#[test]
fn a_volume_that_cannot_do_it_is_no_error() {
    let volume = LocalVolume::apart();
    volume.image("degraded.img", MIB);
    let path = volume.path("degraded.img");
    let lun = Lun::opened(&volume.cfgstring("degraded.img", ""), MIB);
    faults::set(&path, Some(Fault::NoZerofill(EOPNOTSUPP)));
    assert_eq!(lun.submit_unmap(0, 4096).wait().0, OK);
    faults::set(&path, Some(Fault::Late(ENOSPC)));
    assert_eq!(lun.write(0, &[1; 512]), PASSTHROUGH_ERR);
    faults::set(&path, None);
    let numbers = Numbers::of(&path);
    assert_eq!(
        (numbers.of_op("unmap", "space"), numbers.of_op("write", "space")),
        ([1, 0, 4096], [1, 1, 0])
    );
    assert_eq!(numbers.get("errors_total", &[]), 1);
}

#[test]
fn root_alone_can_ask() {
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let volume = LocalVolume::new();
    volume.image("private.img", MIB);
    let _lun = Lun::opened(&volume.cfgstring("private.img", ""), MIB);
    drop(scrape());
    assert_eq!((mode(&socket()), mode(socket().parent().unwrap())), (0o600, 0o700));
}

#[test]
fn the_format_is_what_the_client_wants_and_questions_for_something_else_are_told_so() {
    let volume = LocalVolume::new();
    volume.image("asked.img", MIB);
    let _lun = Lun::opened(&volume.cfgstring("asked.img", ""), MIB);
    let (head, body) = ask("GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n");
    assert!(
        head.contains("\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"),
        "{head}"
    );
    assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{head}");
    let (head, body) =
        ask("GET /metrics HTTP/1.1\r\nAccept: application/openmetrics-text;version=1.0.0\r\n\r\n");
    assert!(head.contains("application/openmetrics-text; version=1.0.0; charset=utf-8"), "{head}");
    assert!(body.ends_with("# EOF\n"), "{body}");
    assert_eq!(ask("HEAD /metrics HTTP/1.0\r\n\r\n").1, "");
    for (request, status) in [
        ("GET / HTTP/1.0\r\n\r\n", "404"),
        ("DELETE /metrics HTTP/1.0\r\n\r\n", "405"),
        ("rubbish\n\n", "400"),
        (&"x".repeat(5000), "400"),
    ] {
        assert!(ask(request).0.starts_with(&format!("HTTP/1.0 {status} ")), "{request}");
    }
}

#[test]
fn clients_that_hang_or_hang_up_harm_nobody() {
    let volume = LocalVolume::new();
    volume.image("rude.img", MIB);
    let _lun = Lun::opened(&volume.cfgstring("rude.img", ""), MIB);
    drop(scrape());
    // As in a daemon that does not ignore it: a write to a client that is gone would end this
    // process. SAFETY: no handler is installed.
    unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl).unwrap() };
    for _ in 0..20 {
        let mut gone = UnixStream::connect(socket()).unwrap();
        gone.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
    }
    let silent = UnixStream::connect(socket()).unwrap();
    let begin = Instant::now();
    drop(scrape());
    assert!(begin.elapsed() < Duration::from_secs(15), "{:?}", begin.elapsed());
    drop(silent);
}

#[test]
fn numbers_can_be_had_under_load_and_never_go_back() {
    let volume = LocalVolume::new();
    volume.image("busy.img", MIB);
    let path = volume.path("busy.img");
    let lun = Lun::opened(&volume.cfgstring("busy.img", ""), MIB);
    let load = |keep_going: KeepGoing<'_>| {
        let mut submitted = 0;
        while keep_going() {
            let pending: Vec<_> = (0..16).map(|n| lun.submit_read(n * 4096, 4096)).collect();
            submitted += 16;
            assert!(pending.into_iter().all(|read| read.wait().0 == OK));
        }
        submitted
    };
    let submitted: i64 = with_background(load, || {
        let mut before = [0; 2];
        for _ in 0..50 {
            let numbers = Numbers::of(&path);
            let [commands, errors, bytes] = numbers.of_op("read", "busy");
            assert!(errors == 0 && (0..=16).contains(&numbers.get("in_flight", &[])));
            // One number is read after the other, and any number of commands may end in between:
            // but for those that are being served, each is at least what the other was a scrape
            // before.
            let [commands_before, bytes_before] = before;
            assert!(commands >= commands_before && bytes >= bytes_before);
            assert!(
                bytes / 4096 >= commands_before - 16,
                "{commands_before} commands, then {bytes} bytes"
            );
            assert!(
                commands >= bytes_before / 4096 - 16,
                "{bytes_before} bytes, then {commands} commands"
            );
            before = [commands, bytes];
        }
    });
    let numbers = Numbers::of(&path);
    assert_eq!(numbers.of_op("read", "busy"), [submitted, 0, submitted * 4096]);
    assert_eq!(numbers.get("in_flight", &[]), 0);
}

/// What Prometheus' own tool says of names, types and texts.
#[test]
fn promtool_has_nothing_to_say() {
    let volume = LocalVolume::new();
    volume.image("linted.img", MIB);
    let lun = Lun::opened(&volume.cfgstring("linted.img", ""), MIB);
    assert_eq!(lun.read(0, 512).0, OK);
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is needed (Debian: prometheus)");
    let text = scrape();
    assert!(samples(&text).count() > 200);
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
}

/// This test in a process of its own, whose plugin listens there. True in that process.
fn in_child(test: &str, socket: &Path) -> bool {
    if std::env::var_os(metrics::DECIDED).is_some() {
        return true;
    }
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", &format!("metrics::{test}"), "--nocapture"]);
    metrics::decide(&mut child, socket);
    let output = child.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    false
}

#[test]
fn off_means_no_socket_no_thread_and_no_numbers() {
    if !in_child("off_means_no_socket_no_thread_and_no_numbers", Path::new("")) {
        return;
    }
    let volume = LocalVolume::new();
    volume.image("off.img", MIB);
    let lun = Lun::opened(&volume.cfgstring("off.img", ""), MIB);
    assert_eq!((lun.write(0, &[1; 512]), lun.read(0, 512)), (OK, (OK, vec![1; 512])));
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let mut names =
        tasks.map(|task| fs::read_to_string(task.unwrap().path().join("comm")).unwrap());
    assert!(!names.any(|name| name.starts_with("glfs-metrics")));
    assert!(!Path::new("/run/tcmu-glfs").exists() && log::lines("Metrics:").is_empty());
}

/// A second daemon: the first one keeps the socket, and its LUNs are served all the same.
#[test]
fn a_socket_that_cannot_be_had_is_one_line_in_the_log() {
    let volume = LocalVolume::new();
    volume.image("second.img", MIB);
    let lun = Lun::opened(&volume.cfgstring("second.img", ""), MIB);
    if std::env::var_os(metrics::DECIDED).is_none() {
        drop(scrape());
    }
    if !in_child("a_socket_that_cannot_be_had_is_one_line_in_the_log", &socket()) {
        assert_eq!(Numbers::of(&volume.path("second.img")).get("ready", &[]), 1, "still ours");
        return;
    }
    assert_eq!(lun.write(0, &[1; 512]), OK);
    eventually("the warning", || !log::lines("another tcmu-runner listens there").is_empty());
    // Longer than from one attempt to the next.
    thread::sleep(Duration::from_secs(6));
    assert_eq!(log::lines("Metrics:").len(), 1, "{:?}", log::lines("Metrics:"));
}
