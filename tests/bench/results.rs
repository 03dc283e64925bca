// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! From single runs to tables: medians, and the spread of what was measured side by side.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::Context;

use crate::cell::Figures;

/// One run.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) series: String,
    pub(crate) contestant: String,
    pub(crate) cell: String,
    pub(crate) round: u32,
    pub(crate) figures: Figures,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Results(pub(crate) Vec<Run>);

const HEAD: &str =
    "series,contestant,cell,round,iops,mbps,mean_us,p50_us,p99_us,p999_us,cpu_us,errors,rss_kib";

impl Run {
    /// From a line of the form of [`HEAD`]. CPU time and memory may be missing.
    pub(crate) fn parse(line: &str) -> anyhow::Result<Self> {
        let fields: Vec<&str> = line.split(',').collect();
        let [series, contestant, cell, round, rest @ ..] = fields.as_slice() else {
            anyhow::bail!("too short: {line}")
        };
        let number = |n: usize| -> anyhow::Result<f64> {
            let text = rest.get(n).with_context(|| format!("too short: {line}"))?;
            if text.is_empty() {
                Ok(f64::NAN)
            } else {
                text.parse().with_context(|| format!("{text:?} in {line}"))
            }
        };
        let figures = Figures {
            iops: number(0)?,
            mbps: number(1)?,
            mean: number(2)?,
            p50: number(3)?,
            p99: number(4)?,
            p999: number(5)?,
            cpu: number(6)?,
            errors: number(7)? as u64,
            rss: rest.get(8).map_or(Ok(0), |text| text.parse())?,
        };
        let [series, contestant, cell] = [series, contestant, cell].map(|text| (*text).to_owned());
        Ok(Self { series, contestant, cell, round: round.parse()?, figures })
    }
}

/// A median and the quartiles around it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

fn spread(mut values: Vec<f64>) -> Option<Spread> {
    values.retain(|value| value.is_finite());
    values.sort_by(f64::total_cmp);
    let at = |q: f64| {
        let place = q * (values.len() - 1) as f64;
        let (low, part) = (place.floor() as usize, place.fract());
        let high = values[(low + 1).min(values.len() - 1)];
        values[low] + (high - values[low]) * part
    };
    (!values.is_empty()).then(|| Spread { median: at(0.5), low: at(0.25), high: at(0.75) })
}

impl Results {
    /// What stands in column `of`, in order, without repetition.
    pub(crate) fn names<'a>(&'a self, of: impl Fn(&'a Run) -> Option<&'a str>) -> Vec<&'a str> {
        let mut names = Vec::new();
        for name in self.0.iter().filter_map(of) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    pub(crate) fn cells(&self, series: &str) -> Vec<&str> {
        self.names(|run| (run.series == series).then_some(run.cell.as_str()))
    }

    /// The plugin first, whoever began.
    pub(crate) fn contestants(&self, series: &str) -> Vec<&str> {
        let mut names = self.names(|run| (run.series == series).then_some(run.contestant.as_str()));
        names.sort_by_key(|name| *name != "ours");
        names
    }

    fn values(
        &self,
        series: &str,
        contestant: &str,
        cell: &str,
        value: impl Fn(&Figures) -> f64,
    ) -> Vec<f64> {
        let of =
            |run: &&Run| run.series == series && run.contestant == contestant && run.cell == cell;
        self.0.iter().filter(of).map(|run| value(&run.figures)).collect()
    }

    /// `value` of the first contestant over that of another, measured side by side, round by round.
    pub(crate) fn ratio(
        &self,
        series: &str,
        other: &str,
        cell: &str,
        value: impl Fn(&Figures) -> f64 + Copy,
    ) -> Option<Spread> {
        let first = *self.contestants(series).first()?;
        let (ours, theirs) =
            (self.values(series, first, cell, value), self.values(series, other, cell, value));
        spread(ours.iter().zip(&theirs).map(|(ours, theirs)| ours / theirs).collect())
    }

    /// All runs, a line each.
    pub(crate) fn csv(&self) -> String {
        let mut text = format!("{HEAD}\n");
        for Run { series, contestant, cell, round, figures: f } in &self.0 {
            let _infallible = writeln!(
                text,
                "{series},{contestant},{cell},{round},\
                 {:.1},{:.2},{:.1},{:.1},{:.1},{:.1},{:.2},{},{}",
                f.iops, f.mbps, f.mean, f.p50, f.p99, f.p999, f.cpu, f.errors, f.rss
            );
        }
        text
    }

    /// A table per series, in Markdown: what was measured, then the ratios.
    pub(crate) fn tables(&self) -> String {
        let mut text = String::new();
        for series in self.names(|run| Some(&run.series)) {
            text += &self.table(series);
        }
        text
    }

    pub(crate) fn table(&self, series: &str) -> String {
        let contestants = self.contestants(series);
        let (ours, others) = (contestants[0], &contestants[1..]);
        let mut text =
            format!("\n#### {series}\n\n| cell | {ours}: IOPS, MB/s, p50/p99/p99.9 µs, CPU µs |");
        for name in others {
            text += &format!(" / {name} |");
        }
        text += &format!("\n|---|---|{}\n", "---|".repeat(others.len()));
        for cell in self.cells(series) {
            let of = |value: fn(&Figures) -> f64| {
                spread(self.values(series, ours, cell, value))
                    .map_or(f64::NAN, |spread| spread.median)
            };
            let (iops, mbps, cpu) = (of(|f| f.iops), of(|f| f.mbps), of(|f| f.cpu));
            let (p50, p99, p999) = (of(|f| f.p50), of(|f| f.p99), of(|f| f.p999));
            text += &format!(
                "| {cell} | {iops:.0}, {mbps:.0}, {p50:.0}/{p99:.0}/{p999:.0}, {} |",
                if cpu.is_nan() { "-".to_owned() } else { format!("{cpu:.1}") }
            );
            for other in others {
                text += &match self.ratio(series, other, cell, |f| f.iops) {
                    Some(Spread { median, low, high }) => {
                        format!(" {median:.2} ({low:.2}-{high:.2})")
                    }
                    None => " -".to_owned(),
                };
                if let Some(cpu) = self.ratio(series, other, cell, |f| f.cpu) {
                    text += &format!(", CPU {:.2}", cpu.median);
                }
                text += " |";
            }
            text += "\n";
        }
        let errors: u64 =
            self.0.iter().filter(|run| run.series == series).map(|run| run.figures.errors).sum();
        text += &format!("\nErrors: {errors}.");
        let most = |name: &str| {
            let of = |run: &&Run| run.series == series && run.contestant == name;
            self.0.iter().filter(of).map(|run| run.figures.rss).max().unwrap_or(0)
        };
        let known = contestants.iter().map(|name| (name, most(name))).filter(|(_, kib)| *kib > 0);
        let memory: Vec<String> =
            known.map(|(name, kib)| format!("{name} {:.1} MiB", kib as f64 / 1024.0)).collect();
        if !memory.is_empty() {
            text += &format!(" Resident memory of the clients: {}.", memory.join(", "));
        }
        text + "\n"
    }

    /// Writes all of it to a folder.
    pub(crate) fn write(&self, folder: &Path) -> anyhow::Result<()> {
        fs::create_dir_all(folder)?;
        fs::write(folder.join("bench.csv"), self.csv())?;
        fs::write(folder.join("tables.md"), self.tables())?;
        crate::plot::draw(self, &folder.join("bench.svg"))
    }
}
