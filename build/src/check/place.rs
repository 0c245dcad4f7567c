//! Cores and platforms: where instances run, and whether they can.

use super::{Check, Link, Slot};
use crate::catalogue::{Component, PerCore};
use crate::graph::Pin;
use crate::report::{Report, list};
use crate::source::{Span, Value, get};

/// The ports of the graph in which one listens on a port of the network.
const LISTENED: [&str; 2] = ["StreamPort", "UdpPort"];

/// What every image needs of its platform, and what for.
const EVERYBODY: [(&str, &str); 2] =
    [("clock", "for its deadlines"), ("entropy", "for numbers that nobody guesses")];

/// How an edge crosses cores.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Crossing {
    /// A device that is brought up once has queues for all cores, and rings between those carry
    /// each flow to its core.
    Queues,
    /// A service on one core stands on what every core has: the same rings carry what is for it.
    Service,
    /// As nothing can.
    Impossible,
}

impl Check<'_> {
    /// Settles the core of each instance, and reports edges that cross cores.
    pub(super) fn cores(&mut self) {
        let cores = self.app.cores;
        for index in 0..self.slots.len() {
            let slot = &self.slots[index];
            let one = slot.component.is_some_and(|component| component.per_core == PerCore::One);
            let core = get(&slot.entry.keys, "core");
            self.slots[index].core = match core.map(|node| (&node.value, node.at)) {
                None => (one && cores > 1).then_some(0),
                Some((Value::Integer(core @ 0..=63), _)) => {
                    // With one core there is nothing to choose; with fewer, it is the last one.
                    (cores > 1).then(|| core.unsigned_abs().min(cores - 1))
                }
                Some((_, at)) => {
                    let report = Report::new(at, "bad value for `core`");
                    let help = "where there are fewer, the last one is meant";
                    self.report(report.label("expected a number in 0..=63").help(help));
                    None
                }
            };
        }
        self.alone();
        self.crossings();
    }

    /// Reports components that share an image with no other core.
    fn alone(&mut self) {
        let several = self.app.cores > 1;
        for index in (0..self.slots.len()).filter(|_| several) {
            let slot = &self.slots[index];
            let Some(component) = slot.component else { continue };
            if !slot.alive || component.per_core != PerCore::Alone {
                continue;
            }
            let name = &component.name;
            let message = format!("`{name}` is for an image with one core");
            let report = Report::new(slot.entry.name.at, message);
            let report = report.label("it shares nothing with other cores");
            self.report(report.help("write `cores = 1` in [app]"));
        }
    }

    /// Reports edges that cross cores without saying so, and those that cannot.
    fn crossings(&mut self) {
        let alive = |index: &usize| self.slots[*index].alive;
        for index in (0..self.slots.len()).filter(alive).collect::<Vec<_>>() {
            let via = get(&self.slots[index].entry.keys, "via");
            if let Some(via) = via
                && via.str() != Some("ring")
            {
                let report = Report::new(via.at, "bad value for `via`");
                self.report(report.label("expected \"ring\""));
                continue;
            }
            let slot = &self.slots[index];
            let links = 0..slot.links.len();
            let crossing = |link: usize| Some((link, self.crossing(slot, &slot.links[link])?));
            let crossings: Vec<_> = links.filter_map(crossing).collect();
            match (via, crossings.first()) {
                (None, None) => {}
                (None, Some((link, crossing))) => self.undeclared(index, *link, *crossing),
                // What the platform has instead stands on nothing.
                (Some(_), None) if self.is_bottom_instead(index) => {}
                // With one core nothing crosses, and the manifest is good for more.
                (Some(_), None) if self.app.cores == 1 => {}
                // Its core was bad, which is reported.
                (Some(_), None)
                    if slot.core.is_none() && get(&slot.entry.keys, "core").is_some() => {}
                (Some(via), None) => {
                    let name = &slot.entry.name.name;
                    let message = format!("no edge below `{name}` crosses cores");
                    let report = Report::new(via.at, message);
                    self.report(report.help("remove `via`"));
                }
                (Some(via), Some(_)) => {
                    for (link, crossing) in crossings {
                        self.declared(index, link, crossing, via.at);
                    }
                }
            }
        }
    }

    /// How an edge crosses cores, if it does.
    fn crossing(&self, upper: &Slot<'_>, link: &Link) -> Option<Crossing> {
        let lower = &self.slots[link.to];
        let per_core = |slot: &Slot<'_>| slot.component.map(|component| component.per_core);
        let placed = get(&upper.entry.keys, "core").is_some();
        match (upper.core, lower.core) {
            (upper, lower) if upper == lower => None,
            // What belongs to no flow goes to the first core, where such a component runs.
            (Some(0), None) if !placed => None,
            (Some(_), None) => Some(Crossing::Service),
            (None, Some(0))
                if per_core(upper) == Some(PerCore::Queue)
                    && per_core(lower) == Some(PerCore::One) =>
            {
                Some(Crossing::Queues)
            }
            _ => Some(Crossing::Impossible),
        }
    }

    fn undeclared(&mut self, index: usize, link: usize, crossing: Crossing) {
        let slot = &self.slots[index];
        let (name, link) = (&slot.entry.name.name, &slot.links[link]);
        let lower = &self.slots[link.to];
        let below = &lower.entry.name.name;
        let place = |core: Option<u64>| match core {
            Some(core) => format!("on core {core}"),
            None => "on every core".to_owned(),
        };
        let message = format!("the edge from `{name}` to `{below}` crosses cores");
        let (above, lower) = (place(slot.core), place(lower.core));
        let report = Report::new(link.at, message);
        let report = report.label(format!("`{name}` is {above}, `{below}` {lower}"));
        self.report(report.help(match crossing {
            Crossing::Queues => {
                "declare it by `via = \"ring\"`: each core gets a queue, and each flow its core"
            }
            Crossing::Service if self.service(index, link).is_some() => {
                "put both on one core by `core`, or declare `via = \"ring\"`: what arrives for \
                 its port is steered to its core"
            }
            _ => "put both on one core by `core`",
        }));
    }

    /// Settles an edge that is said to cross.
    fn declared(&mut self, index: usize, link: usize, crossing: Crossing, via: Span) {
        let slot = &self.slots[index];
        let (name, below) = (&slot.entry.name.name, &slot.links[link]);
        let lower = &self.slots[below.to].entry.name.name;
        let cannot =
            Report::new(via, format!("no ring carries the edge from `{name}` to `{lower}`"));
        let pin = match crossing {
            Crossing::Queues => None,
            Crossing::Service => match self.service(index, below) {
                None => {
                    let help = format!("put what `{name}` stands on on the same core by `core`");
                    let label = format!("`{name}` has no port of `{lower}` that could be steered");
                    return self.report(cannot.label(label).help(help));
                }
                Some(_) if !self.steers() => {
                    let help = "steering takes a card with queues for several cores";
                    let label = "nothing in this graph steers what arrives to its core";
                    return self.report(cannot.label(label).help(help));
                }
                pin => pin,
            },
            Crossing::Impossible => {
                return self.report(cannot.help("put both on one core by `core`"));
            }
        };
        self.pins.extend(pin);
        self.slots[index].links[link].ring = true;
    }

    /// The port whose traffic can be steered to the instance's core.
    fn service(&self, index: usize, link: &Link) -> Option<Pin> {
        let slot = &self.slots[index];
        let setting = slot.settings.iter().find(|setting| setting.field.name == "port")?;
        LISTENED.contains(&link.port.as_str()).then_some(())?;
        Some(Pin {
            instance: slot.entry.name.name.clone(),
            is_udp: link.port == "UdpPort",
            port: setting.shown.parse().ok()?,
            boot: setting.field.boot,
            core: slot.core?,
        })
    }

    /// Whether a card brings frames to the core that they are for.
    fn steers(&self) -> bool {
        let queues = |slot: &Slot<'_>| {
            let cut = |link: &Link| self.crossing(slot, link) == Some(Crossing::Queues);
            slot.alive && slot.links.iter().any(cut)
        };
        self.slots.iter().any(queues)
    }

    /// Reports instances that would listen on the same port of the same instance.
    pub(super) fn listening(&mut self) {
        let mut seen: Vec<(usize, &str, usize, Span)> = Vec::new();
        let mut reports = Vec::new();
        for (index, slot) in self.slots.iter().enumerate().filter(|(_, slot)| slot.alive) {
            let Some(setting) = slot.settings.iter().find(|s| s.field.name == "port") else {
                continue;
            };
            let written = get(&slot.entry.keys, "port");
            let at = written.map_or(slot.entry.name.at, |node| node.at);
            for link in slot.links.iter().filter(|link| LISTENED.contains(&link.port.as_str())) {
                let port = setting.shown.as_str();
                let lowest = self.lowest(link);
                // On different cores, too: a port's traffic is steered to one of them.
                let clash = seen.iter().find(|(to, taken, ..)| (*to, *taken) == (lowest, port));
                let Some((_, _, other, first)) = clash else {
                    seen.push((lowest, port, index, at));
                    continue;
                };
                let [a, b] = [*other, index].map(|slot| &self.slots[slot].entry.name.name);
                let below = &self.slots[lowest].entry.name.name;
                let message = format!("`{a}` and `{b}` both listen on port {port} of `{below}`");
                let report = Report::new(at, message);
                let report = match written {
                    Some(_) => report.label("taken"),
                    None => report.label(format!("listens on {port} when nothing is said")),
                };
                let report = report.note(*first, format!("`{a}` has it"));
                reports.push(report.help(format!("give `{b}` another port by `port = …`")));
            }
        }
        self.reports.extend(reports);
    }

    /// The instance whose ports those are that one listens to over `link`: what passes the port
    /// on, as TLS does, has none of its own.
    fn lowest(&self, link: &super::Link) -> usize {
        let mut at = link.to;
        // No path is longer; a ring would be.
        for _ in 0..self.slots.len() {
            let slot = &self.slots[at];
            let passes = slot.component.is_some_and(|component| component.passes(&link.port));
            match slot.links.first().filter(|_| passes) {
                Some(next) => at = next.to,
                None => break,
            }
        }
        at
    }

    /// Reports components that need what the platform has not.
    pub(super) fn needs(&mut self) {
        let mut reports = Vec::new();
        for slot in self.slots.iter().filter(|slot| slot.alive) {
            let Some(component) = slot.component else { continue };
            for need in &component.needs {
                if self.is_brought(need) {
                    continue;
                }
                let is = get(&slot.entry.keys, "is").map_or(slot.entry.name.at, |node| node.at);
                let platform = &self.platform.name;
                let name = &component.name;
                let message = format!("`{name}` needs {need}, which `{platform}` has not");
                let report = Report::new(is, message).label("not on this platform");
                let has = &self.platform.has;
                let has = if has.is_empty() { "nothing".into() } else { has.join(", ") };
                reports.push(report.help(format!(
                    "`{platform}` has {has}; choose another platform by --platform, \
                     or another component"
                )));
            }
        }
        self.reports.extend(reports);
    }

    /// Reports what every image needs and neither the platform nor a component brings.
    pub(super) fn everybody_needs(&mut self) {
        let platform = &self.draft.platform;
        for (what, why) in EVERYBODY {
            let reported = self.components().any(|c| c.needs.iter().any(|it| it == what));
            // A head that cannot be read has been reported.
            if self.is_brought(what) || reported || platform.keys.is_empty() {
                continue;
            }
            let at = get(&platform.keys, "has").map_or(platform.key.at, |node| node.at);
            let catalogue = &self.around.catalogue.components;
            let bringing = catalogue.iter().filter(|c| c.brings.iter().any(|it| it == what));
            let bringing: Vec<_> = bringing.map(|component| component.name.as_str()).collect();
            let name = &self.platform.name;
            let report = Report::new(at, format!("`{name}` has no {what}, and nothing brings one"));
            let report = report.label(format!("every image needs it {why}"));
            self.report(if bringing.is_empty() {
                report.help("choose another platform by --platform")
            } else {
                report.help(format!(
                    "add an instance of {} to the graph, or choose another platform by --platform",
                    list(&bringing)
                ))
            });
        }
    }

    /// Whether the platform has it or a component brings it.
    fn is_brought(&self, what: &str) -> bool {
        self.platform.has.iter().any(|has| has == what)
            || self.components().any(|component| component.brings.iter().any(|it| it == what))
    }

    /// The components of all instances that are in the image.
    fn components(&self) -> impl Iterator<Item = &Component> {
        self.slots.iter().filter(|slot| slot.alive).filter_map(|slot| slot.component)
    }
}
