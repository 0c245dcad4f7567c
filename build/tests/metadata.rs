//! What is said of components whose metadata is wrong, which anybody may write.

use build::catalogue::{Component, read};
use build::report::render;
use build::source::Sources;
use std::fs;
use std::path::Path;

/// The components of a package with this metadata, and what is said about it.
fn said(name: &str, metadata: &str) -> (Vec<Component>, String) {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("metadata-{name}.toml"));
    fs::write(&path, format!("[package]\nname = \"it\"\n{metadata}")).unwrap();
    let mut sources = Sources::default();
    let mut reports = Vec::new();
    let found = read(&path, &mut sources, &mut reports);
    let text = if reports.is_empty() { String::new() } else { render(&reports, &sources) };
    (found, text)
}

#[test]
fn metadata_counts_however_it_is_written() {
    let (found, said) = said("inline", "[package.metadata]\nwaitless = { component = \"It\" }\n");
    assert_eq!((found.len(), said.as_str()), (1, ""));
}

#[test]
fn a_handler_stands_on_services_of_http() {
    for (name, requires) in
        [("one", "requires = \"HttpPort\""), ("none", ""), ("of", "requires = \"UdpPort+\"")]
    {
        let metadata = format!("[package.metadata.waitless]\nhandler = \"it\"\n{requires}\n");
        let (_, said) = said(name, &metadata);
        assert!(said.contains("write `requires = \"HttpPort+\"`"), "{requires}: {said}");
    }
    let good = "[package.metadata.waitless]\nhandler = \"it\"\nrequires = \"HttpPort+\"\n";
    let (found, said) = said("good", good);
    assert_eq!((found[0].most, said.as_str()), (Some(6), ""));
}

#[test]
fn a_key_is_called_as_no_other_thing_is() {
    for name in ["type", "match", "core", "when", "is", "Upper", "with_line"] {
        let head = "[package.metadata.waitless]\ncomponent = \"It\"\n";
        let key = format!("[package.metadata.waitless.config]\n{name} = {{ type = \"u8\" }}\n");
        let (_, said) = said(&format!("key-{name}"), &format!("{head}{key}"));
        assert!(said.contains(&format!("`{name}` is no name for a key")), "{name}: {said}");
    }
}

#[test]
fn the_most_is_of_those_who_stand_on_several() {
    let with = |name: &str, requires: &str, most: &str| {
        let head = "[package.metadata.waitless]\ncomponent = \"It\"\n";
        said(name, &format!("{head}requires = \"{requires}\"\nmost = {most}\n"))
    };
    assert_eq!(with("most", "IpPort+", "4").0[0].most, Some(4));
    for (name, requires, most) in [("few", "IpPort+", "0"), ("single", "IpPort", "2")] {
        assert!(with(name, requires, most).1.contains("`most` is a number"), "{requires} {most}");
    }
}
