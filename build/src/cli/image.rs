//! Builds images with plain cargo, as a person would.

use crate::project::{PlatformFile, Project};
use object::elf::{ET_DYN, FileHeader64, PT_LOAD, ProgramHeader64};
use object::endian::LittleEndian;
use object::read::elf::{FileHeader, ProgramHeader};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Builds `app` for `platform` and gives the path of what was linked.
///
/// # Errors
/// One line; cargo has said the rest.
pub fn build(project: &Project, app: &str, platform: &PlatformFile) -> Result<PathBuf, String> {
    let mut command = cargo(&platform.target);
    command.current_dir(&project.workspace.root);
    command.args(["build", "--release", "--package", app]);
    command.arg("--message-format=json-render-diagnostics");
    if platform.target != "host" {
        command.args(["--target", &platform.target]);
    }
    command.env("WAITLESS_PLATFORM", &platform.name);
    let what = || {
        let next = match platform.target != "host" && lacks_toolchain() {
            true => "; images need the toolchain `waitless`, next: make setup",
            false => "; see above",
        };
        format!("`{app}` was not built for {}{next}", platform.name)
    };
    built(command, app, what)
}

/// What is said where there is no file at `path`, which was to be the image.
pub fn is_not(path: &Path) -> String {
    format!("there is no image {}; without --image, one is built", path.display())
}

/// Builds a program of the Waitless tree that runs on this machine, and gives its path.
///
/// # Errors
/// One line; cargo has said the rest.
pub fn tool(project: &Project, package: &str) -> Result<PathBuf, String> {
    let mut command = tool_command(project, package);
    command.arg("--message-format=json-render-diagnostics");
    built(command, package, || format!("`{package}` was not built; see above"))
}

/// The command that builds such a program. Its place is the app's `target`, since the tree may be
/// somebody else's.
pub fn tool_command(project: &Project, package: &str) -> Command {
    let workspace = &project.workspace;
    let mut command = cargo("host");
    command.current_dir(&workspace.home).args(["build", "--release", "--package", package]);
    command.arg("--target-dir").arg(&workspace.target);
    command
}

/// How many bytes of memory a machine needs for `program` alone: up to where its last part ends.
/// `None` for what is no linked image.
pub fn end(program: &Path) -> Option<u64> {
    let bytes = fs::read(program).ok()?;
    let header = FileHeader64::<LittleEndian>::parse(&*bytes).ok()?;
    let endian = header.endian().ok()?;
    // Where images that may lie anywhere are put, behind the start of memory.
    let start = if header.e_type(endian) == ET_DYN { 2 << 20 } else { 0 };
    let segments = header.program_headers(endian, &*bytes).ok()?.iter();
    let loaded = segments.filter(|segment| segment.p_type(endian) == PT_LOAD);
    let end = |s: &ProgramHeader64<_>| s.p_paddr(endian).checked_add(s.p_memsz(endian));
    loaded.filter_map(end).max()?.checked_add(start)
}

/// Runs a cargo that builds `program`, and gives the path of that.
fn built(
    mut command: Command,
    program: &str,
    what: impl Fn() -> String,
) -> Result<PathBuf, String> {
    let child = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output =
        child.map_err(|why| format!("cannot start cargo: {why}; install Rust by rustup"))?;
    if !output.status.success() {
        return Err(what());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let messages = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut found = None;
    for message in messages {
        let is_it =
            message["reason"] == "compiler-artifact" && message["target"]["name"] == program;
        if let (true, Some(path)) = (is_it, message["executable"].as_str()) {
            found = Some(PathBuf::from(path));
        }
    }
    found.ok_or_else(|| format!("cargo built no program called `{program}`"))
}

/// `cargo` from the path; for images, of the toolchain that is composed for them.
fn cargo(target: &str) -> Command {
    let mut command = Command::new("cargo");
    if target != "host" && has_toolchain() {
        command.env("RUSTUP_TOOLCHAIN", "waitless");
    }
    // What the cargo that started this program says of itself is not for the one started here.
    for variable in ["CARGO", "CARGO_MANIFEST_DIR", "RUSTC", "RUSTDOC"] {
        command.env_remove(variable);
    }
    command
}

fn has_toolchain() -> bool {
    toolchains().is_some_and(|all| all.iter().any(|name| name == "waitless"))
}

/// Whether rustup is here and has none for images. Without it, one in the path may be.
fn lacks_toolchain() -> bool {
    toolchains().is_some_and(|all| all.iter().all(|name| name != "waitless"))
}

/// What rustup has; nothing where it is not here.
fn toolchains() -> Option<Vec<String>> {
    let output = Command::new("rustup").args(["toolchain", "list"]).stderr(Stdio::null()).output();
    let text = String::from_utf8_lossy(&output.ok()?.stdout).into_owned();
    let names = text.lines().filter_map(|line| line.split_whitespace().next());
    Some(names.map(str::to_owned).collect())
}
