//! A JSON Schema for manifests, from the catalogue: editors complete and check by it.

use crate::catalogue::{Component, Requires};
use crate::check::{APP_KEYS, PLATFORM_KEYS};
use crate::project::Project;
use crate::types::{Field, Type};
use serde_json::{Map, Value, json};

/// The schema, indented. It is written in draft 7, with taplo's links and hints.
pub fn schema(project: &Project) -> String {
    let components = &project.catalogue.components;
    let mut definitions = Map::new();
    for component in components {
        definitions.insert(component.name.clone(), instance(component));
    }
    let known: Vec<_> = components.iter().map(|component| component.name.as_str()).collect();
    // A table is of the component that `is` names; without `is`, of that with its own name.
    let by_is = components.iter().map(|component| {
        json!({
            "if": { "properties": { "is": { "const": component.name } }, "required": ["is"] },
            "then": { "$ref": format!("#/definitions/{}", component.name) },
        })
    });
    definitions.insert(
        "instance".into(),
        json!({
            "type": "object",
            "properties": reserved(&known),
            "allOf": by_is.collect::<Vec<_>>(),
        }),
    );
    let mut properties = Map::new();
    properties.insert("app".into(), head(&APP_KEYS, "The image as a whole.", &["crate"]));
    let mut platform = head(&PLATFORM_KEYS, "The platform.", &[]);
    // A table for each architecture, where a platform has several.
    platform["additionalProperties"] = head(&PLATFORM_KEYS, "For one architecture.", &[]);
    properties.insert("platform".into(), platform);
    let named = named(project, &definitions);
    let mut in_stack = named.clone();
    in_stack.insert(
        "replace".into(),
        json!({ "type": "boolean", "description": "A platform's own instances instead." }),
    );
    properties.insert(
        "stack".into(),
        json!({
            "type": "object",
            "description": "Named stacks: instances that several apps share.",
            "additionalProperties": {
                "type": "object",
                "properties": in_stack,
                "additionalProperties": { "$ref": "#/definitions/instance" },
            },
        }),
    );
    properties.extend(named);
    let schema = json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "waitless.toml",
        "description": "The graph of a Waitless image: one table for each instance.",
        "type": "object",
        "properties": properties,
        "additionalProperties": { "$ref": "#/definitions/instance" },
        "definitions": definitions,
        "x-taplo-info": { "patterns": ["waitless\\.toml$"] },
    });
    serde_json::to_string_pretty(&schema).unwrap_or_default() + "\n"
}

/// Tables without `is`: each is of the component that it is called like, or of that of the
/// stack's instance whose keys it changes.
fn named(project: &Project, definitions: &Map<String, Value>) -> Map<String, Value> {
    let own = project.catalogue.components.iter().map(|it| (it.name.clone(), it.name.clone()));
    let mut named = Map::new();
    for (name, component) in project.stacked().into_iter().chain(own) {
        let schema = json!({
            "if": { "not": { "required": ["is"] } },
            "then": { "$ref": format!("#/definitions/{component}") },
            "else": { "$ref": "#/definitions/instance" },
        });
        if definitions.contains_key(&component) {
            named.insert(name, schema);
        }
    }
    named
}

