// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! `tcmu-glfs bench`: how fast this image's volume is from this host, and where the time goes.

mod figures;
mod load;
mod scratch;
mod summary;

use std::time::Duration;

use handler_glfs::config::Config;
use handler_glfs::gluster::Opener;

use self::figures::Cell;
use self::load::{Load, Order, Outcome, Work};
use self::scratch::Scratch;
pub(crate) use self::summary::Report as Document;
use self::summary::{Network, Report};
use crate::copy::Progress;
use crate::gfapi_session::GfapiSession;
use crate::interrupt::Interrupt;
use crate::{cfgstring_arg, exit, json};

/// Measures latency and throughput of a volume from this host
///
/// Measures through the graph that the handler sets up (handler), and through the volume's own,
/// with its caches (default). The image is not touched: two scratch files beside it are created,
/// filled, measured and removed, also after Ctrl-C. The LUNs of the volume feel the load.
///
/// IOPS, MB/s and latencies are medians of five rounds, in which the graphs take turns. spread is
/// the difference between the slowest and the fastest round, in parts of the median. ratio is the
/// IOPS of handler divided by those of default. The volume's own graph acknowledges writes from
/// memory (write-behind), which no LUN may: where it is faster, this is why.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: tcmu-glfs bench --seconds 10 --depth 1,16,64 vol@gluster1/disk.img"
)]
pub(crate) struct Args {
    /// As for targetcli: VOLUME@HOST/PATH[;KEY=VALUE]... Quote it in a shell
    cfgstring: String,
    /// How long each load is kept up, for each graph
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=60))]
    seconds: u32,
    /// Commands in flight, of 4 KiB; several, with commas between them
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        default_values_t = [1, 16],
        value_parser = clap::value_parser!(u32).range(1..=128)
    )]
    depth: Vec<u32>,
    /// Size of each scratch file in MiB
    #[arg(
        long,
        value_name = "MIB",
        default_value_t = 256,
        value_parser = clap::value_parser!(u64).range(16..=4096)
    )]
    size: u64,
    /// Print one JSON document
    #[arg(long)]
    pub(crate) json: bool,
}

/// Rounds of a cell, in which the variants take turns: other load on the machines hits both.
const ROUNDS: u32 = 5;
const SMALL: usize = 4 << 10;
const LARGE: usize = 1 << 20;
/// Large commands in flight.
const STREAM: usize = 4;

pub(crate) fn run(args: &Args) -> exit::Outcome {
    let config = cfgstring_arg::parse(&args.cfgstring)?;
    let session = GfapiSession::begin();
    let label = config.label();
    let report =
        measure(args, &config).map_err(|why| session.explain(&format!("{label}: {why}")))?;
    if args.json {
        json::print("bench", &report);
    } else {
        print!("{report}");
    }
    Ok(true)
}

fn measure(args: &Args, config: &Config) -> Result<Report, String> {
    let connect = |opener: Opener| opener.connect(config.open_timeout).map_err(|not| not.why);
    let handler = connect(Opener::new(config))?;
    let default = connect(Opener::volume_defaults(config))?;
    // Not before there is something to clear away: until then a signal ends the process.
    let interrupt = Interrupt::catch().map_err(|why| format!("signals cannot be caught: {why}"))?;
    let bytes = args.size << 20;
    let progress = Progress::new(interrupt.clone(), bytes * 2, "filling scratch files");
    let scratch = |client, name| Scratch::create(config, client, name, bytes, &progress);
    let (handler, default) = (scratch(handler, "handler")?, scratch(default, "default")?);
    drop(progress);
    let network = Network::probe(handler.client.graph(), config.port);
    let time = Duration::from_secs(args.seconds.into()) / ROUNDS;
    let loads = loads(&args.depth);
    let total = u64::try_from(loads.len()).unwrap_or(0);
    let progress = Progress::steps(interrupt.clone(), total, "measuring");
    let cells = loads.into_iter().map(|load| {
        let cell = cell(load, [&handler, &default], time, &interrupt)?;
        progress.advance(1);
        Ok(cell)
    });
    let cells = cells.collect::<Result<Vec<_>, String>>()?;
    drop(progress);
    Ok(Report::new(config, &handler.client.topology(), network, cells))
}

/// What is measured.
fn loads(depths: &[u32]) -> Vec<Load> {
    let random = |work| {
        depths.iter().map(move |&depth| Load {
            work,
            order: Order::Random,
            block: SMALL,
            depth: depth as usize,
        })
    };
    let sequential = |work| Load { work, order: Order::Sequential, block: LARGE, depth: STREAM };
    let flush = Load { work: Work::Flush, order: Order::Random, block: SMALL, depth: 1 };
    let small = random(Work::Read).chain(random(Work::Write));
    small.chain([sequential(Work::Read), sequential(Work::Write), flush]).collect()
}

/// Both variants in turns, the first of a round the second of the next.
fn cell(
    load: Load,
    variants: [&Scratch; 2],
    time: Duration,
    interrupt: &Interrupt,
) -> Result<Cell, String> {
    let mut outcomes = [Vec::new(), Vec::new()];
    for round in 0..ROUNDS {
        let mut turns: Vec<(&&Scratch, &mut Vec<Outcome>)> =
            variants.iter().zip(&mut outcomes).collect();
        if round % 2 == 1 {
            turns.reverse();
        }
        for (scratch, outcomes) in turns {
            outcomes.push(load.run(&scratch.file, scratch.bytes, time, interrupt)?);
            if interrupt.is_asked() {
                return Err("interrupted; the scratch files are removed".to_owned());
            }
            if load.work != Work::Read {
                // Writes that a cache holds back must not fall into the other variant's turn.
                load::flush(&scratch.file)?;
            }
        }
    }
    let [handler, default] = outcomes;
    Ok(Cell::new(load, &handler, &default))
}
