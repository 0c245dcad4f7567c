//! From files to a draft: platform, stacks and app are merged, and nothing is checked yet that
//! needs the catalogue.

use crate::report::{Report, list, nearest};
use crate::source::{Key, Node, Span, Table, Value, get};
use crate::types::is_keyword;

/// Where an instance was declared first.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Layer {
    /// In the platform's manifest.
    Platform,
    /// In a stack.
    Stack(String),
    /// In the app's manifest.
    App,
}

/// One instance, as all layers together declare it.
#[derive(Clone, PartialEq, Debug)]
pub struct Entry {
    /// Its name, where it was declared first.
    pub name: Key,
    /// Where it was declared first.
    pub layer: Layer,
    /// All keys; a later layer's have replaced an earlier one's.
    pub keys: Table,
    /// Whether the app's manifest has a table for it.
    pub touched: bool,
}

/// `[app]` or `[platform]`: where its name is, and its keys.
#[derive(Clone, PartialEq, Debug)]
pub struct Head {
    /// The table's name.
    pub key: Key,
    /// The keys.
    pub keys: Table,
}

/// A merged manifest.
#[derive(Clone, PartialEq, Debug)]
pub struct Draft {
    /// `[app]`.
    pub app: Head,
    /// `[platform]`.
    pub platform: Head,
    /// All instances, in order.
    pub entries: Vec<Entry>,
    /// Instances of stacks that the platform replaces: an app may still configure them, for
    /// other platforms.
    pub hidden: Vec<Entry>,
}

/// The tables of the files that make a graph.
pub struct Layers<'a> {
    /// `platforms/<platform>/waitless.toml`.
    pub platform: &'a Table,
    /// The manifest with the stacks; the app's own if it is the same.
    pub home: &'a Table,
    /// The app's manifest.
    pub app: &'a Table,
    /// The start of the app's manifest, for what is missing in it.
    pub start: Span,
    /// The start of the platform's manifest.
    pub platform_start: Span,
}

/// Keys that every instance has, whatever its component.
pub const RESERVED_KEYS: [&str; 6] = ["is", "on", "core", "via", "under", "when"];

/// The most instances of a graph: far more than fit into a machine, and few enough to check.
pub const INSTANCES_MAX: usize = 1000;

/// Names of tables that are no instances.
const TABLES: [&str; 3] = ["app", "platform", "stack"];

/// Names that would be something else in the generated code, besides Rust's own words.
const TAKEN: [&str; 18] = [
    "alloc",
    "component",
    "context",
    "core",
    "cx",
    "graph",
    "image",
    "init-error",
    "inspect",
    "instant",
    "last",
    "main",
    "pool",
    "std",
    "sweep",
    "system",
    "waitless",
    "watch",
];

/// The manifests as one.
pub fn merge(layers: &Layers<'_>, reports: &mut Vec<Report>) -> Draft {
    let app = head(layers.app, "app", layers.start, reports);
    let platform = head(layers.platform, "platform", layers.platform_start, reports);
    let mut merge = Merge { layers, reports, entries: Vec::new(), hidden: Vec::new() };
    merge.instances(layers.platform, &Layer::Platform);
    merge.stacks(&app);
    merge.instances(layers.app, &Layer::App);
    let Merge { mut entries, hidden, .. } = merge;
    if let Some(entry) = entries.get(INSTANCES_MAX) {
        let message = format!("there are {} instances", entries.len());
        let report = Report::new(entry.name.at, message);
        reports.push(report.help(format!("a graph has {INSTANCES_MAX} at most: remove some")));
        entries.truncate(INSTANCES_MAX);
    }
    Draft { app, platform, entries, hidden }
}

fn head(table: &Table, name: &str, start: Span, reports: &mut Vec<Report>) -> Head {
    let found = table.iter().find(|(key, _)| key.name == name);
    if let Some((key, node)) = found
        && let Some(keys) = node.table()
    {
        return Head { key: key.clone(), keys: keys.clone() };
    }
    let at = found.map_or(start, |(key, _)| key.at);
    let help = match name {
        "app" => "add `[app]` with `crate = \"…\"`, the package that the image is made from",
        _ => "add `[platform]` with `crate = \"…\"` and `target = \"…\"`",
    };
    reports.push(Report::new(at, format!("there is no table `[{name}]`")).help(help));
    Head { key: Key { name: name.to_owned(), at }, keys: Vec::new() }
}

struct Merge<'a> {
    layers: &'a Layers<'a>,
    reports: &'a mut Vec<Report>,
    entries: Vec<Entry>,
    hidden: Vec<Entry>,
}

