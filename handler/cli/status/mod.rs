// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! `tcmu-glfs status`: state of the LUNs that the daemon serves.

mod document;
mod page;

use std::cmp::Reverse;
use std::io::Write as _;

use crate::exit::Outcome;
use crate::json;
use crate::scrape::{Histogram, Lun, Snapshot, Source, State, Volume};
use crate::terminal::table::{Align, Cell, Column, render};
use crate::terminal::{self, BAD, DIM, PLAIN, styled, units};

pub(crate) use self::document::Document;

/// Shows the LUNs that tcmu-runner serves: whether they can be used, and why not, who may write,
/// bricks, errors.
///
/// One line per LUN, those that are not ready first, each with the reason and the next step; then
/// one line per connection to a volume. With one LUN named, a page about it. Numbers count from
/// when tcmu-runner began to serve the LUN. WORST is the gravest kind of its errors. P99 ms is the
/// time in which 99 of 100 commands were answered, in milliseconds. A terminal that is too narrow
/// for all columns shows the most important ones.
///
/// Exit status: 0 all LUNs are ready; 1 a LUN is not ready or in an outage, or nothing could be
/// found out; 2 the command line is wrong.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Print one JSON document
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    source: Source,
    /// Only these LUNs, by the names they have in targetcli
    #[arg(value_name = "LUN")]
    luns: Vec<String>,
}

/// Classes of errors, the gravest first: data at risk, then storage that is full or away, then
/// errors of normal operation.
const CLASSES: [&str; 10] = [
    "medium",
    "hardware",
    "other",
    "space",
    "protected",
    "not_ready",
    "busy",
    "range",
    "standby",
    "miscompare",
];
/// How many of them are shown as serious.
const SERIOUS: usize = 6;

pub(crate) fn run(args: &Args) -> Outcome {
    let mut snapshot = args.source.scrape()?;
    select(&mut snapshot, &args.luns)?;
    if args.json {
        json::print("status", &Document::new(&snapshot));
    } else {
        let width = terminal::width();
        let text = match (snapshot.luns.as_slice(), args.luns.as_slice()) {
            ([lun], [_]) => page::text(&snapshot, lun),
            _ => text(&snapshot, width),
        };
        // A reader that has hung up is no error of this command.
        drop(writeln!(anstream::stdout(), "{text}"));
    }
    Ok(snapshot.how_many(State::Ready) == snapshot.luns.len())
}

/// Only the LUNs with these names, and what they use.
fn select(snapshot: &mut Snapshot, names: &[String]) -> Result<(), String> {
    if names.is_empty() {
        return Ok(());
    }
    let known: Vec<&str> = snapshot.luns.iter().map(|lun| lun.name.as_str()).collect();
    if let Some(unknown) = names.iter().find(|name| !known.contains(&name.as_str())) {
        return Err(match known.as_slice() {
            [] => format!("There is no LUN {unknown}: tcmu-runner serves none from GlusterFS."),
            _ => format!("There is no LUN {unknown}; there are: {}.", known.join(", ")),
        });
    }
    snapshot.luns.retain(|lun| names.contains(&lun.name));
    let used = snapshot.luns.iter().filter_map(|lun| snapshot.volume_of(lun));
    let used: Vec<Volume> = used.cloned().collect();
    snapshot.volumes.retain(|volume| used.contains(volume));
    Ok(())
}

const fn column(head: &'static str, align: Align, rank: u8) -> Column {
    Column { group: "", head, align, least: 0, rank }
}

const LUNS: [Column; 16] = [
    column("LUN", Align::Shrink(12), 0),
    column("IMAGE", Align::Shrink(20), 1),
    column("SIZE", Align::Right, 2),
    column("STATE", Align::Left, 0),
    column("ACCESS", Align::Left, 5),
    column("CACHE", Align::Left, 11),
    column("FENCE", Align::Left, 3),
    column("TLS", Align::Left, 12),
    column("BRICKS", Align::Right, 0),
    column("SERVER", Align::Shrink(12), 9),
    column("OPS", Align::Right, 10),
    column("ERRORS", Align::Right, 0),
    column("WORST", Align::Left, 4),
    column("P99 ms", Align::Right, 6),
    column("IN FLIGHT", Align::Right, 8),
    column("SLOW", Align::Right, 7),
];

