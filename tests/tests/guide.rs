//! What docs/writing-a-component.md shows is built, tested and put into the default image.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use waitless_tests::lab::{cargo, checkout, copy_checkout, put_changed, target};

const PAGE: &str = "docs/writing-a-component.md";

/// Where the page is built: kept, so that the next run is quick.
const COPY: &str = "lab/guide";

#[test]
fn the_component_that_the_page_shows_works() {
    let page = fs::read_to_string(checkout().join(PAGE)).expect("the page");
    let blocks = blocks(&page);
    let files = files(&blocks);
    assert!(files.len() > 2, "the page shows a crate: {:?}", files.keys());
    let manifest = &blocks.iter().find(|block| block.info == "toml manifest").expect("a table");
    let manifest = format!("{}\n[clock]\non = \"tcp\"\n", manifest.text);
    let copy = target().join(COPY);
    copy_checkout(&copy, |file, bytes| match file {
        "waitless.toml" => [&bytes[..], b"\n", manifest.as_bytes()].concat(),
        "apps/webserver/Cargo.toml" => with_dependency(&bytes),
        _ => bytes,
    });
    for (file, text) in &files {
        put_changed(&copy.join(file), text.as_bytes());
    }
    run(&copy, &["test", "--package", "qotd"]);
    for platform in ["native", "qemu"] {
        let mut project = build::Project::open(&copy).expect("the copy");
        let graph = project.graph("webserver", platform).unwrap_or_else(|why| panic!("{why}"));
        for name in ["qotd", "clock"] {
            assert!(graph.find(name).is_some(), "{name} is in the graph on {platform}");
        }
    }
    run(&copy, &["check", "--package", "webserver"]);
}

/// A block of code of a document: what its first line says of it, and the rest.
struct Block<'a> {
    info: &'a str,
    text: String,
}

fn blocks(page: &str) -> Vec<Block<'_>> {
    let mut blocks: Vec<Block<'_>> = Vec::new();
    let mut inside = false;
    for line in page.lines() {
        match line.strip_prefix("```") {
            Some(info) => {
                inside = !inside;
                if inside {
                    blocks.push(Block { info, text: String::new() });
                }
            }
            None if inside => {
                let block = blocks.last_mut().expect("one was begun");
                block.text += line;
                block.text += "\n";
            }
            None => {}
        }
    }
    blocks
}

/// The files that blocks are marked with, in several pieces each.
fn files<'a>(blocks: &[Block<'a>]) -> BTreeMap<&'a str, String> {
    let mut files: BTreeMap<&str, String> = BTreeMap::new();
    for block in blocks {
        let name = block.info.split_whitespace().find_map(|word| word.strip_prefix("file="));
        let Some(name) = name else { continue };
        let text = files.entry(name).or_default();
        if !text.is_empty() {
            *text += "\n";
        }
        *text += &block.text;
    }
    files
}

fn with_dependency(manifest: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(manifest);
    let lines = "[dependencies]\nclock = { path = \"../../components/clock\" }\n\
                 qotd = { path = \"../../components/qotd\" }\n";
    assert!(text.contains("[dependencies]\n"), "the app depends on components");
    text.replacen("[dependencies]\n", lines, 1).into_bytes()
}

/// Runs cargo in `folder`, without a network, with what is built here already.
#[track_caller]
fn run(folder: &Path, arguments: &[&str]) {
    let mut cargo = cargo(folder, arguments);
    cargo.args(["--quiet", "--offline"]).env("CARGO_TARGET_DIR", target());
    cargo.env_remove("WAITLESS_PLATFORM");
    let output = cargo.output().expect("cargo runs");
    let (out, errors) = (&output.stdout, String::from_utf8_lossy(&output.stderr));
    let out = String::from_utf8_lossy(out);
    assert!(output.status.success(), "cargo {}:\n{out}{errors}", arguments.join(" "));
}
