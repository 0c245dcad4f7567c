//! Adds an instance to a manifest and its crate to the app's `Cargo.toml`.

use crate::catalogue::{Catalogue, Component, Requires};
use crate::cli::{self, Which};
use crate::manifest::RESERVED_KEYS;
use crate::project::Project;
use crate::report::{Missing, list, render};
use crate::workspace::{Workspace, relative};
use std::path::{Path, PathBuf};
use std::{env, fs};
use toml_edit::{Array, DocumentMut, InlineTable, Item, Table, Value};

/// What to add.
#[derive(clap::Args, Debug)]
pub struct Add {
    /// The component
    component: String,
    /// The name of the instance [default: that of the component]
    #[arg(long)]
    name: Option<String>,
    /// What it stands on; several in the order of what the component requires [default: what fits]
    #[arg(long, value_name = "INSTANCE", value_delimiter = ',')]
    on: Vec<String>,
    /// Puts it into the edge below this instance
    #[arg(long, value_name = "INSTANCE", conflicts_with = "on")]
    under: Option<String>,
    /// A key of its configuration; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Prints what would be written, and writes nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    which: Which,
}

impl Add {
    /// Adds it.
    ///
    /// # Errors
    /// One message with the next step; nothing is written then.
    pub fn run(&self, mut project: Project) -> Result<(), String> {
        let app = cli::app(&project, &self.which)?;
        let package = project.workspace.package(&app).cloned();
        let package = package.ok_or_else(|| format!("there is no app `{app}`"))?;
        let manifest = project.manifest_of(&package);
        let manifest = manifest.ok_or_else(|| format!("`{app}` has no manifest"))?;
        let component = project.catalogue.find(&self.component, &[]).cloned().ok_or_else(|| {
            let names = project.catalogue.public().map(|component| component.name.as_str());
            cli::unknown("component", &self.component, &names.collect::<Vec<_>>())
        })?;
        let before = read(&manifest)?;
        let name = self.name.clone().unwrap_or_else(|| component.name.clone());
        let there = project.providers(&app, &self.which.platform)?;
        if there.iter().any(|(known, _)| *known == name) {
            return Err(format!(
                "there is an instance `{name}` already; give the new one another name by --name"
            ));
        }
        let table = self.table(&name, &component, &there)?;
        let (after, served) = edited(&before, &name, table, &project.catalogue)
            .map_err(|why| format!("cannot read {} as TOML: {why}", manifest.display()))?;
        if self.dry_run {
            cli::print(&after);
            return Ok(());
        }
        let dependencies = read(&package.manifest)?;
        if let Err(why) = self.write(&project, &app, &package.manifest, (&manifest, &after)) {
            put(&manifest, &before)?;
            put(&package.manifest, &dependencies)?;
            return Err(why.replace("nothing was generated", "nothing was added"));
        }
        println!("added [{name}] to {}", project.workspace.shown(&manifest));
        if let Some(served) = served {
            println!("put `{served}` on it as well");
        }
        Ok(())
    }

    /// Writes the manifest, and what the app's package needs besides to its `Cargo.toml`.
    fn write(
        &self,
        project: &Project,
        app: &str,
        cargo_toml: &Path,
        (manifest, text): (&Path, &str),
    ) -> Result<(), String> {
        put(manifest, text)?;
        let platforms: Vec<_> = project.platforms().into_iter().map(|found| found.name).collect();
        for platform in platforms {
            let mut project = cli::open()?;
            let (_, reports) = project.try_graph(app, &platform)?;
            let missing: Vec<_> = reports.into_iter().flat_map(|report| report.missing).collect();
            let added = depend(cargo_toml, &missing, &project.workspace, None)?;
            for package in added {
                println!("added `{package}` to {}", shown(cargo_toml));
            }
        }
        let mut project = cli::open()?;
        let (graph, reports) = project.try_graph(app, &self.which.platform)?;
        match graph {
            Some(_) => Ok(()),
            None => Err(render(&reports, &project.sources)),
        }
    }

    fn table(
        &self,
        name: &str,
        component: &Component,
        there: &[(String, Vec<String>)],
    ) -> Result<Table, String> {
        let mut table = Table::new();
        if name != component.name {
            table.insert("is", toml_edit::value(&component.name));
        }
        if let Some(under) = &self.under {
            table.insert("under", toml_edit::value(under));
        } else if let Some(on) = self.on(component, there)? {
            table.insert("on", Item::Value(on));
        }
        for setting in &self.set {
            let (key, text) =
                setting.split_once('=').ok_or_else(|| format!("`{setting}` is not KEY=VALUE"))?;
            let fields = component.config.iter().map(|field| field.name.as_str());
            let known: Vec<_> = fields.chain(RESERVED_KEYS).collect();
            if !known.contains(&key) {
                return Err(cli::unknown(&format!("key of `{}`", component.name), key, &known));
            }
            // What is no TOML value by itself is text.
            let value = text.parse::<Value>().unwrap_or_else(|_| Value::from(text));
            table.insert(key, Item::Value(value));
        }
        let given = |key: &str| table.contains_key(key);
        let needed = component.config.iter().filter(|f| f.default.is_none() && !f.is_option());
        let missing: Vec<_> = needed.filter(|f| !given(&f.name)).map(|f| f.name.as_str()).collect();
        match missing.first() {
            Some(first) => Err(format!(
                "`{}` needs {}; give it by --set {first}=…",
                component.name,
                list(&missing)
            )),
            None => Ok(table),
        }
    }

