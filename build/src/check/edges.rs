//! What stands on what: `on`, `under`, the ports of both sides, and who may share.

use super::{Check, Link};
use crate::catalogue::{Component, Requires};
use crate::manifest::Layer;
use crate::ports::{Sharing, joined, sharing};
use crate::report::{Report, list, nearest};
use crate::source::{Node, Span, Value, get};

impl<'a> Check<'a> {
    /// Finds what each instance stands on.
    pub(super) fn edges(&mut self) {
        for index in 0..self.slots.len() {
            let slot = &self.slots[index];
            let (entry, Some(component)) = (slot.entry, slot.component) else { continue };
            if slot.gone {
                continue;
            }
            let (on, under) = (get(&entry.keys, "on"), get(&entry.keys, "under"));
            match (on, under) {
                (Some(on), Some(under)) => {
                    let message = "`on` and `under` exclude each other";
                    let report = Report::new(under.at, message).note(on.at, "`on` is here");
                    self.report(
                        report.help("`under` finds what the instance stands on: remove `on`"),
                    );
                }
                (_, Some(_)) => {}
                // What it says is for platforms with the stack's own.
                (Some(_), None) if self.is_bottom_instead(index) => {}
                (None, None) => self.missing_on(index, component),
                (Some(on), None) => {
                    let links = self.links(index, component, on);
                    self.slots[index].links = links;
                }
            }
        }
        self.dead_providers();
        self.insertions();
    }

    /// Whether the platform has it instead of a stack's instance, and it stands on nothing.
    pub(super) fn is_bottom_instead(&self, index: usize) -> bool {
        let slot = &self.slots[index];
        let nothing = slot.component.is_some_and(|it| it.requires == Requires::Nothing);
        nothing && self.draft.hidden.iter().any(|it| it.name.name == slot.entry.name.name)
    }

    fn missing_on(&mut self, index: usize, component: &Component) {
        let ports = component.requires.ports();
        let Some(port) = ports.first() else { return };
        let entry = self.slots[index].entry;
        let message = format!("`{}` does not say what it stands on", entry.name.name);
        let report = Report::new(entry.name.at, message);
        let report = report.label(format!("requires {}", component.requires.text()));
        let first = |port: &str| self.instances_with(port).first().map_or("…".into(), Clone::clone);
        let on = match &component.requires {
            Requires::Named(ports) => {
                let each = ports.iter().map(|(name, port)| format!("{name} = \"{}\"", first(port)));
                format!("{{ {} }}", each.collect::<Vec<_>>().join(", "))
            }
            Requires::Many(_) => format!("[\"{}\"]", first(port)),
            _ => format!("\"{}\"", first(port)),
        };
        let report = if on.contains('…') {
            let port = ports.iter().find(|port| self.instances_with(port).is_empty());
            report.help(self.who_provides(port.unwrap_or(&ports[0])))
        } else {
            report.help(format!("add a line `on = {on}`"))
        };
        self.report(report);
    }

    /// The names of the instances that provide `port`.
    fn instances_with(&self, port: &str) -> Vec<String> {
        let provides = |c: &Component| c.provides.iter().any(|provided| provided == port);
        let slots =
            self.slots.iter().filter(|slot| !slot.gone && slot.component.is_some_and(provides));
        slots.map(|slot| slot.entry.name.name.clone()).collect()
    }

    fn who_provides(&self, port: &str) -> String {
        let instances = self.instances_with(port);
        let components = self.around.catalogue.providers(port);
        if !instances.is_empty() {
            format!("{port} is provided by {}", list(&instances))
        } else if !components.is_empty() {
            format!("no instance provides {port}; add one of the component {}", list(&components))
        } else {
            format!("no component provides {port}: is a dependency missing?")
        }
    }

    fn links(&mut self, index: usize, component: &'a Component, on: &'a Node) -> Vec<Link> {
        let wanted = self.wanted(index, component, on);
        let mut links: Vec<Link> = Vec::new();
        for (label, port, name, at) in wanted {
            let Some(to) = self.slot(name) else {
                self.unknown_instance(name, at);
                continue;
            };
            if let Some(lower) = self.slots[to].component
                && !lower.provides.iter().any(|provided| provided == port)
            {
                self.wrong_port(index, to, port, at);
                continue;
            }
            if links.iter().any(|link| link.to == to) {
                let message = format!("`{name}` is named twice");
                self.report(Report::new(at, message).help("name each instance below once"));
                continue;
            }
            let (port, label) = (port.to_owned(), label.map(str::to_owned));
            links.push(Link { to, port, label, ring: false, at });
        }
        links
    }

