//! The keys of instances: known, present, of the right type and in range.

use super::Check;
use crate::catalogue::Component;
use crate::graph::{Folder, Origin, Setting};
use crate::manifest::{Entry, RESERVED_KEYS};
use crate::report::{Report, list, nearest};
use crate::source::{Node, Span, Value, get};
use crate::types::{Field, Type};
use std::path::Path;

impl Check<'_> {
    /// Checks all keys of all instances, and settles their values.
    pub(super) fn settings(&mut self) {
        for index in 0..self.slots.len() {
            let slot = &self.slots[index];
            let (entry, Some(component)) = (slot.entry, slot.component) else { continue };
            let alive = slot.alive;
            let replaced =
                self.draft.hidden.iter().find(|hidden| hidden.name.name == entry.name.name);
            let standard = replaced
                .and_then(|hidden| self.around.catalogue.find(kind(hidden), &self.preferred()));
            self.unknown_keys_of(entry, component, standard);
            let mut settings = self.values(entry, component, alive);
            for Setting { field, .. } in &mut settings {
                if let Type::Or(_, word) = &field.kind
                    && self
                        .unsayable
                        .contains(&format!("{}.{}={word}", entry.name.name, field.name))
                {
                    field.take_no_word();
                }
            }
            self.contradictions(entry, &settings);
            self.slots[index].settings = settings;
        }
        // What the app says about instances that this platform replaces is for other platforms.
        for hidden in self.draft.hidden.iter().filter(|hidden| hidden.touched) {
            let here = self.draft.entries.iter().any(|entry| entry.name.name == hidden.name.name);
            let component = self.around.catalogue.find(kind(hidden), &self.preferred());
            if let (Some(component), false) = (component, here) {
                self.unknown_keys_of(hidden, component, None);
                self.values(hidden, component, false);
            }
        }
    }

    fn unknown_keys_of(
        &mut self,
        entry: &Entry,
        component: &Component,
        standard: Option<&Component>,
    ) {
        let has = |component: &Component, key: &str| component.config.iter().any(|f| f.name == key);
        for (key, _) in &entry.keys {
            let name = key.name.as_str();
            let known = RESERVED_KEYS.contains(&name)
                || has(component, name)
                || standard.is_some_and(|standard| has(standard, name));
            if known {
                continue;
            }
            let message = format!("`{}` has no key `{name}`", component.name);
            let report = Report::new(key.at, message);
            let keys: Vec<_> = component.config.iter().map(|field| field.name.as_str()).collect();
            let near = nearest(name, keys.iter().copied().chain(RESERVED_KEYS));
            self.report(match near {
                Some(near) => report.label(format!("did you mean `{near}`?")),
                None if keys.is_empty() => {
                    report.help("it has no keys of its own: remove the line")
                }
                None if keys.len() == 1 => report.help(format!("its only key is `{}`", keys[0])),
                None => report.help(format!("its keys are {}", list(&keys))),
            });
        }
    }

    fn values(&mut self, entry: &Entry, component: &Component, required: bool) -> Vec<Setting> {
        let krate = self.krate(component);
        let mut settings = Vec::new();
        let secrets = if required { self.secrets(entry, component) } else { None };
        for field in &component.config {
            let written = get(&entry.keys, &field.name);
            let trusted = match (&field.kind, required, written.or(field.default.as_ref())) {
                (Type::Trust, true, Some(node)) => match self.trust(entry, node) {
                    Some(trusted) if field.is_option() => format!("Some({trusted})"),
                    Some(trusted) => trusted,
                    None => continue,
                },
                _ => String::new(),
            };
            let expression = match (&field.kind, &secrets) {
                (Type::Certificates(_), Some(secrets)) => &secrets.certificates,
                (Type::PrivateKeys, Some(secrets)) => &secrets.keys,
                (Type::Staples(_), Some(secrets)) => &secrets.staples,
                // What is wrong with them has been reported.
                (Type::Certificates(_) | Type::PrivateKeys | Type::Staples(_), None) => continue,
                _ => trusted.as_str(),
            };
            if !expression.is_empty() {
                let node = written.or(field.default.as_ref());
                let shown = node.map_or(String::new(), |node| node.value.to_string());
                let origin = written.map_or(Origin::Default, |node| Origin::Written(node.at));
                settings.push(setting(field, expression.to_owned(), shown, origin));
                continue;
            }
            let shared = (field.name == "hostname").then(|| get(&self.draft.app.keys, "hostname"));
            let written = written.or(shared.flatten());
            let Some(node) = written.or(field.default.as_ref()) else {
                if field.is_option() {
                    settings.push(setting(field, "None".into(), String::new(), Origin::Default));
                } else if required {
                    self.missing_key(entry, field);
                }
                continue;
            };
            let origin = written.map_or(Origin::Default, |node| Origin::Written(node.at));
            if field.kind == Type::Folder && node.str().is_some_and(|folder| folder != "none") {
                if let Some(text) = self.folder(entry, node, required) {
                    settings.push(setting(field, text, node.value.to_string(), origin));
                }
                continue;
            }
            match field.expression(node, &krate) {
                Ok(text) => settings.push(setting(field, text, node.value.to_string(), origin)),
                // A bad default has been reported with the catalogue.
                Err(_) if written.is_none() => {}
                Err(why) => self.report(bad_value(field, node, &why)),
            }
        }
        settings
    }

    /// Reports instances with the same value of a key of which each has its own.
    pub(super) fn unique(&mut self) {
        let mut seen: Vec<(&str, &str, &Setting, Span, &str)> = Vec::new();
        let mut reports = Vec::new();
        for slot in self.slots.iter().filter(|slot| slot.alive) {
            let (name, Some(component)) = (&slot.entry.name, slot.component) else { continue };
            for setting in slot.settings.iter().filter(|setting| setting.field.unique) {
                let key = setting.field.name.as_str();
                let at = get(&slot.entry.keys, key).map_or(name.at, |node| node.at);
                let same = seen.iter().find(|(package, other, value, ..)| {
                    (*package, *other, &value.expression)
                        == (component.package.as_str(), key, &setting.expression)
                });
                let Some((.., first, other)) = same else {
                    seen.push((&component.package, key, setting, at, &name.name));
                    continue;
                };
                let (other, name) = (*other, &name.name);
                let message = format!("`{other}` and `{name}` have the same `{key}`");
                let report = Report::new(at, message).label(setting.shown.clone());
                let report = report.note(*first, format!("`{other}` has it"));
                reports.push(report.help(format!("give `{name}` another one by `{key} = …`")));
            }
        }
        self.reports.extend(reports);
    }

    /// Reports keys that are both true where not both may be.
    fn contradictions(&mut self, entry: &Entry, settings: &[Setting]) {
        let trues = || settings.iter().filter(|it| it.expression == "true");
        let on = |name: &str| trues().find(|it| it.field.name == name);
        for setting in trues() {
            let Some(other) = setting.field.not_with.as_deref().and_then(on) else { continue };
            let (name, other_name) = (&setting.field.name, &other.field.name);
            let at = match (&setting.origin, &other.origin) {
                (Origin::Written(at), _) | (_, Origin::Written(at)) => *at,
                _ => entry.name.at,
            };
            let report = Report::new(at, format!("`{name}` does not go with `{other_name}`"));
            let report = match other.origin {
                Origin::Default => {
                    report.label(format!("`{other_name}` is true unless said otherwise"))
                }
                _ => report.label("both are true"),
            };
            self.report(report.help(format!("say `{other_name} = false`, or `{name} = false`")));
        }
    }

    /// The expression for the files of a folder, which are embedded where the instance is.
    fn folder(&mut self, entry: &Entry, node: &Node, required: bool) -> Option<String> {
        let manifest = &self.around.sources.get(node.at.file).path;
        let path = manifest.parent().unwrap_or(Path::new("")).join(node.str()?);
        if !path.is_dir() {
            let shown = self.around.workspace.shown(&path);
            let report = Report::new(node.at, format!("there is no folder `{shown}`"));
            self.report(report.help("paths are relative to the manifest's folder"));
            return None;
        }
        if let Some(inside) = self.kept_private(&path, manifest) {
            let message = format!("the files of `{}` are not for everybody", node.str()?);
            let report = Report::new(node.at, message).label(format!("among them is {inside}"));
            self.report(
                report.help("name a folder of its own for what is served, such as \"www\""),
            );
            return None;
        }
        let name = format!("{}.files", entry.name.name);
        let expression = format!("include!(concat!(env!(\"OUT_DIR\"), \"/{name}.rs\"))");
        if required {
            self.folders.push(Folder { name, path });
        }
        Some(expression)
    }

    /// What would be published with a folder and is nobody else's.
    fn kept_private(&self, folder: &Path, manifest: &Path) -> Option<String> {
        let whole = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let (workspace, folder) = (self.around.workspace, whole(folder));
        let certificates = whole(&workspace.root.join("certs"));
        if folder.starts_with(&certificates) {
            return Some("what `certs` holds".to_owned());
        }
        let private = [manifest, &workspace.root, &workspace.target, &certificates];
        let found = private.into_iter().find(|path| whole(path).starts_with(&folder))?;
        Some(format!("`{}`", workspace.shown(found)))
    }

    pub(super) fn missing_key(&mut self, entry: &Entry, field: &Field) {
        let name = &entry.name.name;
        let message = format!("`{name}` needs `{}`", field.name);
        let range = field.range_text.as_ref().map_or(String::new(), |range| format!(" in {range}"));
        let label = format!("has no `{}`, of type {}{range}", field.name, field.kind_text);
        let report = Report::new(entry.name.at, message).label(label);
        self.report(report.help(format!("add a line `{} = …`", field.name)).help(&*field.doc));
    }
}

fn kind(entry: &Entry) -> &str {
    get(&entry.keys, "is").and_then(Node::str).unwrap_or(&entry.name.name)
}

fn setting(field: &Field, expression: String, shown: String, origin: Origin) -> Setting {
    // Whoever asks an image for its graph, or sees a picture of it, need not know.
    let hidden = field.secret && !shown.is_empty();
    let shown = if hidden { "(set)".to_owned() } else { shown };
    Setting { field: field.clone(), expression, shown, origin }
}

fn bad_value(field: &Field, node: &Node, why: &crate::types::Misfit) -> Report {
    let whole = Span { ..node.at };
    let at = if why.at.file == whole.file { why.at } else { whole };
    let report = Report::new(at, format!("bad value for `{}`", field.name));
    let report = report.label(format!("expected {}", why.expected)).help(why.help.as_str());
    let unquoted = matches!(node.value, Value::Integer(_)) && why.help.contains('"');
    if unquoted { report.help("put it in quotes") } else { report }
}
