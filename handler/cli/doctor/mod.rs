// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! `tcmu-glfs doctor`: what keeps LUNs from being safe and fast, what it costs, and the commands
//! that fix it.

mod assessment;
mod host;
mod rule;
mod rules;
mod volume;

use self::host::Host;
use self::volume::{Lun, Volume};
use crate::cfgstring_arg;
use crate::exit::{CommandError, Outcome};
use crate::files::Files;
use crate::finding::{Finding, Place, Severity};
use crate::gfapi_session::GfapiSession;
use crate::report::Report;

/// Finds what keeps LUNs from being safe and fast, and how to fix it
///
/// Looks at the volume of a LUN, at the running daemon and the LUNs of this host, and at this host
/// as an initiator. Changes nothing. Errors and warnings (exit status 1) come with the command that
/// fixes them. A note is a choice that costs something else, or what a LUN does not need yet; its
/// command is shown, too, but not by --commands.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: tcmu-glfs doctor --commands=cluster vol@gluster1/disk.img | ssh \
                  gluster1 sh -ex")]
pub(crate) struct Args {
    /// As for targetcli: VOLUME@HOST/PATH[;KEY=VALUE]... Quote it in a shell. Without it, only this
    /// host is looked at
    cfgstring: Option<String>,
    /// How many gateways serve, or will serve, the LUN; if not given, more than one if the LUN of
    /// this host has ALUA groups
    #[arg(long, value_name = "NUMBER")]
    gateways: Option<u32>,
    /// Print the findings as one JSON document
    #[arg(long, conflicts_with = "commands")]
    pub(crate) json: bool,
    /// Print nothing but the commands that fix errors and warnings, for sh: all, those for a node
    /// of the cluster (cluster), or those for this host (host)
    // The manual page would have a list in a list of the possible values.
    #[arg(
        long,
        value_name = "PLACE",
        num_args = 0..=1,
        require_equals = true,
        value_enum,
        hide_possible_values = true
    )]
    #[allow(clippy::option_option, reason = "not given, given, given with a value")]
    commands: Option<Option<Place>>,
    #[command(flatten)]
    files: Files,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let report = examine(args)?;
    let is_well = report.worst() < Severity::Warning;
    if args.json {
        report.print_json("doctor");
    } else if let Some(place) = args.commands {
        print!("{}", report.commands(place));
    } else {
        anstream::print!("{}", report.text());
    }
    Ok(is_well)
}

fn examine(args: &Args) -> Result<Report, CommandError> {
    let (site, mistake) = cfgstring_arg::site();
    let host = Host::new(args.files.clone(), &site);
    let mut findings = Vec::new();
    if let Some(mistake) = mistake {
        let why = "LUNs and tools go on with its last valid version; a LUN that needs the change \
                   does not have it";
        findings.push(Finding::error(mistake).because(why).about("site"));
    }
    if let Some(cfgstring) = &args.cfgstring {
        let config = cfgstring_arg::parse_with(cfgstring, &site)?;
        let shared = args.gateways.map_or_else(|| host.shares(&config), |gateways| gateways > 1);
        let lun = Lun { fence: config.fence, shared };
        let session = GfapiSession::begin();
        match Volume::query(&config, assessment::option_of) {
            Ok(volume) => {
                let found = assessment::findings(&volume, &lun).into_iter();
                findings.extend(found.map(|finding| finding.about("volume")));
            }
            Err(why) => {
                let what = format!("{}: {why}", config.label());
                let why = session.complaints().join("; ");
                findings.push(Finding::error(what).because(why).about("volume"));
            }
        }
    }
    findings.extend(host.findings());
    Ok(Report::new(args.cfgstring.as_deref(), findings))
}
