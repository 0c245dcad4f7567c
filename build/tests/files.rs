//! Manifests that are no manifests: not text, not a file, without end, or for nobody.

mod common;

use build::Project;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

/// The fixture, with the app's manifest where `manifest` says, and the path of that.
fn fixture(name: &str) -> (Project, PathBuf) {
    let project = common::project(&format!("files-{name}"), SOUND);
    let path = project.workspace.root.join("apps/web/waitless.toml");
    (project, path)
}

const SOUND: &str = "[app]\ncrate = \"web\"\nstacks = [\"tcp\"]\n\n[echo]\non = \"udp\"\n";

/// What is said about a manifest of `bytes`.
fn refused(name: &str, bytes: &[u8]) -> String {
    let (mut project, path) = fixture(name);
    fs::write(path, bytes).unwrap();
    project.graph("web", "qemu").map(|_| ()).unwrap_err()
}

#[test]
fn the_fixture_is_sound() {
    let (mut project, _) = fixture("sound");
    assert!(project.graph("web", "qemu").is_ok());
}

#[test]
fn what_is_no_text_is_refused_with_its_place() {
    let said = refused("bytes", b"[app]\ncrate = \"web\xFF\"\n");
    assert_eq!(
        said,
        "cannot read apps/web/waitless.toml:2:13: the byte FFh is no UTF-8; \
         save the file as UTF-8"
    );
}

#[test]
fn what_is_too_long_is_refused_unread() {
    let said = refused("long", &vec![b'#'; (1 << 20) + 1]);
    assert_eq!(
        said,
        "cannot read apps/web/waitless.toml: it has 1048577 bytes; shorten it to 1048576 at most"
    );
}

#[test]
fn what_is_no_file_is_refused() {
    let (mut project, path) = fixture("folder");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let said = project.graph("web", "qemu").map(|_| ()).unwrap_err();
    assert!(said.starts_with("cannot read apps/web/waitless.toml: it is a folder;"), "{said}");
}

#[test]
#[cfg(unix)]
fn devices_and_links_to_nothing_are_refused() {
    for (target, why) in [("/dev/zero", ": it is no ordinary file;"), ("nothing", ": No such file")]
    {
        let (mut project, path) = fixture("link");
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(target, &path).unwrap();
        let said = project.graph("web", "qemu").map(|_| ()).unwrap_err();
        assert!(said.starts_with("cannot read apps/web/waitless.toml"), "{said}");
        assert!(said.contains(why), "{said}");
    }
}

#[test]
fn more_instances_than_fit_are_refused_soon() {
    let mut text = SOUND.to_owned();
    for number in 0..5000 {
        let _ = write!(text, "[echo-{number}]\nis = \"echo\"\non = \"udp\"\nport = {number}\n");
    }
    let said = refused("many", text.as_bytes());
    assert!(said.contains("instances\n"), "{said}");
    assert!(said.contains("a graph has 1000 at most: remove some"), "{said}");
}

/// What is said where the root's manifest is `text`, and no app is named.
fn at_the_root(name: &str, text: &str) -> Result<String, String> {
    let (project, _) = fixture(name);
    fs::write(project.workspace.root.join("waitless.toml"), text).unwrap();
    project.default_app()
}

#[test]
fn the_roots_manifest_says_which_app_is_meant() {
    assert_eq!(at_the_root("root", SOUND), Ok("web".into()));
    // Stacks alone are for all apps.
    let stacks = "[stack.tcp.eth]\nis = \"ethernet\"\non = \"nic\"\n";
    assert_eq!(at_the_root("stacks", stacks), Ok("web".into()));
}

#[test]
fn a_roots_manifest_for_nobody_is_no_silent_other_app() {
    for (name, text, why) in [
        ("empty", "", "there is no table `[app]`"),
        ("none", "[echo]\non = \"udp\"\n", "there is no table `[app]`"),
        ("key", "[app]\ncrte = \"web\"\n", "did you mean `crate`?"),
        ("package", "[app]\ncrate = \"wep\"\n", "did you mean `web`?"),
        ("number", "[app]\ncrate = 7\n", "expected text in quotes"),
        ("syntax", "[app\ncrate = \"web\"\n", "unclosed table"),
    ] {
        let said = at_the_root(&format!("root-{name}"), text).unwrap_err();
        assert!(said.contains(why), "{name}: {said}");
        assert!(
            said.contains("--> waitless.toml:") || said.contains("::: waitless.toml:"),
            "{said}"
        );
    }
}

#[test]
fn a_roots_manifest_that_cannot_be_read_is_named() {
    let (project, _) = fixture("root-folder");
    let path = project.workspace.root.join("waitless.toml");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let said = project.default_app().unwrap_err();
    assert!(said.starts_with("cannot read waitless.toml: it is a folder;"), "{said}");
}
