// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! `tcmu-glfs doctor`: what keeps a LUN from being safe and fast, what it costs, and the commands
//! that mend it.

mod finding;
mod host;
mod rules;
mod volume;

use std::path::PathBuf;
use std::process::ExitCode;

use self::finding::{Finding, Place, Report, Severity};
use self::host::Host;
use self::volume::{Lun, Volume};
use crate::findings::failed;
use crate::place;
use crate::session::Session;

/// Finds what keeps LUNs from being safe and fast, and says how to mend it
///
/// Looks at the volume of a LUN and at this host, and changes nothing. Errors and warnings (exit
/// status 1) come with the command that mends them. An advice is a choice that costs something
/// else, or what a LUN does not need yet; its command is shown, too, but not by --commands.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: tcmu-glfs doctor --commands=cluster vol@gluster1/disk.img | ssh gluster1 sh -ex"
)]
pub(crate) struct Args {
    /// As for targetcli: VOLUME@HOST/PATH[;KEY=VALUE]... Quote it in a shell. Without it, only this
    /// host is looked at
    cfgstring: Option<String>,
    /// How many gateways serve, or will serve, the LUN; if not given, more than one if the LUN of
    /// this host has ALUA groups
    #[arg(long, value_name = "NUMBER")]
    gateways: Option<u32>,
    /// Print the findings as one JSON document: worst, and a list of severity, what, why and
    /// mending
    #[arg(long, conflicts_with = "commands")]
    json: bool,
    /// Print nothing but the commands that mend errors and warnings, for sh: all, those for a node
    /// of the cluster (cluster), or those for this host (host)
    // The manual page would have a list in a list of the possible values.
    #[arg(long, value_name = "PLACE", num_args = 0..=1, require_equals = true, value_enum, hide_possible_values = true)]
    #[allow(clippy::option_option, reason = "not given, given, given with a value")]
    commands: Option<Option<Place>>,
    /// Where the host's files are looked for.
    #[arg(long, default_value = "/", hide = true)]
    root: PathBuf,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    let report = match examine(args) {
        Ok(report) => report,
        Err(why) => return failed(&why),
    };
    if args.json {
        println!("{:#}", serde_json::json!(report));
    } else if let Some(place) = args.commands {
        print!("{}", report.commands(place));
    } else {
        anstream::print!("{}", report.text());
    }
    if report.is_bad() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn examine(args: &Args) -> Result<Report, String> {
    let site = handler_glfs::config::Site::read_file().map_err(|why| why.to_string())?;
    let host = Host::new(&args.root, &site);
    let mut findings = Vec::new();
    if let Some(cfgstring) = &args.cfgstring {
        let config = place::read(cfgstring, &site)?;
        let shared = args.gateways.map_or_else(|| host.shares(&config), |gateways| gateways > 1);
        let lun = Lun { fence: config.fence, shared };
        let session = Session::begin();
        match Volume::ask(&config) {
            Ok(volume) => findings.extend(volume.findings(&lun)),
            Err(why) => {
                let what = format!("{}: {why}", config.label());
                findings.push(Finding::new(Severity::Error, what, session.complaints().join("; ")));
            }
        }
    }
    findings.extend(host.findings());
    Ok(Report::new(findings))
}
