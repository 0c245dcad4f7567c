//! A relay between a fake component below and a test that plays the component above.

mod ip;
mod link;
mod udp;

use super::{Relay, RelayOver};
use crate::{Context, Packet, testing};

fn packet(cx: &Context, bytes: &[u8]) -> Packet {
    let mut packet = cx.packet().unwrap();
    packet.append(bytes).unwrap();
    packet
}

/// The upward half of a sweep of a component that does nothing to packets.
fn receive<R: RelayOver<B>, B>(relay: &mut R, below: &mut B, cx: &mut Context) {
    relay.refresh(below, cx);
    while let Some((to, packet)) = relay.pull(below) {
        assert!(relay.has_room(to));
        assert!(relay.deliver(to, packet).is_ok());
    }
}

/// The downward half.
fn transmit<R: RelayOver<B>, B>(relay: &mut R, below: &mut B, cx: &mut Context) {
    relay.refresh(below, cx);
    while relay.is_ready(below)
        && let Some((to, packet)) = relay.take()
    {
        relay.hand_down(below, to, packet);
    }
}

/// The counter `name` of a relay.
fn count(relay: &impl Relay, name: &str) -> u64 {
    let counters = relay.counters();
    let mut metrics = (0..counters.count()).filter_map(|index| counters.metric(index));
    metrics.find(|metric| metric.name == name).unwrap().value
}

fn cx() -> Context {
    testing::context(256, 1)
}
