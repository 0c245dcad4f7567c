//! What an app's `build.rs` does.

use crate::emit::code;
use crate::graph::Graph;
use crate::json::json;
use crate::project::{PlatformFile, Project, names_of};
use crate::report::{list, nearest};
use std::path::{Path, PathBuf};
use std::{env, fs, process};

/// Writes the graph of the app that is being built to `OUT_DIR`: `graph.rs` and `graph.json`.
/// All that an app's `build.rs` has to call. The platform is the one that fits the target and that
/// the app is for; where several are, the variable `WAITLESS_PLATFORM` names it.
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
            // An app that the root's manifest is for may get one of its own. Cargo takes a path
            // that is not there for one that has changed, but notices what is new in a folder.
            let own = if Path::new("waitless.toml").exists() { "Cargo.toml" } else { "." };
            println!("cargo::rerun-if-changed={own}");
            for variable in ["WAITLESS_PLATFORM", "SOURCE_DATE_EPOCH"] {
                println!("cargo::rerun-if-env-changed={variable}");
            }
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
    let platforms = project.platforms();
    // What is wrong with the app is said of the platform that is chosen.
    let is_for = |name: &str| project.is_for(&app, name).unwrap_or(true);
    let platform = choose(&platforms, &target, bare, wanted.as_deref(), is_for)?;
    project.set_arch(platform.arch);
    let graph = project.graph(&app, &platform.name);
    // Cargo has no such option.
    let graph = graph.map_err(|why| why.replace("--platform", "WAITLESS_PLATFORM=…"))?;
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

/// The platform for `target`: the one that is wanted if it fits, else the usual one, else any; of
/// those not wanted, first one that the app `is_for`.
fn choose(
    platforms: &[PlatformFile],
    target: &str,
    bare: bool,
    wanted: Option<&str>,
    mut is_for: impl FnMut(&str) -> bool,
) -> Result<PlatformFile, String> {
    let wanted = wanted.filter(|name| !name.is_empty());
    if let Some(name) = wanted.filter(|name| platforms.iter().all(|known| known.name != *name)) {
        let names = names_of(platforms);
        let next = match nearest(name, names.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("there are {}", list(&names)),
        };
        return Err(format!(
            "there is no platform `{name}`, which WAITLESS_PLATFORM names; {next}"
        ));
    }
    let target = if bare { target } else { "host" };
    let usual = if bare { "qemu" } else { "native" };
    let fitting: Vec<_> = platforms.iter().filter(|known| known.target == target).collect();
    let named = |name: &str| fitting.iter().find(|platform| platform.name == name);
    let found = wanted.and_then(named);
    let found = found.or_else(|| named(usual).filter(|platform| is_for(&platform.name)));
    let found = found.or_else(|| fitting.iter().find(|platform| is_for(&platform.name)));
    // The app is for none of them, and the usual one says so.
    let found = found.or_else(|| named(usual)).or_else(|| fitting.first());
    if let Some(found) = found {
        return Ok((*found).clone());
    }
    let has = |platform: &PlatformFile| format!("{} ({})", platform.name, platform.target);
    let all: Vec<_> = platforms.iter().map(has).collect();
    Err(format!("no platform builds for {target}; there are {}", all.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platforms() -> Vec<PlatformFile> {
        let all =
            [("iso", "x86_64"), ("native", "host"), ("native-tap", "host"), ("qemu", "x86_64")];
        all.map(|(name, target)| PlatformFile::of(name, target)).to_vec()
    }

    fn chosen(bare: bool, wanted: &str, only: &str) -> Result<String, String> {
        let is_for = |name: &str| only.is_empty() || only == name;
        let found = choose(&platforms(), "x86_64", bare, Some(wanted), is_for);
        found.map(|platform| platform.name)
    }

    #[test]
    fn a_platform_that_is_not_there_is_refused() {
        assert!(chosen(false, "nativ", "").unwrap_err().contains("did you mean `native`?"));
        assert!(chosen(true, "somewhere", "").unwrap_err().contains("there are `iso`"));
    }

    #[test]
    fn what_is_wanted_counts_then_what_the_app_is_for_then_what_is_usual() {
        assert_eq!(chosen(false, "native-tap", "").as_deref(), Ok("native-tap"));
        assert_eq!(chosen(false, "", "").as_deref(), Ok("native"));
        assert_eq!(chosen(true, "", "").as_deref(), Ok("qemu"));
        // A dependency's own build script, say, is for the host.
        assert_eq!(chosen(false, "qemu", "").as_deref(), Ok("native"));
        assert_eq!(chosen(true, "", "iso").as_deref(), Ok("iso"));
        assert_eq!(chosen(true, "qemu", "iso").as_deref(), Ok("qemu"));
        assert_eq!(chosen(true, "", "native").as_deref(), Ok("qemu"));
    }
}
