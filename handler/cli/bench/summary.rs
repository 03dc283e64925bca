// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Sentences and table of a run.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::{Duration, Instant};

use handler_glfs::config::Config;
use handler_glfs::gluster::Topology;
use schemars::JsonSchema;
use serde::Serialize;

use super::figures::{Cell, Figures, median};
use crate::terminal;

/// The way to the servers of the bricks.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Network {
    servers: Vec<Server>,
}

/// A server of bricks.
#[derive(Debug, Serialize, JsonSchema)]
struct Server {
    host: String,
    /// Round trip, in milliseconds: how long a TCP connection takes to be made.
    round_trip_ms: f64,
}

impl Network {
    /// Connects to glusterd on each host that has bricks, a few times.
    pub(super) fn probe(graph: &str, port: u16) -> Self {
        let hosts: BTreeSet<&str> = graph
            .lines()
            .filter_map(|line| line.trim().strip_prefix("option remote-host "))
            .collect();
        let timed = hosts.into_iter().filter_map(|host| {
            Some(Server { host: host.to_owned(), round_trip_ms: round_trip(host, port)? })
        });
        Self { servers: timed.collect() }
    }

    /// To the farthest.
    fn most(&self) -> Option<f64> {
        self.servers.iter().map(|server| server.round_trip_ms).max_by(f64::total_cmp)
    }
}

fn round_trip(host: &str, port: u16) -> Option<f64> {
    const TIMES: usize = 5;
    const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
    let address = (host, port).to_socket_addrs().ok()?.next()?;
    let times = (0..TIMES).filter_map(|_| {
        let begin = Instant::now();
        TcpStream::connect_timeout(&address, CONNECT_TIMEOUT).ok()?;
        Some(begin.elapsed().as_secs_f64() * 1e3)
    });
    let times: Vec<f64> = times.collect();
    (!times.is_empty()).then(|| median(times))
}

/// Results of a run: what is printed, and the JSON document.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Report {
    image: String,
    volume: String,
    network: Network,
    cells: Vec<Cell>,
    summary: Vec<String>,
}

impl Report {
    pub(super) fn new(
        config: &Config,
        topology: &Topology,
        network: Network,
        cells: Vec<Cell>,
    ) -> Self {
        let summary = summary(&cells, topology, network.most());
        let volume = topology.to_string();
        Self { image: config.label(), volume, network, cells, summary }
    }
}

/// The first cell whose load begins so.
fn find<'a>(cells: &'a [Cell], load: &str) -> Option<&'a Cell> {
    cells.iter().find(|cell| cell.load.starts_with(load))
}

fn summary(cells: &[Cell], topology: &Topology, network: Option<f64>) -> Vec<String> {
    let mut sentences = Vec::new();
    let read = find(cells, "4 KiB random read");
    let write = find(cells, "4 KiB random write");
    if let (Some(read), Some(network)) = (read, network) {
        let latency = read.handler.p50;
        let share = (network / latency).min(1.0) * 100.0;
        let advice = if share >= 50.0 {
            ": the network is what commands wait for; nearer or faster links help, and more \
             commands in flight"
        } else {
            ": the bricks' servers, their disks and this host's CPU are what commands wait for, \
             not the network"
        };
        sentences.push(format!(
            "A small read takes {latency:.2} ms, the way to the bricks' \
                                servers and back {network:.2} ms ({share:.0} %){advice}."
        ));
    }
    if let (Some(read), Some(write)) = (read, write) {
        let copies = topology.replicas.max(topology.dispersed);
        let why = if copies > 1 {
            format!(" ({copies} bricks take part, and each write locks and marks them)")
        } else {
            String::new()
        };
        sentences.push(format!(
            "A small write takes {:.1} times as long as a read{why}.",
            write.handler.p50 / read.handler.p50.max(1e-6)
        ));
    }
    if let Some(flush) = find(cells, "flush") {
        let advice = if flush.handler.p50 > 2.0 {
            ": the bricks' disks are slow to make writes durable, and databases and file systems \
             wait for it; SSDs with power-loss protection do it in a fraction"
        } else {
            ""
        };
        sentences.push(format!("A flush takes {:.2} ms{advice}.", flush.handler.p50));
    }
    if write.is_some_and(|write| write.ratio < 0.7) {
        sentences.push(
            "The volume's own graph acknowledges small writes from this host's memory \
             (write-behind): faster, and lost with this host; cache=writeback does the same."
                .to_owned(),
        );
    }
    let spread = median(cells.iter().map(|cell| cell.handler.spread).collect());
    if spread > UNSTEADY {
        let percent = spread * 100.0;
        sentences.push(format!(
            "The rounds of a load differ by {percent:.0} %: something else is at work on these \
             machines, and only large differences mean anything."
        ));
    }
    sentences
}

