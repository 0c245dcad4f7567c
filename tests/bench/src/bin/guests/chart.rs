//! The chart: requests a second, and the latency of the slowest hundredth, against connections.

use std::fmt::Write;

/// A contender's name, and its points: connections and figure.
pub type Line = (&'static str, Vec<(f64, f64)>);

const WIDTH: f64 = 880.0;
const HEIGHT: f64 = 360.0;
const COLOURS: [&str; 4] = ["#0b6e4f", "#c8553d", "#3d5a80", "#8d6a9f"];

/// Two diagrams side by side, with logarithmic axes.
pub fn svg(heading: &str, rates: &[Line], waits: &[Line]) -> String {
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"system-ui, sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>\n\
         <text x=\"20\" y=\"24\" fill=\"#555\">{heading}</text>\n"
    );
    panel(&mut out, 60.0, "requests/s on /health", rates);
    panel(&mut out, 500.0, "ms, 99 of 100 answers within", waits);
    let names = rates.iter().map(|(name, _)| name);
    for (index, name) in names.enumerate() {
        let (x, y) = (60.0 + 150.0 * index as f64, HEIGHT - 14.0);
        let colour = COLOURS[index % COLOURS.len()];
        let _ = writeln!(
            out,
            "<circle cx=\"{x}\" cy=\"{}\" r=\"5\" fill=\"{colour}\"/>\
             <text x=\"{}\" y=\"{y}\" fill=\"#222\">{name}</text>",
            y - 4.0,
            x + 10.0
        );
    }
    out + "</svg>\n"
}

/// One diagram with its left edge at `left`.
fn panel(out: &mut String, left: f64, title: &str, lines: &[Line]) {
    const SIZE: (f64, f64) = (340.0, 220.0);
    const TOP: f64 = 66.0;
    let points = || lines.iter().flat_map(|(_, points)| points);
    let (low, high) = span(points().map(|point| point.1));
    let (first, last) = span_of_counts(points().map(|point| point.0));
    let x = |count: f64| left + SIZE.0 * share(count, first, last);
    let y = |value: f64| TOP + SIZE.1 * (1.0 - share(value, low, high));
    let _ = writeln!(
        out,
        "<text x=\"{left}\" y=\"{}\" font-weight=\"600\" fill=\"#222\">{title}</text>",
        TOP - 14.0
    );
    let mut decade = low;
    while decade <= high * 1.001 {
        let at = y(decade);
        let _ = writeln!(
            out,
            "<path d=\"M{left} {at:.1}h{}\" stroke=\"#ddd\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#555\">{decade}</text>",
            SIZE.0,
            left - 6.0,
            at + 4.0
        );
        decade *= 10.0;
    }
    let mut counts: Vec<f64> = points().map(|point| point.0).collect();
    counts.sort_by(f64::total_cmp);
    counts.dedup();
    for count in counts {
        let _ = writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\" fill=\"#555\">{count}</text>",
            x(count),
            TOP + SIZE.1 + 18.0
        );
    }
    for (index, (_, points)) in lines.iter().enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        let path: Vec<_> = points
            .iter()
            .map(|(count, value)| format!("{:.1},{:.1}", x(*count), y(*value)))
            .collect();
        let _ = writeln!(
            out,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            path.join(" ")
        );
        for point in path.iter().filter_map(|point| point.split_once(',')) {
            let _ = writeln!(
                out,
                "<circle cx=\"{}\" cy=\"{}\" r=\"4\" fill=\"{colour}\"/>",
                point.0, point.1
            );
        }
    }
}

/// The powers of ten around all values.
fn span(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let (least, most) = span_of_counts(values);
    let low = 10.0_f64.powf(least.log10().floor());
    let high = 10.0_f64.powf(most.log10().ceil());
    (low, if high > low { high } else { low * 10.0 })
}

fn span_of_counts(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let values = values.filter(|value| *value > 0.0);
    let least = values.clone().fold(f64::INFINITY, f64::min);
    let most = values.fold(0.0, f64::max);
    if least.is_finite() { (least, most.max(least * 1.01)) } else { (1.0, 10.0) }
}

/// Where `value` lies between two others, on a logarithmic scale.
fn share(value: f64, low: f64, high: f64) -> f64 {
    (value.max(low).ln() - low.ln()) / (high.ln() - low.ln())
}
