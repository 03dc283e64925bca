// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! `tcmu-glfs export`: prints the commands that create a LUN and export it.
//!
//! targetcli owns the configuration; this generates what an admin would type, with the timeouts and
//! ALUA groups that docs/high-availability.md explains.

use std::net::IpAddr;

use handler_glfs::config::{Config, Fence};

use crate::exit::{CommandError, Outcome};
use crate::finding::word;
use crate::{cfgstring_arg, size};

/// Prints the commands that create a LUN and export it, for a shell: loopback, iSCSI, iSCSI with
/// CHAP, or iSCSI through two gateways.
///
/// Nothing is changed: pipe the output into `sh -ex`. The image must exist (tcmu-glfs create). The
/// LUN has a serial number that depends only on target and name, a cmd_time_out that fits outage=,
/// and is saved.
///
/// With two portals the commands are those of two gateways with one target: run them on each, with
/// --gateway 1 and --gateway 2. The first is preferred (active/optimized); all that an initiator
/// sees is equal on both. The configuration should have fence=required.
///
/// A CHAP password is read from the environment variable CHAP_PASSWORD when the printed commands
/// run, so that it is in no file and no history.
#[derive(Debug, clap::Args)]
#[allow(clippy::doc_markdown, reason = "printed as help, without a markup")]
#[command(after_help = "Examples: tcmu-glfs export d0 vol@gluster1/disk.img --size 10G | sh -ex
          tcmu-glfs export d0 vol@gluster1/disk.img --size 10G \
--target iqn.2026-01.org.example:d0 --portal 192.0.2.1 \
--initiator iqn.1993-08.org.debian:01:1234 | sh -ex
          tcmu-glfs export d0 'vol@gluster1/disk.img;fence=required' --size 10G \
--target iqn.2026-01.org.example:d0 --portal 192.0.2.1 --portal 192.0.2.2 --gateway 1 \
--initiator iqn.1993-08.org.debian:01:1234 | sh -ex")]
pub(crate) struct Args {
    /// Name of the LUN in targetcli
    #[arg(value_parser = name)]
    name: String,
    /// As for targetcli: VOLUME@HOST/PATH[;KEY=VALUE]... Quote it in a shell
    cfgstring: String,
    /// Size of the image: a whole number and K, M, G, T or P, of 1024 each
    #[arg(long, value_parser = size::parse)]
    size: u64,
    /// Name of the iSCSI target. Without it the LUN becomes a disk of this host (loopback)
    #[arg(long, value_name = "IQN", value_parser = iqn, requires = "initiator")]
    target: Option<String>,
    /// Address of this gateway, or of both: the first one's is preferred. Default: all addresses
    #[arg(long, value_name = "ADDRESS", requires = "target")]
    portal: Vec<IpAddr>,
    /// Which of two gateways this is
    #[arg(
        long,
        value_name = "1|2",
        value_parser = clap::value_parser!(u8).range(1..=2),
        requires = "portal"
    )]
    gateway: Option<u8>,
    /// An initiator that may log in, as its /etc/iscsi/initiatorname.iscsi has it; may repeat
    #[arg(long, value_name = "IQN", value_parser = iqn, requires = "target")]
    initiator: Vec<String>,
    /// Name of the CHAP user; its password is that of CHAP_PASSWORD
    #[arg(long, value_name = "USER", value_parser = name, requires = "target")]
    chap_user: Option<String>,
}

/// A name without anything that a shell or targetcli would interpret.
fn name(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if text.is_empty() || text.len() > 223 || !text.chars().all(plain) {
        return Err(String::from(
            "a name has 1 to 223 letters, digits, dots, hyphens, underscores",
        ));
    }
    Ok(text.to_owned())
}

/// An iSCSI name (RFC 3720, 3.2.6).
fn iqn(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.:".contains(c);
    let known = ["iqn.", "eui.", "naa."].iter().any(|kind| text.starts_with(kind));
    if !known || text.len() > 223 || !text.chars().all(plain) {
        return Err(String::from(
            "an iSCSI name is like iqn.2026-01.org.example:d0, in small letters",
        ));
    }
    Ok(text.to_owned())
}

pub(crate) fn run(args: &Args) -> Outcome {
    println!("{}", commands(args)?.join("\n"));
    Ok(true)
}

