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
    for (arguments, folder) in [
        (&["new", "apps/shop"][..], "apps/shop"),
        (&["new", "shop", "--path", "apps/web/../shop"], "apps/shop"),
        (&["new", "shop", "--path", "elsewhere/shop"], "elsewhere"),
    ] {
        let said = refused(&copy, arguments);
        assert!(said.contains("`new shop` makes it in apps/"), "{said}");
        assert!(!copy.join(folder).exists(), "{folder} was left behind");
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

#[test]
fn a_folder_with_files_of_somebody_is_left_as_it_is() {
    let folder = std::env::temp_dir().join(format!("waitless-new-{}", std::process::id()));
    fs::create_dir_all(folder.join("src")).expect("a folder");
    let files = [".gitignore", "README.md", "src/main.rs"];
    files.iter().for_each(|file| fs::write(folder.join(file), "mine").expect("written"));
    let path = folder.to_str().expect("a text path");
    let said = refused(&target(), &["new", "shop", "--path", path]);
    assert!(said.contains("has `src/main.rs`, `.gitignore` and `README.md` already"), "{said}");
    for file in files {
        assert_eq!(fs::read_to_string(folder.join(file)).expect("still there"), "mine");
    }
    assert!(!folder.join("Cargo.toml").exists());
    fs::remove_dir_all(&folder).expect("removed");
}

/// What the tool of this tree says in `folder`, where it must fail.
#[track_caller]
fn refused(folder: &Path, arguments: &[&str]) -> String {
    let mut command = waitless_build(folder, arguments);
    let output = command.env("CARGO_TARGET_DIR", target()).output().expect("it runs");
    assert!(!output.status.success(), "{arguments:?} was done");
    String::from_utf8_lossy(&output.stderr).into_owned()
}
