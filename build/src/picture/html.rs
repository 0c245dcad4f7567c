//! The graph as a page that needs nothing else: the picture, and a table of every setting.

use super::place;
use super::svg::{escape, svg};
use crate::graph::{Graph, Origin};
use crate::source::Sources;
use std::fmt::Write;

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#16181d;--soft:#68707d;--paper:#fbfbfd;--line:#e1e4ea;--mark:#3b78d8}
@media (prefers-color-scheme:dark){:root{--ink:#eef0f4;--soft:#9aa3b2;--paper:#15171c;--line:#2b2f38;--mark:#7fadf5}}
body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.5 ui-sans-serif,system-ui,sans-serif}
main{max-width:1100px;margin:0 auto;padding:24px}
.picture{overflow-x:auto}.picture svg{display:block;margin:0 auto;max-width:100%;height:auto}
h2{margin:32px 0 4px;font-size:18px}h2 small{font-weight:400;color:var(--soft)}
p{margin:0 0 8px;color:var(--soft)}
table{border-collapse:collapse;width:100%;font-size:14px}
td,th{text-align:left;padding:4px 12px 4px 0;border-bottom:1px solid var(--line);vertical-align:top}
th{font-weight:500;color:var(--soft)}td.origin{color:var(--soft)}tr.set td.origin{color:var(--mark)}
code{font:13px ui-monospace,SFMono-Regular,Menlo,monospace}
";

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
            .map(|edge| format!("{} ({})", graph.instances[edge.to].name, edge.port))
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
                "<tr{class}><td><code>{}</code><td><code>{}</code><td class=\"origin\">{}<td>{}</tr>",
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