impl Merge<'_> {
    /// Every table of a platform's or an app's manifest that is an instance.
    fn instances(&mut self, table: &Table, layer: &Layer) {
        for (key, node) in table {
            let own = match layer {
                Layer::Platform => key.name == "platform",
                _ => key.name == "app",
            };
            if own || key.name == "stack" {
                continue;
            }
            self.instance(key, node, layer);
        }
    }

    fn instance(&mut self, key: &Key, node: &Node, layer: &Layer) {
        let Some(keys) = node.table() else {
            if let Value::Array(items) = &node.value
                && items.first().is_some_and(|item| item.table().is_some())
            {
                let name = &key.name;
                let message = format!("`{name}` is a list of tables");
                let help = format!("an instance is one table: write `[{name}]`");
                self.reports.push(Report::new(key.at, message).help(help));
                return;
            }
            let message = format!("`{}` stands outside of all tables", key.name);
            let help = "a key belongs below the `[name]` of an instance, or below `[app]`";
            self.reports.push(Report::new(key.at, message).help(help));
            return;
        };
        if !self.name_is_good(key) {
            return;
        }
        let known = |entries: &mut Vec<Entry>| entries.iter().position(|e| e.name.name == key.name);
        let mut found = false;
        for entries in [&mut self.entries, &mut self.hidden] {
            if let Some(known) = known(entries) {
                overlay(&mut entries[known], keys, *layer == Layer::App);
                found = true;
            }
        }
        if !found {
            self.entries.push(Entry {
                name: key.clone(),
                layer: layer.clone(),
                keys: keys.clone(),
                touched: *layer == Layer::App,
            });
        }
    }

    fn name_is_good(&mut self, key: &Key) -> bool {
        let name = key.name.as_str();
        let report = |message: String| Report::new(key.at, message);
        let good = name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
            && !name.ends_with('-')
            && !name.contains("--");
        let report = if TABLES.contains(&name) {
            report(format!("`{name}` is reserved: no instance can be called so"))
                .help(format!("`[{name}]` belongs into another manifest; see docs/manifest.md"))
        } else if is_keyword(name) || TAKEN.contains(&name) {
            report(format!("`{name}` is reserved: the generated code uses it"))
                .help(format!("call the instance `{name}-1`, say, and name its component by `is`"))
        } else if !good {
            report(format!("`{name}` is no name for an instance"))
                .help("use lower-case letters, digits and single hyphens, a letter first")
        } else {
            return true;
        };
        self.reports.push(report);
        false
    }

    /// The stacks that the app uses, with what the platform makes of them.
    fn stacks(&mut self, app: &Head) {
        let Some(wanted) = get(&app.keys, "stacks") else { return };
        let Some(names) = wanted.strings() else {
            let report = Report::new(wanted.at, "`stacks` is a list of names");
            self.reports.push(report.help("such as stacks = [\"tcp\"]"));
            return;
        };
        let layers = self.layers;
        let stack = |table: &'_ Table, name: &str| -> Option<Table> {
            get(table, "stack")?.get(name)?.table().cloned()
        };
        let mut used: Vec<&str> = Vec::new();
        for (name, at) in names {
            if used.contains(&name) {
                let message = format!("the stack `{name}` is named twice");
                self.reports.push(Report::new(at, message).help("remove one of the two"));
                continue;
            }
            used.push(name);
            let declared = stack(layers.app, name).or_else(|| stack(layers.home, name));
            let on_platform = stack(layers.platform, name).unwrap_or_default();
            let Some(declared) = declared else {
                self.unknown_stack(name, at);
                continue;
            };
            let layer = Layer::Stack(name.to_owned());
            let replace = get(&on_platform, "replace");
            let replaced = replace.is_some_and(|node| node.value == Value::Bool(true));
            if let Some(node) = replace
                && !matches!(node.value, Value::Bool(_))
            {
                let report = Report::new(node.at, "`replace` is `true` or `false`");
                self.reports.push(report);
            }
            for (key, node) in &declared {
                self.instance(key, node, &layer);
            }
            if replaced {
                let in_stack = |entry: &Entry| entry.layer == layer;
                self.hidden.extend(self.entries.iter().filter(|e| in_stack(e)).cloned());
                self.entries.retain(|entry| !in_stack(entry));
            }
            for (key, node) in on_platform.iter().filter(|(key, _)| key.name != "replace") {
                self.on_platform(key, node, &layer);
            }
        }
    }

    fn on_platform(&mut self, key: &Key, node: &Node, layer: &Layer) {
        let Some(keys) = node.table() else {
            self.reports.push(Report::new(key.at, "only `replace` and tables stand in a stack"));
            return;
        };
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.name.name == key.name) {
            overlay(entry, keys, false);
        } else if self.name_is_good(key) {
            self.entries.push(Entry {
                name: key.clone(),
                layer: layer.clone(),
                keys: keys.clone(),
                touched: false,
            });
        }
    }

    fn unknown_stack(&mut self, name: &str, at: Span) {
        let names = |table: &Table| -> Vec<String> {
            let stacks = get(table, "stack").and_then(Node::table);
            stacks.into_iter().flatten().map(|(key, _)| key.name.clone()).collect()
        };
        let known = [names(self.layers.app), names(self.layers.home)].concat();
        let near = nearest(name, known.iter().map(String::as_str));
        let mut report = Report::new(at, format!("there is no stack `{name}`"));
        report = match near {
            Some(near) => report.label(format!("did you mean `{near}`?")),
            None if known.is_empty() => {
                report.help("declare its instances as [stack.NAME.INSTANCE]")
            }
            None => report.help(format!("the stacks are {}", list(&known))),
        };
        self.reports.push(report);
    }
}

/// Puts a later layer's keys over an entry's. Another component takes nothing over.
fn overlay(entry: &mut Entry, keys: &Table, touched: bool) {
    entry.touched |= touched;
    let kind = |table: &Table| get(table, "is").and_then(Node::str).map(str::to_owned);
    let name = || entry.name.name.clone();
    if kind(keys).is_some_and(|is| is != kind(&entry.keys).unwrap_or_else(name)) {
        entry.keys.clone_from(keys);
        return;
    }
    for (key, node) in keys {
        match entry.keys.iter_mut().find(|(known, _)| known.name == key.name) {
            Some(known) => *known = (key.clone(), node.clone()),
            None => entry.keys.push((key.clone(), node.clone())),
        }
    }
}