const VOLUMES: [Column; 4] = [
    column("VOLUME", Align::Left, 0),
    column("SERVER", Align::Left, 0),
    column("BRICKS", Align::Left, 0),
    column("GRAPH SWITCHES", Align::Right, 0),
];

fn text(snapshot: &Snapshot, width: Option<usize>) -> String {
    let mut lines = vec![format!(
        "{}   {}",
        terminal::summary(snapshot),
        styled(&terminal::versions(snapshot), DIM)
    )];
    if !snapshot.luns.is_empty() {
        let mut luns: Vec<&Lun> = snapshot.luns.iter().collect();
        luns.sort_by_key(|lun| Reverse(lun.state()));
        let rows: Vec<Vec<Cell>> = luns.into_iter().map(|lun| row(snapshot, lun)).collect();
        lines.push(String::new());
        lines.extend(render(&LUNS, &rows, width));
        let reasons = snapshot.luns.iter().filter(|lun| lun.state() != State::Ready);
        let reasons: Vec<String> = reasons.map(|lun| page::reason(lun, width)).collect();
        if !reasons.is_empty() {
            lines.push(String::new());
            lines.extend(reasons);
        }
    }
    if !snapshot.volumes.is_empty() {
        let rows: Vec<Vec<Cell>> = snapshot.volumes.iter().map(volume_row).collect();
        lines.push(String::new());
        lines.extend(render(&VOLUMES, &rows, width));
    }
    if let Some(mistake) = &snapshot.site_file_error {
        let text = format!(
            "warning: the site file has a mistake, and its last valid version is in use: {mistake}"
        );
        lines.push(String::new());
        lines.push(styled(&terminal::paragraph(&text, "", "  "), terminal::WARN));
    }
    lines.join("\n")
}

fn row(snapshot: &Snapshot, lun: &Lun) -> Vec<Cell> {
    let (state, state_style) = terminal::state(lun.state());
    let volume = snapshot.volume_of(lun);
    let (bricks, bricks_style) = match volume {
        Some(volume) => {
            (format!("{:.0}/{:.0}", volume.connected, volume.bricks), terminal::bricks(volume))
        }
        None => ("-".to_owned(), DIM),
    };
    let worst =
        CLASSES.iter().position(|class| lun.errors.get(*class).is_some_and(|&count| count > 0.0));
    let worst_name = worst.and_then(|place| CLASSES.get(place)).copied();
    let worst_style = if worst.is_some_and(|place| place < SERIOUS) { BAD } else { PLAIN };
    let worst_text = worst_name.map_or("-".to_owned(), |class| {
        format!("{} {class}", units::count(lun.errors.get(class).copied().unwrap_or_default()))
    });
    let all = lun.latency.values().fold(Histogram::default(), |sum, histogram| sum.and(histogram));
    let plain_or_dim = |text: &str, dim: bool| Cell::new(text, if dim { DIM } else { PLAIN });
    vec![
        Cell::plain(&lun.name),
        Cell::plain(&terminal::image(lun)),
        Cell::plain(&units::size(lun.size)),
        Cell::new(state, state_style),
        Cell::plain(&lun.access),
        Cell::plain(&lun.cache),
        plain_or_dim(&lun.fence, lun.fence == "off"),
        plain_or_dim(&lun.tls, lun.tls != "on"),
        Cell::new(&bricks, bricks_style),
        Cell::plain(volume.map_or("-", |volume| &volume.server)),
        Cell::number(&units::count(lun.total_operations()), PLAIN),
        Cell::number(&units::count(lun.total_errors()), worst_style),
        Cell::number(&worst_text, PLAIN),
        Cell::number(&units::milliseconds(all.quantile(0.99)), PLAIN),
        Cell::number(&units::count(lun.in_flight), PLAIN),
        Cell::number(&units::count(lun.slow), PLAIN),
    ]
}

fn volume_row(volume: &Volume) -> Vec<Cell> {
    let bricks = format!("{:.0} of {:.0} connected", volume.connected, volume.bricks);
    vec![
        Cell::plain(&volume.name),
        Cell::plain(&volume.server),
        Cell::new(&bricks, terminal::bricks(volume)),
        Cell::number(&units::count(volume.graph_switches), PLAIN),
    ]
}
