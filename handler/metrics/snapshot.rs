// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! All metrics at one moment, and families of samples of its LUNs.

use std::fmt;
use std::iter::once;

use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use super::registry::{Lun, VolumeState};

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

/// A sample of a LUN: additional labels, and the value.
pub(super) type Labelled<const N: usize> = ([(&'static str, &'static str); N], u64);

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

    /// A family of whole numbers: counters, or else gauges.
    pub(super) fn numbers<const N: usize, I: IntoIterator<Item = Labelled<N>>>(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        family: Family,
        kind: MetricType,
        values: impl Fn(&Lun) -> I,
    ) -> fmt::Result {
        self.luns(encoder, family, kind, |lun, family| {
            values(lun).into_iter().try_for_each(|(labels, value)| {
                let labels: Vec<_> = once(("lun", lun.name.as_str())).chain(labels).collect();
                encode_number(family.encode_family(&labels)?, kind, value)
            })
        })
    }
}

/// A counter, or else a gauge.
pub(super) fn encode_number(
    mut metric: MetricEncoder<'_>,
    kind: MetricType,
    value: u64,
) -> fmt::Result {
    match kind {
        MetricType::Counter => metric.encode_counter::<NoLabelSet, _, u64>(&value, None),
        _ => metric.encode_gauge(&value),
    }
}
