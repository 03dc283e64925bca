// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Encodes a snapshot of all metrics as text.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::prometheus_text;
use super::registry::{self, VolumeState};
use super::snapshot::{Snapshot, encode_number};

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
        let (name, help) = ("tcmu_glfs_site_file_error", "The mistake in the site file");
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Info)?;
        metric.encode_info(&[("error", error.as_str())])
    }

    fn volumes(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        if self.volumes.is_empty() {
            return Ok(());
        }
        let labels = |volume: &VolumeState| {
            [("volume", volume.volume.clone()), ("server", volume.server.clone())]
        };
        let mut numbers = |name, help, kind, value: fn(&VolumeState) -> u64| {
            let mut family = encoder.encode_descriptor(name, help, None, kind)?;
            self.volumes.iter().try_for_each(|volume| {
                encode_number(family.encode_family(&labels(volume))?, kind, value(volume))
            })
        };
        let (name, help) = ("tcmu_glfs_volume_bricks", "Bricks in the volume's layout");
        numbers(name, help, MetricType::Gauge, |volume| volume.bricks)?;
        let (name, help) =
            ("tcmu_glfs_volume_bricks_connected", "Bricks this gateway is connected to");
        numbers(name, help, MetricType::Gauge, |volume| volume.connected)?;
        let (name, help) = ("tcmu_glfs_volume_graph_switches", "Layouts taken after the first");
        numbers(name, help, MetricType::Counter, |volume| volume.graph_switches)
    }
}

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let gfapi = self.gfapi.as_deref().unwrap_or("unknown");
        let labels = [("version", env!("CARGO_PKG_VERSION")), ("gfapi", gfapi)];
        let (name, help) = ("tcmu_glfs_build", "Version of the plugin and of libgfapi");
        encoder.encode_descriptor(name, help, None, MetricType::Info)?.encode_info(&labels)?;
        self.site_file(&mut encoder)?;
        self.states(&mut encoder)?;
        self.commands(&mut encoder)?;
        self.volumes(&mut encoder)
    }
}

#[cfg(test)]
mod tests;
