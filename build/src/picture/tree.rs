//! The graph as text: services on top, and below each what it stands on.

use super::{component, place, settings};
use crate::graph::{Graph, Instance};
use std::fmt::Write;

/// The graph as a tree. What several stand on is drawn once, below the first; `colour` adds
/// terminal colours.
pub fn tree(graph: &Graph, colour: bool) -> String {
    let mut drawing =
        Drawing { graph, colour, seen: vec![false; graph.instances.len()], out: String::new() };
    let (app, platform) = (&graph.app, &graph.platform);
    let cores = app.cores_in_words();
    let count = graph.instances.len();
    let head = drawing.paint("1", &app.package);
    let _ = writeln!(drawing.out, "{head} on {}: {count} instances, {cores}\n", platform.name);
    let tops = (0..count).rev().filter(|index| graph.above(*index).next().is_none());
    for top in tops.collect::<Vec<_>>() {
        drawing.instance(top, "", "", None);
    }
    drawing.out
}

struct Drawing<'a> {
    graph: &'a Graph,
    colour: bool,
    seen: Vec<bool>,
    out: String,
}

impl Drawing<'_> {
    /// One instance with all below it. `first` leads its own line, `rest` those below.
    fn instance(&mut self, index: usize, first: &str, rest: &str, port: Option<&str>) {
        let graph = self.graph;
        let instance = &graph.instances[index];
        let lead = self.paint("2", first);
        let port = port.map_or(String::new(), |port| self.paint("36", &format!("{port} ")));
        let name = self.paint("1", &instance.name);
        let _ = write!(self.out, "{lead}{port}{name}");
        if std::mem::replace(&mut self.seen[index], true) {
            let mark = if instance.below.is_empty() { "" } else { " ↑" };
            let mark = self.paint("2", mark);
            let _ = writeln!(self.out, "{mark}");
            return;
        }
        let about = self.about(instance);
        let _ = writeln!(self.out, "{about}");
        for (number, edge) in instance.below.iter().enumerate() {
            let last = number + 1 == instance.below.len();
            let (branch, stem) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            let port = match &edge.label {
                Some(label) => format!("{label}: {}", edge.text()),
                None => edge.text(),
            };
            let first = format!("{rest}{branch}");
            self.instance(edge.to, &first, &format!("{rest}{stem}"), Some(&port));
        }
    }

    fn about(&self, instance: &Instance) -> String {
        let mut about = String::new();
        if let Some(component) = component(instance) {
            about += &self.paint("33", &format!(" {component}"));
        }
        let mut more = settings(instance);
        if self.graph.app.cores > 1 {
            more.push(place(self.graph, instance));
        }
        if !more.is_empty() {
            about += &self.paint("2", &format!("  {}", more.join(", ")));
        }
        about
    }

    fn paint(&self, code: &str, text: &str) -> String {
        match self.colour && !text.is_empty() {
            true => format!("\x1b[{code}m{text}\x1b[0m"),
            false => text.to_owned(),
        }
    }
}
