//! `tcmu-glfs check`: can this LUN be served, and if not, why not?

use std::process::ExitCode;

use handler_glfs::gluster::Opener;
use handler_glfs::lun::backend::{Backend as _, Source as _};
use handler_glfs::lun::config::Config;

/// Tries a configuration as tcmu-runner would: parses it, connects to the volume, opens the image.
///
/// Nothing is changed, and a LUN that is in use is not disturbed.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// As for targetcli: VOLUME@HOST/PATH[;KEY=VALUE]... In a shell, in quotes.
    cfgstring: String,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    match check(&args.cfgstring) {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn check(cfgstring: &str) -> Result<String, String> {
    let whole = if cfgstring.starts_with("glfs/") { cfgstring.to_owned() } else { format!("glfs/{cfgstring}") };
    let site = handler_glfs::site::read().map_err(|why| why.to_string())?;
    let config = Config::read(&whole, &site).map_err(|why| format!("{whole}: {why}"))?;
    let label = config.label();
    let opened = Opener::new(&config).open(config.open_timeout, None).map_err(|not| format!("{label}: {}", not.why))?;
    let bytes = opened.image.size().map_err(|errno| format!("{label}: no size: {errno}"))?;
    Ok(format!("{label}: open, {bytes} bytes"))
}
