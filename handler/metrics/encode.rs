// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Encodes a snapshot of all metrics as text.

use std::fmt;
use std::iter::once;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use super::lun::{Event, LunMetrics};
use super::prometheus_text;
use super::registry::{self, Lun, VolumeState};
use super::source::{FenceState, LunState, SpaceState};
use crate::scsi::{ErrorClass, Op};

/// Exposition formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// Text format 0.0.4, which all tools read.
    Prometheus,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Format {
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// All metrics now.
pub(super) fn text(format: Format) -> String {
    // Volumes first: querying them refreshes what their LUNs report.
    let volumes = registry::volumes();
    Snapshot {
        volumes,
        luns: registry::luns(),
        gfapi: registry::storage_version(),
        site_file_error: registry::site_file_error(),
    }
    .text(format)
}

/// All state and counters at one moment.
#[derive(Debug)]
struct Snapshot {
    luns: Vec<Lun>,
    volumes: Vec<VolumeState>,
    gfapi: Option<String>,
    site_file_error: Option<String>,
}

impl Snapshot {
    fn text(self, format: Format) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &registry);
        match format {
            Format::OpenMetrics => text,
            Format::Prometheus => prometheus_text::from_openmetrics(&text),
        }
    }
}

/// Name, help, unit.
type Family = (&'static str, &'static str, Option<Unit>);

/// A sample of a LUN: an additional label, and the value.
type Labelled = (Option<(&'static str, &'static str)>, u64);

