// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! One LUN in detail: `tcmu-glfs status LUN`; and why a LUN is not ready.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::scrape::{Histogram, Lun, Snapshot, State};
use crate::terminal::{self, BAD, DIM, styled, units};

/// Why the LUN is not ready, since when, and what to do: for the list.
pub(super) fn reason(lun: &Lun, width: Option<usize>) -> String {
    let (state, style) = terminal::state(lun.state());
    let mut text = format!("{}: {state}", lun.name);
    if let Some(error) = &lun.last_error {
        text.extend([": ", error, " (", &age(lun.last_error_at), " ago)"]);
    }
    if let Some(step) = next_step(lun) {
        text.extend(["; ", &step]);
    }
    let lines = match width {
        None => vec![text],
        Some(width) => terminal::wrapped(&text, width),
    };
    lines.iter().map(|line| styled(line, style)).collect::<Vec<_>>().join("\n")
}

/// What an admin can do about a LUN that is not ready.
pub(super) fn next_step(lun: &Lun) -> Option<String> {
    let place = format!(
        "{}@{}/{}",
        lun.volume,
        lun.servers.first().map_or("", String::as_str),
        lun.image.trim_start_matches('/')
    );
    match lun.state() {
        State::Ready => None,
        State::NotReady => Some(format!("see tcmu-glfs check '{place}'")),
        State::Outage => Some(format!(
            "see gluster volume status {} and gluster volume heal {} info",
            lun.volume, lun.volume
        )),
    }
}

/// Seconds since the epoch, as an age.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturates, and no age comes near the limits"
)]
fn age(at: f64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    units::ago((now - at).max(0.0) as u64)
}

pub(super) fn text(snapshot: &Snapshot, lun: &Lun) -> String {
    let (state, style) = terminal::state(lun.state());
    let volume = snapshot.volume_of(lun);
    let mut lines = Vec::new();
    let mut line = |name: &str, value: &str| {
        lines.push(terminal::paragraph(value, &format!("{name:<12} "), &" ".repeat(13)));
    };
    line("lun", &lun.name);
    line("state", &styled(state, style));
    if let Some(error) = &lun.last_error {
        line("last error", &format!("{error} ({} ago)", age(lun.last_error_at)));
    }
    if let Some(step) = next_step(lun) {
        line("next step", &step);
    }
    line("image", &terminal::image(lun));
    line("size", &format!("{} ({:.0} bytes)", units::size(lun.size), lun.size));
    line("servers", &lun.servers.join(", "));
    match volume {
        Some(volume) => {
            let bricks = format!("{:.0} of {:.0} connected", volume.connected, volume.bricks);
            line("connection", &format!("by {}", volume.server));
            line("bricks", &styled(&bricks, terminal::bricks(volume)));
        }
        None => line("connection", "none"),
    }
    line("access", if lun.access == "ro" { "read-only" } else { "read and write" });
    line("cache", &lun.cache);
    let count = |to: &str| lun.fence_transitions.get(to).copied().unwrap_or_default();
    let (acquired, lost) = (count("owned"), count("standby"));
    line("fence", &format!("{} (acquired {acquired:.0} times, lost {lost:.0})", lun.fence));
    line("tls", &lun.tls);
    let (outages, reopens) = (units::count(lun.outages), units::count(lun.reopens));
    line("outages", &format!("{outages} (reopened {reopens} times, moved {:.0} times)", lun.moves));
    line("in flight", &units::count(lun.in_flight));
    line("slow", &units::count(lun.slow));
    let errors: Vec<String> = lun
        .errors
        .iter()
        .filter(|(_, count)| **count > 0.0)
        .map(|(class, &count)| format!("{} {class}", units::count(count)))
        .collect();
    let some = || styled(&errors.join(", "), BAD);
    line("errors", &if errors.is_empty() { String::from("none") } else { some() });
    if lun.total_operations() > 0.0 {
        lines.push(String::new());
        lines.push(styled("OPERATION             COUNT      DATA    p50 ms    p99 ms", DIM));
    }
    for (op, &count) in lun.operations.iter().filter(|(_, count)| **count > 0.0) {
        let none = Histogram::default();
        let times = lun.latency.get(op).unwrap_or(&none);
        lines.push(format!(
            "{op:<18} {:>8} {:>9} {:>9} {:>9}",
            units::count(count),
            lun.bytes.get(op).map_or(String::from("-"), |&bytes| units::size(bytes)),
            units::milliseconds(times.quantile(0.5)),
            units::milliseconds(times.quantile(0.99)),
        ));
    }
    lines.join("\n")
}
