// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! All metrics at one moment, and families of samples of its LUNs.

use std::fmt;
use std::iter::once;

use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use super::lun::{Event, LunMetrics};
use super::registry::{Lun, VolumeState};
use super::source::LunState;

/// All state and counters at one moment.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) luns: Vec<Lun>,
    pub(super) volumes: Vec<VolumeState>,
    pub(super) gfapi: Option<String>,
    pub(super) site_file_error: Option<String>,
}

/// Name, help, unit.
pub(super) type Family = (&'static str, &'static str, Option<Unit>);

/// A sample of a LUN: an additional label, and the value.
pub(super) type Labelled = (Option<(&'static str, &'static str)>, u64);

impl Snapshot {
    /// A family with any number of samples for each LUN.
    pub(super) fn luns(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        (name, help, unit): Family,
        kind: MetricType,
        mut samples: impl FnMut(&Lun, &mut MetricEncoder<'_>) -> fmt::Result,
    ) -> fmt::Result {
        if self.luns.is_empty() {
            return Ok(());
        }
        let mut family = encoder.encode_descriptor(name, help, unit.as_ref(), kind)?;
        self.luns.iter().try_for_each(|lun| samples(lun, &mut family))
    }

    pub(super) fn counters<I: IntoIterator<Item = Labelled>>(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        family: Family,
        values: impl Fn(&LunMetrics) -> I,
    ) -> fmt::Result {
        self.luns(encoder, family, MetricType::Counter, |lun, family| {
            values(&lun.metrics).into_iter().try_for_each(|(label, value)| {
                let labels: Vec<_> = once(("lun", lun.name.as_str())).chain(label).collect();
                family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&value, None)
            })
        })
    }

    pub(super) fn events(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: Family,
        event: Event,
    ) -> fmt::Result {
        self.counters(encoder, name, |metrics| once((None, metrics.events(event))))
    }

    pub(super) fn gauges<I: IntoIterator<Item = Labelled>>(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        family: Family,
        values: impl Fn(&LunState) -> I,
    ) -> fmt::Result {
        self.luns(encoder, family, MetricType::Gauge, |lun, family| {
            values(&lun.state).into_iter().try_for_each(|(label, value)| {
                let labels: Vec<_> = once(("lun", lun.name.as_str())).chain(label).collect();
                family.encode_family(&labels)?.encode_gauge(&value)
            })
        })
    }
}
