// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The families of a LUN: its commands, its state, its last error.

use std::fmt;
use std::iter::{Once, once};

use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType::{self, Counter, Gauge};
use prometheus_client::registry::Unit;

use super::lun::{Event, LunMetrics};
use super::registry::Lun;
use super::snapshot::{Labelled, Snapshot};
use super::source::{FenceState, LunState, SpaceState};
use crate::scsi::{ErrorClass, Op};

impl Snapshot {
    pub(super) fn commands(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let per_op = |value: fn(&LunMetrics, Op) -> u64| {
            move |lun: &Lun| Op::ALL.map(|op| ([("op", op.label())], value(&lun.metrics, op)))
        };
        let name = ("tcmu_glfs_operations", "Commands answered, including failed ones", None);
        self.numbers(encoder, name, Counter, per_op(LunMetrics::operations))?;
        let name = ("tcmu_glfs_data", "Bytes of successful commands", Some(Unit::Bytes));
        self.numbers(encoder, name, Counter, |lun| {
            let move_data = Op::ALL.into_iter().filter(|op| *op != Op::Flush);
            move_data.map(|op| ([("op", op.label())], lun.metrics.bytes(op))).collect::<Vec<_>>()
        })?;
        let name =
            ("tcmu_glfs_errors", "Failed commands, by the error the initiator was sent", None);
        self.numbers(encoder, name, Counter, |lun| {
            let all = Op::ALL.into_iter().flat_map(|op| ErrorClass::ALL.map(|class| (op, class)));
            let labels = |op: Op, class: ErrorClass| [("op", op.label()), ("class", class.label())];
            all.map(|(op, class)| (labels(op, class), lun.metrics.errors(op, class)))
                .collect::<Vec<_>>()
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
        self.numbers(encoder, name, Gauge, |lun| plain(lun.metrics.in_flight()))?;
        let name =
            ("tcmu_glfs_slow_commands", "Commands that exceeded the threshold of a slow one", None);
        self.numbers(encoder, name, Counter, events(Event::Slow))
    }

    pub(super) fn states(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let flag =
            |value: fn(&LunState) -> bool| move |lun: &Lun| plain(u64::from(value(&lun.state)));
        let name = ("tcmu_glfs_lun", "Configuration of the LUN", None);
        self.luns(encoder, name, MetricType::Info, |lun, family| {
            family.encode_info(&lun.labels().as_slice())
        })?;
        let name = ("tcmu_glfs_size", "Size of the LUN", Some(Unit::Bytes));
        self.numbers(encoder, name, Gauge, |lun| plain(lun.state.bytes))?;
        let name = ("tcmu_glfs_ready", "Whether the image is open", None);
        self.numbers(encoder, name, Gauge, flag(|state| state.ready))?;
        let name = (
            "tcmu_glfs_outage",
            "Whether the storage is away, as far as commands have shown",
            None,
        );
        self.numbers(encoder, name, Gauge, flag(|state| state.outage))?;
        self.last_errors(encoder)?;
        let name = ("tcmu_glfs_outages", "Outages of the storage", None);
        self.numbers(encoder, name, Counter, events(Event::Outage))?;
        let name = ("tcmu_glfs_reopens", "Times the image was reopened under the LUN", None);
        self.numbers(encoder, name, Counter, events(Event::Reopened))?;
        let name =
            ("tcmu_glfs_moves", "Times the image was moved to a new graph of its volume", None);
        self.numbers(encoder, name, Counter, events(Event::Moved))?;
        let name =
            ("tcmu_glfs_move_pause_seconds_max", "Longest wait of commands for a move", None);
        self.luns(encoder, name, Gauge, |lun, family| {
            let labels = [("lun", lun.name.as_str())];
            family.encode_family(&labels)?.encode_gauge(&lun.metrics.longest_pause().as_secs_f64())
        })?;
        let known = |value: fn(&SpaceState) -> u64| {
            move |lun: &Lun| lun.state.space.as_ref().map(|space| ([], value(space)))
        };
        let name = (
            "tcmu_glfs_space",
            "Space of the volume, as far as quotas let the LUN have it",
            Some(Unit::Bytes),
        );
        self.numbers(encoder, name, Gauge, known(|space| space.total))?;
        let name = ("tcmu_glfs_space_free", "Space of it that is free", Some(Unit::Bytes));
        self.numbers(encoder, name, Gauge, known(|space| space.free))?;
        let name =
            ("tcmu_glfs_space_short", "Whether less is free than space-warning= permits", None);
        self.numbers(
            encoder,
            name,
            Gauge,
            flag(|state| state.space.is_some_and(|space| space.short)),
        )?;
        let name = ("tcmu_glfs_read_only", "Whether the image cannot be written", None);
        self.numbers(encoder, name, Gauge, flag(|state| state.read_only))?;
        let name = (
            "tcmu_glfs_fence_state",
            "Which gateway may use the image: 1 for the current state",
            None,
        );
        self.numbers(encoder, name, Gauge, |lun| {
            let is = |fence| u64::from(lun.state.fence == fence);
            let all = [
                ("open", FenceState::Open),
                ("owned", FenceState::Owned),
                ("standby", FenceState::Standby),
            ];
            all.map(|(name, fence)| ([("state", name)], is(fence)))
        })?;
        let name =
            ("tcmu_glfs_fence_transitions", "Times this gateway acquired or lost the image", None);
        self.numbers(encoder, name, Counter, |lun| {
            [("owned", Event::Owned), ("standby", Event::Standby)]
                .map(|(to, event)| ([("to", to)], lun.metrics.events(event)))
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
        let mut family = encoder.encode_descriptor(name, help, unit.as_ref(), Gauge)?;
        errors.iter().try_for_each(|(lun, error)| {
            family.encode_family(&[("lun", *lun)])?.encode_gauge(&error.at)
        })
    }
}

/// A sample that only its LUN tells from others.
fn plain(value: u64) -> Once<Labelled<0>> {
    once(([], value))
}

/// How often it has happened.
fn events(event: Event) -> impl Fn(&Lun) -> Once<Labelled<0>> {
    move |lun| plain(lun.metrics.events(event))
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
