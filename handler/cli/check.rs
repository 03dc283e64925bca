// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! `tcmu-glfs check`: can this LUN be served, and if not, why not?

use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use handler_glfs::config::{Access, Cache, Config, Fence};
use handler_glfs::gluster::{self, Opener, ServerProbe};
use handler_glfs::lun::backend::Source as _;
use nix::errno::Errno;

use crate::configfs::KernelLun;
use crate::exit::CommandError;
use crate::files::Root;
use crate::finding::Severity;
use crate::gfapi_session::GfapiSession;
use crate::image_info::{self, Fencing, ImageInfo};
use crate::report::Report;
use crate::{cfgstring_arg, exit, size};

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
    json: bool,
    #[command(flatten)]
    root: Root,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    exit::conclude(args.json, examine(args))
}

fn examine(args: &Args) -> Result<bool, CommandError> {
    let (site, mistake) = cfgstring_arg::site();
    let config = cfgstring_arg::parse_with(&args.cfgstring, &site)?;
    let mut report = Report::live(&args.cfgstring, args.json);
    if let Some(mistake) = mistake {
        report.warning("site", mistake);
    }
    check(&config, &mut report);
    let luns = KernelLun::serving(&args.root.files(), &site, &config);
    if let [first, others @ ..] = luns.as_slice() {
        let names = luns.iter().map(|lun| lun.name.as_str()).collect::<Vec<_>>().join(", ");
        if others.is_empty() {
            report.note("lun", format!("LUN {} of this host serves the image", first.name));
        } else {
            report.error(
                "lun",
                format!(
                    "LUNs {names} of this host all serve the image: initiators take them for \
                     separate disks, and overwrite each other's data; delete all but one"
                ),
            );
        }
    }
    let is_well = report.worst() < Severity::Error;
    if args.json {
        report.print_json("check");
    }
    Ok(is_well)
}

/// For the image, when servers that do not answer have used up open-timeout=.
const LEAST_WAIT: Duration = Duration::from_secs(1);

fn check(config: &Config, report: &mut Report) {
    report.ok(
        "configuration",
        format!(
            "the configuration is well-formed: volume {}, image {}",
            config.volume, config.path
        ),
    );
    let session = GfapiSession::begin();
    let begin = Instant::now();
    let source = Opener::new(&Config { access: Access::ReadOnly, ..config.clone() });
    servers(&source.probe_servers(config.open_timeout), report);
    let left = config.open_timeout.saturating_sub(begin.elapsed()).max(LEAST_WAIT);
    match source.open(left, None) {
        Ok(opened) => match ImageInfo::of(&opened.image) {
            Ok(info) => image(config, &info, report),
            Err(errno) => {
                let why = image_info::explain(config, errno);
                report.error("image", format!("the size of the image is unknown: {why}"));
            }
        },
        Err(not) => {
            report.error(if not.errno == Errno::ENOTCONN { "server" } else { "image" }, not.why);
            for text in session.complaints() {
                report.note("libgfapi", format!("libgfapi's log says: {text}"));
            }
        }
    }
}

/// Waits for bricks that are still being connected, and reports those that are missing.
fn bricks(config: &Config, report: &mut Report) {
    const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
    const INTERVAL: Duration = Duration::from_millis(500);
    let begin = Instant::now();
    loop {
        let volumes = gluster::volumes();
        let Some(volume) = volumes.into_iter().find(|volume| volume.volume == config.volume) else {
            return;
        };
        if volume.connected >= volume.bricks {
            return report.ok("bricks", format!("all {} bricks are connected", volume.bricks));
        }
        if begin.elapsed() >= CONNECT_TIMEOUT {
            return report.warning(
                "bricks",
                format!(
                    "only {} of {} bricks are connected: the next one that fails may stop the LUN, \
                     and what is written now must be healed; gluster volume status {}",
                    volume.connected, volume.bricks, config.volume
                ),
            );
        }
        thread::sleep(INTERVAL);
    }
}

fn servers(probes: &[ServerProbe], report: &mut Report) {
    if probes.is_empty() {
        report.note("server", "no server is asked: the volume's layout comes from volfile=");
    }
    let some = probes.iter().any(|probe| probe.outcome.is_ok());
    for ServerProbe { server, outcome } in probes {
        match outcome {
            Ok(()) => report.ok("server", format!("{server} answers")),
            Err(why) if some => report.warning(
                "server",
                format!(
                    "{server} does not answer: {why}; others do, but start glusterd there, or \
                     take it out of the list"
                ),
            ),
            // All of them are named in the one error about the open.
            Err(_) => {}
        }
    }
    if let [only] = probes {
        if only.outcome.is_ok() {
            report.note(
                "server",
                format!("{} is the only one: name others with ;server=HOST", only.server),
            );
        }
    }
}

