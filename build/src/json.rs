//! The graph as JSON: what `graph --json` prints, and what an image says of itself.

use crate::graph::{Graph, Origin};
use crate::source::Sources;
use serde_json::{Map, Value, json};

/// The graph as JSON, on one line.
pub fn json(graph: &Graph, sources: &Sources) -> String {
    tree(graph, sources).to_string()
}

/// The graph as JSON, indented.
pub fn pretty(graph: &Graph, sources: &Sources) -> String {
    format!("{:#}\n", tree(graph, sources))
}

fn tree(graph: &Graph, sources: &Sources) -> Value {
    let instances: Vec<_> = graph
        .instances
        .iter()
        .map(|instance| {
            let on = instance.below.iter().map(|edge| {
                present(json!({
                    "instance": graph.instances[edge.to].name,
                    "port": edge.port,
                    "as": edge.label,
                    // Absent where it stays on its core.
                    "via": edge.ring.then_some("ring"),
                }))
            });
            let config = instance.config.iter().map(|setting| {
                present(json!({
                    "key": setting.field.name,
                    "value": setting.shown,
                    // Absent for a default.
                    "at": match setting.origin {
                        Origin::Default => None,
                        Origin::Written(at) => Some(sources.line(at)),
                    },
                }))
            });
            let doc = &instance.component.doc;
            let provides = &instance.component.provides;
            present(json!({
                "name": instance.name,
                "component": instance.component.name,
                "doc": (!doc.is_empty()).then_some(doc),
                "provides": (!provides.is_empty()).then_some(provides),
                // Absent for every core.
                "core": instance.core,
                "on": on.collect::<Vec<_>>(),
                "config": config.collect::<Vec<_>>(),
                "at": sources.line(instance.at),
            }))
        })
        .collect();
    json!({
        "app": graph.app.package,
        "version": graph.app.version,
        "platform": graph.platform.name,
        "cores": if graph.app.all_cores { json!("all") } else { json!(graph.app.cores) },
        "instances": instances,
    })
}

/// An object without the keys that have no value.
fn present(object: Value) -> Value {
    match object {
        Value::Object(all) => Value::Object(
            all.into_iter().filter(|(_, value)| !value.is_null()).collect::<Map<_, _>>(),
        ),
        other => other,
    }
}