    /// What the new instance stands on: what was said, else the only instance that fits.
    fn on(
        &self,
        component: &Component,
        there: &[(String, Vec<String>)],
    ) -> Result<Option<Value>, String> {
        let names = if self.on.is_empty() {
            let fits = |port: &&str| {
                let has =
                    |(_, provides): &&(String, Vec<String>)| provides.iter().any(|p| p == port);
                let names: Vec<_> =
                    there.iter().filter(has).map(|(name, _)| name.clone()).collect();
                match &names[..] {
                    [only] => Ok(only.clone()),
                    [] => Err(format!(
                        "no instance provides {port}, which it requires: add one first"
                    )),
                    several => {
                        let several = list(several);
                        Err(format!(
                            "{several} provide {port}: choose by --on, or insert it by --under"
                        ))
                    }
                }
            };
            component.requires.ports().iter().map(fits).collect::<Result<Vec<_>, _>>()?
        } else {
            self.on.clone()
        };
        Ok(match (&component.requires, &names[..]) {
            (_, []) => None,
            (Requires::One(_), [only]) => Some(Value::from(only.as_str())),
            _ => Some(Value::Array(names.iter().map(String::as_str).collect::<Array>())),
        })
    }
}

impl Project {
    /// The instances that the app may stand on, pruned ones included, and what they provide.
    fn providers(
        &mut self,
        app: &str,
        platform: &str,
    ) -> Result<Vec<(String, Vec<String>)>, String> {
        let draft = self.draft(app, platform)?.0;
        let provides = |entry: &crate::manifest::Entry| {
            let kind = crate::source::get(&entry.keys, "is").and_then(crate::source::Node::str);
            let component = self.catalogue.find(kind.unwrap_or(&entry.name.name), &[]);
            let provides = component.map_or(Vec::new(), |component| component.provides.clone());
            (entry.name.name.clone(), provides)
        };
        Ok(draft.entries.iter().map(provides).collect())
    }
}

/// The manifest `text` with one table more, and the instance that now stands on it, if any.
///
/// # Errors
/// What the parser says.
pub fn edited(
    text: &str,
    name: &str,
    table: Table,
    catalogue: &Catalogue,
) -> Result<(String, Option<String>), String> {
    let mut document: DocumentMut = text.parse().map_err(|why| format!("{why}"))?;
    let kind = table.get("is").and_then(Item::as_str).unwrap_or(name).to_owned();
    insert(&mut document, name, table);
    let component = catalogue.find(&kind, &[]);
    let served = component.and_then(|c| stand_on_it(&mut document, catalogue, c, name));
    Ok((document.to_string(), served))
}

/// Puts the table behind the last of the app's own, before stacks.
fn insert(document: &mut DocumentMut, name: &str, mut table: Table) {
    let own = document.iter().filter(|(name, _)| *name != "stack");
    let last = own.filter_map(|(_, item)| item.as_table()?.position()).max();
    table.set_position(last);
    table.decor_mut().set_prefix("\n");
    document.insert(name, Item::Table(table));
}

/// Lets the one instance that takes any number of such ports stand on the new one as well.
fn stand_on_it(
    document: &mut DocumentMut,
    catalogue: &Catalogue,
    component: &Component,
    name: &str,
) -> Option<String> {
    let provides = |port: &String| component.provides.contains(port);
    let mut takers = Vec::new();
    for (taker, item) in document.iter() {
        let kind = item.get("is").and_then(Item::as_str).unwrap_or(taker);
        let found = catalogue.find(kind, &[]);
        if let Some(Requires::Many(port)) = found.map(|found| &found.requires)
            && provides(port)
        {
            takers.push(taker.to_owned());
        }
    }
    let [taker] = &takers[..] else { return None };
    let on = document.get_mut(taker)?.get_mut("on")?;
    if let Some(only) = on.as_str() {
        let array: Array = [only, name].into_iter().collect();
        *on = toml_edit::value(array);
    } else {
        on.as_array_mut()?.push(name);
    }
    Some(taker.clone())
}

