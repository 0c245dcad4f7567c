//! Whether what an image sets aside fits into the memory that it is given.

use super::Check;
use crate::report::Report;
use crate::source::{Node, Span, Value, get};
use crate::types::{bytes, memory_size};

/// Bytes of one packet buffer: `waitless::Pool::BUFFER_SIZE`, which a test compares.
pub const PACKET: u64 = 2048 + 128;

/// How many packets a core gets at least where the manifest does not say.
const FEWEST: u64 = 64;

/// Something that takes memory.
struct Part {
    name: String,
    bytes: u64,
    /// Where somebody has written how much.
    at: Option<Span>,
}

impl Check<'_> {
    /// What is set aside from the start must fit into the memory that the image is given: the
    /// image, each core's packets, what components say of their keys, and stacks.
    pub(super) fn memory(&mut self) {
        let Some((memory, given)) = self.given_memory() else { return };
        let mut parts = self.parts_of_a_core();
        // Of all the cores that a machine may have, one must fit.
        let cores = if self.app.all_cores { 1 } else { self.app.cores };
        let cores = match self.around.given.cores.as_ref().map(|node| &node.value) {
            Some(Value::Integer(given)) => {
                let most = if self.app.all_cores { u64::MAX } else { self.app.cores };
                given.unsigned_abs().min(most)
            }
            _ => cores,
        };
        for part in &mut parts {
            part.bytes = part.bytes.saturating_mul(cores);
        }
        let draft = self.draft;
        let image = self.size(&draft.platform, "image").unwrap_or(0);
        let stacks = self.size(&draft.platform, "stacks").unwrap_or(0).saturating_mul(cores - 1);
        let given = given.or(self.around.given.cores.as_ref().map(|node| node.at));
        let fixed = [("the image", image), ("stacks", stacks)];
        parts.extend(fixed.map(|(name, bytes)| Part { name: name.to_owned(), bytes, at: None }));
        let sum = parts.iter().fold(0_u64, |sum, part| sum.saturating_add(part.bytes));
        if sum > memory {
            self.too_little(parts, sum, memory, given, cores);
        }
    }

    /// The memory of the machine, and where the command line says so; nothing where the platform
    /// gives as much as is asked for, and where what was written was reported.
    fn given_memory(&mut self) -> Option<(u64, Option<Span>)> {
        let Some(Node { value: Value::String(text), at }) = &self.around.given.memory else {
            return Some((self.app.memory?, None));
        };
        let memory = memory_size(text);
        if memory.is_none() {
            let report = Report::new(*at, "bad value for `--memory`");
            self.report(report.label("expected a size").help("such as 64M or 2G"));
        }
        Some((memory?, Some(*at)))
    }

    fn parts_of_a_core(&self) -> Vec<Part> {
        let packets = if self.app.packets == 0 { FEWEST } else { self.app.packets };
        let packets = packets.saturating_mul(PACKET);
        let at = get(&self.draft.app.keys, "packets").map(|node| node.at);
        let mut parts = vec![Part { name: "packets".to_owned(), bytes: packets, at }];
        for slot in self.slots.iter().filter(|slot| slot.alive) {
            for setting in &slot.settings {
                let Some(each) = setting.field.memory else { continue };
                let written = get(&slot.entry.keys, &setting.field.name);
                let node = written.or(setting.field.default.as_ref());
                let count = node.and_then(|node| setting.field.number(node)).unwrap_or(0);
                parts.push(Part {
                    name: format!("{}.{}", slot.entry.name.name, setting.field.name),
                    bytes: count.saturating_mul(each),
                    at: written.map(|node| node.at),
                });
            }
        }
        parts
    }

    fn too_little(
        &mut self,
        mut parts: Vec<Part>,
        sum: u64,
        memory: u64,
        given: Option<Span>,
        cores: u64,
    ) {
        parts.retain(|part| part.bytes > 0);
        parts.sort_by_key(|part| std::cmp::Reverse(part.bytes));
        let written = parts.iter().find_map(|part| part.at);
        let memory_at = get(&self.draft.app.keys, "memory").map(|node| node.at);
        let at = given.or(written).or(memory_at).unwrap_or(self.draft.app.key.at);
        let each = parts.iter().map(|part| format!("{} {}", part.name, bytes(part.bytes)));
        let each = each.collect::<Vec<_>>().join(", ");
        let on = if cores == 1 { String::new() } else { format!(" on {cores} cores") };
        let message = format!("{} do not fit into the {} of memory", bytes(sum), bytes(memory));
        let report = Report::new(at, message).label(format!("{each}{on}"));
        self.report(report.help(match given {
            Some(_) => "give it more by --memory",
            None => "lower it, or give the image more: `memory` in [app]",
        }));
    }
}
