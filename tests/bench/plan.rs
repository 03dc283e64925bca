// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! What is measured against what.

use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use crate::cell::{Cell, Durability};
use crate::client::Spec;
use crate::rig::{Layout, Rig};
use crate::target::Kind;

/// What is common to all series.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Fewer series, cells and rounds.
    pub(crate) quick: bool,
    /// Our plugin.
    pub(crate) so: PathBuf,
    /// Another handler of the same interface.
    pub(crate) peer: Option<PathBuf>,
    pub(crate) rounds: Option<u32>,
    pub(crate) time: Option<Duration>,
    /// Graph options whose effect is asked for.
    pub(crate) levers: Vec<String>,
}

/// Contestants that take turns in a row of cells.
#[derive(Debug)]
pub(crate) struct Series {
    /// `LEVEL/CACHE/LAYOUT/CORES`.
    pub(crate) name: String,
    pub(crate) layout: Layout,
    /// What is promised: nobody holds data back.
    pub(crate) strict: bool,
    pub(crate) contestants: Vec<Contestant>,
    pub(crate) cells: Vec<&'static str>,
    /// Client and bricks have a core each.
    pub(crate) pinned: bool,
    /// LUNs that are loaded at once.
    pub(crate) luns: usize,
    pub(crate) rounds: u32,
    pub(crate) time: Duration,
}

/// Who takes part.
#[derive(Debug, Clone)]
pub(crate) struct Contestant {
    pub(crate) name: String,
    kind: Kind,
    so: PathBuf,
    options: String,
    lever: Option<String>,
    /// Writes with FUA are a write and a flush.
    flushes: bool,
}

impl Contestant {
    /// What its client opens.
    pub(crate) fn spec(&self, rig: &Rig, images: Range<usize>) -> Spec {
        let file = matches!(self.kind, Kind::FileThreads | Kind::FileUring);
        let image = |n| {
            if file { rig.path(n).display().to_string() } else { rig.cfgstring(n, &self.options) }
        };
        Spec {
            kind: self.kind,
            so: self.so.clone(),
            bytes: rig.bytes(),
            fuse: file.then(|| rig.fuse()),
            lever: self.lever.clone(),
            images: images.map(image).collect(),
        }
    }

    /// What it is asked for in the cell of that name.
    pub(crate) fn cell(&self, name: &str) -> anyhow::Result<Cell> {
        let cell: Cell = name.parse()?;
        let flushes = self.flushes && cell.durability == Durability::Fua;
        Ok(if flushes { Cell { durability: Durability::Flush, ..cell } } else { cell })
    }
}

const ALL: [&str; 13] = [
    "rr1", "rr16", "rr64", "rw1", "rw16", "rw64", "sr64k", "sw64k", "sr1m", "sw1m", "mix16",
    "fsync1", "fsync16",
];
const MAIN: [&str; 9] = ["rr1", "rr16", "rr64", "rw1", "rw16", "sr1m", "sw1m", "mix16", "fsync16"];
const FEW: [&str; 6] = ["rr1", "rr16", "rw1", "rw16", "sr1m", "sw1m"];

impl Settings {
    fn contestant(&self, name: &str, kind: Kind, options: &str) -> Contestant {
        Contestant {
            name: name.to_owned(),
            kind,
            so: self.so.clone(),
            options: options.to_owned(),
            lever: None,
            flushes: false,
        }
    }

    fn ours(&self, options: &str) -> Contestant {
        self.contestant("ours", Kind::Handler, options)
    }

    /// The plugin first; then its limit, and those that it is compared with.
    fn field(&self, options: &str, fuse: &[Kind]) -> Vec<Contestant> {
        let mut field = vec![
            self.ours(options),
            self.contestant("limit", Kind::GfapiTuned, options),
            self.contestant("gfapi", Kind::GfapiDefault, ""),
        ];
        if let Some(peer) = &self.peer {
            field.push(Contestant {
                so: peer.clone(),
                ..self.contestant("peer", Kind::Handler, "")
            });
        }
        for lever in &self.levers {
            field.push(Contestant {
                lever: Some(lever.clone()),
                ..self.contestant(lever, Kind::GfapiTuned, options)
            });
        }
        for &kind in fuse {
            field.push(self.contestant(
                if kind == Kind::FileUring { "fuse-uring" } else { "fuse" },
                kind,
                "",
            ));
        }
        field
    }