fn head(keys: &[(&str, &str, &str)], doc: &str, required: &[&str]) -> Value {
    let mut properties = Map::new();
    for (key, kind, doc) in keys {
        let mut schema = match *kind {
            "[string]" => json!({ "type": "array", "items": { "type": "string" } }),
            "bool" => json!({ "type": "boolean" }),
            "size" => size_schema(),
            "string" => json!({ "type": "string" }),
            "0..=1000000" => json!({ "type": "integer", "minimum": 0, "maximum": 1_000_000 }),
            "1..=64" => json!({ "type": "integer", "minimum": 1, "maximum": 64 }),
            _ => json!({ "anyOf": [
                { "const": "all" },
                { "type": "integer", "minimum": 1, "maximum": 64 },
            ] }),
        };
        schema["description"] = json!(doc);
        properties.insert((*key).to_owned(), schema);
    }
    json!({
        "type": "object",
        "description": doc,
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

/// The keys that every instance has.
fn reserved(components: &[&str]) -> Map<String, Value> {
    let text = |doc: &str| json!({ "type": "string", "description": doc });
    let mut keys = Map::new();
    keys.insert(
        "is".into(),
        json!({
            "enum": components,
            "description": "The component, where the table is not called like it.",
        }),
    );
    keys.insert(
        "on".into(),
        json!({
            "description": "The instance or the instances that this one stands on.",
            "anyOf": [
                { "type": "string" },
                { "type": "array", "items": { "type": "string" } },
                { "type": "object", "additionalProperties": { "type": "string" } },
            ],
        }),
    );
    keys.insert("under".into(), text("Puts this instance into the edge below the one named."));
    let mut when = text("The instance exists only when this holds: `ip4.address == dhcp`.");
    when["pattern"] = json!(r"^\s*[a-z0-9-]+\.[a-z0-9-]+\s*[=!]=");
    keys.insert("when".into(), when);
    keys.insert(
        "core".into(),
        json!({
            "type": "integer",
            "minimum": 0,
            "maximum": 63,
            "description": "The one core that it runs on; the last one where there are fewer.",
        }),
    );
    keys.insert(
        "via".into(),
        json!({
            "const": "ring",
            "description": "Declares that the edge below crosses cores, by rings.",
        }),
    );
    keys
}

fn instance(component: &Component) -> Value {
    let mut properties = reserved(&[component.name.as_str()]);
    for field in &component.config {
        properties.insert(field.name.clone(), key(field));
    }
    let mut doc = component.doc.clone();
    if component.requires != Requires::Nothing {
        doc += &format!("\nStands on {}.", component.requires.text());
    }
    json!({
        "type": "object",
        "description": doc.trim(),
        "properties": properties,
        "additionalProperties": false,
    })
}

fn key(field: &Field) -> Value {
    let mut schema = kind(&field.kind, field.range);
    let range = field.range_text.as_ref().map_or(String::new(), |range| format!(" ({range})"));
    schema["description"] = json!(format!("{}{range}", field.doc));
    if let Some(default) = &field.default
        && let Ok(value) = default.value.to_string().parse::<Value>()
    {
        schema["default"] = value;
    }
    schema
}

fn kind(kind_of: &Type, range: Option<(u64, u64)>) -> Value {
    match kind_of {
        Type::Bool => json!({ "type": "boolean" }),
        Type::Certificates(_) | Type::PrivateKeys | Type::Staples(_) | Type::Trust => {
            json!({ "anyOf": [
            { "type": "string" },
            { "type": "array", "items": { "type": "string" } },
        ] })
        }
        Type::Choice(words, _) => json!({ "enum": words }),
        Type::Cidr4 => text(&format!(r"^{OCTET}(\.{OCTET}){{3}}/(3[0-2]|[12]?[0-9])$")),
        Type::Cidr6 => text("^[0-9a-fA-F:.]+/(12[0-8]|1[01][0-9]|[1-9]?[0-9])$"),
        Type::Duration => text(r"^[0-9_]+(ns|us|ms|s|m|h|d)$"),
        Type::Ip => json!({ "type": "string" }),
        Type::Ipv4 => text(&format!(r"^{OCTET}(\.{OCTET}){{3}}$")),
        Type::Ipv6 => text("^[0-9a-fA-F:.]+$"),
        Type::List(inner) => json!({ "type": "array", "items": kind(inner, range) }),
        Type::Mac => text("^[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}$"),
        Type::Or(inner, word) => json!({ "anyOf": [kind(inner, range), { "const": word }] }),
        Type::Route4 => text(&format!(
            r"^{OCTET}(\.{OCTET}){{3}}/(3[0-2]|[12]?[0-9]) via {OCTET}(\.{OCTET}){{3}}$"
        )),
        Type::Sha256 => text("^[0-9a-fA-F]{64}$"),
        Type::Size => size_schema(),
        Type::Folder | Type::String => json!({ "type": "string" }),
        Type::Unsigned(bits) => {
            let (low, high) = range.unwrap_or((0, u64::MAX >> (64 - bits)));
            json!({ "type": "integer", "minimum": low, "maximum": high })
        }
    }
}

/// A number in 0..=255, as addresses are written.
const OCTET: &str = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";

fn text(pattern: &str) -> Value {
    json!({ "type": "string", "pattern": pattern })
}

fn size_schema() -> Value {
    json!({ "anyOf": [
        { "type": "integer", "minimum": 0 },
        { "type": "string", "pattern": "^[0-9_]+(B|K|KiB|M|MiB|G|GiB)?$" },
    ] })
}
