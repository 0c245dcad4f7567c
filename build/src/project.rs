//! The files around an app, found and read, and the graph that they make.

use crate::catalogue::Catalogue;
use crate::check::{Surroundings, check};
use crate::graph::Graph;
use crate::manifest::{Draft, Layers, merge};
use crate::report::{Report, list, nearest, render};
use crate::source::{Key, Node, Sources, Span, Syntax, Table, Value, get, parse};
use crate::workspace::{Package, Workspace};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Where a graph is made: the packages, the components and the platforms.
#[derive(Debug)]
pub struct Project {
    /// The packages.
    pub workspace: Workspace,
    /// All files that were read.
    pub sources: Sources,
    /// All components.
    pub catalogue: Catalogue,
    /// What is wrong with the catalogue.
    faults: Vec<Report>,
    /// The folder that this was asked for.
    folder: PathBuf,
    /// The architecture that is wanted, of platforms that have several.
    arch: Option<String>,
    given: Given,
}

/// What a machine is given, whatever the manifests say: words of a command line.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// Its memory: a text, in which a number alone is one of MiB.
    pub memory: Option<Node>,
    /// Its processors: a number.
    pub cores: Option<Node>,
}

/// A platform as its manifest's head declares it, for one of its architectures.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PlatformFile {
    /// Its name: that of the folder.
    pub name: String,
    /// The manifest.
    pub path: PathBuf,
    /// The architecture, of a platform that has a table for each.
    pub arch: Option<String>,
    /// What rustc builds for, or `host`.
    pub target: String,
    /// One line about it.
    pub doc: String,
    /// The instances that it brings.
    pub instances: Vec<String>,
}

#[cfg(test)]
impl PlatformFile {
    /// One that is called so and builds for that.
    pub(crate) fn of(name: &str, target: &str) -> Self {
        Self {
            name: name.to_owned(),
            path: PathBuf::new(),
            arch: None,
            target: target.to_owned(),
            doc: String::new(),
            instances: Vec::new(),
        }
    }
}

impl Project {
    /// The project of the package or workspace in `folder`.
    ///
    /// # Errors
    /// One message that says what cannot be read.
    pub fn open(folder: &Path) -> Result<Self, String> {
        let workspace = Workspace::load(folder)?;
        Ok(Self::with(workspace, folder))
    }

    /// The project of a workspace that was loaded before.
    pub fn with(workspace: Workspace, folder: &Path) -> Self {
        let mut sources = Sources::new(&workspace.root);
        let mut faults = Vec::new();
        let catalogue = Catalogue::load(&workspace, &mut sources, &mut faults);
        let (folder, given) = (folder.to_owned(), Given::default());
        Self { workspace, sources, catalogue, faults, folder, arch: None, given }
    }

    /// Checks graphs for a machine with so much memory and so many processors.
    pub fn give(&mut self, memory: Option<&str>, cores: Option<u64>) {
        let memory = memory.map(|memory| ("--memory ", Value::String(memory.to_owned())));
        let cores = cores
            .map(|cores| ("--cores ", Value::Integer(i64::try_from(cores).unwrap_or(i64::MAX))));
        let words = [memory.as_ref(), cores.as_ref()];
        let said = |(option, value): &(&str, Value)| match value {
            Value::String(text) => format!("{option}{text}"),
            value => format!("{option}{value}"),
        };
        let text = words.iter().flatten().map(|word| said(word)).collect::<Vec<_>>().join(" ");
        let file = self.sources.add(Path::new("the command line"), text.clone());
        let node = |(option, value): (&str, Value)| {
            let start = text.find(option).unwrap_or(0) + option.len();
            let length = text[start..].find(' ').unwrap_or(text.len() - start);
            Node { value, at: Span { file, start, end: start + length } }
        };
        self.given = Given { memory: memory.map(node), cores: cores.map(node) };
    }

    /// Chooses the architecture of platforms that have several; without one, it is their first.
    pub fn set_arch(&mut self, arch: Option<String>) {
        self.arch = arch;
    }

