//! The small Waitless tree of `fixture.txt`, and files with expected results.

#![allow(dead_code, reason = "each test file uses a part")]

use build::Project;
use build::workspace::{Dependency, Package, Workspace};
use std::path::{Path, PathBuf};
use std::{env, fs};

/// The folder with this crate's tests.
pub fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

/// The fixture, unpacked to a folder of its own called `name`; `manifest` is the app's.
pub fn project(name: &str, manifest: &str) -> Project {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&root);
    let fixture = fs::read_to_string(tests().join("fixture.txt")).unwrap();
    let mut packages = Vec::new();
    for file in fixture.split("\n-- ").skip(1) {
        let (path, text) = file.split_once(" --\n").unwrap();
        put(&root.join(path), text);
        if path.ends_with("Cargo.toml") {
            let name = path.split('/').nth(1).unwrap();
            packages.push(package(name, root.join(path)));
        }
    }
    put(&root.join("apps/web/waitless.toml"), manifest);
    for platform in ["platform-aarch64", "platform-x86_64", "platform-native", "platform-many"] {
        packages.push(package(platform, root.join(platform).join("Cargo.toml")));
    }
    let all: Vec<_> = packages.iter().map(|package| package.name.clone()).collect();
    let web = packages.iter_mut().find(|package| package.name == "web").unwrap();
    web.dependencies = all
        .iter()
        .filter(|package| !manifest.contains(&format!("# without {package}\n")))
        .map(|package| Dependency {
            package: package.clone(),
            ident: package.replace('-', "_"),
            target: None,
        })
        .collect();
    let target = root.join("target");
    let workspace = Workspace { home: root.clone(), root: root.clone(), target, packages };
    let mut project = Project::with(workspace, &root);
    project.set_arch(named(manifest, "arch").map(str::to_owned));
    let cores = named(manifest, "cores").map(|cores| cores.parse().unwrap());
    project.give(named(manifest, "memory"), cores);
    project
}

fn package(name: &str, manifest: PathBuf) -> Package {
    let (name, version) = (name.to_owned(), "0.1.0".to_owned());
    Package { name, version, manifest, member: true, dependencies: Vec::new() }
}

fn put(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// What the manifest's first line names: `# platform: native`; else `qemu`.
pub fn platform(manifest: &str) -> &str {
    let line = manifest.lines().next().unwrap_or_default();
    line.strip_prefix("# platform: ").unwrap_or("qemu")
}

/// What a line of the manifest says of `what`: `# arch: aarch64`, `# memory: 4M`.
fn named<'a>(manifest: &'a str, what: &str) -> Option<&'a str> {
    let line = |line: &'a str| line.strip_prefix("# ")?.strip_prefix(what)?.strip_prefix(": ");
    manifest.lines().find_map(line)
}

/// The files in `tests/<folder>` that end in `.<extension>`: name and text, sorted.
pub fn cases(folder: &str, extension: &str) -> Vec<(String, String)> {
    let entries = fs::read_dir(tests().join(folder)).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|found| found == extension));
    paths.sort();
    let name = |path: &Path| path.file_stem().unwrap().to_string_lossy().into_owned();
    paths.iter().map(|path| (name(path), fs::read_to_string(path).unwrap())).collect()
}

/// Compares `text` with the file `tests/<path>`; with `BLESS=1` set, writes the file instead.
/// Gives what differs.
pub fn golden(path: &str, text: &str) -> Option<String> {
    let file = tests().join(path);
    if env::var_os("BLESS").is_some() {
        put(&file, text);
        return None;
    }
    let expected = fs::read_to_string(&file).unwrap_or_default();
    (expected != text).then(|| {
        format!("{path} differs (BLESS=1 accepts)\n--- expected\n{expected}\n--- is\n{text}")
    })
}
