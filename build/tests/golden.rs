//! What a person sees, compared with files: every kind of error, and generated code.

mod common;

use common::{cases, golden, platform, project};

#[test]
fn every_error_is_said_as_expected() {
    let wrong: Vec<_> = cases("errors", "toml")
        .into_iter()
        .filter_map(|(name, manifest)| {
            let mut project = project(&format!("errors-{name}"), &manifest);
            let text = match project.graph("web", platform(&manifest)) {
                Ok(_) => "no error\n".to_owned(),
                Err(text) => text,
            };
            golden(&format!("errors/{name}.stderr"), &text)
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn code_is_generated_as_expected() {
    let wrong: Vec<_> = cases("graphs", "toml")
        .into_iter()
        .filter_map(|(name, manifest)| {
            let mut project = project(&format!("graphs-{name}"), &manifest);
            let graph = project.graph("web", platform(&manifest)).unwrap_or_else(|e| panic!("{e}"));
            let code = build::emit::code(&graph, &project.sources);
            let json = build::json::pretty(&graph, &project.sources);
            let code = golden(&format!("graphs/{name}.code"), &code);
            code.or(golden(&format!("graphs/{name}.json"), &json))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
