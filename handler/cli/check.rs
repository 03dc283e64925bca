// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! `tcmu-glfs check`: can this LUN be served, and if not, why not?

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use handler_glfs::config::{Access, Cache, Config, Fence};
use handler_glfs::gluster::{Answer, Opener};
use handler_glfs::lun::backend::Source as _;
use nix::errno::Errno;

use crate::findings::Findings;
use crate::portrait::{Fencing, Portrait};
use crate::session::Session;
use crate::{place, size};

/// Tries a configuration as tcmu-runner would: is it well-formed, do its servers answer, is the
/// image there, can it be fenced?
///
/// Each finding is one line: ok, note, warning or error, what is so, and what can be done about it.
/// Nothing is changed and no lock is taken: a LUN that is in use is not disturbed. It takes as long
/// as open-timeout= allows at most, and a few seconds for questions about locks.
///
/// Exit status: 0 the LUN can be served (there may be warnings), 1 it cannot, 2 the command line is
/// wrong.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: tcmu-glfs check 'vol@gluster1/disk.img;server=gluster2;fence=required'"
)]
pub(crate) struct Args {
    /// As for targetcli: VOLUME@HOST/PATH[;KEY=VALUE]... Quote it in a shell. Keys are in
    /// tcmu-glfs(5)
    cfgstring: String,
    /// Print the findings as one JSON document: subject, worst, and a list of level, about and text
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    let mut findings = Findings::new(args.json);
    match handler_glfs::config::Site::read_file() {
        Err(why) => findings.error("site", why.to_string()),
        Ok(site) => match place::read(&args.cfgstring, &site) {
            Err(why) => {
                findings.error("configuration", format!("{why}; the form is {}", place::FORM));
            }
            Ok(config) => check(&config, &mut findings),
        },
    }
    findings.end(&args.cfgstring)
}

fn check(config: &Config, findings: &mut Findings) {
    findings.ok(
        "configuration",
        format!(
            "the configuration is well-formed: volume {}, image {}",
            config.volume, config.path
        ),
    );
    let session = Session::begin();
    let begin = Instant::now();
    let source = Opener::new(&Config { access: Access::ReadOnly, ..config.clone() });
    servers(&source.survey(config.open_timeout), findings);
    match source.open(config.open_timeout.saturating_sub(begin.elapsed()), None) {
        Ok(opened) => match Portrait::of(&opened.image) {
            Ok(portrait) => image(config, &portrait, findings),
            Err(errno) => findings
                .error("image", format!("the volume does not say how large the image is: {errno}")),
        },
        Err(not) => {
            findings.error(if not.errno == Errno::ENOTCONN { "server" } else { "image" }, not.why);
            for text in session.complaints() {
                findings.note("libgfapi", format!("libgfapi's log says: {text}"));
            }
        }
    }
}

fn servers(answers: &[Answer], findings: &mut Findings) {
    if answers.is_empty() {
        findings.note("server", "no server is asked: the volume's layout comes from volfile=");
    }
    let some = answers.iter().any(|answer| answer.answers.is_ok());
    for Answer { server, answers } in answers {
        match answers {
            Ok(()) => findings.ok("server", format!("{server} answers")),
            Err(why) if some => findings.warning(
                "server",
                format!(
                    "{server} does not answer: {why}; others do, but start glusterd there, or take it out of the list"
                ),
            ),
            // All of them are named in the one error about the open.
            Err(_) => {}
        }
    }
    if let [only] = answers {
        if only.answers.is_ok() {
            findings.note(
                "server",
                format!("{} is the only one: name others with ;server=HOST", only.server),
            );
        }
    }
}

fn image(config: &Config, portrait: &Portrait, findings: &mut Findings) {
    findings.ok("volume", format!("volume {}: {}", config.volume, portrait.makeup));
    blocks(portrait, findings);
    access(config, portrait, findings);
    if let Some(shard) = portrait.makeup.shard {
        findings.note("shards", format!("the volume is sharded: pieces of {}", size::show(shard)));
    }
    fencing(config, portrait, findings);
    tls(portrait, findings);
}

