// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! A client: a process that has images open in one way, and loads them when it is told to.
//!
//! A process each, because CPU time is counted by process, and because one process cannot load two
//! handlers.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use crate::cell::{Durability, Figures, Job, Tally};
use crate::cpu;
use crate::target::gfapi::Connections;
use crate::target::{Disk, Kind, file, handler};

/// What a client opens.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Spec {
    #[arg(long)]
    pub(crate) kind: Kind,
    /// The handler.
    #[arg(long, default_value = "")]
    pub(crate) so: PathBuf,
    /// Bytes of each image.
    #[arg(long)]
    pub(crate) bytes: u64,
    /// The FUSE process whose CPU time counts, too.
    #[arg(long)]
    pub(crate) fuse: Option<i32>,
    /// A graph option more: PATTERN,KEY,VALUE.
    #[arg(long)]
    pub(crate) lever: Option<String>,
    /// Cfgstrings, or paths.
    pub(crate) images: Vec<String>,
}

/// The client's side: opens, says so, and answers each job on standard input with figures on
/// standard output.
pub(crate) fn serve(spec: &Spec) -> anyhow::Result<()> {
    let mut connections = Connections::new(spec.lever.clone());
    let disks = spec
        .images
        .iter()
        .enumerate()
        .map(|(number, image)| open(spec, &mut connections, image, number));
    let disks: Vec<Box<dyn Disk>> = disks.collect::<anyhow::Result<_>>()?;
    let mut output = std::io::stdout();
    writeln!(output, "ready")?;
    for (count, line) in std::io::stdin().lines().enumerate() {
        let job: Job = serde_json::from_str(&line?)?;
        let figures =
            run(spec, disks.get(..job.luns).context("not as many images")?, &job, count as u64)?;
        writeln!(output, "{}", serde_json::to_string(&figures)?)?;
    }
    // Taking a connection down takes ten seconds, and nothing is to be learned from it.
    output.flush()?;
    // SAFETY: ends the process at once.
    unsafe { libc::_exit(0) }
}

fn open(
    spec: &Spec,
    connections: &mut Connections,
    image: &str,
    number: usize,
) -> anyhow::Result<Box<dyn Disk>> {
    let (bytes, path) = (spec.bytes, Path::new(image));
    Ok(match spec.kind {
        Kind::Handler => Box::new(handler::Lun::open(&spec.so, image, bytes, number)?),
        Kind::GfapiTuned => Box::new(connections.open(image, bytes, true)?),
        Kind::GfapiDefault => Box::new(connections.open(image, bytes, false)?),
        Kind::FileThreads => Box::new(file::File::open(path, bytes, file::Way::Threads)?),
        Kind::FileUring => Box::new(file::File::open(path, bytes, file::Way::Uring)?),
    })
}

fn run(spec: &Spec, disks: &[Box<dyn Disk>], job: &Job, count: u64) -> anyhow::Result<Figures> {
    let knows_fua = spec.kind == Kind::Handler;
    ensure!(knows_fua || job.cell.durability != Durability::Fua, "only a handler knows FUA");
    let used = || -> anyhow::Result<Duration> {
        Ok(cpu::own()? + spec.fuse.map_or(Ok(Duration::ZERO), cpu::of)?)
    };
    let (begin, before) = (Instant::now(), used()?);
    let tallies = thread::scope(|scope| {
        let run = |disk: &dyn Disk, seed| disk.run(&job.cell, job.time, seed);
        let threads: Vec<_> = disks
            .iter()
            .zip(count * 64..)
            .map(|(disk, seed)| scope.spawn(move || run(&**disk, seed)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("no panic"))
            .collect::<anyhow::Result<Vec<_>>>()
    })?;
    let (elapsed, cpu) = (begin.elapsed(), used()?.saturating_sub(before));
    let mut all = Tally::new();
    for tally in &tallies {
        all.add(tally);
    }
    Ok(Figures { rss: cpu::resident()?, ..all.figures(&job.cell, elapsed, cpu) })
}

/// The bench's side.
#[derive(Debug)]
pub(crate) struct Client {
    process: Child,
    jobs: ChildStdin,
    figures: BufReader<ChildStdout>,
}

impl Client {
    /// Starts one, and waits until its images are open.
    pub(crate) fn start(spec: &Spec) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        let kind = serde_json::to_value(spec.kind)?;
        let kind = clap::ValueEnum::to_possible_value(&spec.kind)
            .map_or(kind.to_string(), |v| v.get_name().to_owned());
        command
            .args(["client", "--kind", &kind, "--bytes", &spec.bytes.to_string()])
            .arg("--so")
            .arg(&spec.so);
        if let Some(fuse) = spec.fuse {
            command.args(["--fuse", &fuse.to_string()]);
        }
        if let Some(lever) = &spec.lever {
            command.args(["--lever", lever]);
        }
        let mut process = command
            .args(&spec.images)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("client")?;
        let jobs = process.stdin.take().context("stdin")?;
        let figures = BufReader::new(process.stdout.take().context("stdout")?);
        let mut client = Self { process, jobs, figures };
        let line = client.line()?;
        ensure!(line == "ready", "{spec:?}: {line}");
        Ok(client)
    }

    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.process.id()).unwrap_or(i32::MAX)
    }

    /// Has it do a job.
    pub(crate) fn run(&mut self, job: &Job) -> anyhow::Result<Figures> {
        writeln!(self.jobs, "{}", serde_json::to_string(job)?)?;
        Ok(serde_json::from_str(&self.line()?)?)
    }

    fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        ensure!(
            self.figures.read_line(&mut line)? > 0,
            "the client has ended: {:?}",
            self.process.wait()?
        );
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ended_already = self.process.kill().is_err();
        let _status = self.process.wait();
    }
}
