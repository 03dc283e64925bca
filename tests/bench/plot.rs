// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The figures as bars: how many times as fast as each other contestant.

use std::path::Path;

use anyhow::anyhow;
use plotters::prelude::*;

use crate::results::Results;

const PANEL: (u32, u32) = (1100, 260);
/// Bars end here: a FUSE mount at depth 1 must not make all others too small to see.
const TOP: f64 = 3.0;
/// Room on the right for the legend, as a part of the bars'.
const LEGEND: f64 = 0.12;
const COLOURS: [RGBColor; 6] = [
    RGBColor(0x44, 0x77, 0xaa),
    RGBColor(0xee, 0x66, 0x77),
    RGBColor(0x22, 0x88, 0x33),
    RGBColor(0xcc, 0xbb, 0x44),
    RGBColor(0x66, 0xcc, 0xee),
    RGBColor(0xaa, 0x33, 0x77),
];

/// Draws a panel for each series.
pub(crate) fn draw(results: &Results, path: &Path) -> anyhow::Result<()> {
    let series = results.names(|run| Some(&run.series));
    let size = (PANEL.0, PANEL.1 * u32::try_from(series.len().max(1))?);
    let root = SVGBackend::new(path, size).into_drawing_area();
    root.fill(&WHITE)?;
    for (area, series) in root.split_evenly((series.len().max(1), 1)).iter().zip(series) {
        panel(results, series, area).map_err(|e| anyhow!("{series}: {e}"))?;
    }
    Ok(root.present()?)
}

fn panel<B: DrawingBackend>(
    results: &Results,
    series: &str,
    area: &DrawingArea<B, plotters::coord::Shift>,
) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
    let (cells, contestants) = (results.cells(series), results.contestants(series));
    let others = &contestants[1..];
    let title = format!("{series}: IOPS of {} / of the others (median, quartiles)", contestants[0]);
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 16))
        .margin(8)
        .x_label_area_size(24)
        .y_label_area_size(40)
        .build_cartesian_2d(0.0..cells.len() as f64 * (1.0 + LEGEND), 0.0..TOP)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_labels(0)
        .y_labels(7)
        .light_line_style(WHITE)
        .draw()?;
    let width = 0.8 / others.len().max(1) as f64;
    for (n, (other, colour)) in others.iter().zip(COLOURS.iter().cycle()).enumerate() {
        let bars = cells.iter().enumerate().filter_map(|(cell, name)| {
            let ratio = results.ratio(series, other, name, |figures| figures.iops)?;
            let left = cell as f64 + 0.1 + n as f64 * width;
            Some((left, ratio))
        });
        let bars: Vec<_> = bars.collect();
        chart
            .draw_series(bars.iter().map(|(left, ratio)| {
                Rectangle::new(
                    [(*left, 0.0), (left + width * 0.9, ratio.median.min(TOP))],
                    colour.filled(),
                )
            }))?
            .label(*other)
            .legend(move |(x, y)| Rectangle::new([(x, y - 4), (x + 10, y + 4)], colour.filled()));
        chart.draw_series(bars.iter().map(|(left, ratio)| {
            let middle = left + width * 0.45;
            PathElement::new([(middle, ratio.low.min(TOP)), (middle, ratio.high.min(TOP))], BLACK)
        }))?;
    }
    chart
        .draw_series([PathElement::new([(0.0, 1.0), (cells.len() as f64, 1.0)], BLACK.mix(0.6))])?;
    chart.draw_series(cells.iter().enumerate().map(|(cell, name)| {
        let at = (cell as f64 + 0.35, 0.0);
        EmptyElement::at(at) + Text::new((*name).to_owned(), (0, 8), ("sans-serif", 14))
    }))?;
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .draw()
}
