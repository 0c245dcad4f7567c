//! The graph in the language of Graphviz.

use super::{component, place, settings};
use crate::graph::Graph;
use std::fmt::Write;

/// The graph for `dot -Tsvg` and its like, services on top.
pub fn dot(graph: &Graph) -> String {
    let mut out = String::from("digraph waitless {\n");
    out += "    graph [rankdir=TB, fontname=\"sans-serif\"];\n";
    out += "    node [shape=box, style=rounded, fontname=\"sans-serif\"];\n";
    out += "    edge [fontname=\"sans-serif\", fontsize=10];\n";
    for instance in &graph.instances {
        let mut lines = vec![instance.name.clone()];
        lines.extend(component(instance).map(str::to_owned));
        lines.extend(settings(instance));
        lines.push(place(graph, instance));
        let label = lines.join("\n");
        let _ = writeln!(out, "    {:?} [label={label:?}];", instance.name);
    }
    for instance in &graph.instances {
        for edge in &instance.below {
            let below = &graph.instances[edge.to].name;
            let _ =
                writeln!(out, "    {:?} -> {below:?} [label={:?}];", instance.name, edge.text());
        }
    }
    out + "}\n"
}
