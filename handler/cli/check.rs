// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! `tcmu-glfs check`: can this LUN be served, and if not, why not?

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use handler_glfs::config::{Access, Cache, Config, Fence};
use handler_glfs::gluster::{self, Opener, ServerProbe};
use handler_glfs::lun::backend::Source as _;
use nix::errno::Errno;

use crate::configfs::KernelLun;
use crate::exit::Outcome;
use crate::files::Files;
use crate::finding::{Finding, Severity};
use crate::gfapi_session::GfapiSession;
use crate::image_info::{self, Fencing, ImageInfo};
use crate::report::Report;
use crate::{cfgstring_arg, size};

/// Tries a configuration as tcmu-runner would: is it well-formed, do its servers answer, is the
/// image there, can it be fenced?
///
/// Each finding is a sentence: ok, note, warning or error, what is so, and what can be done about
/// it. Nothing is changed and no lock is taken: a LUN that is in use is not disturbed. It takes as
/// long as open-timeout= allows at most, and a few seconds for questions about locks.
///
/// Exit status: 0 the LUN can be served (there may be warnings), 1 it cannot, 2 the command line or
/// the configuration string is wrong.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: tcmu-glfs check 'vol@gluster1/disk.img;server=gluster2;fence=required'"
)]
pub(crate) struct Args {
    /// As for targetcli: VOLUME@HOST/PATH[;KEY=VALUE]... Quote it in a shell. Keys are in
    /// tcmu-glfs(5)
    cfgstring: String,
    /// Print the findings as one JSON document
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    files: Files,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let (site, mistake) = cfgstring_arg::site();
    let config = cfgstring_arg::parse_with(&args.cfgstring, &site)?;
    let mut report = Report::live(&args.cfgstring, args.json);
    report.add("site", mistake.map(Finding::warning));
    check(&config, &mut report);
    report.add("lun", served(&KernelLun::serving(&args.files, &config)));
    let is_well = report.worst() < Severity::Error;
    if args.json {
        report.print_json("check");
    }
    Ok(is_well)
}

/// The LUNs of this host that serve the image.
fn served(luns: &[KernelLun]) -> Option<Finding> {
    match luns {
        [] => None,
        [only] => Some(Finding::note(format!("LUN {} of this host serves the image", only.name))),
        luns => {
            let names = luns.iter().map(|lun| lun.name.as_str()).collect::<Vec<_>>().join(", ");
            Some(Finding::error(format!(
                "LUNs {names} of this host all serve the image: initiators take them for separate \
                 disks, and overwrite each other's data; delete all but one"
            )))
        }
    }
}

/// For the image, when servers that do not answer have used up open-timeout=.
const LEAST_WAIT: Duration = Duration::from_secs(1);

fn check(config: &Config, report: &mut Report) {
    let well_formed = format!(
        "the configuration is well-formed: volume {}, image {}",
        config.volume, config.path
    );
    report.add("configuration", [Finding::ok(well_formed)]);
    let session = GfapiSession::begin();
    let begin = Instant::now();
    let source = Opener::new(&Config { access: Access::ReadOnly, ..config.clone() });
    report.add("server", servers(&source.probe_servers(config.open_timeout)));
    let left = config.open_timeout.saturating_sub(begin.elapsed()).max(LEAST_WAIT);
    match source.open(left, None) {
        Ok(opened) => match ImageInfo::of(&opened.image) {
            Ok(info) => image(config, &info, report),
            Err(errno) => {
                let why = image_info::explain(config, errno);
                let unknown = format!("the size of the image is unknown: {why}");
                report.add("image", [Finding::error(unknown)]);
            }
        },
        Err(not) => {
            let about = if not.errno == Errno::ENOTCONN { "server" } else { "image" };
            report.add(about, [Finding::error(not.why)]);
            let complaints = session.complaints().into_iter();
            let said = complaints.map(|text| format!("libgfapi's log says: {text}"));
            report.add("libgfapi", said.map(Finding::note));
        }
    }
}

/// Waits for bricks that are still being connected; those that are missing.
fn bricks(config: &Config) -> Option<Finding> {
    const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
    const INTERVAL: Duration = Duration::from_millis(500);
    let begin = Instant::now();
    loop {
        let mut volumes = gluster::volumes().into_iter();
        let volume = volumes.find(|volume| volume.volume == config.volume)?;
        if volume.connected >= volume.bricks {
            return Some(Finding::ok(match volume.bricks {
                1 => String::from("its brick is connected"),
                bricks => format!("all {bricks} bricks are connected"),
            }));
        }
        if begin.elapsed() >= CONNECT_TIMEOUT {
            return Some(Finding::warning(format!(
                "only {} of {} bricks are connected: the next one that fails may stop the LUN, \
                 and what is written now must be healed; gluster volume status {}",
                volume.connected, volume.bricks, config.volume
            )));
        }
        thread::sleep(INTERVAL);
    }
}

fn servers(probes: &[ServerProbe]) -> Vec<Finding> {
    let some = probes.iter().any(|probe| probe.outcome.is_ok());
    let answers = probes.iter().filter_map(|ServerProbe { server, outcome }| match outcome {
        Ok(()) => Some(Finding::ok(format!("{server} answers"))),
        Err(why) if some => Some(Finding::warning(format!(
            "{server} does not answer: {why}; others do, but start glusterd there, or take it out \
             of the list"
        ))),
        // All of them are named in the one error about the open.
        Err(_) => None,
    });
    let number = match probes {
        [] => Some("no server is asked: the volume's layout comes from volfile=".to_owned()),
        [ServerProbe { server, outcome: Ok(()) }] => {
            Some(format!("{server} is the only one: name others with ;server=HOST"))
        }
        _ => None,
    };
    answers.chain(number.map(Finding::note)).collect()
}