fn commands(args: &Args) -> Result<Vec<String>, CommandError> {
    let config = cfgstring_arg::parse(&args.cfgstring)?;
    let wrong = match (args.portal.len(), args.gateway) {
        (2, Some(_)) if config.fence == Fence::Off => Some(
            "two gateways without a fence lose data: leave out fence=off, better write \
             fence=required",
        ),
        (0 | 1, None) | (2, Some(_)) => None,
        (2, None) => {
            Some("two portals are those of two gateways: say which this is, --gateway 1 or 2")
        }
        (0 | 1, Some(_)) => Some("--gateway is for two gateways: give the portals of both"),
        _ => Some("more than two portals are not supported"),
    };
    if let Some(why) = wrong {
        return Err(CommandError::Usage(why.to_owned()));
    }
    let mut lines = lun(args, &config);
    match &args.target {
        None => lines.extend(loopback(args)),
        Some(target) => lines.extend(iscsi(args, target)),
    }
    lines.push(String::from("targetcli saveconfig"));
    Ok(lines)
}

/// The LUN itself, with all that can be set only before it is exported.
fn lun(args: &Args, config: &Config) -> Vec<String> {
    const MARGIN: u64 = 10;
    let Args { name, cfgstring, size, .. } = args;
    let cfgstring = cfgstring.strip_prefix("glfs/").unwrap_or(cfgstring);
    let serial = serial(&format!("{}/{name}", args.target.as_deref().unwrap_or("loopback")));
    let path = format!("/backstores/user:glfs/{name}");
    let mut lines = vec![
        format!(
            "targetcli /backstores/user:glfs create name={name} size={size} cfgstring={} \
             wwn={serial}",
            word(cfgstring)
        ),
        format!("targetcli {path} set attribute cmd_time_out={}", config.outage.as_secs() + MARGIN),
    ];
    if args.gateway.is_some() {
        // Each kernel would keep reservations of its own.
        lines.push(format!("targetcli {path} set attribute emulate_pr=0"));
        // tcmu-runner knows implicit ALUA only (type 1). State 0 is active/optimized, 1 is
        // active/non-optimized, whose commands the kernel would delay by 100 ms.
        for tag in 1..=2 {
            lines.push(format!("targetcli {path}/alua create name=gateway{tag} tag={tag}"));
            lines.push(format!(
                "targetcli {path}/alua/gateway{tag} set alua alua_access_type=1 \
                 alua_access_state={} nonop_delay_msecs=0",
                tag - 1
            ));
        }
    }
    lines
}

fn loopback(args: &Args) -> Vec<String> {
    let name = &args.name;
    // 5001405 is the kernel target's own prefix of world-wide names; nine digits are free.
    let digits: String = serial(name).chars().filter(|&c| c != '-').take(9).collect();
    let target = format!("naa.5001405{digits}");
    vec![
        format!("targetcli /loopback create {target}"),
        format!("targetcli /loopback/{target}/luns create /backstores/user:glfs/{name}"),
    ]
}

fn iscsi(args: &Args, target: &str) -> Vec<String> {
    let lun = format!("/backstores/user:glfs/{}", args.name);
    let groups = args.portal.len().max(1);
    let mut lines = vec![
        String::from("targetcli set global auto_add_default_portal=false auto_enable_tpgt=false"),
        format!("targetcli /iscsi create {target}"),
    ];
    if groups == 2 {
        lines.push(format!("targetcli /iscsi/{target} create 2"));
    }
    for group in 1..=groups {
        let path = format!("/iscsi/{target}/tpg{group}");
        let everywhere = IpAddr::from([0, 0, 0, 0]);
        let portal = args.portal.get(group - 1).unwrap_or(&everywhere);
        let chap = u8::from(args.chap_user.is_some());
        lines.push(format!("targetcli {path}/portals create {portal}"));
        lines.push(format!(
            "targetcli {path} set attribute authentication={chap} generate_node_acls=0"
        ));
        lines.push(format!("targetcli {path}/luns create {lun} lun=0"));
        if groups == 2 {
            lines.push(format!(
                "targetcli {path}/luns/lun0 set alua alua_tg_pt_gp_name=gateway{group}"
            ));
        }
        for initiator in &args.initiator {
            lines.push(format!("targetcli {path}/acls create {initiator}"));
            if let Some(user) = &args.chap_user {
                // Not echoed by `sh -x`.
                lines.push(format!(
                    "{{ set +x; }} 2>/dev/null; targetcli {path}/acls/{initiator} set auth \
                     userid={user} password=\"${{CHAP_PASSWORD:?}}\" >/dev/null; set -x"
                ));
            }
        }
    }
    let here = usize::from(args.gateway.unwrap_or(1));
    for group in 1..=groups {
        let state = if group == here { "enable" } else { "disable" };
        lines.push(format!("targetcli /iscsi/{target}/tpg{group} {state}"));
    }
    lines
}