    fn series(
        &self,
        name: &str,
        layout: Layout,
        contestants: Vec<Contestant>,
        cells: &[&'static str],
    ) -> Series {
        Series {
            name: name.to_owned(),
            layout,
            strict: name.contains("none"),
            contestants,
            cells: cells.to_vec(),
            pinned: !name.ends_with("free"),
            luns: 1,
            rounds: self.rounds.unwrap_or(if self.quick { 3 } else { 7 }),
            time: self.time.unwrap_or(Duration::from_millis(if self.quick { 300 } else { 180 })),
        }
    }

    /// Writes with FUA, by the plugin, and as they would be without: a write and a flush.
    fn fua(&self) -> [Series; 4] {
        [
            ("single", Layout::Single),
            ("replica", Layout::Replica),
            ("disperse", Layout::Disperse),
            ("sharded", Layout::Sharded),
        ]
        .map(|(name, layout)| {
            let flush =
                Contestant { flushes: true, ..self.contestant("write+flush", Kind::Handler, "") };
            let field = vec![self.ours(""), flush];
            self.series(&format!("fua/none/{name}/free"), layout, field, &["fua1", "fua16"])
        })
    }

    /// All series, in order.
    pub(crate) fn plan(&self) -> Vec<Series> {
        let (none, writeback) = ("", ";cache=writeback");
        let both = [Kind::FileThreads, Kind::FileUring];
        if self.quick {
            return vec![
                self.series(
                    "handler/none/single/pinned",
                    Layout::Single,
                    self.field(none, &both[..1]),
                    &FEW,
                ),
                self.series(
                    "handler/writeback/single/pinned",
                    Layout::Single,
                    self.field(writeback, &[]),
                    &FEW[..4],
                ),
                self.series(
                    "handler/none/replica/pinned",
                    Layout::Replica,
                    self.field(none, &[]),
                    &FEW[1..4],
                ),
            ];
        }
        let mut plan = vec![
            self.series(
                "handler/none/single/pinned",
                Layout::Single,
                self.field(none, &both),
                &ALL,
            ),
            self.series(
                "handler/none/single/free",
                Layout::Single,
                self.field(none, &both[..1]),
                &MAIN,
            ),
            self.series(
                "handler/writeback/single/pinned",
                Layout::Single,
                self.field(writeback, &both[..1]),
                &ALL,
            ),
            self.series(
                "handler/writeback/single/free",
                Layout::Single,
                self.field(writeback, &[]),
                &FEW,
            ),
        ];
        for (name, layout) in [
            ("replica", Layout::Replica),
            ("disperse", Layout::Disperse),
            ("sharded", Layout::Sharded),
        ] {
            for (cache, options, cores, cells) in [
                ("none", none, "pinned", &MAIN[..]),
                ("none", none, "free", &FEW[..]),
                ("writeback", writeback, "pinned", &FEW[1..]),
            ] {
                let mut field = self.field(options, &[]);
                // What io-threads=auto follows.
                field.push(self.contestant(
                    "io-threads",
                    Kind::Handler,
                    &format!("{options};io-threads=on"),
                ));
                plan.push(self.series(
                    &format!("handler/{cache}/{name}/{cores}"),
                    layout,
                    field,
                    cells,
                ));
            }
        }
        plan.extend(self.fua());
        for luns in [1, 4, 16, 64] {
            let mut field = self.field(none, &[]);
            // As many connections as LUNs.
            field.push(self.contestant("own", Kind::Handler, ";connection=own"));
            let series = self.series(
                &format!("scaling/none/{luns}-luns/free"),
                Layout::Single,
                field,
                &["rr1", "rr16", "rw16"],
            );
            plan.push(Series { luns, rounds: series.rounds.min(5), ..series });
        }
        let depths = ["rr1", "rr2", "rr4", "rr8", "rr16", "rr32", "rr64", "rr128"];
        let field = self.field(none, &both[..1]);
        plan.push(self.series("depth/none/single/pinned", Layout::Single, field, &depths));
        plan
    }
}
