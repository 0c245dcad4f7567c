//! What cargo knows: the packages around an app, and where the Waitless tree is.

use crate::conditions;
use crate::source::{self, Node, Sources};
use serde_json::Value;
use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The packages that an app can be made of.
#[derive(Clone, Debug, Default)]
pub struct Workspace {
    /// The Waitless tree: home of the named stacks and the platforms.
    pub home: PathBuf,
    /// The root of the workspace that the app belongs to.
    pub root: PathBuf,
    /// Where cargo puts what it builds.
    pub target: PathBuf,
    /// All packages, members of the workspace first.
    pub packages: Vec<Package>,
}

/// One package.
#[derive(Clone, Debug, Default)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its `Cargo.toml`.
    pub manifest: PathBuf,
    /// Whether it belongs to the app's workspace.
    pub member: bool,
    /// What it depends on to run.
    pub dependencies: Vec<Dependency>,
}

/// That a package depends on another.
#[derive(Clone, Debug, Default)]
pub struct Dependency {
    /// The other package's name.
    pub package: String,
    /// How the code calls it, as an identifier.
    pub ident: String,
    /// The `cfg` or the target on which it does, if not on all.
    pub target: Option<String>,
}

impl Workspace {
    /// The workspace of the package or workspace in the folder `at`.
    ///
    /// # Errors
    /// What cargo says.
    pub fn load(at: &Path) -> Result<Self, String> {
        let metadata = metadata(&at.join("Cargo.toml"))?;
        let list = |key: &str| metadata[key].as_array().map_or(&[][..], Vec::as_slice);
        let members = list("workspace_members");
        let mut packages: Vec<Package> = list("packages")
            .iter()
            .map(|package| Package {
                name: text(&package["name"]),
                version: text(&package["version"]),
                manifest: text(&package["manifest_path"]).into(),
                member: members.contains(&package["id"]),
                dependencies: dependencies(package),
            })
            .collect();
        packages.sort_by(|a, b| (!a.member, &a.name).cmp(&(!b.member, &b.name)));
        let root = text(&metadata["workspace_root"]).into();
        let target = text(&metadata["target_directory"]).into();
        Ok(Self { home: home(&packages), root, target, packages })
    }

    /// The package called `name`; the workspace's own before others.
    pub fn package(&self, name: &str) -> Option<&Package> {
        self.packages.iter().find(|package| package.name == name)
    }
}