/// Adds the dependencies to the `Cargo.toml` at `path`, in the tables that they belong to. `git`
/// is where the Waitless tree comes from, if not from this machine and not from where the
/// package has `waitless` from. Gives their names.
pub(super) fn depend(
    path: &Path,
    missing: &[Missing],
    workspace: &Workspace,
    git: Option<&str>,
) -> Result<Vec<String>, String> {
    if missing.is_empty() {
        return Ok(Vec::new());
    }
    let mut document = parse(path, &read(path)?)?;
    // With its branch, tag or revision, where it says one.
    let like = document.get("dependencies").and_then(|table| table.get("waitless"));
    let like = like.filter(|entry| entry.get("git").is_some()).cloned();
    for package in missing {
        let root = document.as_table_mut();
        let table = match &package.condition {
            None => table(root, &["dependencies"]),
            Some(condition) => {
                table(root, &["target", &format!("cfg({condition})"), "dependencies"])
            }
        };
        let table =
            table.ok_or_else(|| format!("{} has no tables of dependencies", path.display()))?;
        let folder = path.parent().unwrap_or(Path::new("."));
        let mut entry = InlineTable::new();
        let of_tree = package.manifest.starts_with(&workspace.home);
        if let Some(like) = like.as_ref().filter(|_| of_tree) {
            table.insert(&package.package, like.clone());
        } else if let Some(git) = git.filter(|_| of_tree) {
            entry.insert("git", git.into());
            table.insert(&package.package, toml_edit::value(entry));
        } else if workspace.inherits(&package.package) && folder.starts_with(&workspace.root) {
            let mut entry = Table::new();
            entry.set_dotted(true);
            entry.insert("workspace", toml_edit::value(true));
            table.insert(&package.package, Item::Table(entry));
        } else {
            let at = package.manifest.parent().unwrap_or(Path::new("."));
            entry.insert("path", relative(at, folder).into());
            table.insert(&package.package, toml_edit::value(entry));
        }
    }
    put(path, &document.to_string())?;
    Ok(missing.iter().map(|package| package.package.clone()).collect())
}

/// The table at `path`, made where it is not there.
fn table<'a>(root: &'a mut Table, path: &[&str]) -> Option<&'a mut Table> {
    let Some((first, rest)) = path.split_first() else { return Some(root) };
    let implicit = !rest.is_empty();
    let next = root.entry(first).or_insert_with(|| {
        let mut table = Table::new();
        table.set_implicit(implicit);
        Item::Table(table)
    });
    table(next.as_table_mut()?, rest)
}

fn shown(path: &Path) -> String {
    let here = env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
    relative(path, &here)
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|why| format!("cannot read {}: {why}", path.display()))
}

fn parse(path: &Path, text: &str) -> Result<DocumentMut, String> {
    text.parse().map_err(|why| format!("cannot read {} as TOML: {why}", path.display()))
}

fn put(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|why| format!("cannot write {}: {why}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Sources;

    const HTTP: &str = "[package]\nname = \"http1\"\n[package.metadata.waitless]\n\
        component = \"Http1\"\nprovides = \"HttpPort\"\nrequires = \"StreamPort\"\n";
    const SITE: &str = "[package]\nname = \"web\"\n\
        [package.metadata.waitless.components.site]\nhandler = \"site\"\n\
        requires = \"HttpPort+\"\n";

    fn catalogue() -> Catalogue {
        let mut components = Vec::new();
        for (name, text) in [("http1", HTTP), ("site", SITE)] {
            let path = env::temp_dir().join(format!("waitless-add-{}-{name}", std::process::id()));
            fs::write(&path, text).unwrap();
            let mut sources = Sources::default();
            components.extend(crate::catalogue::read(&path, &mut sources, &mut Vec::new()));
            fs::remove_file(&path).unwrap();
        }
        Catalogue { components }
    }

    #[test]
    fn adding_keeps_comments_and_order_and_puts_the_handlers_on_it() {
        let before = "# Mine.\n[app] # here\ncrate = \"web\"\n\n[http]\nis = \"http1\"\n\n\
            [site]\non = [\"http\"] # all\n\n# The stack.\n[stack.tcp.eth]\non = \"nic\"\n";
        let mut table = Table::new();
        table.insert("is", toml_edit::value("http1"));
        table.insert("on", toml_edit::value("tcp"));
        table.insert("port", toml_edit::value(8000));
        let (after, served) = edited(before, "more", table, &catalogue()).unwrap();
        assert_eq!(served.as_deref(), Some("site"));
        let expected = "# Mine.\n[app] # here\ncrate = \"web\"\n\n[http]\nis = \"http1\"\n\n\
            [site]\non = [\"http\", \"more\"] # all\n\n[more]\nis = \"http1\"\non = \"tcp\"\n\
            port = 8000\n\n# The stack.\n[stack.tcp.eth]\non = \"nic\"\n";
        assert_eq!(after, expected);
    }
}
