//! The graph as JSON: what `graph --json` prints, and what an image says of itself.

use crate::graph::{Graph, Instance, Origin};
use crate::source::Sources;
use serde::Serialize;

#[derive(Serialize)]
struct JsonGraph<'a> {
    app: &'a str,
    version: &'a str,
    platform: &'a str,
    cores: u64,
    instances: Vec<JsonInstance<'a>>,
}

#[derive(Serialize)]
struct JsonInstance<'a> {
    name: &'a str,
    component: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    doc: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    provides: Vec<&'a str>,
    /// Absent for every core.
    #[serde(skip_serializing_if = "Option::is_none")]
    core: Option<u64>,
    on: Vec<JsonEdge<'a>>,
    config: Vec<JsonSetting<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<String>,
}

#[derive(Serialize)]
struct JsonEdge<'a> {
    instance: &'a str,
    port: &'a str,
    #[serde(rename = "as", skip_serializing_if = "Option::is_none")]
    label: Option<&'a str>,
}

#[derive(Serialize)]
struct JsonSetting<'a> {
    key: &'a str,
    value: &'a str,
    /// Absent for a default.
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<String>,
}

/// The graph as JSON, on one line.
pub fn json(graph: &Graph, sources: &Sources) -> String {
    serde_json::to_string(&tree(graph, sources)).unwrap_or_default()
}

/// The graph as JSON, indented.
pub fn pretty(graph: &Graph, sources: &Sources) -> String {
    serde_json::to_string_pretty(&tree(graph, sources)).unwrap_or_default() + "\n"
}

fn tree<'a>(graph: &'a Graph, sources: &Sources) -> JsonGraph<'a> {
    let instance = |instance: &'a Instance| JsonInstance {
        name: &instance.name,
        component: &instance.component.name,
        doc: &instance.component.doc,
        provides: instance.component.provides.iter().map(String::as_str).collect(),
        core: instance.core,
        on: instance
            .below
            .iter()
            .map(|edge| JsonEdge {
                instance: &graph.instances[edge.to].name,
                port: &edge.port,
                label: edge.label.as_deref(),
            })
            .collect(),
        config: instance
            .config
            .iter()
            .map(|setting| JsonSetting {
                key: &setting.field.name,
                value: &setting.shown,
                at: match setting.origin {
                    Origin::Default => None,
                    Origin::Written(at) => Some(sources.line(at)),
                },
            })
            .collect(),
        at: Some(sources.line(instance.at)),
    };
    JsonGraph {
        app: &graph.app.package,
        version: &graph.app.version,
        platform: &graph.platform.name,
        cores: graph.app.cores,
        instances: graph.instances.iter().map(instance).collect(),
    }
}
