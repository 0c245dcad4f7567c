//! From a draft to a graph that is known to be sound, or to everything that is wrong with it.

mod config;
mod edges;
mod heads;
mod memory;
mod place;
mod secrets;

pub use heads::{APP_KEYS, PLATFORM_KEYS};
pub use memory::PACKET;

use crate::catalogue::{Catalogue, Code, Component};
use crate::graph::{App, Blob, Edge, Folder, Graph, Instance, Pin, Platform, Setting};
use crate::manifest::{Draft, Entry, Layer};
use crate::project::Given;
use crate::report::{Report, list, nearest};
use crate::source::{Node, Sources, Span, get};
use crate::workspace::Workspace;
use std::path::PathBuf;

/// What a draft is checked against.
pub struct Surroundings<'a> {
    /// The packages.
    pub workspace: &'a Workspace,
    /// The files that the draft was read from.
    pub sources: &'a Sources,
    /// The components.
    pub catalogue: &'a Catalogue,
    /// The app's package.
    pub app: &'a str,
    /// The platform's name.
    pub platform: &'a str,
    /// Its architecture, where it has several.
    pub arch: Option<&'a str>,
    /// The instances of all stacks: the stack and their names.
    pub stacks: &'a [(String, Vec<String>)],
    /// The names of the instances that each other platform brings.
    pub others: &'a [(String, Vec<String>)],
    /// What the machine is given, whatever the manifests say.
    pub given: &'a Given,
}

/// The graph that the draft declares.
///
/// # Errors
/// Everything that is wrong with it, added to `reports`.
pub fn check(draft: &Draft, around: &Surroundings<'_>, reports: &mut Vec<Report>) -> Option<Graph> {
    let mut check = Check {
        draft,
        around,
        reports,
        app: App::default(),
        platform: Platform::default(),
        slots: Vec::new(),
        unsayable: Vec::new(),
        pins: Vec::new(),
        blobs: Vec::new(),
        folders: Vec::new(),
        read: Vec::new(),
        warnings: Vec::new(),
    };
    check.heads();
    check.resolve();
    check.conditions();
    check.edges();
    check.prune();
    check.settings();
    check.rings();
    check.sharing();
    check.cores();
    check.listening();
    check.unique();
    check.needs();
    check.everybody_needs();
    check.dependencies();
    check.memory();
    check.something();
    if check.reports.is_empty() { Some(check.finish()) } else { None }
}

struct Check<'a> {
    draft: &'a Draft,
    around: &'a Surroundings<'a>,
    reports: &'a mut Vec<Report>,
    app: App,
    platform: Platform,
    slots: Vec<Slot<'a>>,
    /// Words for which an instance would be needed that is not there: `ip4.address=dhcp`.
    unsayable: Vec<String>,
    pins: Vec<Pin>,
    /// Files to be put beside the generated code.
    blobs: Vec<Blob>,
    /// Folders to be embedded.
    folders: Vec<Folder>,
    /// Files that were read, beside the manifests.
    read: Vec<PathBuf>,
    warnings: Vec<String>,
}

/// An instance on its way into the graph.
struct Slot<'a> {
    entry: &'a Entry,
    /// Absent when there is no such component, which was reported.
    component: Option<&'a Component>,
    links: Vec<Link>,
    /// Whether something in the image needs it.
    alive: bool,
    /// Whether `when` or the platform took it out.
    gone: bool,
    settings: Vec<Setting>,
    core: Option<u64>,
}

/// An edge on its way into the graph.
#[derive(Clone, Debug)]
struct Link {
    to: usize,
    port: String,
    label: Option<String>,
    /// Whether it crosses cores, by rings.
    ring: bool,
    at: Span,
}

impl<'a> Check<'a> {
    fn report(&mut self, report: Report) {
        self.reports.push(report);
    }

    fn slot(&self, name: &str) -> Option<usize> {
        self.slots.iter().position(|slot| slot.entry.name.name == name && !slot.gone)
    }

    /// The packages whose components are meant first: the app's own and its dependencies.
    fn preferred(&self) -> Vec<String> {
        let app = self.around.workspace.package(&self.app.package);
        let dependencies = app.into_iter().flat_map(|app| &app.dependencies);
        let names = dependencies.map(|dependency| dependency.package.clone());
        std::iter::once(self.app.package.clone()).chain(names).collect()
    }

    /// Finds every instance's component.
    fn resolve(&mut self) {
        let preferred = self.preferred();
        for entry in &self.draft.entries {
            let component = self.component(entry, &preferred);
            self.slots.push(Slot {
                entry,
                component,
                links: Vec::new(),
                alive: false,
                gone: false,
                settings: Vec::new(),
                core: None,
            });
        }
    }

