//! The tools leave nothing behind when what they are asked for cannot be.

use std::fs;
use std::path::Path;
use waitless_tests::lab::{copy_checkout, target, waitless_build};

/// Where they are asked: a copy of this tree, which they may spoil.
const COPY: &str = "lab/tools";

#[test]
fn what_cannot_be_made_leaves_nothing_behind() {
    let copy = target().join(COPY);
    copy_checkout(&copy, |_, bytes| bytes);
    for name in ["tcp", "serde", "test", "fn"] {
        let said = refused(&copy, &["new", name]);
        assert!(said.contains(&format!("`{name}`")), "{said}");
        assert!(!copy.join("apps").join(name).exists(), "apps/{name} was left behind");
    }
    let manifests = || {
        ["waitless.toml", "apps/webserver/Cargo.toml"]
            .map(|file| fs::read_to_string(copy.join(file)).expect("a manifest"))
    };
    let before = manifests();
    let said = refused(&copy, &["add", "echo", "--name", "second", "--set", "port=7"]);
    assert!(said.contains("`echo` and `second` both listen on port 7"), "{said}");
    assert_eq!(manifests(), before);
}

/// What the tool of this tree says in `folder`, where it must fail.
#[track_caller]
fn refused(folder: &Path, arguments: &[&str]) -> String {
    let mut command = waitless_build(folder, arguments);
    let output = command.env("CARGO_TARGET_DIR", target()).output().expect("it runs");
    assert!(!output.status.success(), "{arguments:?} was done");
    String::from_utf8_lossy(&output.stderr).into_owned()
}
