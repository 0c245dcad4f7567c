//! Generates the graphs that tests drive in virtual time: those of `graphs/`.

use build::Project;
use build::workspace::Workspace;
use std::path::{Path, PathBuf};
use std::{env, fs, process};

fn main() {
    let folder = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    const GRAPHS: [&str; 19] = [
        "server", "raw", "client", "edges", "leased", "roaming", "bench", "hvf", "dual", "kernel",
        "secure", "names", "peers", "walled", "router", "fetch", "tagged", "crossing", "ends",
    ];
    // Not all of the folder: a certificate is made in it.
    GRAPHS.iter().for_each(|name| println!("cargo::rerun-if-changed=graphs/{name}"));
    let made = Workspace::load(&folder).and_then(|workspace| {
        GRAPHS.iter().try_for_each(|name| generate(name, workspace.clone(), &folder, &out))
    });
    if let Err(message) = made {
        eprintln!("\n{}", message.trim_end());
        process::exit(1);
    }
    for path in ["Cargo.toml", "../waitless.toml", "../components"] {
        println!("cargo::rerun-if-changed={path}");
    }
}

/// The graph `name`: this package as an app whose manifest is another each time.
fn generate(name: &str, workspace: Workspace, folder: &Path, out: &Path) -> Result<(), String> {
    const PACKAGE: &str = "waitless-tests";
    let mut project = Project::with(workspace, folder);
    let graphs = folder.join("graphs");
    let mut packages = project.workspace.packages.iter_mut();
    let own = packages.find(|package| package.name == PACKAGE).ok_or("this package is unknown")?;
    own.manifest = graphs.join(name).join("Cargo.toml");
    project.workspace.root = graphs;
    let graph = project.graph(PACKAGE, "simulation")?;
    // Each graph has a description of its own.
    let description = format!("{name}.json");
    let code = build::emit::code(&graph, &project.sources).replace("graph.json", &description);
    let put = |file: &str, text: String| {
        fs::write(out.join(file), text).map_err(|why| format!("cannot write {file}: {why}"))
    };
    graph.put_blobs(out)?;
    put(&format!("{name}.rs"), code)?;
    put(&description, build::json::json(&graph, &project.sources))
}