    fn component(&mut self, entry: &'a Entry, preferred: &[String]) -> Option<&'a Component> {
        let is = get(&entry.keys, "is");
        let (kind, at) = match is.map(|is| (is.str(), is.at)) {
            None => (entry.name.name.as_str(), entry.name.at),
            Some((Some(kind), at)) => (kind, at),
            Some((None, at)) => {
                self.report(Report::new(at, "`is` names a component: text in quotes"));
                return None;
            }
        };
        let catalogue = self.around.catalogue;
        if let Some(found) = catalogue.find(kind, preferred) {
            let is_set = |key: &String| get(&entry.keys, key).is_some();
            let forms = catalogue.forms(found);
            let meant = forms
                .filter(|form| !form.when_set.is_empty() && form.when_set.iter().all(is_set))
                .max_by_key(|form| form.when_set.len());
            return Some(meant.unwrap_or(found));
        }
        let near = nearest(kind, catalogue.components.iter().map(|c| c.name.as_str()));
        let report = Report::new(at, format!("there is no component `{kind}`"));
        let report = match near {
            Some(near) => report.label(format!("did you mean `{near}`?")),
            None => report.label("unknown component"),
        };
        self.report(if is.is_none() {
            report.help(format!("name the component of `{kind}` by a line `is = \"…\"`")).help(
                "list them by `cargo run -p build -- components`; \
                 the app's own are declared in its Cargo.toml",
            )
        } else {
            report.help("list them by `cargo run -p build -- components`")
        });
        None
    }

    /// Takes out instances whose `when` does not hold.
    fn conditions(&mut self) {
        for index in 0..self.slots.len() {
            let entry = self.slots[index].entry;
            if let Some(when) = get(&entry.keys, "when")
                && self.holds(when) == Some(false)
            {
                self.slots[index].gone = true;
                // Nobody would be there for it, were it said at boot.
                let condition = when.str().and_then(|when| when.split_once("=="));
                let condition = condition.map(|(left, right)| (left.trim(), right.trim()));
                self.unsayable.extend(condition.map(|(key, word)| format!("{key}={word}")));
            }
        }
    }

    fn holds(&mut self, when: &Node) -> Option<bool> {
        let parsed = when.str().and_then(|text| {
            let (left, right, equal) = match text.split_once("==") {
                Some((left, right)) => (left, right, true),
                None => text.split_once("!=").map(|(left, right)| (left, right, false))?,
            };
            let (instance, key) = left.trim().split_once('.')?;
            Some((instance, key, right.trim(), equal))
        });
        let Some((instance, key, value, equal)) = parsed else {
            let report = Report::new(when.at, "`when` is a comparison");
            self.report(report.help("such as when = \"ip4.address == dhcp\""));
            return None;
        };
        let Some(slot) = self.slots.iter().find(|slot| slot.entry.name.name == instance) else {
            let names = self.slots.iter().map(|slot| slot.entry.name.name.as_str());
            let near = nearest(instance, names);
            let report = Report::new(when.at, format!("nothing is called `{instance}`"));
            self.report(meant(report, near).help("compare a key of an instance of this graph"));
            return None;
        };
        let component = slot.component?;
        let Some(field) = component.config.iter().find(|field| field.name == key) else {
            let message = format!("`{}` has no key `{key}`", component.name);
            let near = nearest(key, component.config.iter().map(|field| field.name.as_str()));
            let help = format!("list its keys by `cargo run -p build -- explain {instance}`");
            self.report(meant(Report::new(when.at, message), near).help(help));
            return None;
        };
        let is = get(&slot.entry.keys, key).or(field.default.as_ref());
        if field.is_of_files() {
            return Some((is.and_then(Node::str) == Some(value)) == equal);
        }
        let wanted = match field.of_word(value, when.at) {
            Ok(wanted) => wanted,
            Err(why) => {
                let message = format!("`{instance}.{key}` is never `{value}`");
                let report = Report::new(when.at, message);
                self.report(report.label(format!("expected {}", why.expected)).help(why.help));
                return None;
            }
        };
        // One that does not fit is reported where it stands.
        let is = is.and_then(|node| field.expression(node, "").ok());
        Some((is.as_ref() == Some(&wanted)) == equal)
    }

    /// Leaves out what nothing in the app's graph stands on. What an app declares itself must
    /// be used; of a stack and a platform, whatever is used.
    fn prune(&mut self) {
        let mut reach: Vec<usize> = Vec::new();
        for (index, slot) in self.slots.iter().enumerate().filter(|(_, slot)| !slot.gone) {
            let leaf = slot.component.is_none_or(|component| component.provides.is_empty());
            let stays = match slot.entry.layer {
                Layer::App => leaf || get(&slot.entry.keys, "under").is_none(),
                Layer::Stack(_) => leaf,
                Layer::Platform => leaf && slot.component.is_some(),
            };
            if stays {
                reach.push(index);
            }
        }
        while let Some(index) = reach.pop() {
            if !std::mem::replace(&mut self.slots[index].alive, true) {
                reach.extend(self.slots[index].links.iter().map(|link| link.to));
            }
        }
        let own = |slot: &&Slot<'_>| slot.entry.layer == Layer::App && !slot.alive && !slot.gone;
        for slot in self.slots.iter().filter(own) {
            if let Some(under) = get(&slot.entry.keys, "under").and_then(Node::str) {
                let name = &slot.entry.name.name;
                let warning = format!("`{name}` is not in the image, as `{under}` above it is not");
                self.warnings.push(warning);
            }
        }
    }

    /// Reports a graph with nothing in it, where nothing else is wrong.
    fn something(&mut self) {
        if self.reports.is_empty() && !self.slots.iter().any(|slot| slot.alive) {
            let report = Report::new(self.draft.app.key.at, "nothing is in the image");
            self.report(report.label("no service stands in this graph").help(
                "add a service, such as `[echo]` with `on = \"udp\"`; `cargo run -p build -- \
                 components` lists what there is",
            ));
        }
    }

    /// Reports instances that stand on each other.
    fn rings(&mut self) {
        let mut done = vec![false; self.slots.len()];
        while let Some(next) = self.ready(&done) {
            done[next] = true;
        }
        let stuck = |index: &usize, done: &[bool]| !done[*index] && self.slots[*index].alive;
        let Some(mut at) = (0..self.slots.len()).find(|index| stuck(index, &done)) else { return };
        // From any instance that is stuck, going down stays among them and comes back.
        let mut path = Vec::new();
        while !path.contains(&at) {
            path.push(at);
            let stuck_below = self.slots[at].links.iter().map(|link| link.to);
            let Some(next) = stuck_below.into_iter().find(|to| !done[*to]) else { return };
            at = next;
        }
        let from = path.iter().position(|index| *index == at).unwrap_or(0);
        let mut ring: Vec<_> = path[from..].to_vec();
        // Starts with what comes first in the manifest.
        let first = ring.iter().enumerate().min_by_key(|(_, index)| **index).map_or(0, |(n, _)| n);
        ring.rotate_left(first);
        let name = |index: &usize| self.slots[*index].entry.name.name.clone();
        let names: Vec<_> = ring.iter().chain(ring.first()).map(name).collect();
        let slot = &self.slots[ring[0]];
        let place =
            slot.links.iter().find(|link| !done[link.to]).map_or(slot.entry.name.at, |l| l.at);
        let message = format!("{} stand on each other", list(&names[..names.len() - 1]));
        let message =
            if names.len() == 2 { format!("`{}` stands on itself", names[0]) } else { message };
        let report = Report::new(place, message).label(names.join(" → "));
        self.report(report.help("let one of them stand on something lower"));
    }

    /// The first instance that is not done and stands only on what is.
    fn ready(&self, done: &[bool]) -> Option<usize> {
        let below_done = |slot: &Slot<'_>| slot.links.iter().all(|link| done[link.to]);
        (0..self.slots.len()).find(|index| {
            !done[*index] && self.slots[*index].alive && below_done(&self.slots[*index])
        })
    }

    /// The graph, all instances in a stable topological order.
    fn finish(self) -> Graph {
        let mut done = vec![false; self.slots.len()];
        let mut place = vec![usize::MAX; self.slots.len()];
        let mut instances = Vec::new();
        while let Some(next) = self.ready(&done) {
            done[next] = true;
            let slot = &self.slots[next];
            let Some(component) = slot.component else { continue };
            place[next] = instances.len();
            let edge = |link: &Link| Edge {
                to: place[link.to],
                port: link.port.clone(),
                label: link.label.clone(),
                ring: link.ring,
            };
            instances.push(Instance {
                name: slot.entry.name.name.clone(),
                component: component.clone(),
                krate: self.krate(component),
                config: slot.settings.clone(),
                below: slot.links.iter().map(edge).collect(),
                core: slot.core,
                layer: slot.entry.layer.clone(),
                at: slot.entry.name.at,
            });
        }
        Graph {
            app: self.app,
            platform: self.platform,
            instances,
            pins: self.pins,
            blobs: self.blobs,
            folders: self.folders,
            read: self.read,
            warnings: self.warnings,
        }
    }

    /// The path of the component's crate in the generated code.
    fn krate(&self, component: &Component) -> String {
        if component.package == self.app.package {
            return "crate".to_owned();
        }
        let app = self.around.workspace.package(&self.app.package);
        let dependency =
            app.and_then(|app| app.dependency(&component.package, &self.platform.target));
        match (&component.code, dependency) {
            (Code::Handler(..), _) => "crate".to_owned(),
            (_, Some(dependency)) => dependency.ident.clone(),
            (_, None) => component.package.replace('-', "_"),
        }
    }
}

/// With a question beside the marked text, where a known name is close to what was written.
fn meant(report: Report, near: Option<&str>) -> Report {
    match near {
        Some(near) => report.label(format!("did you mean `{near}`?")),
        None => report,
    }
}
