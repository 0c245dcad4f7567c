//! The network cards of an image, in the order in which a machine has them.

use crate::graph::{Graph, Instance};
use std::net::Ipv4Addr;

/// A network card.
#[derive(Clone, Default, Debug)]
pub(super) struct Card {
    /// The address that the image has on it, by its manifest, with the length of its prefix.
    pub(super) address: Option<(Ipv4Addr, u8)>,
}

impl Card {
    /// An address for this machine beside the image's own, with the length of its prefix.
    pub(super) fn host(&self) -> Option<(Ipv4Addr, u8)> {
        let (address, prefix) = self.address.filter(|(_, prefix)| (1..=30).contains(prefix))?;
        let network = address.to_bits() & (u32::MAX << (32 - prefix));
        let host = if address.to_bits() == network + 1 { network + 2 } else { network + 1 };
        Some((Ipv4Addr::from_bits(host), prefix))
    }
}

/// All cards of the graph.
pub(super) fn cards(graph: &Graph) -> Vec<Card> {
    let lowest = (0..graph.instances.len()).filter(|index| is_card(&graph.instances[*index]));
    lowest.map(|card| Card { address: address(graph, card) }).collect()
}

/// Whether the instance is a card, and nothing that stands on one.
pub(super) fn is_card(instance: &Instance) -> bool {
    let own = instance.component.provides.iter().any(|port| port == "NicPort");
    own && !instance.below.iter().any(|edge| edge.port == "NicPort")
}

/// The number of the card that `index` stands on, by whatever is in between: the first that leads
/// there.
pub(super) fn card_of(graph: &Graph, index: usize) -> usize {
    let mut at = index;
    // Each comes after those that it stands on, so there is no ring.
    while let Some(edge) = graph.instances[at].below.first() {
        if is_card(&graph.instances[at]) {
            break;
        }
        at = edge.to;
    }
    (0..at).filter(|index| is_card(&graph.instances[*index])).count()
}

/// The address in the manifest of what stands on the card with this index.
fn address(graph: &Graph, card: usize) -> Option<(Ipv4Addr, u8)> {
    let number = card_of(graph, card);
    let layers = graph.instances.iter().enumerate().filter(|(index, instance)| {
        instance.component.provides.iter().any(|port| port == "IpPort")
            && card_of(graph, *index) == number
    });
    let mut keys = layers.flat_map(|(_, layer)| &layer.config);
    let key = keys.find(|setting| setting.field.name == "address")?;
    let (address, prefix) = key.shown.trim_matches('"').split_once('/')?;
    Some((address.parse().ok()?, prefix.parse().ok()?))
}
