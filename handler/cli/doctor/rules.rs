// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! What a volume needs to be a safe and fast disk: one line an option. Where the reasons come from:
//! docs/fencing.md, docs/high-availability.md, docs/performance.md.

use super::rule::{Need, Rule, Volumes, Wanted, rule};
use crate::finding::Severity;

const CLIENT_GONE: &str = "a gateway that vanishes without a word keeps its locks of the replicas \
                           until the bricks notice, and nobody else can write meanwhile: 42 s as \
                           Gluster is delivered, 13 s with the values of docs/high-availability.md";
const FENCE: &str = "the bricks do not keep out a gateway that has lost the LUN: one that hangs \
                     and wakes up writes old data over new; needed as soon as two gateways serve \
                     the LUN (docs/fencing.md)";
const REVOKE: &str = "a gateway that hangs keeps its client's locks, and the first write of the \
                      next owner hangs with it until it is killed; needed as soon as two gateways \
                      serve the LUN (docs/fencing.md)";

pub(super) const RULES: &[Rule] = &[
    rule("locks.mandatory-locking", "off", Wanted::Is("forced"), "forced")
        .because(FENCE)
        .need(Need::Fence),
    rule("features.enforce-mandatory-lock", "off", Wanted::On, "on")
        .because(FENCE)
        .need(Need::Fence),
    rule("features.locks-revocation-secs", "0", Wanted::Within(1, 1), "1")
        .because(REVOKE)
        .need(Need::Fence)
        .on(Volumes::Redundant),
    rule("features.locks-revocation-clear-all", "off", Wanted::On, "on")
        .because(REVOKE)
        .need(Need::Fence)
        .on(Volumes::Redundant),
    rule("server.tcp-user-timeout", "42", Wanted::Within(1, 10), "10")
        .because(CLIENT_GONE)
        .on(Volumes::Redundant),
    rule("server.keepalive-time", "20", Wanted::Within(1, 5), "5")
        .because(CLIENT_GONE)
        .on(Volumes::Redundant),
    rule("server.keepalive-interval", "2", Wanted::Within(1, 2), "2")
        .because(CLIENT_GONE)
        .on(Volumes::Redundant),
    rule("server.keepalive-count", "9", Wanted::Within(1, 3), "3")
        .because(CLIENT_GONE)
        .on(Volumes::Redundant),
    rule("cluster.quorum-type", "auto", Wanted::Is("auto"), "auto")
        .because(
            "a minority of the replicas takes writes: after a network that was split the copies \
             differ, and one side's writes are lost",
        )
        .need(Need::Always(Severity::Error))
        .on(Volumes::Replicated)
        .in_volfile("cluster/replicate", "quorum-type"),
    rule("cluster.self-heal-daemon", "on", Wanted::On, "on")
        .because(
            "a replica that has been away is not brought up to date, and the LUN is one failure \
             away from stopping",
        )
        .on(Volumes::Replicated),
    rule("cluster.disperse-self-heal-daemon", "on", Wanted::On, "on")
        .because(
            "a brick that has been away is not brought up to date, and the LUN is one failure \
             away from stopping",
        )
        .on(Volumes::Dispersed),
    rule("cluster.eager-lock", "on", Wanted::On, "on")
        .because(
            "your choice: off, a sixth to a tenth is left of the speed of small writes \
             (docs/performance.md); on, old data may be read for a moment when one brick of \
             several comes back (docs/high-availability.md)",
        )
        .need(Need::Choice)
        .on(Volumes::Replicated)
        .in_volfile("cluster/replicate", "eager-lock"),
    rule("cluster.lookup-optimize", "on", Wanted::Off, "off")
        .because(
            "adding or removing bricks of a sharded volume corrupts images with it (glusterfs \
             issues 2253, 2254)",
        )
        .on(Volumes::Sharded)
        .in_volfile("cluster/distribute", "lookup-optimize"),
    rule("features.shard-block-size", "64MB", Wanted::Size(64 << 20), "64MB")
        .because(
            "small shards mean more bookkeeping for large writes; counts for images that are \
             created later",
        )
        .need(Need::Choice)
        .on(Volumes::Sharded)
        .in_volfile("features/shard", "shard-block-size"),
    rule("features.read-only", "off", Wanted::Off, "off")
        .because("every LUN of the volume is read-only")
        .need(Need::Always(Severity::Error)),
    rule("features.worm", "off", Wanted::Off, "off")
        .because("what has been written once cannot be written again")
        .need(Need::Always(Severity::Error)),
    rule("debug.error-gen", "off", Wanted::Is("off"), "")
        .because("the volume makes calls fail on purpose: a test's leftover"),
    rule("debug.delay-gen", "off", Wanted::Is("off"), "")
        .because("the volume delays calls on purpose: a test's leftover"),
    rule("server.allow-insecure", "on", Wanted::On, "on").because(
        "a client without a free port below 1024 is turned away: a gateway with many connections",
    ),
    rule("auth.allow", "*", Wanted::IsNot("*"), "GATEWAY1,GATEWAY2,NODE1,NODE2,NODE3")
        .because("every host that reaches the bricks may read and write the images")
        .need(Need::Choice)
        .by_hand("with your addresses; the nodes of the cluster must be in the list"),
];

