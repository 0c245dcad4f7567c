//! Pictures of graphs, compared with files.

mod common;

use build::picture;
use common::{cases, golden, platform, project};

#[test]
fn pictures_are_drawn_as_expected() {
    let mut wrong = Vec::new();
    for (name, manifest) in cases("graphs", "toml") {
        let mut project = project(&format!("pictures-{name}"), &manifest);
        let graph = project.graph("web", platform(&manifest)).unwrap_or_else(|e| panic!("{e}"));
        wrong.extend(golden(&format!("graphs/{name}.tree"), &picture::tree(&graph, false)));
        wrong.extend(golden(&format!("graphs/{name}.svg"), &picture::svg(&graph)));
        wrong.extend(golden(&format!("graphs/{name}.dot"), &picture::dot(&graph)));
        let page = picture::html(&graph, &project.sources);
        assert!(!page.contains("http://") || page.matches("http://").count() == 1, "no network");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn secrets_are_shown_to_nobody() {
    let (_, manifest) =
        cases("graphs", "toml").into_iter().find(|(it, _)| it == "secrets").unwrap();
    let mut project = project("pictures-of-secrets", &manifest);
    let graph = project.graph("web", "qemu").unwrap_or_else(|e| panic!("{e}"));
    assert!(build::emit::code(&graph, &project.sources).contains("hardly-to-be-guessed"));
    let texts = [
        build::json::json(&graph, &project.sources),
        picture::html(&graph, &project.sources),
        picture::svg(&graph),
        picture::dot(&graph),
        picture::tree(&graph, false),
        build::cli::explain(&project, &graph, "keeper").unwrap(),
    ];
    for text in texts {
        let hides = !text.contains("guessed") && !text.contains("00112233");
        assert!(hides && text.contains("keeper"), "{text}");
    }
}
