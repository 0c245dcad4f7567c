//! The tree that this package is part of: its apps, its documents, and what is known of `core`.

use build::Project;
use serde_json::Value;
use std::fs;
use std::path::Path;

fn tree() -> (&'static Path, Project) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    (root, Project::open(root).unwrap())
}

#[test]
fn every_app_is_sound_on_every_platform_that_it_is_for() {
    let (_, mut project) = tree();
    let platforms = project.platforms();
    for app in project.apps() {
        for platform in &platforms {
            if !project.is_for(&app, &platform.name).unwrap() {
                continue;
            }
            if let Err(why) = project.graph(&app, &platform.name) {
                panic!("{app} on {}:\n{why}", platform.name);
            }
        }
    }
}

/// What an app in a repository of its own sees, whose packages are few.
#[test]
fn the_catalogue_has_what_the_tree_has_and_no_package_depends_on() {
    let (root, project) = tree();
    let mut workspace = project.workspace.clone();
    workspace.packages.clear();
    let alone = Project::with(workspace, root).catalogue;
    let known: Vec<_> = alone.public().map(|component| &component.name).collect();
    for folder in ["components", "platforms"] {
        let there = project.catalogue.public();
        let there = there.filter(|component| component.manifest.starts_with(root.join(folder)));
        let missing: Vec<_> = there.filter(|one| !known.contains(&&one.name)).collect();
        assert!(missing.is_empty(), "{folder}: {missing:?}");
    }
}

#[test]
fn the_catalogue_in_the_documents_is_this_one() {
    let (root, project) = tree();
    let written = fs::read_to_string(root.join("docs/components.md")).unwrap();
    assert!(
        written == build::cli::markdown(&project.catalogue),
        "refresh it: cargo run -p build -- components --markdown > docs/components.md"
    );
}

#[test]
fn the_conformance_in_the_documents_is_this_one() {
    let (root, _) = tree();
    let coverage = build::cli::Coverage::read(root).unwrap();
    let wrong = coverage.wrong();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let written = fs::read_to_string(root.join("docs/conformance.md")).unwrap();
    assert!(
        written == coverage.markdown(),
        "refresh it: cargo run -p build -- rfc --markdown > docs/conformance.md"
    );
}

#[test]
fn the_readme_shows_the_app_that_is_made() {
    let (root, _) = tree();
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let shown = readme.split("```rust\n").nth(1).unwrap().split("```").next().unwrap();
    assert_eq!(shown, build::cli::MAIN.replace("NAME", "shop"));
}

#[test]
fn a_packet_takes_what_checks_count_for_it() {
    assert_eq!(waitless::Pool::BUFFER_SIZE as u64, build::check::PACKET);
}

#[test]
fn the_picture_in_the_readme_is_of_this_graph() {
    let (root, mut project) = tree();
    let graph = project.graph("webserver", "qemu").unwrap_or_else(|why| panic!("{why}"));
    let shown = fs::read_to_string(root.join("docs/images/webserver.svg")).unwrap();
    assert!(
        shown == build::picture::svg(&graph),
        "refresh it: cargo run -p build -- graph --svg docs/images/webserver.svg"
    );
}

#[test]
fn the_schema_knows_the_keys_of_instances_in_stacks_and_of_those_called_otherwise() {
    let (_, project) = tree();
    let schema: Value = build::cli::schema(&project).parse().unwrap();
    let of = |table: &Value, name: &str| table["properties"][name]["then"]["$ref"].clone();
    for table in [&schema, &schema["properties"]["stack"]["additionalProperties"]] {
        assert_eq!(of(table, "tcp"), "#/definitions/tcp");
        // An instance of the stacks that is not called like its component.
        assert_eq!(of(table, "ip4"), "#/definitions/ipv4");
    }
    let trace = &schema["properties"]["app"]["properties"]["trace"];
    assert_eq!(trace["type"], "boolean");
    let keys = &schema["definitions"]["ipv4"]["properties"];
    assert_eq!(keys["ttl"]["type"], "integer");
}

#[test]
fn every_key_is_in_the_documents() {
    let (root, _) = tree();
    let text = fs::read_to_string(root.join("docs/manifest.md")).unwrap();
    let section = |name: &str| {
        let from = text.find(&format!("\n## {name}\n")).unwrap_or_else(|| panic!("no {name}"));
        let rest = &text[from + 4..];
        &rest[..rest.find("\n## ").unwrap_or(rest.len())]
    };
    let heads = |keys: &[(&'static str, &str, &str)]| keys.iter().map(|it| it.0).collect();
    let all: [(&str, Vec<&str>); 5] = [
        ("Instances", build::manifest::RESERVED_KEYS.to_vec()),
        ("The app", heads(&build::check::APP_KEYS)),
        ("Architectures", heads(&build::check::PLATFORM_KEYS)),
        ("Metadata of a component", build::catalogue::KEYS.to_vec()),
        ("Metadata of a component", build::catalogue::FIELD_KEYS.to_vec()),
    ];
    for (name, keys) in all {
        // In a table or between other words of code.
        let words = section(name).split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
        let words: Vec<_> = words.collect();
        let missing: Vec<_> = keys.iter().filter(|key| !words.contains(key)).collect();
        assert!(missing.is_empty(), "{name}: {missing:?}");
    }
    for kind in build::types::NAMES {
        assert!(section("Types of values").contains(&format!("`{kind}`")), "{kind}");
    }
}