/// A serial number in the form of a UUID that depends only on `text`: two 64-bit FNV-1a hashes.
fn serial(text: &str) -> String {
    const PRIME: u64 = 0x0100_0000_01b3;
    let hash = |basis: u64| {
        text.bytes().fold(basis, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME))
    };
    let (high, low) = (hash(0xcbf2_9ce4_8422_2325), hash(0x9e37_79b9_7f4a_7c15));
    let digits = format!("{high:016x}{low:016x}");
    let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
    [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Wrapped {
        #[command(flatten)]
        args: Args,
    }

    fn exported(line: &str) -> Result<Vec<String>, CommandError> {
        let words = std::iter::once("export").chain(line.split(' '));
        commands(&Wrapped::try_parse_from(words).unwrap().args)
    }

    const ISCSI: &str = "d0 vol@h/a.img;fence=required --size 1G --target \
                         iqn.2026-01.org.example:d0 --initiator iqn.1993-08.org.debian:01:1";

    #[test]
    fn a_loopback_lun_has_its_timeout_and_serial_before_it_is_exported_and_is_saved() {
        let lines = exported("d0 vol@h/a.img;outage=60 --size 1G").unwrap();
        assert!(lines[0].contains("size=1073741824 cfgstring='vol@h/a.img;outage=60' wwn="));
        assert_eq!(lines[1], "targetcli /backstores/user:glfs/d0 set attribute cmd_time_out=70");
        assert!(lines[2].starts_with("targetcli /loopback create naa.5001405"));
        assert_eq!(lines[2].len(), "targetcli /loopback create naa.".len() + 16);
        assert_eq!(lines.last().unwrap(), "targetcli saveconfig");
    }

    #[test]
    fn two_gateways_differ_only_in_the_portal_group_that_they_enable() {
        let on = |gateway| {
            let portals = "--portal 192.0.2.1 --portal 192.0.2.2";
            exported(&format!("{ISCSI} {portals} --gateway {gateway}")).unwrap()
        };
        let (first, second) = (on(1), on(2));
        let differ: Vec<_> = first.iter().zip(&second).filter(|(a, b)| a != b).collect();
        assert_eq!(differ.len(), 2, "{differ:?}");
        assert!(differ[0].0.ends_with("tpg1 enable") && differ[0].1.ends_with("tpg1 disable"));
        assert!(first.iter().any(|line| line.contains("alua_access_type=1 alua_access_state=1")));
        let no_reservations = "targetcli /backstores/user:glfs/d0 set attribute emulate_pr=0";
        assert!(first.iter().any(|line| line == no_reservations));
        assert!(!exported(ISCSI).unwrap().iter().any(|line| line == no_reservations));
    }

    #[test]
    fn a_password_is_in_no_command() {
        let lines = exported(&format!("{ISCSI} --chap-user db")).unwrap();
        assert!(lines.iter().any(|line| line.contains("authentication=1")));
        assert!(lines.iter().any(|line| line.contains("password=\"${CHAP_PASSWORD:?}\"")));
    }

    #[test]
    fn what_would_lose_data_or_is_incomplete_is_refused() {
        let two = "--portal 192.0.2.1 --portal 192.0.2.2";
        for (line, why) in [
            (format!("{ISCSI} {two}"), "--gateway 1 or 2"),
            (format!("{ISCSI} --portal 192.0.2.1 --gateway 1"), "portals of both"),
            (format!("{} {two} --gateway 1", ISCSI.replace("required", "off")), "lose data"),
        ] {
            let refused = exported(&line).unwrap_err();
            assert!(refused.to_string().contains(why), "{line}: {refused}");
        }
        assert!(name("d0; reboot").is_err() && iqn("IQN.2026-01.org:x").is_err());
    }
}
