// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! A rule about one option of a volume: which values are right, where, and how bad another one is.

use handler_glfs::gluster::{is_on, parse_size};

use super::volume::{Lun, Volume};
use crate::finding::{Finding, Severity};

/// Which values are right.
#[derive(Debug)]
pub(super) enum Wanted {
    On,
    Off,
    Is(&'static str),
    IsNot(&'static str),
    /// A number, both ends included.
    Within(u64, u64),
    /// A size in bytes, or more.
    Size(u64),
}

/// On which volumes an option means something.
#[derive(Debug)]
pub(super) enum Volumes {
    All,
    Replicated,
    Dispersed,
    /// Where a client takes locks of its own for each write.
    Redundant,
    Sharded,
}

/// How bad another value is.
#[derive(Debug)]
pub(super) enum Need {
    Always(Severity),
    /// As bad as a LUN without a fence.
    Fence,
    /// A trade: the admin's choice.
    Choice,
}

#[derive(Debug)]
pub(super) struct Rule {
    pub(super) option: &'static str,
    /// What a volume has that does not set it (GlusterFS 6 to 11). `volume info` tells only what is
    /// set, and nothing else can be asked from another host.
    pub(super) default: &'static str,
    /// The client's part of a volfile that shows it: type of the translator, and key.
    pub(super) in_volfile: Option<(&'static str, &'static str)>,
    pub(super) wanted: Wanted,
    /// What mends it; empty: `volume reset`.
    pub(super) value: &'static str,
    pub(super) volumes: Volumes,
    pub(super) need: Need,
    /// What to know before the command is typed; empty: nothing.
    pub(super) by_hand: &'static str,
    pub(super) why: &'static str,
}

/// For all volumes, with a warning.
pub(super) const fn rule(
    option: &'static str,
    default: &'static str,
    wanted: Wanted,
    value: &'static str,
) -> Rule {
    let (volumes, need) = (Volumes::All, Need::Always(Severity::Warning));
    Rule { option, default, in_volfile: None, wanted, value, volumes, need, by_hand: "", why: "" }
}

impl Rule {
    pub(super) const fn because(self, why: &'static str) -> Self {
        Self { why, ..self }
    }

    pub(super) const fn need(self, need: Need) -> Self {
        Self { need, ..self }
    }

    pub(super) const fn on(self, volumes: Volumes) -> Self {
        Self { volumes, ..self }
    }

    pub(super) const fn in_volfile(self, translator: &'static str, key: &'static str) -> Self {
        Self { in_volfile: Some((translator, key)), ..self }
    }

    pub(super) const fn by_hand(self, know: &'static str) -> Self {
        Self { by_hand: know, ..self }
    }

    /// What is to be said about the option on this volume; nothing if it means nothing there.
    pub(super) fn judge(&self, volume: &Volume, lun: &Lun) -> Option<Finding> {
        let applies = match self.volumes {
            Volumes::All => true,
            Volumes::Replicated => volume.replicas > 1,
            Volumes::Dispersed => volume.redundancy > 0,
            Volumes::Redundant => volume.replicas > 1 || volume.redundancy > 0,
            Volumes::Sharded => volume.is_sharded(),
        };
        if !applies {
            return None;
        }
        let value = match volume.options.get(self.option) {
            Some(value) => value,
            // Glusterd's own rule.
            None if self.option == "cluster.quorum-type" && volume.replicas == 2 => "none",
            None => self.default,
        };
        let what = format!("{} is {value}", self.option);
        if self.wanted.is_met(value) {
            return Some(Finding::ok(what));
        }
        let severity = match self.need {
            Need::Always(severity) => severity,
            Need::Choice => Severity::Note,
            Need::Fence => lun.need_of_fence()?,
        };
        let (name, option) = (&volume.name, self.option);
        let command = match self.value {
            "" => format!("gluster --mode=script volume reset {name} {option}"),
            value => format!("gluster --mode=script volume set {name} {option} {value}"),
        };
        let finding = Finding::new(severity, what).because(self.why).on_cluster(command);
        Some(if self.by_hand.is_empty() { finding } else { finding.by_hand(self.by_hand) })
    }
}

impl Wanted {
    pub(super) fn is_met(&self, value: &str) -> bool {
        match self {
            Self::On => is_on(value),
            Self::Off => !is_on(value),
            Self::Is(wanted) => value == *wanted,
            Self::IsNot(unwanted) => value != *unwanted,
            Self::Within(least, most) => {
                value.parse().is_ok_and(|number| (*least..=*most).contains(&number))
            }
            Self::Size(least) => parse_size(value).is_some_and(|bytes| bytes >= *least),
        }
    }
}