impl Snapshot {
    /// A family with any number of samples for each LUN.
    fn luns(
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

    fn counters<I: IntoIterator<Item = Labelled>>(
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

    fn events(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: Family,
        event: Event,
    ) -> fmt::Result {
        self.counters(encoder, name, |metrics| once((None, metrics.events(event))))
    }

    fn gauges<I: IntoIterator<Item = Labelled>>(
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

    fn commands(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
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

    fn states(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
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

    /// 1 while the file is valid or absent; the mistake is a label of its own series.
    fn site_file(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let (name, help) = (
            "tcmu_glfs_site_file_ok",
            "0 while the site file has a mistake, and its last valid version is in use",
        );
        encoder
            .encode_descriptor(name, help, None, MetricType::Gauge)?
            .encode_gauge(&u64::from(self.site_file_error.is_none()))?;
        let Some(error) = &self.site_file_error else { return Ok(()) };
        encoder
            .encode_descriptor(
                "tcmu_glfs_site_file_error",
                "The mistake in the site file",
                None,
                MetricType::Info,
            )?
            .encode_info(&[("error", error.as_str())])
    }

    fn volumes(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        if self.volumes.is_empty() {
            return Ok(());
        }
        let labels = |volume: &VolumeState| {
            [("volume", volume.volume.clone()), ("server", volume.server.clone())]
        };
        let mut gauge = |name, help, value: fn(&VolumeState) -> u64| {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            self.volumes.iter().try_for_each(|volume| {
                family.encode_family(&labels(volume))?.encode_gauge(&value(volume))
            })
        };
        gauge("tcmu_glfs_volume_bricks", "Bricks in the volume's layout", |volume| volume.bricks)?;
        let help = "Bricks this gateway is connected to";
        gauge("tcmu_glfs_volume_bricks_connected", help, |volume| volume.connected)?;
        let (name, help) = ("tcmu_glfs_volume_graph_switches", "Layouts taken after the first");
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        self.volumes.iter().try_for_each(|volume| {
            let labels = labels(volume);
            let mut metric = family.encode_family(&labels)?;
            metric.encode_counter::<NoLabelSet, _, u64>(&volume.graph_switches, None)
        })
    }
}

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let gfapi = self.gfapi.as_deref().unwrap_or("unknown");
        let labels = [("version", env!("CARGO_PKG_VERSION")), ("gfapi", gfapi)];
        encoder
            .encode_descriptor(
                "tcmu_glfs_build",
                "Version of the plugin and of libgfapi",
                None,
                MetricType::Info,
            )?
            .encode_info(&labels)?;
        self.site_file(&mut encoder)?;
        self.states(&mut encoder)?;
        self.commands(&mut encoder)?;
        self.volumes(&mut encoder)
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::source::Identity;
    use super::*;

    fn snapshot(luns: Vec<Lun>) -> Snapshot {
        let volume = VolumeState {
            volume: String::from("v"),
            server: String::from("h:24007"),
            bricks: 3,
            connected: 2,
            graph_switches: 1,
        };
        Snapshot {
            luns,
            volumes: vec![volume],
            gfapi: Some(String::from("10.3")),
            site_file_error: None,
        }
    }

    fn lun(name: &str) -> Lun {
        let metrics =
            Arc::new(LunMetrics::new(&Arc::new(crate::log::Log::new(String::from("v@h/p")))));
        metrics.set_for_test(Op::Read, 2, 8192, Some(ErrorClass::Busy));
        Lun {
            name: name.to_owned(),
            metrics,
            identity: Identity {
                volume: String::from("v"),
                image: String::from("di\"r\\/\nd"),
                servers: vec![String::from("h"), String::from("g")],
                cache: "none",
                fence: "auto",
            },
            state: LunState {
                bytes: 1 << 40,
                ready: true,
                outage: false,
                read_only: true,
                fence: FenceState::Standby,
                space: Some(super::super::source::SpaceState {
                    total: 1000,
                    free: 150,
                    short: true,
                }),
                encrypted: None,
            },
        }
    }

    fn assert_has(text: &str, lines: &[&str]) {
        for line in lines {
            assert!(text.lines().any(|found| found == *line), "{line}\nis not in\n{text}");
        }
    }

    #[test]
    fn both_formats_say_the_same() {
        let shared = [
            "tcmu_glfs_build_info{version=\"0.1.0\",gfapi=\"10.3\"} 1",
            "tcmu_glfs_lun_info{lun=\"d0\",volume=\"v\",image=\"di\\\"r\\\\/\\nd\",servers=\"h,g\",cache=\"none\",fence=\"auto\",access=\"ro\",tls=\"unknown\"} 1",
            "tcmu_glfs_size_bytes{lun=\"d0\"} 1099511627776",
            "tcmu_glfs_operations_total{lun=\"d0\",op=\"read\"} 3",
            "tcmu_glfs_data_bytes_total{lun=\"d0\",op=\"read\"} 8192",
            "tcmu_glfs_errors_total{lun=\"d0\",op=\"read\",class=\"busy\"} 1",
            "tcmu_glfs_errors_total{lun=\"d0\",op=\"write\",class=\"space\"} 0",
            "tcmu_glfs_latency_seconds_bucket{le=\"0.000032\",lun=\"d0\",op=\"read\"} 3",
            "tcmu_glfs_latency_seconds_bucket{le=\"+Inf\",lun=\"d0\",op=\"read\"} 3",
            "tcmu_glfs_latency_seconds_count{lun=\"d0\",op=\"read\"} 3",
            "tcmu_glfs_fence_state{lun=\"d0\",state=\"standby\"} 1",
            "tcmu_glfs_fence_state{lun=\"d0\",state=\"open\"} 0",
            "tcmu_glfs_fence_transitions_total{lun=\"d0\",to=\"owned\"} 0",
            "tcmu_glfs_volume_bricks_connected{volume=\"v\",server=\"h:24007\"} 2",
            "tcmu_glfs_volume_graph_switches_total{volume=\"v\",server=\"h:24007\"} 1",
        ];
        let text = snapshot(vec![lun("d0")]).text(Format::OpenMetrics);
        assert_has(&text, &shared);
        assert_has(
            &text,
            &["# TYPE tcmu_glfs_operations counter", "# UNIT tcmu_glfs_size_bytes bytes"],
        );
        assert!(text.ends_with("# EOF\n"));
        let text = snapshot(vec![lun("d0")]).text(Format::Prometheus);
        assert_has(&text, &shared);
        assert_has(
            &text,
            &["# TYPE tcmu_glfs_operations_total counter", "# TYPE tcmu_glfs_lun_info gauge"],
        );
    }

    #[test]
    fn the_last_error_and_the_mistake_in_the_site_file_are_labels() {
        let lun = lun("d0");
        lun.metrics.set_last_error(String::from("READ: ENOTCONN"));
        let mut snapshot = snapshot(vec![lun]);
        snapshot.site_file_error = Some(String::from("glfs.toml:3:9: no"));
        let text = snapshot.text(Format::OpenMetrics);
        assert_has(
            &text,
            &[
                "tcmu_glfs_last_error_info{lun=\"d0\",error=\"READ: ENOTCONN\"} 1",
                "tcmu_glfs_site_file_ok 0",
                "tcmu_glfs_site_file_error_info{error=\"glfs.toml:3:9: no\"} 1",
            ],
        );
        assert!(text.contains("\ntcmu_glfs_last_error_timestamp_seconds{lun=\"d0\"} "));
    }

    #[test]
    fn without_luns_there_are_no_empty_families() {
        let text = snapshot(Vec::new()).text(Format::Prometheus);
        let described: Vec<&str> =
            text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
        assert_eq!(described.len(), 5, "{described:?}");
    }

    #[test]
    fn every_lun_has_every_series_from_the_beginning() {
        let series = |text: &str| text.lines().filter(|line| !line.starts_with('#')).count();
        let one = series(&snapshot(vec![lun("a")]).text(Format::Prometheus));
        let two = series(&snapshot(vec![lun("a"), lun("b")]).text(Format::Prometheus));
        assert_eq!(
            two - one,
            1 + 10 + 9 + 100 + 10 * 26 + 1 + 1 + 1 + 1 + 1 + 2 + 2 + 1 + 3 + 3 + 2
        );
    }
}
