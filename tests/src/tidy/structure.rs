//! Rules that look at crates: what they are made of, and what they depend on.

use super::{Exception, Finding, Source};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Every Rust file is reached by a `mod`, is a target's root, or is named by a file that reads
/// it. `roots` are the targets' roots, `sources` all Rust files of the checkout.
pub fn dead_files(roots: &[String], sources: &[Source]) -> Vec<Finding> {
    let by_path: BTreeMap<&str, &Source> =
        sources.iter().map(|source| (source.path.as_str(), source)).collect();
    let mut alive: BTreeSet<String> = BTreeSet::new();
    let mut waiting: Vec<(String, bool)> = roots.iter().map(|root| (root.clone(), true)).collect();
    while let Some((path, is_root)) = waiting.pop() {
        let Some(source) = by_path.get(path.as_str()) else { continue };
        if !alive.insert(path) {
            continue;
        }
        for (name, given) in source.modules() {
            let candidates = module_files(&source.path, is_root, &name, given.as_deref());
            waiting.extend(candidates.into_iter().map(|candidate| (candidate, false)));
        }
    }
    let is_read = |path: &str| {
        let name = format!("{}\"", Path::new(path).file_name().unwrap_or_default().display());
        sources.iter().any(|source| source.path != path && source.text.contains(&name))
    };
    sources
        .iter()
        .map(|source| source.path.as_str())
        .filter(|path| !alive.contains(*path) && !is_read(path))
        .map(|path| Finding::new(path, 0, "no `mod` and no target reaches this file"))
        .collect()
}

/// Where `mod name;` in the file `path` may be.
fn module_files(path: &str, is_root: bool, name: &str, given: Option<&str>) -> Vec<String> {
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    if let Some(given) = given {
        return vec![normal(&format!("{folder}/{given}"))];
    }
    let stem = file.trim_end_matches(".rs");
    let beside = is_root || stem == "mod";
    let base = if beside { folder.to_owned() } else { format!("{folder}/{stem}") };
    vec![normal(&format!("{base}/{name}.rs")), normal(&format!("{base}/{name}/mod.rs"))]
}

/// `path` without `.` and `..`.
pub(super) fn normal(path: &str) -> String {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// The dependency rule: core stands on nothing in the tree, components and platforms on core
/// alone (and platforms on platforms, components on crates in their own folder). `metadata` is
/// what `cargo metadata --no-deps` says, and `root` the checkout's absolute path.
pub fn dependencies(metadata: &serde_json::Value, root: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in array(&metadata["packages"]) {
        let manifest = relative(package["manifest_path"].as_str().unwrap_or_default(), root);
        let kind = manifest.split('/').next().unwrap_or_default();
        for dependency in array(&package["dependencies"]) {
            let Some(path) = dependency["path"].as_str() else { continue };
            let place = relative(path, root);
            let onto = place.split('/').next().unwrap_or_default();
            let own = manifest.strip_suffix("Cargo.toml").is_some_and(|own| place.starts_with(own));
            let fine = match kind {
                "core" => false,
                "components" => onto == "core" || own,
                "platforms" => onto == "core" || onto == "platforms",
                _ => true,
            };
            if !fine {
                let name = dependency["name"].as_str().unwrap_or_default();
                let what = format!("{kind} must not depend on `{name}` of {onto}/");
                findings.push(Finding::new(&manifest, 0, what));
            }
        }
    }
    findings
}

/// A component has metadata with a sentence for every key, a crate doc, tests, and no `unsafe`.
/// `manifest` is its `Cargo.toml`'s text, `sources` the files of its `src`.
pub fn unfinished_component(
    folder: &str,
    manifest: &str,
    sources: &[&Source],
    unsafe_exceptions: &[Exception],
) -> Vec<Finding> {
    let manifest_path = format!("{folder}/Cargo.toml");
    let mut findings = metadata_findings(&manifest_path, manifest);
    let root_path = format!("{folder}/src/lib.rs");
    let Some(root) = sources.iter().find(|source| source.path == root_path) else {
        findings.push(Finding::new(folder, 0, "no src/lib.rs"));
        return findings;
    };
    if root.text.lines().take_while(|line| line.starts_with("//!")).count() < 3 {
        let what = "the crate's doc says too little: purpose, principles, what it does not do";
        findings.push(Finding::new(&root_path, 1, what));
    }
    let excepted = unsafe_exceptions.iter().any(|e| e.path.starts_with(folder));
    if !excepted && !root.text.contains("#![forbid(unsafe_code)]") {
        findings.push(Finding::new(&root_path, 0, "no `#![forbid(unsafe_code)]`"));
    }
    if sources.iter().map(|source| source.test_count()).sum::<usize>() == 0 {
        findings.push(Finding::new(folder, 0, "no tests"));
    }
    findings
}

fn metadata_findings(path: &str, manifest: &str) -> Vec<Finding> {
    let table: toml::Table = match manifest.parse() {
        Ok(table) => table,
        Err(error) => return vec![Finding::new(path, 0, error.to_string())],
    };
    let metadata = table
        .get("package")
        .and_then(|package| package.get("metadata"))
        .and_then(|metadata| metadata.get("waitless"))
        .and_then(toml::Value::as_table);
    let Some(metadata) = metadata else {
        return vec![Finding::new(path, 0, "no [package.metadata.waitless]")];
    };
    let several = metadata.get("components").and_then(toml::Value::as_table);
    let mut components: Vec<&toml::Table> = several
        .into_iter()
        .flat_map(|several| several.values())
        .filter_map(toml::Value::as_table)
        .collect();
    // What the package itself is, beside others or alone.
    if several.is_none() || metadata.contains_key("component") {
        components.push(metadata);
    }
    let mut findings = Vec::new();
    for component in components {
        if !component.contains_key("component") && !component.contains_key("handler") {
            findings.push(Finding::new(path, 0, "metadata names neither component nor handler"));
        }
        let config = component.get("config").and_then(toml::Value::as_table);
        for (key, schema) in config.into_iter().flatten() {
            if schema.get("doc").and_then(toml::Value::as_str).unwrap_or_default().is_empty() {
                findings.push(Finding::new(path, 0, format!("config key `{key}` has no doc")));
            }
        }
    }
    findings
}

fn array(value: &serde_json::Value) -> &[serde_json::Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn relative(path: &str, root: &str) -> String {
    path.strip_prefix(root).unwrap_or(path).trim_start_matches('/').to_owned()
}
