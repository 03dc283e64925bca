// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Assessment of a volume for a LUN: its shape, its encryption, its options.

use super::rule::Rule;
use super::rules::RULES;
use super::volume::{Lun, MISSING, Volume};
use crate::finding::Finding;

/// All findings about a volume.
pub(super) fn findings(volume: &Volume, lun: &Lun) -> Vec<Finding> {
    let mut findings = shape(volume, lun);
    let visible = |rule: &&Rule| volume.client_only.is_none() || rule.in_volfile.is_some();
    findings.extend(RULES.iter().filter(visible).filter_map(|rule| rule.judge(volume, lun)));
    if let Some(why) = &volume.client_only {
        findings.push(unseen(why));
    }
    findings
}

fn shape(volume: &Volume, lun: &Lun) -> Vec<Finding> {
    let name = &volume.name;
    let mut findings = vec![match (volume.replicas, volume.arbiters, volume.redundancy) {
        (0 | 1, _, 0) => Finding::note(format!("{name} has no redundancy"))
            .because("your choice: the death of one brick takes the LUN away, and what is on it")
            .on_cluster(format!("gluster volume add-brick {name} replica 3 HOST:/PATH HOST:/PATH"))
            .by_hand("two more bricks for each there is, on other hosts"),
        (2, 0, _) => Finding::warning(format!("{name} has two replicas"))
            .because(
                "with a quorum the death of one of them stops the LUN, without one the copies may \
                 come to differ (split brain)",
            )
            .on_cluster(format!("gluster volume add-brick {name} replica 3 arbiter 1 HOST:/PATH"))
            .by_hand("an arbiter, small, on a third host; or a third replica"),
        (replicas, 0, 0) => Finding::ok(format!("{name} has {replicas} replicas")),
        (_, 0, redundancy) => {
            Finding::ok(format!("{name} is dispersed, {redundancy} bricks may fail"))
        }
        _ => Finding::ok(format!("{name} has two replicas and an arbiter")),
    }];
    if !volume.started {
        findings.push(
            Finding::error(format!("{name} is not started"))
                .because("no LUN of it serves")
                .on_cluster(format!("gluster --mode=script volume start {name}")),
        );
    }
    for brick in &volume.down {
        findings.push(
            Finding::warning(format!("brick {brick} does not run"))
                .because("writes do not reach it, and redundancy is used up")
                .on_cluster(format!("gluster --mode=script volume start {name} force")),
        );
    }
    if volume.is_sharded() {
        let what = format!("{name} is sharded");
        findings.push(match lun.need_of_fence() {
            None => Finding::ok(what),
            Some(severity) => Finding::new(severity, what)
                .because(
                    "a sharded image cannot be fenced: the bricks protect its first shard only. \
                     Never change features.shard on a volume that has images: they would be lost",
                )
                .on_cluster("gluster volume create NAME replica 3 HOST:/PATH HOST:/PATH HOST:/PATH")
                .by_hand(
                    "a volume without shards for LUNs with two gateways; or fence=off on one \
                     gateway",
                ),
        });
    }
    findings.extend(encryption(volume));
    findings.push(
        Finding::ok(
            "caches of the client, strict-o-direct, remote-dio, client-io-threads, ping-timeout, \
             frame-timeout, server-quorum",
        )
        .because(
            "whatever the volume has: the handler sets up its own graph (cache=, io-threads=, \
             ping-timeout=), and does not need them",
        ),
    );
    findings
}

/// Whether clients and bricks agree on TLS. Unknown from a volfile, which has only the client's
/// part.
fn encryption(volume: &Volume) -> Option<Finding> {
    if volume.client_only.is_some() {
        return None;
    }
    let on = |option: &str| volume.options.get(option).is_some_and(|value| value == "on");
    let apart = |on: &str, off: &str| {
        Finding::error(format!("{on} is on and {off} off"))
            .because("clients and bricks do not understand each other: no LUN can be opened")
            .on_cluster(format!("gluster --mode=script volume set {} {off} on", volume.name))
    };
    Some(match (on("client.ssl"), on("server.ssl")) {
        (true, true) => Finding::ok("I/O is encrypted (client.ssl, server.ssl)"),
        (false, false) => Finding::ok("I/O is not encrypted (client.ssl, server.ssl)"),
        (true, false) => apart("client.ssl", "server.ssl"),
        (false, true) => apart("server.ssl", "client.ssl"),
    })
}

/// What a volfile does not show.
fn unseen(why: &str) -> Finding {
    let names: Vec<&str> =
        RULES.iter().filter(|rule| rule.in_volfile.is_none()).map(|rule| rule.option).collect();
    let finding = Finding::warning(format!(
        "not checked, as only the client's part of the volume could be seen: {}",
        names.join(", ")
    ))
    .because(format!("Gluster's command line tool did not help: {why}"));
    if why.contains(MISSING) {
        finding.on_host("apt-get install -y glusterfs-cli || dnf install -y glusterfs-cli")
    } else {
        finding
    }
}

/// Option of a volume that a translator's key in a volfile shows.
pub(super) fn option_of(kind: &str, key: &str) -> Option<&'static str> {
    let rule = RULES.iter().find(|rule| rule.in_volfile == Some((kind, key)));
    rule.map(|rule| rule.option)
}

#[cfg(test)]
mod tests {
    use handler_glfs::config::Fence;

    use super::*;

    #[test]
    fn a_volfile_shows_the_clients_part() {
        let volume = Volume::of_volfile(
            "volume c\n    type protocol/client\nend-volume\nvolume r\n    \
             type cluster/replicate\n    option quorum-type none\n    option eager-lock off\n    \
             subvolumes a b c\nend-volume\nvolume s\n    type features/shard\n    \
             subvolumes r\nend-volume\n",
            option_of,
        );
        assert_eq!(volume.replicas, 3);
        assert!(volume.is_sharded());
        assert_eq!(volume.options.get("cluster.quorum-type").map(String::as_str), Some("none"));
        assert_eq!(volume.options.get("cluster.eager-lock").map(String::as_str), Some("off"));
    }

    #[test]
    fn what_a_volfile_does_not_show_is_not_checked() {
        let volume =
            Volume { client_only: Some(MISSING.to_owned()), ..Volume::of_volfile("", option_of) };
        let findings = findings(&volume, &Lun { fence: Fence::Auto, shared: true });
        let unseen =
            findings.iter().find(|finding| finding.what.starts_with("not checked")).unwrap();
        assert!(unseen.is_bad() && unseen.what.contains("locks.mandatory-locking"));
        assert!(
            !findings.iter().any(|finding| finding.what.starts_with("locks.mandatory-locking"))
        );
    }
}
