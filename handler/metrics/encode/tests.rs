// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
use std::sync::Arc;

use super::super::lun::LunMetrics;
use super::super::registry::Lun;
use super::super::source::{FenceState, Identity, LunState, SpaceState};
use super::*;
use crate::scsi::{ErrorClass, Op};

fn snapshot(luns: Vec<Lun>) -> Snapshot {
    let volume = VolumeState {
        volume: String::from("v"),
        server: String::from("h:24007"),
        bricks: 3,
        connected: 2,
        graph_switches: 1,
    };
    Snapshot {
        luns,
        volumes: vec![volume],
        gfapi: Some(String::from("10.3")),
        site_file_error: None,
    }
}

fn lun(name: &str) -> Lun {
    let metrics = Arc::new(LunMetrics::new(&Arc::new(crate::log::Log::new(String::from("v@h/p")))));
    metrics.set_for_test(Op::Read, 2, 8192, Some(ErrorClass::Busy));
    Lun {
        name: name.to_owned(),
        metrics,
        identity: Identity {
            volume: String::from("v"),
            image: String::from("di\"r\\/\nd"),
            servers: vec![String::from("h"), String::from("g")],
            cache: "none",
            fence: "auto",
        },
        state: LunState {
            bytes: 1 << 40,
            ready: true,
            outage: false,
            read_only: true,
            fence: FenceState::Standby,
            space: Some(SpaceState { total: 1000, free: 150, short: true }),
            encrypted: None,
        },
    }
}

fn assert_has(text: &str, lines: &[&str]) {
    for line in lines {
        assert!(text.lines().any(|found| found == *line), "{line}\nis not in\n{text}");
    }
}

#[test]
fn both_formats_say_the_same() {
    let shared = [
        "tcmu_glfs_build_info{version=\"0.1.0\",gfapi=\"10.3\"} 1",
        "tcmu_glfs_lun_info{lun=\"d0\",volume=\"v\",image=\"di\\\"r\\\\/\\nd\",\
         servers=\"h,g\",cache=\"none\",fence=\"auto\",access=\"ro\",tls=\"unknown\"} 1",
        "tcmu_glfs_size_bytes{lun=\"d0\"} 1099511627776",
        "tcmu_glfs_operations_total{lun=\"d0\",op=\"read\"} 3",
        "tcmu_glfs_data_bytes_total{lun=\"d0\",op=\"read\"} 8192",
        "tcmu_glfs_errors_total{lun=\"d0\",op=\"read\",class=\"busy\"} 1",
        "tcmu_glfs_errors_total{lun=\"d0\",op=\"write\",class=\"space\"} 0",
        "tcmu_glfs_latency_seconds_bucket{le=\"0.000032\",lun=\"d0\",op=\"read\"} 3",
        "tcmu_glfs_latency_seconds_bucket{le=\"+Inf\",lun=\"d0\",op=\"read\"} 3",
        "tcmu_glfs_latency_seconds_count{lun=\"d0\",op=\"read\"} 3",
        "tcmu_glfs_fence_state{lun=\"d0\",state=\"standby\"} 1",
        "tcmu_glfs_fence_state{lun=\"d0\",state=\"open\"} 0",
        "tcmu_glfs_fence_transitions_total{lun=\"d0\",to=\"owned\"} 0",
        "tcmu_glfs_volume_bricks_connected{volume=\"v\",server=\"h:24007\"} 2",
        "tcmu_glfs_volume_graph_switches_total{volume=\"v\",server=\"h:24007\"} 1",
    ];
    let text = snapshot(vec![lun("d0")]).text(Format::OpenMetrics);
    assert_has(&text, &shared);
    assert_has(
        &text,
        &["# TYPE tcmu_glfs_operations counter", "# UNIT tcmu_glfs_size_bytes bytes"],
    );
    assert!(text.ends_with("# EOF\n"));
    let text = snapshot(vec![lun("d0")]).text(Format::Prometheus);
    assert_has(&text, &shared);
    assert_has(
        &text,
        &[
            "# HELP tcmu_glfs_operations_total Commands answered, including failed ones",
            "# TYPE tcmu_glfs_operations_total counter",
            "# HELP tcmu_glfs_lun_info Configuration of the LUN",
            "# TYPE tcmu_glfs_lun_info gauge",
            "# TYPE tcmu_glfs_size_bytes gauge",
        ],
    );
    assert!(!text.contains("# UNIT") && !text.contains("# EOF"));
}

#[test]
fn the_last_error_and_the_mistake_in_the_site_file_are_labels() {
    let lun = lun("d0");
    lun.metrics.set_last_error(String::from("READ: ENOTCONN"));
    let mut snapshot = snapshot(vec![lun]);
    snapshot.site_file_error = Some(String::from("glfs.toml:3:9: no"));
    let text = snapshot.text(Format::OpenMetrics);
    assert_has(
        &text,
        &[
            "tcmu_glfs_last_error_info{lun=\"d0\",error=\"READ: ENOTCONN\"} 1",
            "tcmu_glfs_site_file_ok 0",
            "tcmu_glfs_site_file_error_info{error=\"glfs.toml:3:9: no\"} 1",
        ],
    );
    assert!(text.contains("\ntcmu_glfs_last_error_timestamp_seconds{lun=\"d0\"} "));
}

#[test]
fn without_luns_there_are_no_empty_families() {
    let text = snapshot(Vec::new()).text(Format::Prometheus);
    let described: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    assert_eq!(described.len(), 5, "{described:?}");
}

#[test]
fn every_lun_has_every_series_from_the_beginning() {
    let series = |text: &str| text.lines().filter(|line| !line.starts_with('#')).count();
    let one = series(&snapshot(vec![lun("a")]).text(Format::Prometheus));
    let two = series(&snapshot(vec![lun("a"), lun("b")]).text(Format::Prometheus));
    assert_eq!(two - one, 1 + 10 + 9 + 100 + 10 * 26 + 1 + 1 + 1 + 1 + 1 + 2 + 2 + 1 + 3 + 3 + 2);
}