#[cfg(test)]
mod tests {
    use handler_glfs::config::Fence;

    use super::super::volume::{Lun, Volume};
    use super::*;
    use crate::finding::Finding;

    const SHARED: Lun = Lun { fence: Fence::Auto, shared: true };
    const ALONE: Lun = Lun { fence: Fence::Auto, shared: false };

    fn replica(set: &[(&str, &str)]) -> Volume {
        let options =
            set.iter().map(|&(option, value)| (option.to_owned(), value.to_owned())).collect();
        Volume { name: "vol".to_owned(), replicas: 3, options, ..Volume::default() }
    }

    /// The options that are worth more than a word.
    fn wrong(volume: &Volume, lun: &Lun) -> Vec<String> {
        let findings = RULES.iter().filter_map(|rule| rule.judge(volume, lun));
        findings.filter(Finding::is_bad).map(|finding| finding.what.clone()).collect()
    }

    #[test]
    fn what_mends_an_option_is_what_is_wanted() {
        for rule in RULES {
            let fixed = if rule.value.is_empty() { rule.default } else { rule.value };
            assert!(rule.wanted.is_met(fixed), "{}: {fixed} is not {:?}", rule.option, rule.wanted);
        }
    }

    #[test]
    fn a_volume_as_it_is_created_keeps_locks_of_the_dead_and_has_no_fence() {
        let keeps = [
            "server.tcp-user-timeout is 42",
            "server.keepalive-time is 20",
            "server.keepalive-count is 9",
        ];
        assert_eq!(wrong(&replica(&[]), &ALONE), keeps);
        let fence = ["locks.mandatory-locking is off", "features.enforce-mandatory-lock is off"];
        let revoke =
            ["features.locks-revocation-secs is 0", "features.locks-revocation-clear-all is off"];
        assert_eq!(wrong(&replica(&[]), &SHARED), [&fence[..], &revoke, &keeps].concat());
        let single = Volume { replicas: 1, ..replica(&[]) };
        assert!(wrong(&single, &ALONE).is_empty());
        assert_eq!(wrong(&single, &SHARED), fence);
    }

    #[test]
    fn the_need_of_a_fence_is_the_luns() {
        let severity = |fence, shared| {
            let rule = RULES.iter().find(|rule| rule.option == "locks.mandatory-locking").unwrap();
            rule.judge(&replica(&[]), &Lun { fence, shared }).map(|finding| finding.severity)
        };
        assert_eq!(severity(Fence::Required, false), Some(Severity::Error));
        assert_eq!(severity(Fence::Auto, true), Some(Severity::Warning));
        assert_eq!(severity(Fence::Auto, false), Some(Severity::Note));
        assert_eq!(severity(Fence::Off, true), None);
    }

    #[test]
    fn values_are_read_as_gluster_reads_them() {
        for (option, good, bad) in [
            ("features.enforce-mandatory-lock", "enable", "disable"),
            ("server.tcp-user-timeout", "7", "0"),
            ("cluster.quorum-type", "auto", "none"),
            ("debug.delay-gen", "off", "posix"),
        ] {
            let judged = |value| {
                wrong(&replica(&[(option, value)]), &SHARED)
                    .contains(&format!("{option} is {value}"))
            };
            assert!(!judged(good) && judged(bad), "{option}");
        }
    }

    #[test]
    fn two_replicas_have_no_quorum_unless_it_is_set() {
        let two = |set| Volume { replicas: 2, ..replica(set) };
        assert!(wrong(&two(&[]), &ALONE).contains(&"cluster.quorum-type is none".to_owned()));
        assert!(
            !wrong(&two(&[("cluster.quorum-type", "auto")]), &ALONE)
                .iter()
                .any(|what| what.contains("quorum"))
        );
    }

    #[test]
    fn shards_and_lookup_optimize_do_not_go_together() {
        let sharded = replica(&[("features.shard", "on")]);
        assert!(wrong(&sharded, &ALONE).contains(&"cluster.lookup-optimize is on".to_owned()));
        assert!(!wrong(&replica(&[]), &ALONE).iter().any(|what| what.contains("lookup")));
    }
}
