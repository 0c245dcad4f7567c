//! Makes an app: one route, one test of it by hand, and everything that it takes to boot.

use crate::cli::{self, add::depend};
use crate::project::Project;
use crate::report::{Missing, list, render};
use crate::types::is_keyword;
use crate::workspace::{Workspace, relative};
use std::path::{Component, Path, PathBuf};
use std::{env, fs};

/// What to make.
#[derive(clap::Args, Debug)]
pub struct New {
    /// The name of the app and of its package: lower-case letters, digits and hyphens. With a
    /// folder before it, `../clock`, that is where it goes, as by --path
    name: String,
    /// A folder outside of this workspace: the app becomes a repository of its own
    #[arg(long, value_name = "DIR")]
    path: Option<PathBuf>,
    /// The Waitless tree that it depends on [default: this one]
    #[arg(long, value_name = "DIR")]
    waitless: Option<PathBuf>,
    /// The repository that it depends on instead
    #[arg(long, value_name = "URL", conflicts_with = "waitless")]
    git: Option<String>,
}

/// The platforms that a new app is made for.
const PLATFORMS: [&str; 4] = ["qemu", "native", "native-tap", "simulation"];

/// What every app gets.
const FILES: [&str; 4] = ["Cargo.toml", "build.rs", "src/main.rs", "waitless.toml"];

/// What one in a repository of its own has besides, as the tree has it.
const TAKEN_OVER: [&str; 4] = [
    ".cargo/config.toml",
    "platforms/targets/aarch64-waitless.json",
    "platforms/targets/x86_64-waitless.json",
    "rustfmt.toml",
];

/// What is written for it.
const OWN: [&str; 2] = [".gitignore", "README.md"];

/// Names that a package cannot have, or that its crate could not be called by, besides Rust's own
/// words.
const TAKEN: [&str; 11] = [
    "alloc",
    "build",
    "core",
    "deps",
    "examples",
    "incremental",
    "main",
    "proc-macro",
    "std",
    "test",
    "union",
];

const MANIFEST: &str = r#"# The graph of `NAME`: a table for each instance. See docs/manifest.md in
# Waitless, or `HELP components` and `HELP explain http`.

[app]
crate = "NAME"
stacks = ["tcp"]
hostname = "NAME"

[http]
is = "http1"
on = "tcp"
port = 80

[site]                      # the handlers in src/main.rs
on = ["http"]
"#;

/// The app's code; the README shows it as the example.
pub const MAIN: &str = r#"//! An image that answers `GET /` and `GET /double/21`.

#![cfg_attr(target_os = "none", no_std, no_main)]

use waitless::http::{Handler, Json, Problem, Request, Router};

waitless::app!();

fn site() -> impl Handler {
    Router::new().get("/", index).get("/double/{n}", double)
}

async fn index(_: Request) -> &'static str {
    "Hello from NAME, a machine without an operating system.\n"
}

async fn double(request: Request) -> Result<Json<u64>, Problem> {
    let n: u64 = request.param("n")?;
    Ok(Json(n.wrapping_mul(2)))
}
"#;

const BUILD: &str = "//! Turns waitless.toml into the graph that src/main.rs is linked with.

fn main() {
    build::generate();
}
";

const SITE: &str = r#"
[package.metadata.waitless.components.site]
handler = "site"
requires = "HttpPort+"
"#;

impl New {
    /// Makes it.
    ///
    /// # Errors
    /// One message with the next step.
    pub fn run(mut self) -> Result<(), String> {
        if let Some((_, name)) = self.name.trim_end_matches('/').rsplit_once('/')
            && self.path.is_none()
        {
            let name = name.to_owned();
            self.path = Some(std::mem::replace(&mut self.name, name).into());
        }
        if self.path.is_none() && (self.git.is_some() || self.waitless.is_some()) {
            return Err("an app in this workspace is on this tree: say where another one \
                goes by --path"
                .to_owned());
        }
        let own = self.path.is_some();
        let home = match (&self.waitless, own) {
            (Some(tree), _) => canonical(tree)?,
            (None, true) => crate::workspace::own_tree(),
            (None, false) => cli::open()?.workspace.root,
        };
        let folder = match &self.path {
            Some(path) => env::current_dir().unwrap_or_default().join(path),
            None => home.join("apps").join(&self.name),
        };
        let folder = settled(&folder);
        if folder.join("Cargo.toml").exists() {
            return Err(format!("there is a package in {} already", folder.display()));
        }
        self.is_free(&folder)?;
        if own && !home.join("core/Cargo.toml").is_file() {
            return Err(format!(
                "{} is no Waitless tree; say where one is by --waitless",
                home.display()
            ));
        }
        let tree = Workspace::load(&home)?;
        if own {
            self.is_outside(&folder, &tree)?;
        }
        self.name_is_good(&tree)?;
        let fresh = !folder.exists();
        if let Err(why) = self.make(&folder, &home) {
            // Half an app would spoil the workspace for every other command.
            if fresh {
                let _ = fs::remove_dir_all(&folder);
            } else {
                self.targets().for_each(|file| _ = fs::remove_file(folder.join(file)));
            }
            return Err(why);
        }
        let folder = canonical(&folder)?;
        let at = relative(&folder, &env::current_dir().unwrap_or_default());
        println!("made {at}; next:");
        match own {
            true => println!("  cd {at} && cargo run     # natively; README.md has the rest"),
            false => println!(
                "  cargo run -p {0}                      # natively\n  \
                 cargo run -p build -- run --app {0}   # in QEMU",
                self.name
            ),
        }
        Ok(())
    }

