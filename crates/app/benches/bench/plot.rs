//! Curves as SVG.

use anyhow::anyhow;
use plotters::prelude::*;

use super::result::{Plot, Series};

const SIZE: (u32, u32) = (640, 400);
/// Colours that are told apart without seeing red and green apart; used again when there are more curves.
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(120, 120, 120),
];

/// Draws a plot that has points.
pub(crate) fn svg(plot: &Plot) -> anyhow::Result<String> {
    let mut text = String::new();
    draw(plot, &mut text).map_err(|error| anyhow!("failed to draw {:?}: {error}", plot.title))?;
    Ok(text)
}

fn draw(plot: &Plot, text: &mut String) -> Result<(), Box<dyn std::error::Error>> {
    let root = SVGBackend::with_string(text, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let (x, y) = (range(plot, |point| point.0), range(plot, |point| point.1));
    let mut chart = ChartBuilder::on(&root)
        .caption(&plot.title, ("sans-serif", 16))
        .margin(10)
        .x_label_area_size(40)
        .y_label_area_size(80)
        .build_cartesian_2d((x.0..x.1).log_scale(), (y.0..y.1).log_scale())?;
    chart.configure_mesh().x_desc(&plot.x).y_desc(&plot.y).light_line_style(WHITE).draw()?;
    for (Series { name, points }, colour) in plot.series.iter().zip(COLOURS.iter().cycle()) {
        let line = chart.draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)).point_size(3))?;
        line.label(name).legend(|(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.2))
        .draw()?;
    root.present()?;
    Ok(())
}

/// From a little below the least to a little above the greatest.
fn range(plot: &Plot, of: impl Fn(&(f64, f64)) -> f64) -> (f64, f64) {
    let values = || plot.series.iter().flat_map(|series| &series.points).map(&of);
    (values().fold(f64::INFINITY, f64::min) * 0.8, values().fold(0.0, f64::max) * 1.25)
}
