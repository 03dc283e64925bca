// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! What happened between two scrapes.

use std::collections::BTreeMap;

use crate::scrape::{Histogram, Lun, Snapshot};

/// A LUN's load in an interval.
#[derive(Debug)]
pub(super) struct Rates<'a> {
    pub(super) lun: &'a Lun,
    /// None if there is nothing to compare with: the LUN is new, or its counters began anew.
    pub(super) load: Option<Load>,
    pub(super) restarted: bool,
}

#[derive(Debug, Default, PartialEq)]
pub(super) struct Load {
    pub(super) read: Flow,
    pub(super) write: Flow,
    /// Commands that are neither, a second.
    pub(super) other: f64,
    /// A second.
    pub(super) errors: f64,
}

/// One direction, a second; times in seconds, if there were commands.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Flow {
    pub(super) iops: f64,
    pub(super) bytes: f64,
    pub(super) p50: Option<f64>,
    pub(super) p99: Option<f64>,
}

/// The LUNs of `new`, with what came since `old`, `seconds` ago.
pub(super) fn between<'a>(old: &Snapshot, new: &'a Snapshot, seconds: f64) -> Vec<Rates<'a>> {
    new.luns
        .iter()
        .map(|lun| {
            let before = old.luns.iter().find(|before| before.name == lun.name);
            let restarted = before.is_some_and(|before| began_anew(before, lun));
            let load = before.filter(|_| !restarted).map(|before| load(before, lun, seconds));
            Rates { lun, load, restarted }
        })
        .collect()
}

/// Counters only grow, while they are the same counters.
fn began_anew(old: &Lun, new: &Lun) -> bool {
    let shrank = |old: &BTreeMap<String, f64>, new: &BTreeMap<String, f64>| {
        old.iter().any(|(op, before)| new.get(op).unwrap_or(&0.0) < before)
    };
    let count = |lun: &Lun, op: &String| lun.latency.get(op).map_or(0.0, Histogram::count);
    new.total_errors() < old.total_errors()
        || shrank(&old.operations, &new.operations)
        || shrank(&old.bytes, &new.bytes)
        || old.latency.keys().any(|op| count(new, op) < count(old, op))
}

fn load(old: &Lun, new: &Lun, seconds: f64) -> Load {
    let (read, write) = (flow("read", old, new, seconds), flow("write", old, new, seconds));
    let all = (new.total_operations() - old.total_operations()) / seconds;
    let other = (all - read.iops - write.iops).max(0.0);
    Load { read, write, other, errors: (new.total_errors() - old.total_errors()) / seconds }
}

fn flow(op: &str, old: &Lun, new: &Lun, seconds: f64) -> Flow {
    let counted = |lun: &Lun| lun.operations.get(op).copied().unwrap_or_default();
    let moved = |lun: &Lun| lun.bytes.get(op).copied().unwrap_or_default();
    let none = Histogram::default();
    let times = new.latency.get(op).unwrap_or(&none).since(old.latency.get(op).unwrap_or(&none));
    Flow {
        iops: (counted(new) - counted(old)) / seconds,
        bytes: (moved(new) - moved(old)) / seconds,
        p50: times.quantile(0.5),
        p99: times.quantile(0.99),
    }
}

impl Load {
    /// No command was answered.
    pub(super) fn is_idle(&self) -> bool {
        self.read.iops + self.write.iops + self.other <= 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(name: &str, reads: f64, writes: f64, flushes: f64, errors: f64) -> Snapshot {
        let text = format!(
            "tcmu_glfs_operations_total{{lun=\"{name}\",op=\"read\"}} {reads}\n\
             tcmu_glfs_operations_total{{lun=\"{name}\",op=\"write\"}} {writes}\n\
             tcmu_glfs_operations_total{{lun=\"{name}\",op=\"flush\"}} {flushes}\n\
             tcmu_glfs_data_bytes_total{{lun=\"{name}\",op=\"read\"}} {}\n\
             tcmu_glfs_errors_total{{lun=\"{name}\",op=\"read\",class=\"busy\"}} {errors}\n\
             tcmu_glfs_latency_seconds_bucket{{lun=\"{name}\",op=\"read\",le=\"0.001\"}} 0\n\
             tcmu_glfs_latency_seconds_bucket{{lun=\"{name}\",op=\"read\",le=\"0.004\"}} {reads}\n\
             tcmu_glfs_latency_seconds_bucket{{lun=\"{name}\",op=\"read\",le=\"+Inf\"}} \
             {reads}\n# EOF\n",
            reads * 4096.0
        );
        Snapshot::parse(&text).unwrap()
    }

    #[test]
    fn rates_are_differences_by_time() {
        let (old, new) =
            (snapshot("d0", 100.0, 10.0, 1.0, 0.0), snapshot("d0", 300.0, 14.0, 2.0, 4.0));
        let rates = between(&old, &new, 2.0);
        let load = rates[0].load.as_ref().unwrap();
        let read = Flow { iops: 100.0, bytes: 409_600.0, p50: Some(0.002), p99: load.read.p99 };
        assert_eq!(
            *load,
            Load { read, write: Flow { iops: 2.0, ..Flow::default() }, other: 0.5, errors: 2.0 }
        );
        assert!((load.read.p99.unwrap() - 0.001 * 4.0_f64.powf(0.99)).abs() < 1e-9);
        assert!(!rates[0].restarted && !load.is_idle());
    }

    #[test]
    fn counters_that_begin_anew_give_no_rates() {
        let old = snapshot("d0", 100.0, 10.0, 1.0, 3.0);
        for new in [
            (5.0, 10.0, 1.0, 3.0),
            (100.0, 0.0, 1.0, 3.0),
            (100.0, 10.0, 0.0, 3.0),
            (100.0, 10.0, 1.0, 0.0),
        ] {
            let new = snapshot("d0", new.0, new.1, new.2, new.3);
            let rates = between(&old, &new, 1.0);
            assert!(rates[0].restarted && rates[0].load.is_none(), "{new:?}");
        }
        let same = snapshot("d0", 100.0, 10.0, 1.0, 3.0);
        assert!(between(&old, &same, 1.0)[0].load.as_ref().unwrap().is_idle());
        let another = snapshot("d1", 1.0, 1.0, 1.0, 0.0);
        let new = &between(&old, &another, 1.0)[0];
        assert!(!new.restarted && new.load.is_none(), "a LUN that is new was not restarted");
    }
}