    /// Label, port, instance and place of each edge that `on` declares.
    fn wanted(
        &mut self,
        index: usize,
        component: &'a Component,
        on: &'a Node,
    ) -> Vec<(Option<&'a str>, &'a str, &'a str, Span)> {
        let name = self.slots[index].entry.name.name.clone();
        match (&component.requires, &on.value, on.strings()) {
            (Requires::Nothing, ..) => {
                let report = Report::new(on.at, format!("`{name}` stands on nothing"));
                let label = format!("`{}` requires no port", component.name);
                self.report(report.label(label).help("remove `on`"));
                Vec::new()
            }
            (Requires::One(port), _, Some(names)) if (1..=joined(port)).contains(&names.len()) => {
                names.into_iter().map(|(name, at)| (None, port.as_str(), name, at)).collect()
            }
            (Requires::Many(port), _, Some(names)) if !names.is_empty() => {
                self.most(&name, component, &names);
                names.into_iter().map(|(name, at)| (None, port.as_str(), name, at)).collect()
            }
            (Requires::Named(ports), Value::Array(_), Some(names))
                if names.len() == ports.len() =>
            {
                let both = ports.iter().zip(names);
                both.map(|((label, port), (name, at))| {
                    (Some(label.as_str()), port.as_str(), name, at)
                })
                .collect()
            }
            (Requires::Named(ports), Value::Table(table), _) => {
                let known = |name: &str| ports.iter().any(|(port, _)| port == name);
                let names: Vec<_> = ports.iter().map(|(name, _)| name.as_str()).collect();
                let complete =
                    names.iter().all(|name| get(table, name).is_some_and(|n| n.str().is_some()));
                if !complete || table.iter().any(|(key, _)| !known(&key.name)) {
                    let report =
                        Report::new(on.at, format!("`on` does not fit what `{name}` requires"));
                    let label = format!("expected the keys {}", list(&names));
                    self.report(report.label(label).help("each names an instance, in quotes"));
                    return Vec::new();
                }
                let edge = |(label, port): &'a (String, String)| {
                    let node = get(table, label)?;
                    Some((Some(label.as_str()), port.as_str(), node.str()?, node.at))
                };
                ports.iter().filter_map(edge).collect()
            }
            (requires, ..) => {
                let expected = match requires {
                    Requires::Many(port) => {
                        format!("the names of one or more instances with {port}")
                    }
                    Requires::Named(ports) => {
                        let names: Vec<_> =
                            ports.iter().map(|(n, port)| format!("{n} ({port})")).collect();
                        format!("a list or table of {}: {}", names.len(), names.join(", "))
                    }
                    Requires::One(port) if joined(port) > 1 => {
                        format!("the names of one or two instances with {port}")
                    }
                    _ => format!("the name of one instance with {}", requires.text()),
                };
                let report =
                    Report::new(on.at, format!("`on` does not fit what `{name}` requires"));
                self.report(report.label(format!("expected {expected}")));
                Vec::new()
            }
        }
    }

    /// Reports more instances below than the component can stand on.
    fn most(&mut self, name: &str, component: &Component, names: &[(&str, Span)]) {
        let Some(most) = component.most else { return };
        let Some((_, at)) = names.get(most) else { return };
        let report = Report::new(*at, format!("`{name}` stands on more instances than it can"));
        let report = report.label(format!("takes {most} at most"));
        self.report(report.help(format!(
            "let another instance of its component stand on those after the first {most}"
        )));
    }

    fn unknown_instance(&mut self, name: &str, at: Span) {
        let report = Report::new(at, format!("nothing is called `{name}`"));
        let named = |slot: &&super::Slot<'_>| slot.entry.name.name == name;
        let platform = self.around.platform;
        let elsewhere: Vec<&str> = self
            .around
            .others
            .iter()
            .filter(|(_, instances)| instances.iter().any(|instance| instance == name))
            .map(|(platform, _)| platform.as_str())
            .collect();
        let known: Vec<_> = self.slots.iter().filter(|slot| !slot.gone).collect();
        let near = nearest(name, known.iter().map(|slot| slot.entry.name.name.as_str()));
        let report = if let Some(gone) = self.slots.iter().find(named) {
            let when = get(&gone.entry.keys, "when").map_or(gone.entry.name.at, |node| node.at);
            report.label("is not in this graph").note(when, "because this does not hold")
        } else if self.draft.hidden.iter().any(|hidden| hidden.name.name == name) {
            report.label(format!("is not on the platform `{platform}`")).help(format!(
                "`{platform}` replaces the stack; choose another platform: --platform"
            ))
        } else if !elsewhere.is_empty() {
            report
                .label(format!("the platform `{platform}` brings no `{name}`"))
                .help(format!("{} would: choose it by --platform", list(&elsewhere)))
        } else if let Some(near) = near {
            report.label(format!("did you mean `{near}`?"))
        } else if let Some((stack, _)) = self.around.stacks.iter().find(|(stack, names)| {
            !self.app.stacks.contains(stack) && names.iter().any(|n| n == name)
        }) {
            report.help(format!("the stack `{stack}` has it: add \"{stack}\" to `stacks` in [app]"))
        } else if self.around.catalogue.find(name, &[]).is_some() {
            report.help(format!(
                "`{name}` is a component: add a table `[{name}]` to make an instance"
            ))
        } else {
            let names: Vec<_> = known.iter().map(|slot| slot.entry.name.name.as_str()).collect();
            report.help(format!("the instances are {}", list(&names)))
        };
        self.report(report);
    }

    fn wrong_port(&mut self, index: usize, to: usize, port: &str, at: Span) {
        let (upper, lower) = (&self.slots[index], &self.slots[to]);
        let provides = lower.component.map_or(String::new(), |c| c.provides.join(", "));
        let provides = if provides.is_empty() { "nothing".to_owned() } else { provides };
        let names = [&upper.entry.name.name, &lower.entry.name.name];
        let message =
            format!("`{}` requires {port}, but `{}` provides {provides}", names[0], names[1]);
        let report = Report::new(at, message).label(format!("provides {provides}"));
        let plain = get(&upper.entry.keys, "on").is_some_and(|on| on.str().is_some());
        self.report(report.help(match &self.instances_with(port)[..] {
            [one] if plain => format!("`{one}` provides {port}: write `on = \"{one}\"`"),
            _ => self.who_provides(port),
        }));
    }

    /// Reports what an app declares and nothing stands on.
    fn dead_providers(&mut self) {
        let mut used: Vec<String> = Vec::new();
        for slot in &self.slots {
            match get(&slot.entry.keys, "on").map(|on| (on.strings(), &on.value)) {
                Some((Some(names), _)) => {
                    used.extend(names.iter().map(|(name, _)| (*name).to_owned()))
                }
                Some((None, Value::Table(table))) => {
                    used.extend(table.iter().filter_map(|(_, node)| node.str().map(str::to_owned)));
                }
                _ => {}
            }
        }
        for index in 0..self.slots.len() {
            let slot = &self.slots[index];
            let (entry, Some(component)) = (slot.entry, slot.component) else { continue };
            let name = &entry.name.name;
            let own = entry.layer == Layer::App && get(&entry.keys, "under").is_none();
            // Who does not say what it stands on may mean this one.
            let wanted = self.slots.iter().any(|slot| {
                let silent =
                    !["on", "under"].iter().any(|key| get(&slot.entry.keys, key).is_some());
                let requires = |c: &Component| {
                    c.requires
                        .ports()
                        .iter()
                        .any(|port| component.provides.iter().any(|p| p == port))
                };
                silent && !slot.gone && slot.component.is_some_and(requires)
            });
            if slot.gone || !own || wanted || component.provides.is_empty() || used.contains(name) {
                continue;
            }
            let ports = component.provides.join(", ");
            let report = Report::new(entry.name.at, format!("nothing stands on `{name}`"));
            let report = report.label(format!("provides {ports} to nobody"));
            self.report(report.help(format!(
                "let an instance that requires {ports} stand on it (`on = \"{name}\"`), \
                 or remove it"
            )));
        }
    }

    /// Puts the instances with `under` into the edges that they name.
    fn insertions(&mut self) {
        // For each edge that was cut: upper instance, number of its edge, lowest inserted so far.
        let mut cut: Vec<(usize, usize, usize)> = Vec::new();
        for index in self.insertion_order() {
            let slot = &self.slots[index];
            let (entry, Some(component)) = (slot.entry, slot.component) else { continue };
            let Some(under) = get(&entry.keys, "under").filter(|_| !slot.gone) else { continue };
            let Some((upper, edge)) = self.cut_edge(index, under) else { continue };
            let lowest = cut.iter().position(|(u, e, _)| (*u, *e) == (upper, edge));
            let (above, above_edge) = lowest.map_or((upper, edge), |cut_at| (cut[cut_at].2, 0));
            let link = self.slots[above].links[above_edge].clone();
            let mut variants = self.around.catalogue.variants(component);
            let Some(fits) = variants.find(|variant| variant.passes(&link.port)) else {
                self.cannot_insert(component, &link.port, under.at);
                continue;
            };
            self.slots[index].component = Some(fits);
            self.slots[index].links = vec![Link { label: None, at: under.at, ..link }];
            self.slots[above].links[above_edge].to = index;
            match lowest {
                Some(cut_at) => cut[cut_at].2 = index,
                None => cut.push((upper, edge, index)),
            }
        }
    }

    /// All instances in the manifest's order, but what goes under an instance that is put into an
    /// edge itself comes after that one, which has no edge before.
    fn insertion_order(&self) -> Vec<usize> {
        let mut waiting: Vec<_> = (0..self.slots.len()).collect();
        let above = |index: &usize| {
            let under = get(&self.slots[*index].entry.keys, "under").and_then(Node::str)?;
            self.slot(under.split('.').next().unwrap_or(under))
        };
        let above: Vec<_> = waiting.iter().map(above).collect();
        let mut is_done = vec![false; waiting.len()];
        let mut order = Vec::new();
        while !waiting.is_empty() {
            let ready = |index: &usize| above[*index].is_none_or(|upper| is_done[upper]);
            // Those that wait for each other are reported, whichever comes first.
            let next = waiting.remove(waiting.iter().position(ready).unwrap_or(0));
            is_done[next] = true;
            order.push(next);
        }
        order
    }

    /// The edge that `under` names: the instance above it, and which of its edges.
    fn cut_edge(&mut self, index: usize, under: &Node) -> Option<(usize, usize)> {
        let Some(text) = under.str() else {
            let report = Report::new(under.at, "`under` names an instance: text in quotes");
            self.report(report);
            return None;
        };
        let (name, port) =
            text.split_once('.').map_or((text, None), |(name, port)| (name, Some(port)));
        if *name == self.slots[index].entry.name.name {
            let report = Report::new(under.at, format!("`{name}` is put under itself"));
            self.report(report.help("name the instance above the edge that it goes into"));
            return None;
        }
        let Some(upper) = self.slot(name) else {
            // Not on this platform: then neither is what was to be inserted there.
            let named = |entry: &crate::manifest::Entry| entry.name.name == name;
            if self.draft.hidden.iter().any(named) || self.draft.entries.iter().any(named) {
                self.slots[index].gone = true;
            } else {
                self.unknown_instance(name, under.at);
            }
            return None;
        };
        let links = &self.slots[upper].links;
        let replaced = self.draft.hidden.iter().any(|entry| entry.name.name == name);
        if replaced && links.is_empty() {
            // What the platform has instead stands on nothing: this edge is not here.
            self.slots[index].gone = true;
            return None;
        }
        let called = |link: &Link, port: &str| {
            link.label.as_deref() == Some(port) || self.slots[link.to].entry.name.name == port
        };
        let found = match port {
            Some(port) => links.iter().position(|link| called(link, port)),
            None if links.len() == 1 => Some(0),
            None => None,
        };
        if found.is_none() && !(links.is_empty() && self.slots[upper].component.is_none()) {
            let edges = links.iter().map(|link| {
                let below = &self.slots[link.to].entry.name.name;
                format!("{name}.{}", link.label.as_ref().unwrap_or(below))
            });
            let edges: Vec<_> = edges.collect();
            let report = match (edges.is_empty(), port) {
                (true, _) => Report::new(under.at, format!("there is no edge below `{name}`"))
                    .help("name an instance that stands on another"),
                (false, Some(port)) => {
                    Report::new(under.at, format!("`{name}` has no edge called `{port}`"))
                        .help(format!("its edges are {}", list(&edges)))
                }
                (false, None) => {
                    Report::new(under.at, format!("there are several edges below `{name}`"))
                        .help(format!("name one of {}", list(&edges)))
                }
            };
            self.report(report);
        }
        found.map(|edge| (upper, edge))
    }

    fn cannot_insert(&mut self, component: &Component, port: &str, at: Span) {
        let catalogue = self.around.catalogue;
        let text = |text: String| if text.is_empty() { "nothing".to_owned() } else { text };
        let ports: Vec<_> = catalogue.variants(component).map(|it| it.requires.text()).collect();
        let why = match &ports[..] {
            [_] => format!(
                "it requires {} and provides {}",
                text(component.requires.text()),
                text(component.provides.join(", ")),
            ),
            several => format!("it goes into those of {}", several.join(", ")),
        };
        let message = format!("`{}` cannot be put into an edge of {port}: {why}", component.name);
        // A variant is found by the name of what it is a variant of.
        let fits =
            catalogue.components.iter().filter(|it| it.passes(port) && it.when_set.is_empty());
        let fits: Vec<_> = fits.map(|it| it.variant_of.as_ref().unwrap_or(&it.name)).collect();
        let report = Report::new(at, message).label(format!("this edge is {port}"));
        self.report(if fits.is_empty() {
            report.help(format!("no component passes {port} through"))
        } else {
            report.help(format!("such an edge takes {}", list(&fits)))
        });
    }

    /// Who uses what the instance takes: for one that was put into an edge, what stands on it.
    fn taker(&self, index: usize) -> usize {
        let passes = |slot: &super::Slot<'_>| {
            let port = slot.links.first().map(|link| link.port.as_str());
            slot.component.zip(port).is_some_and(|(component, port)| component.passes(port))
        };
        let mut at = index;
        // No path is longer; a ring would be.
        for _ in 0..self.slots.len() {
            let stands = |above: &usize| {
                let slot = &self.slots[*above];
                slot.alive && slot.links.iter().any(|link| link.to == at)
            };
            let mut above = (0..self.slots.len()).filter(stands);
            match (passes(&self.slots[at]), above.next(), above.next()) {
                (true, Some(above), None) => at = above,
                _ => break,
            }
        }
        at
    }

    /// Reports ports that more instances stand on than may.
    pub(super) fn sharing(&mut self) {
        let mut seen: Vec<(usize, &str, usize, Span)> = Vec::new();
        let mut reports = Vec::new();
        for (index, slot) in self.slots.iter().enumerate().filter(|(_, slot)| slot.alive) {
            for link in &slot.links {
                let lower = &self.slots[link.to];
                let kind = match lower.component.and_then(|component| component.exclusive) {
                    Some(true) => Sharing::Exclusive,
                    Some(false) => Sharing::Shared,
                    None => sharing(&link.port),
                };
                let name = |slot: usize| {
                    self.slots[self.taker(slot)].component.map(|component| &component.name)
                };
                let clash = seen.iter().find(|(to, port, other, _)| {
                    (*to, *port) == (link.to, link.port.as_str())
                        && match kind {
                            Sharing::Exclusive => true,
                            Sharing::OneOfEach => name(*other) == name(index),
                            Sharing::Shared => false,
                        }
                });
                if let Some((_, port, other, first)) = clash {
                    let [a, b] = [*other, index].map(|slot| &self.slots[slot].entry.name.name);
                    let below = &lower.entry.name.name;
                    let message = format!("`{a}` and `{b}` cannot both stand on `{below}`");
                    let why = match kind {
                        Sharing::OneOfEach => "each takes all packets of its protocol".to_owned(),
                        _ => format!("{port} serves one instance"),
                    };
                    let report = Report::new(link.at, message).label(why);
                    let report = report.note(*first, format!("`{a}` stands on it here"));
                    reports.push(report.help(format!(
                        "add another instance that provides {port}, and put `{b}` on that"
                    )));
                } else {
                    seen.push((link.to, &link.port, index, link.at));
                }
            }
        }
        self.reports.extend(reports);
    }
}