    /// The files that are made, in the app's folder.
    fn targets(&self) -> impl Iterator<Item = &'static str> {
        let own = if self.path.is_some() { &OWN[..] } else { &[] };
        FILES.iter().chain(TAKEN_OVER.iter().filter(|_| self.path.is_some())).chain(own).copied()
    }

    /// Refuses a folder with files that would be written over.
    fn is_free(&self, folder: &Path) -> Result<(), String> {
        let there = |file: &&str| folder.join(file).symlink_metadata().is_ok();
        let there: Vec<_> = self.targets().filter(there).collect();
        if there.is_empty() {
            return Ok(());
        }
        let (files, folder) = (list(&there), folder.display());
        Err(format!("{folder} has {files} already; name another folder, or move what is there"))
    }

    /// Refuses a folder inside of this workspace or of the tree's: cargo takes no workspace in
    /// another one.
    fn is_outside(&self, folder: &Path, tree: &Workspace) -> Result<(), String> {
        let here = env::current_dir().unwrap_or_default();
        let package = here.ancestors().find(|folder| folder.join("Cargo.toml").is_file());
        let current = package.and_then(|package| Workspace::load(package).ok());
        let holds = |workspace: &&Workspace| {
            let root = settled(&workspace.root);
            let target = settled(&workspace.target);
            // What is built is nobody's member.
            let is_built = target.starts_with(&root) && folder.starts_with(&target);
            folder.starts_with(&root) && !is_built
        };
        let Some(around) = [Some(tree), current.as_ref()].into_iter().flatten().find(holds) else {
            return Ok(());
        };
        let (name, root) = (&self.name, around.root.display());
        let next = match around.root.join("core/Cargo.toml").is_file() {
            true => format!("`new {name}` makes it in apps/"),
            false => "name a folder outside of it".to_owned(),
        };
        Err(format!("{} is inside of the workspace {root}; {next}", folder.display()))
    }

    /// Refuses what cargo or rustc would, and what would be another package's.
    fn name_is_good(&self, workspace: &Workspace) -> Result<(), String> {
        let name = &self.name;
        let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(good) {
            return Err(format!(
                "`{name}` is no name for an app: use lower-case letters, digits and hyphens, a \
                 letter first"
            ));
        }
        if is_keyword(name) || TAKEN.contains(&name.as_str()) {
            return Err(format!(
                "`{name}` is no name for an app: it is a word of Rust or of cargo; try `my-{name}`"
            ));
        }
        match workspace.package(name) {
            None => Ok(()),
            Some(package) => Err(format!(
                "there is a package `{name}` already, {}; try `my-{name}`",
                workspace.shown(&package.manifest)
            )),
        }
    }

    fn make(&self, folder: &Path, home: &Path) -> Result<(), String> {
        self.files(folder, home)?;
        let folder = canonical(folder)?;
        if self.path.is_some() {
            self.repository(&folder, home)?;
        }
        self.dependencies(&folder, home)
    }

    fn files(&self, folder: &Path, home: &Path) -> Result<(), String> {
        let fill = |text: &str| text.replace("NAME", &self.name);
        let help = match self.path {
            Some(_) => "waitless-build",
            None => "cargo run -p build --",
        };
        put(&folder.join("waitless.toml"), &fill(MANIFEST).replace("HELP", help))?;
        put(&folder.join("src/main.rs"), &fill(MAIN))?;
        put(&folder.join("build.rs"), BUILD)?;
        put(&folder.join("Cargo.toml"), &self.cargo_toml(folder, home))
    }

    fn cargo_toml(&self, folder: &Path, home: &Path) -> String {
        let name = &self.name;
        let Some(_) = &self.path else {
            return format!(
                "[package]\nname = \"{name}\"\nversion.workspace = true\nedition.workspace = true\n\
                 rust-version.workspace = true\nlicense.workspace = true\n\
                 publish.workspace = true\n\
                 {SITE}\n[dependencies]\nwaitless.workspace = true\n\n\
                 [build-dependencies]\nbuild.workspace = true\n\n[lints]\nworkspace = true\n"
            );
        };
        let from = |package: &str| match &self.git {
            Some(git) => format!("git = \"{git}\""),
            None => format!("path = \"{}\"", home.join(package).display()),
        };
        let _ = folder;
        let profiles = profiles(home);
        format!(
            "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\
             publish = false\n\
             {SITE}\n[dependencies]\nwaitless = {{ {} }}\n\n\
             [build-dependencies]\nbuild = {{ {}, default-features = false }}\n\n\
             # A workspace of its own.\n[workspace]\n\n\
             # What cryptography asks for the processor's instructions; that of the registry\n\
             # knows none on bare metal.\n[patch.crates-io]\ncpufeatures = {{ {} }}\n\n{profiles}",
            from("core"),
            from("build"),
            from("platforms/cpufeatures")
        )
    }

    /// What a repository of its own needs besides: how images are built, and a README.
    fn repository(&self, folder: &Path, home: &Path) -> Result<(), String> {
        for file in TAKEN_OVER {
            let text = fs::read_to_string(home.join(file));
            let text = text.map_err(|why| format!("cannot read {file} of the tree: {why}"))?;
            put(&folder.join(file), &text)?;
        }
        // The key that `certificate = "development"` makes is nobody else's.
        put(&folder.join(".gitignore"), "/target\n/certs\n")?;
        let (name, tree) = (&self.name, home.display());
        let (install, setup) = match &self.git {
            Some(git) => (
                format!("cargo install --git {git} build"),
                format!("`make setup` in a checkout of {git} composes"),
            ),
            None => (
                format!("cargo install --path {tree}/build"),
                format!("`make -C {tree} setup` composes"),
            ),
        };
        let readme = format!(
            "# {name}\n\nA Waitless image.\n\n    \
             cargo run                     # natively, on http://localhost:8080/\n    \
             {install}    # once: the command waitless-build\n    \
             waitless-build run            # in QEMU\n    \
             waitless-build graph          # what it is made of\n    \
             cargo +waitless build --release --target x86_64-waitless    # the image alone\n\n\
             For 64-bit Arm: waitless-build run --arch aarch64, and --target aarch64-waitless.\n\n\
             Images need the toolchain `waitless`, which {setup}.\n"
        );
        put(&folder.join("README.md"), &readme)
    }

    /// Adds all components of the graph, on every platform, to the dependencies.
    fn dependencies(&self, folder: &Path, home: &Path) -> Result<(), String> {
        for _ in 0..3 {
            let workspace = Workspace::load(folder)?;
            let workspace = Workspace { home: home.to_owned(), ..workspace };
            let mut project = Project::with(workspace, folder);
            let mut missing: Vec<Missing> = Vec::new();
            let mut wrong = Vec::new();
            let there = project.platforms();
            for platform in there.iter().filter(|p| PLATFORMS.contains(&p.name.as_str())) {
                project.set_arch(platform.arch.clone());
                let (_, reports) = project.try_graph(&self.name, &platform.name)?;
                for report in reports {
                    let fresh = report.missing.iter().filter(|new| !missing.contains(new));
                    let fresh: Vec<_> = fresh.cloned().collect();
                    if report.missing.is_empty() {
                        wrong.push(report);
                    }
                    missing.extend(fresh);
                }
            }
            if missing.is_empty() {
                return match wrong.is_empty() {
                    true => Ok(()),
                    false => Err(render(&wrong, &project.sources)),
                };
            }
            missing.sort_by(|a, b| (&a.condition, &a.package).cmp(&(&b.condition, &b.package)));
            let manifest = folder.join("Cargo.toml");
            depend(&manifest, &missing, &project.workspace, self.git.as_deref())?;
        }
        Ok(())
    }
}

