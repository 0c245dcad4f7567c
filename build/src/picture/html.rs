//! The graph as a page that needs nothing else: the picture, and a table of every setting.

use super::place;
use super::svg::{escape, svg};
use crate::graph::{Graph, Origin};
use crate::source::Sources;
use std::fmt::Write;

const STYLE: &str = include_str!("page.css");

/// The page.
pub fn html(graph: &Graph, sources: &Sources) -> String {
    let (app, platform) = (escape(&graph.app.package), escape(&graph.platform.name));
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>{app} on {platform}</title>\n<style>\n{STYLE}</style>\n<main>\n\
         <div class=\"picture\">\n{}</div>\n",
        svg(graph)
    );
    for instance in graph.instances.iter().rev() {
        let component = &instance.component;
        let on: Vec<_> = instance
            .below
            .iter()
            .map(|edge| format!("{} ({})", graph.instances[edge.to].name, edge.text()))
            .collect();
        let on = if on.is_empty() { String::new() } else { format!(" · on {}", on.join(", ")) };
        let _ = writeln!(
            out,
            "<h2>{} <small>{} · {}{}</small></h2>\n<p>{}</p>",
            escape(&instance.name),
            escape(&component.name),
            place(graph, instance),
            escape(&on),
            escape(&component.doc)
        );
        if instance.config.is_empty() {
            continue;
        }
        out += "<table>\n<tr><th>key<th>value<th>from<th>what it is</tr>\n";
        for setting in &instance.config {
            let (class, origin) = match setting.origin {
                Origin::Default => ("", "default".to_owned()),
                Origin::Written(at) => (" class=\"set\"", sources.line(at)),
            };
            let _ = writeln!(
                out,
                "<tr{class}><td><code>{}</code><td><code>{}</code>\
                 <td class=\"origin\">{}<td>{}</tr>",
                escape(&setting.field.name),
                escape(&setting.shown),
                escape(&origin),
                escape(&setting.field.doc)
            );
        }
        out += "</table>\n";
    }
    out + "</main>\n</html>\n"
}