impl Package {
    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.manifest.parent().unwrap_or(Path::new("."))
    }

    /// The dependency on the package `name`, of images for `target` or, for `host`, of programs of
    /// this machine. Where a condition cannot be told, it counts.
    pub fn dependency(&self, name: &str, target: &str) -> Option<&Dependency> {
        let counts = |dependency: &Dependency| match &dependency.target {
            Some(condition) => conditions::holds(condition, target) != Some(false),
            None => true,
        };
        self.dependencies.iter().find(|it| it.package == name && counts(it))
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// What a package depends on to run: as it is without being told of features, but for the package
/// whose build script this is, of which cargo says which are on.
fn dependencies(package: &Value) -> Vec<Dependency> {
    let own = env::var("CARGO_PKG_NAME").is_ok_and(|name| package["name"] == name.as_str());
    let is_on = |name: &str| {
        let variable = name.to_uppercase().replace('-', "_");
        own && env::var_os(format!("CARGO_FEATURE_{variable}")).is_some()
    };
    let features = with_features(&package["features"], is_on);
    let all = package["dependencies"].as_array().into_iter().flatten();
    all.filter_map(|it| dependency(it, &features)).collect()
}

/// The features that are there by themselves or because they are on, and the optional dependencies
/// that are with them.
fn with_features(features: &Value, is_on: impl Fn(&str) -> bool) -> Vec<String> {
    let mut all = vec!["default".to_owned()];
    let known = features.as_object().into_iter().flatten();
    all.extend(known.map(|(name, _)| name.clone()).filter(|name| is_on(name)));
    let mut next = 0;
    while let Some(feature) = all.get(next) {
        let more: Vec<_> = features[feature.as_str()].as_array().into_iter().flatten().collect();
        let words = more.into_iter().map(text).filter(|word| !word.contains('?'));
        for word in words {
            let word = word.trim_start_matches("dep:").split('/').next().unwrap_or_default();
            if !all.iter().any(|known| known == word) {
                all.push(word.to_owned());
            }
        }
        next += 1;
    }
    all
}

fn dependency(dependency: &Value, features: &[String]) -> Option<Dependency> {
    let package = text(&dependency["name"]);
    let called = dependency["rename"].as_str().unwrap_or(&package);
    if dependency["optional"] == true && !features.iter().any(|feature| feature == called) {
        return None;
    }
    // A kind is given only to dependencies of tests and of build scripts.
    dependency["kind"].is_null().then(|| Dependency {
        ident: called.replace('-', "_"),
        target: dependency["target"].as_str().map(str::to_owned),
        package: package.clone(),
    })
}

/// Asks cargo without the network, then with it, then for the workspace's members alone.
fn metadata(manifest: &Path) -> Result<Value, String> {
    let host = host();
    let mut first = None;
    for options in [&["--offline"][..], &[], &["--offline", "--no-deps"]] {
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.args(["metadata", "--format-version", "1", "--manifest-path"]).arg(manifest);
        command.args(options);
        if let Some(host) = &host {
            command.args(["--filter-platform", host]);
        }
        // Meant for the build of the image around this, not for a question about packages.
        for variable in ["RUSTC_BOOTSTRAP", "CARGO_UNSTABLE_BUILD_STD", "CARGO_BUILD_TARGET"] {
            command.env_remove(variable);
        }
        match answer(&mut command) {
            Ok(metadata) => return Ok(metadata),
            Err(why) => first = first.or(Some(why)),
        }
    }
    let why = first.unwrap_or_default();
    Err(format!("cargo cannot read the workspace of {}:\n{}", manifest.display(), why.trim()))
}

/// The JSON that a command prints, or what it says when it fails.
fn answer(command: &mut Command) -> Result<Value, String> {
    let output = command.stdin(Stdio::null()).output();
    let output =
        output.map_err(|why| format!("cannot start cargo: {why}; install Rust by rustup"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    serde_json::from_slice(&output.stdout).map_err(|why| format!("its answer is no JSON: {why}"))
}

/// The machine that builds, as rustc calls it. Packages for others need not be at hand.
fn host() -> Option<String> {
    if let Ok(host) = env::var("HOST")
        && env::var_os("OUT_DIR").is_some()
    {
        return Some(host);
    }
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("-vV").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.lines().find_map(|line| line.strip_prefix("host: ").map(str::to_owned))
}

/// The tree that the app's `waitless` comes from, else the one that this was built from.
fn home(packages: &[Package]) -> PathBuf {
    let trees = packages
        .iter()
        .filter(|package| package.name == "waitless" || package.name == "build")
        .filter_map(|package| package.folder().parent());
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    let is_home = |tree: &&Path| tree.join("platforms").is_dir();
    trees.chain(own).find(is_home).or(own).unwrap_or(Path::new(".")).to_owned()
}

impl Workspace {
    /// The line that makes a package in `folder` depend on `package`, whose manifest is at
    /// `manifest`.
    pub fn line_for(&self, package: &str, manifest: &Path, folder: &Path) -> String {
        if self.inherits(package) && folder.starts_with(&self.root) {
            return format!("{package}.workspace = true");
        }
        let at = manifest.parent().unwrap_or(Path::new("."));
        format!("{package} = {{ path = {:?} }}", relative(at, folder))
    }

    /// Whether the workspace's root declares `package` for its members.
    pub fn inherits(&self, package: &str) -> bool {
        let mut sources = Sources::default();
        let Ok(file) = sources.read(&self.root.join("Cargo.toml")) else { return false };
        let (table, _) = source::parse(&sources, file);
        let shared = source::get(&table, "workspace").and_then(|node| node.get("dependencies"));
        shared.and_then(|shared: &Node| shared.get(package)).is_some()
    }

    /// `path` as messages call it.
    pub fn shown(&self, path: &Path) -> String {
        let path = path.strip_prefix(&self.root).unwrap_or(path);
        path.display().to_string().replace('\\', "/")
    }
}

/// `path` as seen from `folder`, with forward slashes.
pub fn relative(path: &Path, folder: &Path) -> String {
    let (to, from): (Vec<_>, Vec<_>) = (path.components().collect(), folder.components().collect());
    let same = to.iter().zip(&from).take_while(|(a, b)| a == b).count();
    if same <= 1 {
        return path.display().to_string();
    }
    let up = from[same..].iter().map(|_| "..".to_owned());
    let down = to[same..].iter().map(|part| part.as_os_str().to_string_lossy().into_owned());
    let all: Vec<_> = up.chain(down).collect();
    if all.is_empty() { ".".to_owned() } else { all.join("/") }
}

/// The Waitless tree that this program was built from.
pub fn own_tree() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_optional_dependency_is_one_where_a_default_feature_has_it() {
        let on = |name: &str, optional: bool| json!({ "name": name, "optional": optional });
        let mut package = json!({
            "features": {
                "default": ["more"],
                "more": ["dep:a", "b/std", "c?/std"],
                "d": ["dep:d"],
            },
            "dependencies": [on("a", true), on("b", true), on("c", true), on("d", true)],
        });
        let names = |package: &Value| {
            let all = dependencies(package).into_iter();
            all.map(|it| it.package).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(names(&package), "a b");
        package["dependencies"] = json!([on("a", false), on("e", false)]);
        assert_eq!(names(&package), "a e");
    }
}
