//! `[app]`, `[platform]`, and what the app's package must depend on.

use super::Check;
use crate::graph::{App, Platform};
use crate::manifest::{Head, Layer};
use crate::report::{Missing, Report, list, nearest};
use crate::source::{Node, Value, get};
use crate::types::size;
use crate::workspace::Package;

/// The keys of `[app]`: name, what it may be, what it is for.
pub const APP_KEYS: [(&str, &str, &str); 8] = [
    ("crate", "string", "The package that the image is made from."),
    ("cores", "\"all\" | 1..=64", "How many cores run a graph of their own."),
    ("hostname", "string", "What the image calls itself, for components with a key `hostname`."),
    ("memory", "size", "The memory that the image is given when the runner boots it."),
    ("packets", "0..=1000000", "Packet buffers for each core; 0: by the memory there is."),
    ("platforms", "[string]", "The platforms that the app is for; without it, all there are."),
    ("stacks", "[string]", "The named stacks whose instances belong to the graph."),
    ("trace", "bool", "Whether each instance's cycles are counted, for `top`."),
];

/// The keys of `[platform]`, and of the tables in it for its architectures.
pub const PLATFORM_KEYS: [(&str, &str, &str); 8] = [
    ("crate", "string", "The package that boots the image."),
    ("cores", "1..=64", "How many cores it can run, at most."),
    ("doc", "string", "One line about it."),
    ("has", "[string]", "What components may need of it."),
    ("image", "size", "The memory that an image takes before it has packets, and what it leaves."),
    ("memory", "size", "The memory that an image gets where [app] does not say."),
    ("stacks", "size", "The memory that each core beside the first takes for its stacks."),
    ("target", "string", "What rustc builds for: a target, or \"host\"."),
];

