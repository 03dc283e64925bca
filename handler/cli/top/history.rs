// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! What has been seen so far: the last two scrapes, and since when things are wrong.

use std::collections::BTreeMap;
use std::mem;
use std::time::Duration;

use super::rates::{self, Rates};
use crate::scrape::Snapshot;

/// How long a restart stays on the screen: it must not be missed by somebody who looked away.
const REMEMBERED: Duration = Duration::from_secs(60);

/// Times are those since any one moment.
#[derive(Debug)]
pub(super) struct History {
    now: Duration,
    before: Option<(Duration, Snapshot)>,
    latest: (Duration, Snapshot),
    /// Since when there is no answer, and why.
    failed: Option<(Duration, String)>,
    restarted: Option<(Duration, Vec<String>)>,
    /// The LUNs in an outage whose beginning was seen.
    outages: BTreeMap<String, Duration>,
}

impl History {
    /// Begins with a first scrape.
    pub(super) fn new(now: Duration, first: Snapshot) -> Self {
        let (latest, outages) = ((now, first), BTreeMap::new());
        Self { now, before: None, latest, failed: None, restarted: None, outages }
    }

    pub(super) fn take(&mut self, at: Duration, scraped: Result<Snapshot, String>) {
        self.now = at;
        let snapshot = match scraped {
            Ok(snapshot) => snapshot,
            Err(why) => {
                self.failed.get_or_insert((at, String::new())).1 = why;
                return;
            }
        };
        self.failed = None;
        for lun in &snapshot.luns {
            let mut old = self.latest.1.luns.iter();
            let was_away = old.find(|old| old.name == lun.name).map(|old| old.outage);
            match (was_away, lun.outage) {
                (Some(false), true) => drop(self.outages.insert(lun.name.clone(), at)),
                (_, false) => drop(self.outages.remove(&lun.name)),
                _ => {}
            }
        }
        self.before = Some(mem::replace(&mut self.latest, (at, snapshot)));
        let rates = self.rates().into_iter().filter(|rates| rates.restarted);
        let restarted: Vec<String> = rates.map(|rates| rates.lun.name.clone()).collect();
        if !restarted.is_empty() {
            self.restarted = Some((at, restarted));
        }
    }

    /// The last answer, if it is not out of date.
    pub(super) fn snapshot(&self) -> Option<&Snapshot> {
        self.failed.is_none().then_some(&self.latest.1)
    }

    /// How long the last interval was, in seconds.
    pub(super) fn interval(&self) -> f64 {
        let since = |(old, _): &(Duration, Snapshot)| self.latest.0.saturating_sub(*old);
        self.before.as_ref().map_or(0.0, |old| since(old).as_secs_f64().max(0.001))
    }

    pub(super) fn rates(&self) -> Vec<Rates<'_>> {
        let (_, new) = &self.latest;
        match &self.before {
            Some((_, old)) => rates::between(old, new, self.interval()),
            None => {
                new.luns.iter().map(|lun| Rates { lun, load: None, restarted: false }).collect()
            }
        }
    }

    fn ago(&self, moment: Duration) -> Duration {
        self.now.saturating_sub(moment)
    }

    /// For how many seconds there has been no answer, and why.
    pub(super) fn failure(&self) -> Option<(u64, &str)> {
        self.failed.as_ref().map(|(since, why)| (self.ago(*since).as_secs(), why.as_str()))
    }

    /// How many seconds ago counters began anew, and which LUNs'.
    pub(super) fn restart(&self) -> Option<(u64, &[String])> {
        let (at, luns) = self.restarted.as_ref()?;
        let ago = self.ago(*at);
        (ago < REMEMBERED).then_some((ago.as_secs(), luns.as_slice()))
    }

    /// For how many seconds the LUN's storage has been away, if that was seen.
    pub(super) fn outage(&self, lun: &str) -> Option<u64> {
        self.outages.get(lun).map(|since| self.ago(*since).as_secs())
    }
}
