// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The alert rules and the dashboard, against a real Prometheus server that has asked the real
//! plugin: every expression in them must find what it asks for. And the Ansible role.
//!
//! `CONTRIB_MINUTES=10` keeps the server and the load for you to look at; its address is printed.

mod ansible;
mod dashboard;
mod gateway;
mod prometheus;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use gateway::Gateway;
use prometheus::{Prometheus, run};
use support::eventually;
use support::metrics::scrape;

fn contrib(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../contrib").join(name)
}

fn rules() -> PathBuf {
    contrib("prometheus/tcmu-glfs.rules.yml")
}

#[test]
fn the_alert_rules_are_valid_and_raised_by_what_they_are_for() {
    let (rules, tests) = (rules(), contrib("prometheus/tcmu-glfs.rules.test.yml"));
    run(Command::new("promtool").args(["check", "rules"]).arg(rules)).unwrap();
    run(Command::new("promtool").args(["test", "rules"]).arg(tests)).unwrap();
}

/// Every alert has a test.
#[test]
fn no_alert_is_untested() {
    let (rules, tests) = (
        fs::read_to_string(rules()),
        fs::read_to_string(contrib("prometheus/tcmu-glfs.rules.test.yml")),
    );
    let (rules, tests) = (rules.unwrap(), tests.unwrap());
    let alerts: Vec<&str> =
        rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() > 10);
    for alert in alerts {
        assert!(tests.contains(&format!("alertname: {alert}\n")), "{alert}");
    }
}

#[test]
fn every_expression_of_the_rules_and_the_dashboard_finds_what_it_asks_for() {
    let gateway = Gateway::start();
    let server = Prometheus::start(&rules());
    eventually("the plugin has been asked", || {
        !server.query("tcmu_glfs_lun_info").unwrap().is_empty()
    });
    // A rate is one between two looks.
    std::thread::sleep(Duration::from_secs(3));
    gateway.misfortune();
    std::thread::sleep(Duration::from_secs(4));

    let rules = server.rules();
    assert!(rules.len() > 10, "{rules:?}");
    let panels = dashboard::expressions(&contrib("grafana/tcmu-glfs.json"));
    assert!(panels.len() > 25, "{panels:?}");
    // A condition that does not hold finds nothing; with `bool` it says so.
    let conditions = rules.into_iter().map(|(name, rule)| {
        let compare = |rule: String, sign: &str| {
            rule.replace(&format!(" {sign} "), &format!(" {sign} bool "))
        };
        (name, ["==", "<", ">"].into_iter().fold(rule, compare))
    });
    let fruitless: Vec<String> = conditions
        .chain(panels)
        .filter(|(_, expression)| server.query(expression).unwrap().is_empty())
        .map(|(name, expression)| format!("{name}: {expression}"))
        .collect();
    assert!(fruitless.is_empty(), "nothing is found by\n{}", fruitless.join("\n"));

    if let Some(minutes) =
        std::env::var("CONTRIB_MINUTES").ok().and_then(|minutes| minutes.parse::<u64>().ok())
    {
        println!("Prometheus is at {}", server.address());
        for _ in 0..minutes {
            std::thread::sleep(Duration::from_secs(60));
            gateway.misfortune();
        }
    }
}

#[test]
fn the_panels_of_the_dashboard_are_explained_and_do_not_overlap() {
    dashboard::check_layout(&contrib("grafana/tcmu-glfs.json"));
}

/// Which reads no format but the older one.
#[test]
fn the_node_exporter_takes_the_numbers_from_a_file() {
    let _gateway = Gateway::start();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("tcmu-glfs.prom"), scrape()).unwrap();
    let address = prometheus::free_address();
    let mut exporter = Command::new("prometheus-node-exporter");
    exporter.arg("--collector.disable-defaults").arg("--collector.textfile");
    exporter.arg(format!("--collector.textfile.directory={}", folder.path().display()));
    exporter.arg(format!("--web.listen-address={address}"));
    let _exporter = prometheus::Daemon::start(&mut exporter);
    eventually("the node exporter answers", || prometheus::get(&address, "/metrics").is_ok());
    let text = prometheus::get(&address, "/metrics").unwrap();
    assert!(text.contains("\nnode_textfile_scrape_error 0\n"), "{text}");
    for name in ["lun_info{", "operations_total{", "latency_seconds_bucket{", "volume_bricks{"] {
        assert!(text.contains(&format!("\ntcmu_glfs_{name}")), "{name}");
    }
}
