//! Cores and platforms: where instances run, and whether they can.

use super::Check;
use crate::catalogue::PerCore;
use crate::report::Report;
use crate::source::{Span, Value, get};

/// The ports of the graph in which one listens on a port of the network.
const LISTENED: [&str; 2] = ["StreamPort", "UdpPort"];

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
                Some((Value::Integer(core), _)) if (0..cores.cast_signed()).contains(core) => {
                    // With one core there is nothing to choose.
                    (cores > 1).then_some(core.unsigned_abs())
                }
                Some((_, at)) => {
                    let report = Report::new(at, "bad value for `core`");
                    let label = format!("expected a number in 0..={}", cores - 1);
                    let help = "`cores` in [app] says how many there are";
                    self.report(report.label(label).help(help));
                    None
                }
            };
        }
        self.crossings();
    }

    fn crossings(&mut self) {
        let mut reports = Vec::new();
        for slot in self.slots.iter().filter(|slot| slot.alive) {
            let via = get(&slot.entry.keys, "via");
            let mut crossing = None;
            for link in &slot.links {
                let lower = &self.slots[link.to];
                // A device is brought up once and hands a queue to each core.
                let queue = slot.component.is_some_and(|c| c.per_core == PerCore::Queue);
                let brought_up = lower.component.is_some_and(|c| c.per_core == PerCore::One);
                if slot.core != lower.core && !(queue && brought_up) {
                    crossing = Some((link.at, lower));
                }
            }
            let name = &slot.entry.name.name;
            let place = |core: Option<u64>| match core {
                Some(core) => format!("on core {core}"),
                None => "on every core".to_owned(),
            };
            reports.extend(match (crossing, via) {
                (Some((at, lower)), None) => {
                    let below = &lower.entry.name.name;
                    let message = format!("the edge from `{name}` to `{below}` crosses cores");
                    let (upper, lower) = (place(slot.core), place(lower.core));
                    let report = Report::new(at, message);
                    let report = report.label(format!("`{name}` is {upper}, `{below}` {lower}"));
                    Some(report.help("put both on one core by `core`, or declare `via = \"ring\"`"))
                }
                (Some(_), Some(via)) if via.str() == Some("ring") => {
                    let message = "edges across cores cannot be built yet";
                    let help = format!("put `{name}` and what it stands on on one core by `core`");
                    Some(Report::new(via.at, message).help(help))
                }
                (None, Some(via)) if via.str() == Some("ring") => {
                    let message = format!("no edge below `{name}` crosses cores");
                    Some(Report::new(via.at, message).help("remove `via`"))
                }
                (_, Some(via)) => {
                    let report = Report::new(via.at, "bad value for `via`");
                    Some(report.label("expected \"ring\""))
                }
                (None, None) => None,
            });
        }
        self.reports.extend(reports);
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
                // Instances on two cores listen on two cores' ports.
                let meets = |other: usize| match (self.slots[other].core, slot.core) {
                    (Some(a), Some(b)) => a == b,
                    _ => true,
                };
                let clash = seen.iter().find(|(to, taken, other, _)| {
                    (*to, *taken) == (link.to, port) && meets(*other)
                });
                let Some((_, _, other, first)) = clash else {
                    seen.push((link.to, port, index, at));
                    continue;
                };
                let [a, b] = [*other, index].map(|slot| &self.slots[slot].entry.name.name);
                let below = &self.slots[link.to].entry.name.name;
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

    /// Reports components that need what the platform has not.
    pub(super) fn needs(&mut self) {
        let mut reports = Vec::new();
        for slot in self.slots.iter().filter(|slot| slot.alive) {
            let Some(component) = slot.component else { continue };
            for need in &component.needs {
                if self.platform.has.contains(need) {
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
}
