//! The graph as a picture: boxes with instance, component and settings, edges with their ports.

use super::labels;
use super::layout::{Item, Layout, layout};
use super::{place, settings};
use crate::graph::{Graph, Instance};
use crate::manifest::Layer;
use std::fmt::Write;

const MARGIN: f64 = 28.0;
const HEAD: f64 = 64.0;
const LEGEND: f64 = 44.0;
/// The height of a line of text in a box.
const LINE: f64 = 17.0;

/// Colours for light and dark surroundings. Each kind of box has a fill and a border.
const STYLE: &str = include_str!("svg.css");

/// The graph as an SVG document that needs nothing else.
pub fn svg(graph: &Graph) -> String {
    let items: Vec<Item> = graph.instances.iter().map(|instance| item(graph, instance)).collect();
    let placed = layout(&items);
    let width = placed.size.0.max(420.0) + 2.0 * MARGIN;
    let height = placed.size.1 + 2.0 * MARGIN + HEAD + LEGEND;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"wl\" \
         viewBox=\"0 0 {width:.0} {height:.0}\" \
         width=\"{width:.0}\" height=\"{height:.0}\" role=\"img\">\n<style>\n{STYLE}</style>\n\
         <rect class=\"paper\" width=\"100%\" height=\"100%\"/>\n"
    );
    head(&mut out, graph);
    let shift = (width - placed.size.0) / 2.0;
    let _ = writeln!(out, "<g transform=\"translate({shift:.1} {:.1})\">", MARGIN + HEAD);
    lines(&mut out, &placed);
    for (index, instance) in graph.instances.iter().enumerate() {
        shape(&mut out, graph, instance, &items[index], placed.boxes[index]);
    }
    ports(&mut out, graph, &items, &placed);
    out += "</g>\n";
    legend(&mut out, graph, height - MARGIN);
    out + "</svg>\n"
}

fn head(out: &mut String, graph: &Graph) {
    let (app, platform) = (escape(&graph.app.package), escape(&graph.platform.name));
    let count = graph.instances.len();
    let cores = graph.app.cores_in_words();
    let _ = writeln!(
        out,
        "<title>The graph of {app} on {platform}</title>\n\
         <text class=\"title\" x=\"{MARGIN}\" y=\"{:.0}\">{app}</text>\n\
         <text class=\"sub\" x=\"{MARGIN}\" y=\"{:.0}\">\
         on {platform} · {count} instances · {cores}</text>",
        MARGIN + 18.0,
        MARGIN + 40.0
    );
}

fn legend(out: &mut String, graph: &Graph, y: f64) {
    let kinds = [
        ("app", "from the app's manifest"),
        ("stack", "from a stack"),
        ("platform", "from the platform"),
    ];
    let mut x = MARGIN;
    for (class, text) in kinds {
        if !graph.instances.iter().any(|instance| class_of(instance) == class) {
            continue;
        }
        let _ = writeln!(
            out,
            "<g class=\"box {class}\">\
             <rect x=\"{x:.0}\" y=\"{:.0}\" width=\"14\" height=\"14\" rx=\"4\"/></g>\
             <text class=\"sub\" x=\"{:.0}\" y=\"{y:.0}\">{text}</text>",
            y - 12.0,
            x + 20.0
        );
        x += 20.0 + text.len() as f64 * 6.6 + 24.0;
    }
}

/// The lines of text in an instance's box: class and text.
fn texts(graph: &Graph, instance: &Instance) -> Vec<(&'static str, String)> {
    let mut texts = vec![("name", instance.name.clone())];
    if instance.component.name != instance.name {
        texts.push(("comp", instance.component.name.clone()));
    }
    let all = settings(instance);
    texts.extend(all.iter().take(4).map(|text| ("conf", text.clone())));
    if all.len() > 4 {
        texts.push(("conf", format!("… {} more", all.len() - 4)));
    }
    texts.push(("core", place(graph, instance)));
    texts
}

fn item(graph: &Graph, instance: &Instance) -> Item {
    let texts = texts(graph, instance);
    let width = |(class, text): &(&str, String)| {
        let each = match *class {
            "name" => 8.6,
            "conf" => 7.4,
            _ => 7.0,
        };
        text.chars().count() as f64 * each
    };
    Item {
        width: texts.iter().map(width).fold(84.0, f64::max) + 28.0,
        height: texts.len() as f64 * LINE + 18.0,
        below: instance.below.iter().map(|edge| edge.to).collect(),
        labels: instance.below.iter().map(|edge| edge.text().len() as f64 * 7.0).collect(),
    }
}

fn class_of(instance: &Instance) -> &'static str {
    match instance.layer {
        Layer::App => "app",
        Layer::Platform => "platform",
        Layer::Stack(_) => "stack",
    }
}

fn shape(out: &mut String, graph: &Graph, instance: &Instance, item: &Item, (x, y): (f64, f64)) {
    let doc = escape(&instance.component.doc);
    let title = if doc.is_empty() { String::new() } else { format!("<title>{doc}</title>") };
    let _ = writeln!(
        out,
        "<g class=\"box {}\">{title}\
         <rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\" rx=\"9\"/>",
        class_of(instance),
        item.width,
        item.height
    );
    let middle = x + item.width / 2.0;
    for (number, (class, text)) in texts(graph, instance).iter().enumerate() {
        let line = y + 22.0 + number as f64 * LINE;
        let text = escape(text);
        let _ = writeln!(
            out,
            "<text class=\"{class}\" x=\"{middle:.1}\" y=\"{line:.1}\" \
             text-anchor=\"middle\">{text}</text>"
        );
    }
    out.push_str("</g>\n");
}

fn lines(out: &mut String, placed: &Layout) {
    for points in placed.edges.iter().flatten() {
        let mut path = format!("M{:.1} {:.1}", points[0].0, points[0].1);
        for pair in points.windows(2) {
            let ((x0, y0), (x1, y1)) = (pair[0], pair[1]);
            let bend = (y1 - y0) / 2.0;
            let _ =
                write!(path, "C{x0:.1} {:.1} {x1:.1} {:.1} {x1:.1} {y1:.1}", y0 + bend, y1 - bend);
        }
        let (x, y) = points[points.len() - 1];
        let _ = writeln!(
            out,
            "<path class=\"edge\" d=\"{path}\"/>\
             <path class=\"tip\" d=\"M{x:.1} {y:.1}l-4.5 -8h9z\"/>"
        );
    }
}

/// The port of each edge, on its line.
fn ports(out: &mut String, graph: &Graph, items: &[Item], placed: &Layout) {
    let texts = graph.instances.iter().flat_map(|instance| &instance.below);
    let texts: Vec<String> = texts.map(|edge| edge.text()).collect();
    let widths: Vec<f64> = texts.iter().map(|text| text.len() as f64 * 6.7 + 8.0).collect();
    for (text, area) in texts.iter().zip(labels::place(items, placed, &widths)) {
        let ((left, top), (width, height)) = (area.corner, area.size);
        let (x, y) = area.middle();
        let _ = writeln!(
            out,
            "<g class=\"port\">\
             <rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height:.0}\" \
             rx=\"4\"/>\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text></g>",
            y + 4.0,
            escape(text)
        );
    }
}

/// Text that XML takes as text.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