    /// The app that is meant when none is named: that of the folder, else the workspace's.
    ///
    /// # Errors
    /// One message with the next step.
    pub fn default_app(&self) -> Result<String, String> {
        let mut folder = Some(self.folder.as_path());
        while let Some(at) = folder {
            if let Some(name) = self.app_of(&at.join("waitless.toml"))? {
                return Ok(name);
            }
            folder = at.parent().filter(|_| at != self.workspace.root);
        }
        match &self.apps()[..] {
            [only] => Ok(only.clone()),
            [] => Err("there is no app here; make one by `new NAME`".to_owned()),
            several => Err(format!("there are several apps: choose {} by --app", list(several))),
        }
    }

    /// The app that the manifest at `path` is for; none where nothing is, or a manifest with
    /// stacks alone or of a platform.
    fn app_of(&self, path: &Path) -> Result<Option<String>, String> {
        if !is_there(path) {
            return Ok(None);
        }
        let mut sources = Sources::new(&self.workspace.root);
        let file = sources.read(path)?;
        let (table, syntax) = parse(&sources, file);
        let found = table.iter().find(|(key, _)| key.name == "app");
        let named = found.and_then(|(_, app)| app.get("crate"));
        let report = match (named, found) {
            (Some(node), _) => match node.str() {
                Some(name) if self.workspace.package(name).is_some() => {
                    return Ok(Some(name.to_owned()));
                }
                Some(name) => {
                    let members = self.workspace.packages.iter().filter(|package| package.member);
                    let near = nearest(name, members.map(|package| package.name.as_str()));
                    let near = near.map_or(String::new(), |near| format!("did you mean `{near}`?"));
                    let report = Report::new(node.at, format!("there is no package `{name}`"));
                    report.label(near).help("name the package of the app")
                }
                None => {
                    let report = Report::new(node.at, "bad value for `crate`");
                    report.label("expected text in quotes")
                }
            },
            (None, Some((key, app))) => {
                let report = Report::new(key.at, "`[app]` needs `crate`");
                let keys = app.table().into_iter().flatten();
                let close = |(key, _): &&(Key, Node)| {
                    nearest(&key.name, std::iter::once("crate")).is_some()
                };
                let report = match keys.into_iter().find(close) {
                    Some((key, _)) => report.note(key.at, "did you mean `crate`?"),
                    None => report,
                };
                report.help("add a line `crate = \"…\"`: the package that the image is made from")
            }
            (None, None) if table.iter().any(|(key, _)| OTHERS.contains(&key.name.as_str())) => {
                return Ok(None);
            }
            (None, None) => {
                Report::new(Span { file, start: 0, end: 0 }, "there is no table `[app]`").help(
                    "add `[app]` with `crate = \"…\"`, the package that the image is made from",
                )
            }
        };
        // What could not be read may be what is missing.
        let syntax = syntax_reports(syntax, &sources);
        let reports = if syntax.is_empty() { vec![report] } else { syntax };
        Err(render(&reports, &sources))
    }

    /// The instances of the tree's own stacks: the name of each, and its component's.
    pub fn stacked(&self) -> Vec<(String, String)> {
        let Some(table) = table_at(&self.workspace.home.join("waitless.toml")) else {
            return Vec::new();
        };
        let stacks = get(&table, "stack").and_then(Node::table).into_iter().flatten();
        let instances = stacks.filter_map(|(_, stack)| stack.table()).flatten();
        let mut found: Vec<_> = instances
            .map(|(key, node)| {
                let is = node.get("is").and_then(Node::str).unwrap_or(&key.name);
                (key.name.clone(), is.to_owned())
            })
            .collect();
        found.sort();
        found.dedup();
        found
    }

    /// All packages of the workspace that are apps.
    pub fn apps(&self) -> Vec<String> {
        let members = self.workspace.packages.iter().filter(|package| package.member);
        let is_app = |package: &&Package| {
            self.manifest_of(package).is_some_and(|manifest| !is_platform(&manifest))
        };
        members.filter(is_app).map(|package| package.name.clone()).collect()
    }

    /// The manifest of an app: its own, or the workspace's if that names it.
    pub fn manifest_of(&self, package: &Package) -> Option<PathBuf> {
        let own = package.folder().join("waitless.toml");
        if is_there(&own) {
            return Some(own);
        }
        [&self.workspace.root, &self.workspace.home]
            .map(|root| root.join("waitless.toml"))
            .into_iter()
            .find(|path| crate_of(path).as_ref() == Some(&package.name))
    }

