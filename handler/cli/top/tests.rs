// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
use super::*;
use testbed::metrics_socket::{LUN, Lun, serve, text};

#[test]
fn snapshots_from_a_socket_are_exact() {
    let folder = tempfile::tempdir().unwrap();
    let source = Source { socket: folder.path().join("socket") };
    let luns = |scale: u64, away: bool| {
        let away = Lun { outage: away, not_ready: if away { scale } else { 0 }, ..LUN };
        let busy = Lun {
            name: "d1",
            image: "b.img",
            fence: "standby",
            reads: 1230 * scale,
            writes: 10 * scale,
            ..LUN
        };
        text(&[Lun { reads: 20 * scale, ..away }, busy], if scale == 3 { 2 } else { 3 })
    };
    serve(&source.socket, [luns(1, false), luns(3, true), luns(2, true)]);
    let mut times = (0..).map(|seconds| Duration::from_secs(2 * seconds));
    let mut out = Vec::new();
    batch(2, Sort::Iops, &mut out, || (times.next().unwrap(), source.scrape())).unwrap();
    let out = String::from_utf8(out).unwrap();
    let right = "\
2 LUNs: 1 OUTAGE, 1 ready   tcmu-glfs 0.1.0, gfapi 10.3, last 2.0 s
read 1.25k IOPS 5.1 MB/s  write 10 IOPS 0.7 MB/s  QD 8  errors 1.5/s
volume vms by gl1:24007: 2 of 3 bricks connected

                            -------- READ ---------  -------- WRITE --------
LUN     STATE      FENCE     IOPS  MB/s p50ms p99ms   IOPS  MB/s p50ms p99ms  OTHER/s    QD  ERR/s  IMAGE
d0      OUTAGE 0s  owned       20   0.1  0.75  15.3      0     0     -     -        0     4    1.5  vms/dir/a.img
d1      ready      standby  1.23k   5.0  0.75  15.3     10   0.7  0.75  15.3        0     4      0  vms/b.img

2 LUNs: 1 OUTAGE, 1 ready   tcmu-glfs 0.1.0, gfapi 10.3, last 2.0 s
read 0 IOPS 0 MB/s  write 0 IOPS 0 MB/s  QD 8  errors 0/s
restarted 0s ago: d0, d1; counters began anew

                            -------- READ ---------  -------- WRITE --------
LUN     STATE      FENCE     IOPS  MB/s p50ms p99ms   IOPS  MB/s p50ms p99ms  OTHER/s    QD  ERR/s  IMAGE
d0      OUTAGE 2s  owned        -     -     -     -      -     -     -     -        -     4      -  vms/dir/a.img
d1      ready      standby      -     -     -     -      -     -     -     -        -     4      -  vms/b.img
";
    assert_eq!(out, right);
}

#[test]
fn a_first_look_that_fails_is_an_error_a_later_one_is_shown() {
    let failing = || (Duration::ZERO, Err("gone".to_owned()));
    assert_eq!(batch(1, Sort::Iops, &mut Vec::new(), failing), Err("gone".to_owned()));
    let mut answers = vec![
        (Duration::from_secs(5), Err("gone".to_owned())),
        (Duration::ZERO, Ok(Snapshot::default())),
    ];
    let mut out = Vec::new();
    batch(1, Sort::Iops, &mut out, || answers.pop().unwrap()).unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), "No answer for 0s: gone\n");
}

#[test]
fn intervals_are_reasonable() {
    assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
    for wrong in ["0", "-1", "nan", "inf", "x", "1e9"] {
        assert!(seconds(wrong).is_err(), "{wrong}");
    }
}