fn blocks(portrait: &Portrait, findings: &mut Findings) {
    const LARGE_BLOCK: u64 = 4096;
    let (bytes, allocated) = (portrait.facts.bytes, portrait.facts.allocated);
    if bytes < size::BLOCK {
        return findings.error(
            "size",
            format!("the image has {bytes} bytes, not even one block: tcmu-glfs resize"),
        );
    }
    let share = format!("{} of them allocated", size::show(allocated));
    findings.ok("size", format!("the image opens: {}, {share}", size::show(bytes)));
    let (odd, large) = (bytes % size::BLOCK, bytes % LARGE_BLOCK);
    if odd != 0 {
        findings.warning(
            "size",
            format!("its last {odd} bytes are no whole block and are not served: tcmu-glfs resize"),
        );
    } else if large != 0 {
        findings.note(
            "size",
            format!(
                "with blocks of {LARGE_BLOCK} bytes, its last {large} bytes would not be served"
            ),
        );
    }
}

fn access(config: &Config, portrait: &Portrait, findings: &mut Findings) {
    match (config.access, portrait.may_change) {
        (Access::ReadOnly, _) => findings.note("access", "the LUN is read-only (access=ro)"),
        (_, Ok(true)) => {}
        (Access::Auto, Ok(false)) => findings.warning(
            "access",
            "the volume lets this host change nothing: the LUN will be read-only (access=auto); is that meant?",
        ),
        (Access::ReadWrite, Ok(false)) => findings.error(
            "access",
            "the volume lets this host change nothing, and access=rw asks for it: leave that out, or make the volume writable",
        ),
        (_, Err(errno)) => findings.warning("access", format!("whether the image can be written is not known: {errno}")),
    }
}

fn fencing(config: &Config, portrait: &Portrait, findings: &mut Findings) {
    let fence = if config.cache == Cache::Writeback { Fence::Off } else { config.fence };
    let off = if config.fence == Fence::Off { "fence=off" } else { "cache=writeback" };
    match (&portrait.fencing, fence) {
        (Err(errno), Fence::Required) => {
            findings.error("fencing", format!("whether the image can be fenced could not be asked: {errno}"));
        }
        (Err(errno), _) => {
            findings.warning("fencing", format!("whether the image can be fenced could not be asked: {errno}"));
        }
        (Ok(Fencing::Owned(_) | Fencing::Free), Fence::Off) => findings.error(
            "fencing",
            format!(
                "the image is fenced, and with {off} the bricks refuse this LUN: use fence=auto, or unfence the file"
            ),
        ),
        (Ok(_), Fence::Off) => {
            findings.note("fencing", format!("not fenced ({off}): only for an image that one gateway serves"));
        }
        (Ok(Fencing::Impossible(why)), Fence::Required) => {
            findings.error("fencing", format!("fence=required, and it cannot be fenced: {why}"));
        }
        // What nobody writes needs no fence.
        (Ok(Fencing::Impossible(_)), Fence::Auto) if portrait.may_change == Ok(false) => {}
        (Ok(Fencing::Impossible(why)), Fence::Auto) => findings.warning(
            "fencing",
            format!(
                "it cannot be fenced: {why}; serve it from one gateway only, or a gateway that hangs may write late"
            ),
        ),
        (Ok(Fencing::Possible), _) => findings.ok("fencing", "it can be fenced: the volume enforces locks"),
        (Ok(Fencing::Free), _) => findings.ok("fencing", "it is fenced, and no gateway owns it now"),
        (Ok(Fencing::Owned(_)), _) => findings.ok("fencing", "it is fenced"),
    }
    if let Ok(Fencing::Owned(owner)) = &portrait.fencing {
        findings.note("owner", format!("it is in use, and owned by {owner}"));
    }
}

/// Its presence makes Gluster's daemons and clients encrypt what they say to glusterd.
const SECURE_ACCESS: &str = "/var/lib/glusterd/secure-access";

fn tls(portrait: &Portrait, findings: &mut Findings) {
    match (portrait.makeup.tls, Path::new(SECURE_ACCESS).exists()) {
        (true, true) => findings.ok("tls", "connections to bricks and servers are encrypted"),
        (true, false) => findings.note(
            "tls",
            format!("connections to bricks are encrypted, those to servers are not: {SECURE_ACCESS} is not there"),
        ),
        (false, true) => findings.warning(
            "tls",
            "connections to servers are encrypted, those to bricks are not: gluster volume set VOLUME client.ssl on (and server.ssl)",
        ),
        (false, false) => findings.note("tls", "connections are not encrypted"),
    }
}
