//! Builds images with plain cargo, as a person would.

use crate::project::{PlatformFile, Project};
use serde_json::Value;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Builds `app` for `platform` and gives the path of what was linked.
///
/// # Errors
/// One line; cargo has said the rest.
pub fn build(project: &Project, app: &str, platform: &PlatformFile) -> Result<PathBuf, String> {
    let mut command = cargo(platform);
    command.current_dir(&project.workspace.root);
    command.args(["build", "--release", "--package", app]);
    command.arg("--message-format=json-render-diagnostics");
    if platform.target != "host" {
        command.args(["--target", &platform.target]);
    }
    command.env("WAITLESS_PLATFORM", &platform.name);
    let child = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output =
        child.map_err(|why| format!("cannot start cargo: {why}; install Rust by rustup"))?;
    if !output.status.success() {
        return Err(format!("`{app}` was not built for {}; see above", platform.name));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let messages = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut found = None;
    for message in messages {
        let is_app = message["reason"] == "compiler-artifact" && message["target"]["name"] == app;
        if let (true, Some(path)) = (is_app, message["executable"].as_str()) {
            found = Some(PathBuf::from(path));
        }
    }
    found.ok_or_else(|| format!("cargo built no program called `{app}`"))
}

/// `cargo` from the path; for images, of the toolchain that is composed for them.
fn cargo(platform: &PlatformFile) -> Command {
    let mut command = Command::new("cargo");
    if platform.target != "host" && has_toolchain() {
        command.env("RUSTUP_TOOLCHAIN", "waitless");
    }
    // What the cargo that started this program says of itself is not for the one started here.
    for variable in ["CARGO", "CARGO_MANIFEST_DIR", "RUSTC", "RUSTDOC"] {
        command.env_remove(variable);
    }
    command
}

fn has_toolchain() -> bool {
    let output = Command::new("rustup").args(["toolchain", "list"]).stderr(Stdio::null()).output();
    output.is_ok_and(|output| {
        let text = String::from_utf8_lossy(&output.stdout);
        text.lines().any(|line| line.split_whitespace().next() == Some("waitless"))
    })
}