fn image(config: &Config, info: &ImageInfo, report: &mut Report) {
    let volume = format!("volume {}: {}", config.volume, info.topology);
    report.add("volume", [Finding::ok(volume)]);
    report.add("bricks", bricks(config));
    report.add("size", blocks(info));
    report.add("access", access(config, info));
    let sharded = |shard| format!("the volume is sharded: pieces of {}", size::show(shard));
    report.add("shards", info.topology.shard.map(sharded).map(Finding::note));
    report.add("fencing", fencing(config, info));
    if let Ok(Fencing::Owned(owner)) = &info.fencing {
        report.add("owner", [Finding::note(format!("it is in use, and owned by {owner}"))]);
    }
    report.add("tls", [tls(info)]);
}

fn blocks(info: &ImageInfo) -> Vec<Finding> {
    const LARGE_BLOCK: u64 = 4096;
    let (bytes, allocated) = (info.stat.bytes, info.stat.allocated);
    if bytes < size::BLOCK {
        return vec![Finding::error(format!(
            "the image has {bytes} bytes, not even one block: tcmu-glfs resize"
        ))];
    }
    let share = format!("{} of them allocated", size::show(allocated));
    let mut findings =
        vec![Finding::ok(format!("the image opens: {}, {share}", size::show(bytes)))];
    let (odd, large) = (bytes % size::BLOCK, bytes % LARGE_BLOCK);
    if odd != 0 {
        findings.push(Finding::warning(format!(
            "its last {odd} bytes are no whole block and are not served: tcmu-glfs resize"
        )));
    } else if large != 0 {
        findings.push(Finding::note(format!(
            "with blocks of {LARGE_BLOCK} bytes, its last {large} bytes would not be served"
        )));
    }
    findings
}

fn access(config: &Config, info: &ImageInfo) -> Option<Finding> {
    match (config.access, info.may_change) {
        (Access::ReadOnly, _) => Some(Finding::note("the LUN is read-only (access=ro)")),
        (_, Ok(true)) => None,
        (Access::Auto, Ok(false)) => Some(Finding::warning(
            "the volume lets this host change nothing: the LUN will be read-only (access=auto); \
             is that meant?",
        )),
        (Access::ReadWrite, Ok(false)) => Some(Finding::error(
            "the volume lets this host change nothing, and access=rw asks for it: leave that out, \
             or make the volume writable",
        )),
        (_, Err(errno)) => Some(Finding::warning(format!(
            "whether the image can be written is not known: {errno}"
        ))),
    }
}

fn fencing(config: &Config, info: &ImageInfo) -> Option<Finding> {
    let fence = if config.cache == Cache::Writeback { Fence::Off } else { config.fence };
    let off = if config.fence == Fence::Off { "fence=off" } else { "cache=writeback" };
    Some(match (&info.fencing, fence) {
        (Err(errno), fence) => {
            let is_required = fence == Fence::Required;
            let severity = if is_required { Severity::Error } else { Severity::Warning };
            let what = format!("whether the image can be fenced could not be asked: {errno}");
            Finding::new(severity, what)
        }
        (Ok(Fencing::Owned(_) | Fencing::Free), Fence::Off) => Finding::error(format!(
            "the image is fenced, and with {off} the bricks refuse this LUN: use fence=auto, or \
             unfence the file"
        )),
        (Ok(_), Fence::Off) => {
            Finding::note(format!("not fenced ({off}): only for an image that one gateway serves"))
        }
        (Ok(Fencing::Impossible(why)), Fence::Required) => {
            Finding::error(format!("fence=required, and it cannot be fenced: {why}"))
        }
        // What nobody writes needs no fence.
        (Ok(Fencing::Impossible(_)), Fence::Auto) if info.may_change == Ok(false) => return None,
        (Ok(Fencing::Impossible(why)), Fence::Auto) => Finding::warning(format!(
            "it cannot be fenced: {why}; serve it from one gateway only, or a gateway that hangs \
             may write late"
        )),
        (Ok(Fencing::Possible), _) => Finding::ok("it can be fenced: the volume enforces locks"),
        (Ok(Fencing::Free), _) => Finding::ok("it is fenced, and no gateway owns it now"),
        (Ok(Fencing::Owned(_)), _) => Finding::ok("it is fenced"),
    })
}

/// Its presence makes Gluster's daemons and clients encrypt what they say to glusterd.
const SECURE_ACCESS: &str = "/var/lib/glusterd/secure-access";

fn tls(info: &ImageInfo) -> Finding {
    match (info.topology.tls, Path::new(SECURE_ACCESS).exists()) {
        (true, true) => Finding::ok("connections to bricks and servers are encrypted"),
        (true, false) => Finding::note(format!(
            "connections to bricks are encrypted, those to servers are not: {SECURE_ACCESS} is \
             not there"
        )),
        (false, true) => Finding::warning(
            "connections to servers are encrypted, those to bricks are not: gluster volume set \
             VOLUME client.ssl on (and server.ssl)",
        ),
        (false, false) => Finding::note("connections are not encrypted"),
    }
}
