// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! A plugin's metrics socket, with numbers to order.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::thread;

const OPS: [&str; 10] = [
    "read",
    "write",
    "flush",
    "unmap",
    "write_same",
    "compare_and_write",
    "verify",
    "or_write",
    "extended_copy",
    "get_lba_status",
];
const CLASSES: [&str; 10] = [
    "busy",
    "not_ready",
    "standby",
    "space",
    "protected",
    "miscompare",
    "range",
    "medium",
    "hardware",
    "other",
];

/// A LUN. Of its commands 90 % took up to 1.024 ms, the others up to 16.384 ms; each read has 4
/// KiB, each write 64 KiB.
#[derive(Clone, Copy)]
pub struct Lun {
    pub name: &'static str,
    pub image: &'static str,
    pub fence: &'static str,
    pub ready: bool,
    pub outage: bool,
    pub reads: u64,
    pub writes: u64,
    pub not_ready: u64,
    /// The last failure, 90 s ago.
    pub last_error: Option<&'static str>,
}

pub const LUN: Lun = Lun {
    name: "d0",
    image: "dir/a.img",
    fence: "owned",
    ready: true,
    outage: false,
    reads: 0,
    writes: 0,
    not_ready: 0,
    last_error: None,
};

/// What the plugin would say: `connected` of the three bricks are there.
pub fn text(luns: &[Lun], connected: u64) -> String {
    let mut text = String::from("# HELP tcmu_glfs_build What runs.\n# TYPE tcmu_glfs_build info\n");
    text += "tcmu_glfs_site_file_ok 1\n";
    text += "tcmu_glfs_build_info{version=\"0.1.0\",gfapi=\"10.3\"} 1\n";
    for lun in luns {
        let name = lun.name;
        let mut line = |metric: &str, labels: &str, value: u64| {
            writeln!(text, "tcmu_glfs_{metric}{{lun=\"{name}\"{labels}}} {value}").unwrap();
        };
        let info = format!(
            ",volume=\"vms\",image=\"{}\",servers=\"gl1,gl2\",\
             cache=\"none\",fence=\"auto\",access=\"rw\",tls=\"on\"",
            lun.image
        );
        line("lun_info", &info, 1);
        line("size_bytes", "", 1 << 40);
        line("ready", "", u64::from(lun.ready));
        line("outage", "", u64::from(lun.outage));
        if let Some(error) = lun.last_error {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
            line("last_error_info", &format!(",error=\"{error}\""), 1);
            line("last_error_timestamp_seconds", "", now.as_secs() - 90);
        }
        line("outages_total", "", u64::from(lun.outage));
        line("reopens_total", "", 0);
        line("read_only", "", 0);
        for state in ["open", "owned", "standby"] {
            line("fence_state", &format!(",state=\"{state}\""), u64::from(state == lun.fence));
        }
        for op in OPS {
            let (count, size) = match op {
                "read" => (lun.reads, 4096),
                "write" => (lun.writes, 65536),
                _ => (0, 0),
            };
            let label = format!(",op=\"{op}\"");
            line("operations_total", &label, count);
            if op != "flush" {
                line("data_bytes_total", &label, count * size);
            }
            for class in CLASSES {
                let errors = if (op, class) == ("write", "not_ready") { lun.not_ready } else { 0 };
                line("errors_total", &format!("{label},class=\"{class}\""), errors);
            }
            for (place, micros) in (0..23).map(|place| (place, 16_u64 << place)) {
                let so_far = if place < 6 {
                    0
                } else if place < 10 {
                    count / 10 * 9
                } else {
                    count
                };
                let bound = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
                line("latency_seconds_bucket", &format!("{label},le=\"{bound}\""), so_far);
            }
            line("latency_seconds_bucket", &format!("{label},le=\"+Inf\""), count);
            line("latency_seconds_count", &label, count);
        }
        line("in_flight", "", 4);
        line("slow_commands_total", "", 0);
    }
    for (metric, value) in
        [("bricks", 3), ("bricks_connected", connected), ("graph_switches_total", 1)]
    {
        writeln!(text, "tcmu_glfs_volume_{metric}{{volume=\"vms\",server=\"gl1:24007\"}} {value}")
            .unwrap();
    }
    text + "# EOF\n"
}

/// Answers with these texts, one after the other and then the last for ever, until the test's
/// process ends.
pub fn serve(socket: &Path, texts: impl IntoIterator<Item = String> + Send + 'static) {
    let listener = UnixListener::bind(socket).unwrap();
    thread::Builder::new().spawn(move || answer(&listener, texts)).unwrap();
}

fn answer(listener: &UnixListener, texts: impl IntoIterator<Item = String>) {
    let mut texts = texts.into_iter();
    let mut last = String::new();
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        let question: Vec<String> = BufReader::new(&stream)
            .lines()
            .map_while(Result::ok)
            .take_while(|l| !l.is_empty())
            .collect();
        let wanted = question.first().is_some_and(|line| line == "GET /metrics HTTP/1.0")
            && question.iter().any(|line| line.starts_with("Accept: application/openmetrics-text"));
        last = texts.next().unwrap_or(last);
        let status = if wanted { "200 OK" } else { "400 Bad Request" };
        // A client that has seen enough may hang up.
        drop(write!(stream, "HTTP/1.0 {status}\r\nContent-Length: {}\r\n\r\n{last}", last.len()));
    }
}