/// The profiles of the tree, which images need: link-time optimization, aborting panics. What they
/// say of single packages is left out: cargo warns of each that the app does not have.
fn profiles(home: &Path) -> String {
    let text = fs::read_to_string(home.join("Cargo.toml")).unwrap_or_default();
    let mut lines = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        if line.starts_with('[') {
            inside = line.starts_with("[profile.") && !line.contains(".package");
        }
        if inside && !line.starts_with('#') {
            lines.push(line);
        }
    }
    lines.join("\n").trim_end().to_owned() + "\n"
}

fn canonical(path: &Path) -> Result<PathBuf, String> {
    path.canonicalize().map_err(|why| format!("cannot find {}: {why}", path.display()))
}

/// `path` without links and `..`, though its end need not be there yet.
fn settled(path: &Path) -> PathBuf {
    let there = path.ancestors().find_map(|start| Some((start, start.canonicalize().ok()?)));
    let Some((start, mut settled)) = there else { return path.to_owned() };
    for part in path.strip_prefix(start).unwrap_or(Path::new("")).components() {
        match part {
            Component::ParentDir => _ = settled.pop(),
            part => settled.push(part),
        }
    }
    settled
}

fn put(path: &Path, text: &str) -> Result<(), String> {
    let fail = |why| format!("cannot write {}: {why}", path.display());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(fail)?;
    }
    fs::write(path, text).map_err(fail)
}
