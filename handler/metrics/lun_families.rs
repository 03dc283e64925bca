// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The families of a LUN: its commands, its state, its last error.

use std::fmt;
use std::iter::once;

use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use super::lun::{Event, LunMetrics};
use super::registry::Lun;
use super::snapshot::Snapshot;
use super::source::{FenceState, LunState, SpaceState};
use crate::scsi::{ErrorClass, Op};

impl Snapshot {
    pub(super) fn commands(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let per_op = |value: fn(&LunMetrics, Op) -> u64| {
            move |metrics: &LunMetrics| {
                Op::ALL.map(|op| (Some(("op", op.label())), value(metrics, op)))
            }
        };
        let name = ("tcmu_glfs_operations", "Commands answered, including failed ones", None);
        self.counters(encoder, name, per_op(LunMetrics::operations))?;
        let name = ("tcmu_glfs_data", "Bytes of successful commands", Some(Unit::Bytes));
        self.counters(encoder, name, |metrics| {
            let moves_data = |op: &Op| *op != Op::Flush;
            Op::ALL
                .into_iter()
                .filter(moves_data)
                .map(|op| (Some(("op", op.label())), metrics.bytes(op)))
                .collect::<Vec<_>>()
        })?;
        let name =
            ("tcmu_glfs_errors", "Failed commands, by the error the initiator was sent", None);
        self.luns(encoder, name, MetricType::Counter, |lun, family| {
            let all = Op::ALL.into_iter().flat_map(|op| ErrorClass::ALL.map(|class| (op, class)));
            all.into_iter().try_for_each(|(op, class)| {
                let labels =
                    [("lun", lun.name.as_str()), ("op", op.label()), ("class", class.label())];
                let errors = lun.metrics.errors(op, class);
                family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&errors, None)
            })
        })?;
        let name = (
            "tcmu_glfs_latency",
            "Time from the arrival of a command to its answer",
            Some(Unit::Seconds),
        );
        self.luns(encoder, name, MetricType::Histogram, |lun, family| {
            Op::ALL.into_iter().try_for_each(|op| {
                let Some(read) = lun.metrics.latencies(op) else { return Ok(()) };
                let labels = [("lun", lun.name.as_str()), ("op", op.label())];
                let mut metric = family.encode_family(&labels)?;
                metric.encode_histogram::<NoLabelSet>(read.sum, read.count, &read.buckets, None)
            })
        })?;
        let name = ("tcmu_glfs_in_flight", "Commands in flight", None);
        self.luns(encoder, name, MetricType::Gauge, |lun, family| {
            family
                .encode_family(&[("lun", lun.name.as_str())])?
                .encode_gauge(&lun.metrics.in_flight())
        })?;
        let name =
            ("tcmu_glfs_slow_commands", "Commands that exceeded the threshold of a slow one", None);
        self.events(encoder, name, Event::Slow)
    }

    pub(super) fn states(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let flag = |value: fn(&LunState) -> bool| {
            move |state: &LunState| once((None, u64::from(value(state))))
        };
        let name = ("tcmu_glfs_lun", "Configuration of the LUN", None);
        self.luns(encoder, name, MetricType::Info, |lun, family| {
            family.encode_info(&lun.labels().as_slice())
        })?;
        let name = ("tcmu_glfs_size", "Size of the LUN", Some(Unit::Bytes));
        self.gauges(encoder, name, |state| once((None, state.bytes)))?;
        self.gauges(
            encoder,
            ("tcmu_glfs_ready", "Whether the image is open", None),
            flag(|state| state.ready),
        )?;
        let name = (
            "tcmu_glfs_outage",
            "Whether the storage is away, as far as commands have shown",
            None,
        );
        self.gauges(encoder, name, flag(|state| state.outage))?;
        self.last_errors(encoder)?;
        let name = ("tcmu_glfs_outages", "Outages of the storage", None);
        self.events(encoder, name, Event::Outage)?;
        let name = ("tcmu_glfs_reopens", "Times the image was reopened under the LUN", None);
        self.events(encoder, name, Event::Reopened)?;
        let name =
            ("tcmu_glfs_moves", "Times the image was moved to a new graph of its volume", None);
        self.events(encoder, name, Event::Moved)?;
        let name =
            ("tcmu_glfs_move_pause_seconds_max", "Longest wait of commands for a move", None);
        self.luns(encoder, name, MetricType::Gauge, |lun, family| {
            let labels = [("lun", lun.name.as_str())];
            family.encode_family(&labels)?.encode_gauge(&lun.metrics.longest_pause().as_secs_f64())
        })?;
        let known = |value: fn(&SpaceState) -> u64| {
            move |state: &LunState| state.space.as_ref().map(|space| (None, value(space)))
        };
        let name = (
            "tcmu_glfs_space",
            "Space of the volume, as far as quotas let the LUN have it",
            Some(Unit::Bytes),
        );
        self.gauges(encoder, name, known(|space| space.total))?;
        let name = ("tcmu_glfs_space_free", "Space of it that is free", Some(Unit::Bytes));
        self.gauges(encoder, name, known(|space| space.free))?;
        let name =
            ("tcmu_glfs_space_short", "Whether less is free than space-warning= permits", None);
        self.gauges(encoder, name, flag(|state| state.space.is_some_and(|space| space.short)))?;
        let name = ("tcmu_glfs_read_only", "Whether the image cannot be written", None);
        self.gauges(encoder, name, flag(|state| state.read_only))?;
        let name = (
            "tcmu_glfs_fence_state",
            "Which gateway may use the image: 1 for the current state",
            None,
        );
        self.gauges(encoder, name, |state| {
            let is = |fence| u64::from(state.fence == fence);
            let all = [
                ("open", FenceState::Open),
                ("owned", FenceState::Owned),
                ("standby", FenceState::Standby),
            ];
            all.map(|(name, fence)| (Some(("state", name)), is(fence)))
        })?;
        let name =
            ("tcmu_glfs_fence_transitions", "Times this gateway acquired or lost the image", None);
        self.counters(encoder, name, |metrics| {
            [("owned", Event::Owned), ("standby", Event::Standby)]
                .map(|(to, event)| (Some(("to", to)), metrics.events(event)))
        })
    }

    /// The sentence is a label: a LUN has one series at a time.
    fn last_errors(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let errors: Vec<_> = self
            .luns
            .iter()
            .filter_map(|lun| Some((lun.name.as_str(), lun.metrics.last_error()?)))
            .collect();
        if errors.is_empty() {
            return Ok(());
        }
        let (name, help) = ("tcmu_glfs_last_error", "The last failure of the storage");
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Info)?;
        errors.iter().try_for_each(|(lun, error)| {
            family.encode_info(&[("lun", *lun), ("error", error.text.as_str())])
        })?;
        let (name, help) =
            ("tcmu_glfs_last_error_timestamp", "When that was, in seconds since 1970");
        let unit = Some(Unit::Seconds);
        let mut family = encoder.encode_descriptor(name, help, unit.as_ref(), MetricType::Gauge)?;
        errors.iter().try_for_each(|(lun, error)| {
            family.encode_family(&[("lun", *lun)])?.encode_gauge(&error.at)
        })
    }
}

impl Lun {
    fn labels(&self) -> [(&'static str, String); 8] {
        let Self { name, identity, state, .. } = self;
        let tls = match state.encrypted {
            Some(true) => "on",
            Some(false) => "off",
            None => "unknown",
        };
        let access = if state.read_only { "ro" } else { "rw" };
        [
            ("lun", name.clone()),
            ("volume", identity.volume.clone()),
            ("image", identity.image.clone()),
            ("servers", identity.servers.join(",")),
            ("cache", identity.cache.to_owned()),
            ("fence", identity.fence.to_owned()),
            ("access", access.to_owned()),
            ("tls", tls.to_owned()),
        ]
    }
}
