//! Pictures of a graph: a tree for the terminal, Graphviz, SVG, and a page that holds all of it.

mod dot;
mod html;
mod labels;
mod layout;
mod svg;
mod tree;

pub use dot::dot;
pub use html::html;
pub use svg::svg;
pub use tree::tree;

use crate::graph::{Graph, Instance};

/// What a box or a line says about an instance besides its name: the component, where it is
/// called differently.
fn component(instance: &Instance) -> Option<&str> {
    (instance.component.name != instance.name).then_some(instance.component.name.as_str())
}

/// The settings that somebody wrote, in short, each as `key value`.
fn settings(instance: &Instance) -> Vec<String> {
    let short = |text: &str| {
        let text = text.trim_matches('"');
        match text.char_indices().nth(24) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text.to_owned(),
        }
    };
    instance.written().map(|s| format!("{} {}", s.field.name, short(&s.shown))).collect()
}

/// Where an instance runs.
pub(crate) fn place(graph: &Graph, instance: &Instance) -> String {
    match (instance.core, graph.app.cores) {
        (Some(core), _) => format!("core {core}"),
        (None, 1) => "core 0".to_owned(),
        (None, _) => "every core".to_owned(),
    }
}