/// More than rounds differ by on machines that do nothing else, in parts of their median.
const UNSTEADY: f64 = 0.5;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} ({})", self.image, self.volume)?;
        for Server { host, round_trip_ms } in &self.network.servers {
            writeln!(f, "{host}: {round_trip_ms:.2} ms round trip")?;
        }
        writeln!(
            f,
            "{:<28} {:<7} {:>7} {:>6} {:>7} {:>7} {:>6} {:>5}",
            "", "graph", "IOPS", "MB/s", "p50 ms", "p99 ms", "spread", "ratio"
        )?;
        for Cell { load, handler, default, ratio } in &self.cells {
            // On two lines: a terminal has 80 columns.
            let (work, depth) = load.split_once(", ").unwrap_or((load, ""));
            writeln!(f, "{work:<28} handler {} {ratio:>5.2}", row(handler))?;
            writeln!(f, "  {depth:<26} default {}", row(default))?;
        }
        self.summary
            .iter()
            .try_for_each(|sentence| writeln!(f, "{}", terminal::paragraph(sentence, "", "")))
    }
}

fn row(Figures { iops, megabytes, p50, p99, spread }: &Figures) -> String {
    // Three decimals, as long as they fit.
    let decimals = |ms: f64| if ms < 100.0 { 3 } else { 1 };
    let (few, many) = (decimals(*p50), decimals(*p99));
    let spread = spread * 100.0;
    format!("{iops:>7.0} {megabytes:>6.1} {p50:>7.few$} {p99:>7.many$} {spread:>5.0}%")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(load: &str, p50: f64, ratio: f64, spread: f64) -> Cell {
        let figures = Figures { iops: 1.0, megabytes: 1.0, p50, p99: p50, spread };
        Cell { load: load.to_owned(), handler: figures.clone(), default: figures, ratio }
    }

    /// A read, a write and a flush of so many milliseconds.
    fn cells(read: f64, write: f64, flush: f64, ratio: f64, spread: f64) -> Vec<Cell> {
        vec![
            cell("4 KiB random read, 1 in flight", read, 1.0, spread),
            cell("4 KiB random write, 1 in flight", write, ratio, spread),
            cell("flush after a write of 4 KiB", flush, 1.0, spread),
        ]
    }

    #[test]
    fn where_the_time_goes_is_told() {
        let replica = Topology { replicas: 3, ..Topology::default() };
        let far = summary(&cells(2.0, 6.0, 0.5, 1.0, 0.1), &replica, Some(1.5));
        assert!(
            far[0].contains("(75 %)") && far[0].contains("the network is what commands wait for"),
            "{far:?}"
        );
        assert!(far[1].contains("3.0 times") && far[1].contains("3 bricks take part"), "{far:?}");
        assert_eq!(far[2..], ["A flush takes 0.50 ms."]);
    }

    #[test]
    fn the_table_fits_on_a_terminal() {
        let mut cells = cells(1234.5, 99.9, 0.043, 0.1, 1.84);
        cells[0].handler.iops = 1_234_567.0;
        cells[0].handler.megabytes = 1234.5;
        let network = Network { servers: vec![] };
        let site = handler_glfs::config::Site::default();
        let config = Config::read("glfs/v@h/p", &site).unwrap();
        let table = Report::new(&config, &Topology::default(), network, cells).to_string();
        let widest = table.lines().take(8).map(str::len).max().unwrap();
        assert_eq!(widest, 80, "{table}");
    }

    #[test]
    fn slow_disks_a_cache_that_acknowledges_and_other_loads_are_named() {
        let slow = summary(&cells(0.2, 1.0, 20.0, 0.3, 0.8), &Topology::default(), Some(0.05));
        assert!(slow[0].contains("not the network"), "{slow:?}");
        assert!(slow[2].contains("disks are slow"), "{slow:?}");
        assert!(slow[3].contains("write-behind") && slow[4].contains("80 %"), "{slow:?}");
    }
}