    /// All platforms, once for each of their architectures, sorted by name.
    pub fn platforms(&self) -> Vec<PlatformFile> {
        let mut found: Vec<PlatformFile> = Vec::new();
        for root in [&self.workspace.root, &self.workspace.home] {
            let entries = fs::read_dir(root.join("platforms")).into_iter().flatten().flatten();
            for entry in entries {
                let name = entry.file_name().to_string_lossy().into_owned();
                let path = entry.path().join("waitless.toml");
                if !path.is_file() || found.iter().any(|known| known.name == name) {
                    continue;
                }
                let Some(table) = table_at(&path) else { continue };
                let keys = get(&table, "platform").and_then(Node::table);
                let keys = keys.cloned().unwrap_or_default();
                let names = table.iter().map(|(key, _)| &key.name);
                let is_instance = |name: &&String| *name != "platform" && *name != "stack";
                let instances: Vec<String> = names.filter(is_instance).cloned().collect();
                let several = architectures(&keys).map(|(key, _)| Some(key.name.clone()));
                let mut several: Vec<_> = several.collect();
                if several.is_empty() {
                    several.push(None);
                }
                for arch in several {
                    let keys = for_architecture(&keys, arch.as_deref());
                    let text = |key: &str| {
                        get(&keys, key).and_then(Node::str).unwrap_or_default().to_owned()
                    };
                    let (target, doc) = (text("target"), text("doc"));
                    let (name, path, instances) = (name.clone(), path.clone(), instances.clone());
                    found.push(PlatformFile { name, path, arch, target, doc, instances });
                }
            }
        }
        // It is stable: architectures stay in the manifest's order.
        found.sort_by(|a, b| a.name.cmp(&b.name));
        found
    }

    /// The platform called `name`, for the architecture that is wanted.
    ///
    /// # Errors
    /// One message, when there is none.
    pub fn platform(&self, name: &str) -> Result<PlatformFile, String> {
        let platforms = self.platforms();
        let fits = |known: &PlatformFile| self.arch.is_none() || known.arch == self.arch;
        let named: Vec<_> = platforms.iter().filter(|known| known.name == name).collect();
        if let Some(found) = named.iter().find(|known| fits(known)) {
            return Ok((*found).clone());
        }
        let Some(arch) = self.arch.as_ref().filter(|_| !named.is_empty()) else {
            let names = list(&names_of(&platforms));
            return Err(format!("there is no platform `{name}`; there are {names}"));
        };
        let others: Vec<_> = named.iter().filter_map(|known| known.arch.as_ref()).collect();
        Err(if others.is_empty() {
            format!("the platform `{name}` has no architectures to choose from")
        } else {
            format!("the platform `{name}` is not for {arch}; it is for {}", list(&others))
        })
    }

    /// The graph of `app` on `platform`.
    ///
    /// # Errors
    /// Everything that is wrong, as a person should see it.
    pub fn graph(&mut self, app: &str, platform: &str) -> Result<Graph, String> {
        let (graph, reports) = self.try_graph(app, platform)?;
        graph.ok_or_else(|| render(&reports, &self.sources))
    }

    /// The graph of `app` on `platform`, or everything that is wrong with it.
    ///
    /// # Errors
    /// One message, when the app or the platform is unknown or cannot be read.
    pub fn try_graph(
        &mut self,
        app: &str,
        platform: &str,
    ) -> Result<(Option<Graph>, Vec<Report>), String> {
        let (draft, mut reports, stacks) = self.draft(app, platform)?;
        let unknown = unknown_platforms(&draft, &self.platforms());
        if let Some(report) = elsewhere(&draft, app, platform) {
            return Ok((None, if unknown.is_empty() { vec![report] } else { unknown }));
        }
        reports.extend(unknown);
        let broken = reports.iter().any(|report| report.help.iter().any(|help| is_syntax(help)));
        if let Some(named) = get(&draft.app.keys, "crate").filter(|named| named.str() != Some(app))
        {
            let report = Report::new(named.at, format!("this manifest is for the package `{app}`"));
            reports.push(report.label(format!("expected \"{app}\"")));
        }
        let others = self.platforms().into_iter().filter(|other| other.name != platform);
        let mut others: Vec<_> = others.map(|other| (other.name, other.instances)).collect();
        others.dedup();
        let chosen = self.platform(platform)?;
        let around = Surroundings {
            workspace: &self.workspace,
            sources: &self.sources,
            catalogue: &self.catalogue,
            app,
            platform,
            arch: chosen.arch.as_deref(),
            stacks: &stacks,
            others: &others,
            given: &self.given,
        };
        let graph = check(&draft, &around, &mut reports);
        if broken {
            // What a parser could not read is missing everywhere else; say only what it says.
            reports.retain(|report| report.help.iter().any(|help| is_syntax(help)));
        }
        Ok((graph, reports))
    }