fn image(config: &Config, info: &ImageInfo, report: &mut Report) {
    report.ok("volume", format!("volume {}: {}", config.volume, info.topology));
    bricks(config, report);
    blocks(info, report);
    access(config, info, report);
    if let Some(shard) = info.topology.shard {
        report.note("shards", format!("the volume is sharded: pieces of {}", size::show(shard)));
    }
    fencing(config, info, report);
    tls(info, report);
}

fn blocks(info: &ImageInfo, report: &mut Report) {
    const LARGE_BLOCK: u64 = 4096;
    let (bytes, allocated) = (info.stat.bytes, info.stat.allocated);
    if bytes < size::BLOCK {
        return report.error(
            "size",
            format!("the image has {bytes} bytes, not even one block: tcmu-glfs resize"),
        );
    }
    let share = format!("{} of them allocated", size::show(allocated));
    report.ok("size", format!("the image opens: {}, {share}", size::show(bytes)));
    let (odd, large) = (bytes % size::BLOCK, bytes % LARGE_BLOCK);
    if odd != 0 {
        report.warning(
            "size",
            format!("its last {odd} bytes are no whole block and are not served: tcmu-glfs resize"),
        );
    } else if large != 0 {
        report.note(
            "size",
            format!(
                "with blocks of {LARGE_BLOCK} bytes, its last {large} bytes would not be served"
            ),
        );
    }
}

fn access(config: &Config, info: &ImageInfo, report: &mut Report) {
    match (config.access, info.may_change) {
        (Access::ReadOnly, _) => report.note("access", "the LUN is read-only (access=ro)"),
        (_, Ok(true)) => {}
        (Access::Auto, Ok(false)) => report.warning(
            "access",
            "the volume lets this host change nothing: the LUN will be read-only (access=auto); \
             is that meant?",
        ),
        (Access::ReadWrite, Ok(false)) => report.error(
            "access",
            "the volume lets this host change nothing, and access=rw asks for it: leave that out, \
             or make the volume writable",
        ),
        (_, Err(errno)) => report.warning(
            "access",
            format!(
                "whether the image can be written is \
                                                             not known: {errno}"
            ),
        ),
    }
}

fn fencing(config: &Config, info: &ImageInfo, report: &mut Report) {
    let fence = if config.cache == Cache::Writeback { Fence::Off } else { config.fence };
    let off = if config.fence == Fence::Off { "fence=off" } else { "cache=writeback" };
    match (&info.fencing, fence) {
        (Err(errno), Fence::Required) => {
            report.error(
                "fencing",
                format!(
                    "whether the image can be fenced could not be asked: \
                                             {errno}"
                ),
            );
        }
        (Err(errno), _) => {
            report.warning(
                "fencing",
                format!(
                    "whether the image can be fenced could not be \
                                               asked: {errno}"
                ),
            );
        }
        (Ok(Fencing::Owned(_) | Fencing::Free), Fence::Off) => report.error(
            "fencing",
            format!(
                "the image is fenced, and with {off} the bricks refuse this LUN: use fence=auto, \
                 or unfence the file"
            ),
        ),
        (Ok(_), Fence::Off) => {
            report.note(
                "fencing",
                format!(
                    "not fenced ({off}): only for an image that one \
                                            gateway serves"
                ),
            );
        }
        (Ok(Fencing::Impossible(why)), Fence::Required) => {
            report.error("fencing", format!("fence=required, and it cannot be fenced: {why}"));
        }
        // What nobody writes needs no fence.
        (Ok(Fencing::Impossible(_)), Fence::Auto) if info.may_change == Ok(false) => {}
        (Ok(Fencing::Impossible(why)), Fence::Auto) => report.warning(
            "fencing",
            format!(
                "it cannot be fenced: {why}; serve it from one gateway only, or a gateway that \
                 hangs may write late"
            ),
        ),
        (Ok(Fencing::Possible), _) => report.ok(
            "fencing",
            "it can be fenced: the volume enforces \
                                                            locks",
        ),
        (Ok(Fencing::Free), _) => report.ok("fencing", "it is fenced, and no gateway owns it now"),
        (Ok(Fencing::Owned(_)), _) => report.ok("fencing", "it is fenced"),
    }
    if let Ok(Fencing::Owned(owner)) = &info.fencing {
        report.note("owner", format!("it is in use, and owned by {owner}"));
    }
}

/// Its presence makes Gluster's daemons and clients encrypt what they say to glusterd.
const SECURE_ACCESS: &str = "/var/lib/glusterd/secure-access";

fn tls(info: &ImageInfo, report: &mut Report) {
    match (info.topology.tls, Path::new(SECURE_ACCESS).exists()) {
        (true, true) => report.ok("tls", "connections to bricks and servers are encrypted"),
        (true, false) => report.note(
            "tls",
            format!(
                "connections to bricks are encrypted, those to servers are not: \
                     {SECURE_ACCESS} is not there"
            ),
        ),
        (false, true) => report.warning(
            "tls",
            "connections to servers are encrypted, those to bricks are not: gluster volume set \
             VOLUME client.ssl on (and server.ssl)",
        ),
        (false, false) => report.note("tls", "connections are not encrypted"),
    }
}
