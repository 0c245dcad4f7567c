//! What an instance is, and where each of its values comes from.

use crate::catalogue::{Component, PerCore, Requires};
use crate::graph::{Graph, Instance, Origin};
use crate::picture::place;
use crate::project::Project;
use crate::report::{list, nearest};
use std::fmt::Write;

/// Everything about the instance or the component called `name`.
///
/// # Errors
/// One line when there is neither.
pub fn explain(project: &Project, graph: &Graph, name: &str) -> Result<String, String> {
    if let Some(index) = graph.instances.iter().position(|instance| instance.name == name) {
        return Ok(instance(project, graph, index));
    }
    if let Some(found) = project.catalogue.find(name, &[]) {
        let platform = &graph.platform.name;
        let mut out = format!("{name}: a component; no instance on {platform} is called so\n");
        about(&mut out, project, found);
        keys(&mut out, project, found, None);
        return Ok(out);
    }
    let names: Vec<_> = graph.instances.iter().map(|instance| instance.name.as_str()).collect();
    let components = project.catalogue.components.iter().map(|c| c.name.as_str());
    Err(match nearest(name, names.iter().copied().chain(components)) {
        Some(near) => format!("there is no instance `{name}`; did you mean `{near}`?"),
        None => format!(
            "there is no instance `{name}`; there are {}, and the components that \
             `components` lists",
            list(&names)
        ),
    })
}

fn instance(project: &Project, graph: &Graph, index: usize) -> String {
    let instance = &graph.instances[index];
    let component = &instance.component;
    let at = project.sources.line(instance.at);
    let mut out =
        format!("{}: an instance of {}, declared at {at}\n", instance.name, component.name);
    about(&mut out, project, component);
    let _ = writeln!(out, "  runs on    {}", place(graph, instance));
    for edge in &instance.below {
        let label = edge.label.as_ref().map_or(String::new(), |label| format!(" as `{label}`"));
        let below = &graph.instances[edge.to].name;
        let _ = writeln!(out, "  stands on  {below} ({}){label}", edge.text());
    }
    for pin in graph.pins.iter().filter(|pin| pin.instance == instance.name) {
        let protocol = if pin.is_udp { "UDP" } else { "TCP" };
        let _ = writeln!(
            out,
            "  rings      {protocol} port {} is steered to core {}",
            pin.port, pin.core
        );
    }
    if component.per_core == PerCore::Queue && instance.below.iter().any(|edge| edge.ring) {
        let _ = writeln!(out, "  rings      between all cores: each flow's frames to its core");
    }
    let above: Vec<_> = graph.above(index).map(|(_, above)| above.name.as_str()).collect();
    if !above.is_empty() {
        let _ = writeln!(out, "  carries    {}", above.join(", "));
    }
    keys(&mut out, project, component, Some(instance));
    out
}

fn about(out: &mut String, project: &Project, component: &Component) {
    if !component.doc.is_empty() {
        let _ = writeln!(out, "\n  {}\n", component.doc);
    }
    let manifest = project.workspace.shown(&component.manifest);
    let mut lines = vec![("crate", format!("{}, {manifest}", component.package))];
    if !component.provides.is_empty() {
        lines.push(("provides", component.provides.join(", ")));
    }
    if component.requires != Requires::Nothing {
        lines.push(("requires", component.requires.text()));
    }
    lines.push(("per core", component.per_core.text().to_owned()));
    if !component.needs.is_empty() {
        lines.push(("needs", component.needs.join(", ")));
    }
    if !component.brings.is_empty() {
        lines.push(("brings", component.brings.join(", ")));
    }
    for (what, text) in lines {
        let _ = writeln!(out, "  {what:10} {text}");
    }
}

fn keys(out: &mut String, project: &Project, component: &Component, instance: Option<&Instance>) {
    if component.config.is_empty() {
        let _ = writeln!(out, "\n  It has no keys.");
        return;
    }
    for field in &component.config {
        let setting = instance.and_then(|i| i.config.iter().find(|s| s.field.name == field.name));
        let default = field.default.as_ref().map(|node| node.value.to_string());
        let default = default.unwrap_or_else(|| match field.is_option() {
            true => "absent".to_owned(),
            false => "none: must be given".to_owned(),
        });
        let value = match setting.map(|setting| (&setting.shown, setting.origin)) {
            Some((shown, Origin::Written(at))) => {
                format!("{shown}   # {}", project.sources.line(at))
            }
            Some((shown, Origin::Default)) if !shown.is_empty() => format!("{shown}   # default"),
            _ => "(absent)".to_owned(),
        };
        let value = if instance.is_some() { format!(" = {value}") } else { String::new() };
        let _ = writeln!(out, "\n  {}{value}", field.name);
        if !field.doc.is_empty() {
            let _ = writeln!(out, "      {}", field.doc);
        }
        let range =
            field.range_text.as_ref().map_or(String::new(), |range| format!(", in {range}"));
        let _ = writeln!(out, "      {}{range}, default {default}", field.kind_text);
        if let (true, Some(instance)) = (field.boot, instance) {
            let _ = writeln!(out, "      at boot: {}.{}=…", instance.name, field.name);
        }
    }
}