    /// Whether `app` is for `platform`, as far as its manifest says.
    ///
    /// # Errors
    /// One message, when the app or the platform is unknown or cannot be read.
    pub fn is_for(&mut self, app: &str, platform: &str) -> Result<bool, String> {
        let (draft, ..) = self.draft(app, platform)?;
        Ok(elsewhere(&draft, app, platform).is_none())
    }

    /// The merged manifests of `app` on `platform`, what is wrong so far, and all stacks with
    /// the names of their instances.
    ///
    /// # Errors
    /// One message, when the app or the platform is unknown or cannot be read.
    #[expect(clippy::type_complexity, reason = "three things that are found together")]
    pub fn draft(
        &mut self,
        app: &str,
        platform: &str,
    ) -> Result<(Draft, Vec<Report>, Vec<(String, Vec<String>)>), String> {
        let Some(package) = self.workspace.package(app).cloned() else {
            let apps = self.apps();
            let near = nearest(app, apps.iter().map(String::as_str));
            let near = near.map_or(format!("the apps are {}", list(&apps)), |near| {
                format!("did you mean `{near}`?")
            });
            return Err(format!("there is no app `{app}`; {near}"));
        };
        let Some(manifest) = self.manifest_of(&package) else {
            // What is wrong with the workspace's own may be why.
            self.app_of(&self.workspace.root.join("waitless.toml"))?;
            let at = self.workspace.shown(&package.folder().join("waitless.toml"));
            return Err(format!("`{app}` has no manifest; its place is {at}"));
        };
        let chosen = self.platform(platform)?;
        let home = self.workspace.home.join("waitless.toml");
        let mut reports = self.faults.clone();
        let (app_table, start) = self.read(&manifest, &mut reports)?;
        let (platform_table, platform_start) = self.read(&chosen.path, &mut reports)?;
        let home_table = match is_there(&home) && home != manifest {
            true => self.read(&home, &mut reports)?.0,
            false => app_table.clone(),
        };
        let layers = Layers {
            platform: &platform_table,
            home: &home_table,
            app: &app_table,
            start,
            platform_start,
        };
        let mut draft = merge(&layers, &mut reports);
        draft.platform.keys = for_architecture(&draft.platform.keys, chosen.arch.as_deref());
        let stacks = stacks_of(&[&app_table, &home_table]);
        Ok((draft, reports, stacks))
    }

    fn read(&mut self, path: &Path, reports: &mut Vec<Report>) -> Result<(Table, Span), String> {
        let file = self.sources.read(path)?;
        let (table, syntax) = parse(&self.sources, file);
        reports.extend(syntax_reports(syntax, &self.sources));
        Ok((table, Span { file, start: 0, end: 0 }))
    }
}

/// Tables of manifests that are no app's.
const OTHERS: [&str; 2] = ["platform", "stack"];

/// Whether anything is at `path`, if only a link to nothing.
fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// The tables in `[platform]`: one for each architecture.
fn architectures(keys: &Table) -> impl Iterator<Item = (&Key, &Table)> {
    keys.iter().filter_map(|(key, node)| Some((key, node.table()?)))
}

/// The keys of `[platform]`, with those of the architecture's own table over them.
fn for_architecture(keys: &Table, arch: Option<&str>) -> Table {
    let mut all: Table = keys.iter().filter(|(_, node)| node.table().is_none()).cloned().collect();
    let own = architectures(keys).find(|(key, _)| Some(key.name.as_str()) == arch);
    for (key, node) in own.into_iter().flat_map(|(_, own)| own) {
        all.retain(|(known, _)| known.name != key.name);
        all.push((key.clone(), node.clone()));
    }
    all
}

