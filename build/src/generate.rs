//! What an app's `build.rs` does.

use crate::emit::code;
use crate::graph::Graph;
use crate::json::json;
use crate::project::{PlatformFile, Project};
use std::path::{Path, PathBuf};
use std::{env, fs, process};

/// Writes the graph of the app that is being built to `OUT_DIR`: `graph.rs` and `graph.json`.
/// All that an app's `build.rs` has to call. The platform is the one that fits the target; where
/// several do, the variable `WAITLESS_PLATFORM` names it.
///
/// Says what is wrong and exits when the graph is not sound.
pub fn generate() {
    match try_generate() {
        Ok((project, graph)) => {
            for warning in &graph.warnings {
                println!("cargo::warning={warning}");
            }
            // Printed at the end, because cargo shows all of it when a build script fails.
            let folders = [&project.workspace.home, &project.workspace.root];
            let more = folders.map(|root| root.join("platforms"));
            let files = project.sources.iter().map(|source| source.path.clone());
            let more = more.into_iter().filter(|path| path.is_dir());
            let folders = graph.folders.into_iter().map(|folder| folder.path);
            for path in files.chain(more).chain(graph.read).chain(folders) {
                println!("cargo::rerun-if-changed={}", path.display());
            }
            println!("cargo::rerun-if-changed=Cargo.toml");
            println!("cargo::rerun-if-env-changed=WAITLESS_PLATFORM");
        }
        Err(message) => {
            eprintln!("\n{}", message.trim_end());
            process::exit(1);
        }
    }
}

fn try_generate() -> Result<(Project, Graph), String> {
    let variable = |name: &str| {
        env::var(name).map_err(|_| format!("{name} is not set: call this from a build.rs"))
    };
    let folder = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let (app, target) = (variable("CARGO_PKG_NAME")?, variable("TARGET")?);
    let bare = variable("CARGO_CFG_TARGET_OS")? == "none";
    let mut project = Project::open(&folder)?;
    let wanted = env::var("WAITLESS_PLATFORM").ok();
    let platform = choose(&project.platforms(), &target, bare, wanted.as_deref())?;
    project.set_arch(platform.arch);
    let graph = project.graph(&app, &platform.name)?;
    let out = PathBuf::from(variable("OUT_DIR")?);
    write(&out, &graph, &project)?;
    Ok((project, graph))
}

fn write(out: &Path, graph: &Graph, project: &Project) -> Result<(), String> {
    let put = |name: &str, text: String| {
        let path = out.join(name);
        fs::write(&path, text).map_err(|why| format!("cannot write {}: {why}", path.display()))
    };
    put("graph.rs", code(graph, &project.sources))?;
    put("graph.json", json(graph, &project.sources))?;
    graph.put_blobs(out)
}

/// The platform for `target`: the one that is wanted if it fits, else the usual one, else any.
fn choose(
    platforms: &[PlatformFile],
    target: &str,
    bare: bool,
    wanted: Option<&str>,
) -> Result<PlatformFile, String> {
    let target = if bare { target } else { "host" };
    let fits = |name: &str| {
        platforms.iter().find(|platform| platform.name == name && platform.target == target)
    };
    let usual = if bare { "qemu" } else { "native" };
    let found = wanted.and_then(fits).or_else(|| fits(usual));
    let found = found.or_else(|| platforms.iter().find(|platform| platform.target == target));
    if let Some(found) = found {
        return Ok(found.clone());
    }
    let has = |platform: &PlatformFile| format!("{} ({})", platform.name, platform.target);
    let all: Vec<_> = platforms.iter().map(has).collect();
    Err(format!("no platform builds for {target}; there are {}", all.join(", ")))
}