impl Check<'_> {
    pub(super) fn heads(&mut self) {
        let (app, platform) = (&self.draft.app, &self.draft.platform);
        self.unknown_keys(app, &APP_KEYS);
        self.unknown_keys(platform, &PLATFORM_KEYS);
        let most = self.number(platform, "cores", 1..=64).unwrap_or(1);
        let package = self.text(app, "crate", true).unwrap_or_default();
        let found = self.around.workspace.package(&package);
        if found.is_none() && !package.is_empty() && package == self.around.app {
            let names = self.around.workspace.packages.iter().map(|package| package.name.as_str());
            let at = get(&app.keys, "crate").map_or(app.key.at, |node| node.at);
            let report = Report::new(at, format!("there is no package `{package}`"));
            let near = nearest(&package, names);
            let near = near.map_or(String::new(), |near| format!("did you mean `{near}`?"));
            self.report(report.label(near).help("name the package of the app"));
        }
        let memory = self.size(platform, "memory");
        self.given_cores(most);
        self.app = App {
            version: found.map_or(String::new(), |found| found.version.clone()),
            package,
            cores: self.core_count(most),
            all_cores: get(&app.keys, "cores").and_then(Node::str) == Some("all"),
            packets: self.number(app, "packets", 0..=1_000_000).unwrap_or(0),
            memory: self.size(app, "memory").or(memory),
            hostname: self.text(app, "hostname", false),
            stacks: get(&app.keys, "stacks").and_then(Node::strings).map_or(Vec::new(), |names| {
                names.into_iter().map(|(name, _)| name.to_owned()).collect()
            }),
            trace: self.switch(app, "trace"),
        };
        let package = self.text(platform, "crate", true).unwrap_or_default();
        let has = get(&platform.keys, "has").and_then(Node::strings).unwrap_or_default();
        let target = self.text(platform, "target", true).unwrap_or_default();
        let dependency = found.and_then(|found| found.dependency(&package, &target));
        self.platform = Platform {
            name: self.around.platform.to_owned(),
            ident: dependency.map_or(package.replace('-', "_"), |found| found.ident.clone()),
            package,
            target,
            has: has.into_iter().map(|(name, _)| name.to_owned()).collect(),
        };
    }

    /// Reports more cores on the command line than the platform runs.
    fn given_cores(&mut self, most: u64) {
        let Some(node) = &self.around.given.cores else { return };
        if let Value::Integer(count) = node.value
            && count.unsigned_abs() > most
        {
            let (name, plural) = (self.around.platform, if most == 1 { "" } else { "s" });
            let message = format!("{count} cores do not fit: `{name}` runs {most} core{plural}");
            self.report(Report::new(node.at, message).help("give it fewer"));
        }
    }

    fn core_count(&mut self, most: u64) -> u64 {
        let app = &self.draft.app;
        let Some(node) = get(&app.keys, "cores") else { return 1 };
        if node.str() == Some("all") {
            return most;
        }
        match node.value {
            // As many at most, and the same manifest is for platforms that run fewer.
            Value::Integer(count @ 1..=64) => count.unsigned_abs().min(most),
            _ => {
                let report = Report::new(node.at, "bad value for `cores`");
                self.report(report.label("expected \"all\" or a number in 1..=64"));
                1
            }
        }
    }

    fn unknown_keys(&mut self, head: &Head, known: &[(&str, &str, &str)]) {
        for (key, _) in &head.keys {
            if known.iter().any(|(name, ..)| *name == key.name) {
                continue;
            }
            let report =
                Report::new(key.at, format!("`[{}]` has no key `{}`", head.key.name, key.name));
            let names: Vec<_> = known.iter().map(|(name, ..)| *name).collect();
            self.report(match nearest(&key.name, names.iter().copied()) {
                Some(near) => report.label(format!("did you mean `{near}`?")),
                None => report.help(format!("its keys are {}", list(&names))),
            });
        }
    }

    fn switch(&mut self, head: &Head, key: &str) -> bool {
        let Some(node) = get(&head.keys, key) else { return false };
        if let Value::Bool(on) = node.value {
            return on;
        }
        let report = Report::new(node.at, format!("bad value for `{key}`"));
        self.report(report.label("expected true or false"));
        false
    }

    fn text(&mut self, head: &Head, key: &str, required: bool) -> Option<String> {
        match get(&head.keys, key) {
            Some(node) if node.str().is_some_and(|text| !text.is_empty()) => {
                node.str().map(str::to_owned)
            }
            Some(node) => {
                let report = Report::new(node.at, format!("bad value for `{key}`"));
                self.report(report.label("expected text in quotes"));
                None
            }
            None => {
                // A head that is missing altogether has been reported.
                if required && !head.keys.is_empty() {
                    let message = format!("`[{}]` needs `{key}`", head.key.name);
                    let report = Report::new(head.key.at, message);
                    self.report(report.help(format!("add a line `{key} = \"…\"`")));
                }
                None
            }
        }
    }

    fn number(
        &mut self,
        head: &Head,
        key: &str,
        range: std::ops::RangeInclusive<u64>,
    ) -> Option<u64> {
        let node = get(&head.keys, key)?;
        if let Value::Integer(number) = node.value
            && let Ok(number) = u64::try_from(number)
            && range.contains(&number)
        {
            return Some(number);
        }
        let report = Report::new(node.at, format!("bad value for `{key}`"));
        let label = format!("expected a number in {}..={}", range.start(), range.end());
        self.report(report.label(label));
        None
    }

    pub(super) fn size(&mut self, head: &Head, key: &str) -> Option<u64> {
        let node = get(&head.keys, key)?;
        let bytes = match &node.value {
            Value::Integer(bytes) => u64::try_from(*bytes).ok(),
            Value::String(text) => size(text),
            _ => None,
        };
        if bytes.is_none() {
            let report = Report::new(node.at, format!("bad value for `{key}`"));
            self.report(report.label("expected a size in bytes").help("such as \"128M\""));
        }
        bytes
    }

    /// Every crate that the generated code names must be a dependency of the app's package.
    pub(super) fn dependencies(&mut self) {
        let workspace = self.around.workspace;
        let Some(app) = workspace.package(&self.app.package) else { return };
        let mut lines: Vec<(Option<&str>, String)> = Vec::new();
        let mut missing: Vec<&str> = Vec::new();
        let mut wanted: Vec<Missing> = Vec::new();
        let bare = (self.platform.target != "host").then_some("target_os = \"none\"");
        let condition = bare.unwrap_or("not(target_os = \"none\")");
        // What boots one architecture cannot be built for another.
        let boots = self.around.arch.filter(|_| bare.is_some());
        let boots =
            boots.map(|arch| format!("all(target_arch = \"{arch}\", target_os = \"none\")"));
        let boots = boots.as_deref().unwrap_or(condition);
        let alive = self.slots.iter().filter(|slot| slot.alive);
        let components = alive.filter_map(|slot| {
            let component = slot.component?;
            let own = slot.entry.layer == Layer::Platform || component.name.starts_with("host-");
            Some((component.package.as_str(), &component.manifest, own.then_some(condition)))
        });
        let found = workspace.package(&self.platform.package);
        let manifest = found.map(|found| found.manifest.clone());
        let guess = self.platform.package.trim_start_matches("platform-");
        let manifest = manifest
            .unwrap_or_else(|| workspace.home.join("platforms").join(guess).join("Cargo.toml"));
        let platform = std::iter::once((self.platform.package.as_str(), &manifest, Some(boots)));
        for (package, manifest, own) in platform.chain(components) {
            let target = &self.platform.target;
            let known = app.name == package || app.dependency(package, target).is_some();
            if known || missing.contains(&package) || package.is_empty() {
                continue;
            }
            missing.push(package);
            wanted.push(Missing {
                package: package.to_owned(),
                manifest: manifest.clone(),
                condition: own.map(str::to_owned),
            });
            let line = workspace.line_for(package, manifest, app.folder());
            lines.push((own, line));
        }
        if missing.is_empty() {
            return;
        }
        let at = get(&self.draft.app.keys, "crate").map_or(self.draft.app.key.at, |node| node.at);
        let message = format!("`{}` does not depend on {}", app.name, list(&missing));
        let mut help = format!("add to {}:", workspace.shown(&app.manifest));
        let mut conditions = vec![None, Some(condition), Some(boots)];
        conditions.dedup();
        for condition in conditions {
            let mut lines = lines.iter().filter(|(of, _)| *of == condition).peekable();
            if lines.peek().is_some() {
                help += &match condition {
                    None => "\n[dependencies]".to_owned(),
                    Some(condition) => format!("\n[target.'cfg({condition})'.dependencies]"),
                };
                lines.for_each(|(_, line)| help += &format!("\n{line}"));
            }
        }
        let report = Report::new(at, message).label("this package").help(help);
        let report = self.elsewhere(report, app, &missing);
        self.report(Report { missing: wanted, ..report });
    }

    /// Says which of the `missing` packages there are lines for, whose condition does not hold.
    fn elsewhere(&self, report: Report, app: &Package, missing: &[&str]) -> Report {
        let named = |name: &&&str| app.dependencies.iter().any(|it| it.package == **name);
        let there: Vec<_> = missing.iter().filter(named).collect();
        if there.is_empty() {
            return report;
        }
        let (there, name) = (list(&there), &self.platform.name);
        report.help(format!("there is a line for {there}, but not one that counts on `{name}`"))
    }
}