/// Whether a next step is that of a manifest that cannot be read.
fn is_syntax(help: &str) -> bool {
    help.contains("as TOML")
}

/// The names of the platforms, each once: one that is for several architectures stands there for
/// each.
pub(crate) fn names_of(platforms: &[PlatformFile]) -> Vec<&str> {
    let mut names: Vec<_> = platforms.iter().map(|platform| platform.name.as_str()).collect();
    names.dedup();
    names
}

/// What is wrong with the names of the platforms that an app is for.
fn unknown_platforms(draft: &Draft, known: &[PlatformFile]) -> Vec<Report> {
    let Some(only) = get(&draft.app.keys, "platforms") else { return Vec::new() };
    let Some(names) = only.strings() else {
        let report = Report::new(only.at, "bad value for `platforms`");
        let report = report.label("expected a list of names");
        return vec![report.help("such as platforms = [\"qemu\", \"native\"]")];
    };
    let known = names_of(known);
    let unknown = names.into_iter().filter(|(name, _)| !known.contains(name));
    let report = |(name, at): (&str, Span)| {
        let report = Report::new(at, format!("there is no platform `{name}`"));
        match nearest(name, known.iter().copied()) {
            Some(near) => report.label(format!("did you mean `{near}`?")),
            None => report.help(format!("there are {}", list(&known))),
        }
    };
    unknown.map(report).collect()
}

/// What is wrong where an app names the platforms that it is for, and this is none of them.
fn elsewhere(draft: &Draft, app: &str, platform: &str) -> Option<Report> {
    let only = get(&draft.app.keys, "platforms")?;
    let names: Vec<_> = only.strings()?.into_iter().map(|(name, _)| name).collect();
    if names.contains(&platform) {
        return None;
    }
    let report = Report::new(only.at, format!("`{app}` is not for the platform `{platform}`"));
    let report = report.label(format!("it is for {}", list(&names)));
    Some(report.help("choose one of these by --platform"))
}

/// The named stacks and their instances.
fn stacks_of(tables: &[&Table]) -> Vec<(String, Vec<String>)> {
    let stacks = tables.iter().filter_map(|table| get(table, "stack")?.table()).flatten();
    stacks
        .map(|(key, stack)| {
            let instances = stack.table().into_iter().flatten();
            (key.name.clone(), instances.map(|(key, _)| key.name.clone()).collect())
        })
        .collect()
}

/// What cannot be read as TOML: what follows the first mistake of a line is seldom another.
fn syntax_reports(errors: Vec<Syntax>, sources: &Sources) -> Vec<Report> {
    let mut lines = BTreeSet::new();
    let mut reports = Vec::new();
    for error in errors {
        let line = sources.get(error.at.file).line_and_column(error.at.start).0;
        if lines.insert((error.at.file, line)) {
            reports.push(syntax_report(error.at, &error.message, sources));
        }
    }
    reports
}

/// What the parser says, in our words where it is about names.
fn syntax_report(at: Span, message: &str, sources: &Sources) -> Report {
    if message.contains("duplicate key") {
        let name = sources.get(at.file).text.get(at.start..at.end).unwrap_or_default();
        let report = Report::new(at, format!("`{name}` is declared twice")).label("again here");
        return report
            .help("give one of the two another name, or remove it: as TOML, names are unique");
    }
    let message = message.lines().collect::<Vec<_>>().join("; ");
    Report::new(at, "the manifest cannot be read as TOML")
        .label(message)
        .help("see https://toml.io; the rest is checked once the file can be read as TOML")
}

/// The package that the manifest at `path` is for.
fn crate_of(path: &Path) -> Option<String> {
    get(&table_at(path)?, "app")?.get("crate").and_then(Node::str).map(str::to_owned)
}

/// Whether the manifest at `path` is a platform's, which may stand beside the platform's crate.
fn is_platform(path: &Path) -> bool {
    table_at(path).is_some_and(|table| get(&table, "platform").is_some())
}

/// What can be read of the file at `path`.
fn table_at(path: &Path) -> Option<Table> {
    let mut sources = Sources::default();
    let file = sources.read(path).ok()?;
    Some(parse(&sources, file).0)
}
