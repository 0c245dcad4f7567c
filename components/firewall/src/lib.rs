//! A stateful packet filter, between IP and the link: it goes into that edge by `under = "ip4"` or
//! `under = "ip6"`.
//!
//! What belongs to a flow that was accepted passes, both ways, and so do the ICMP errors about it.
//! Of everything else the first rule decides that fits, and where none does, the policy: packets
//! of this host pass and those of others do not, unless the manifest says otherwise.
//!
//! ```toml
//! [wall]
//! is = "firewall"
//! under = "ip4"
//! rules = ["accept in tcp port 80", "accept in icmp from 10.0.0.0/8"]
//! ```
//!
//! Neighbour discovery and group membership of IPv6 pass, where their hop limit shows that they
//! come from the link: they are checked by IPv6 itself. With another they are judged like anything
//! else. What is asked of everybody (DHCP) is answered by whoever does. The first fragment of a
//! packet is judged like a packet, and the others pass when it did.
//!
//! The table of flows never grows. A flow has one of eight places in it; when those are taken, the
//! one of them that ends first gives way. Which eight is not to be guessed, so that a flood cannot
//! aim at one.
//!
//! Not here: rewriting packets (NAT), rejecting instead of dropping, limits of rates, and tracking
//! of TCP's sequence numbers, which TCP itself does.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod flow;
mod packet;
mod rule;
#[cfg(test)]
mod tests;

use alloc::vec::Vec;
use flow::{Flows, Found, Key, Signs, is_for_all};
use packet::{Seen, Way, see};
use rule::Rule;
use waitless::relay::{LinkRelay, Relay, RelayOver, Relaying};
use waitless::{
    BATCH, Component, Context, CounterSet, EtherType, InitError, Inspect, Instant, Packet, error,
};

/// What the manifest may set.
#[derive(Debug)]
pub struct Config {
    /// What to do with packets that belong to no flow yet.
    pub rules: &'static [&'static str],
    /// What to do with packets from others that no rule fits.
    pub incoming: Policy,
    /// What to do with packets of this host that no rule fits.
    pub outgoing: Policy,
    /// How many flows are remembered.
    pub flows: u32,
}

/// What to do with a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Policy {
    /// It vanishes, counted.
    Drop,
    /// It passes.
    Accept,
}

/// The filter. Provides a `LinkPort`, stands on one.
pub struct Firewall {
    relay: LinkRelay,
    config: &'static Config,
    rules: Vec<Rule>,
    flows: Flows,
    counters: &'static Counters,
}

waitless::counters! {
    /// What the filter counts. Packets seen are those that passed and those that were dropped for
    /// one of the reasons.
    pub(crate) struct Counters {
        /// Packets from others that passed.
        counter accepted_in: packets,
        /// Packets of this host that passed.
        counter accepted_out: packets,
        /// Packets from others that a rule drops.
        counter dropped_in_rule: packets,
        /// Packets of this host that a rule drops.
        counter dropped_out_rule: packets,
        /// Packets from others that no rule fits.
        counter dropped_in_policy: packets,
        /// Packets of this host that no rule fits.
        counter dropped_out_policy: packets,
        /// Packets whose headers make no sense, or are too many to look at.
        counter malformed: packets,
        /// Fragments of packets whose first one did not pass, or not yet.
        counter fragments: packets,
        /// ICMP errors that passed because they are about a flow.
        counter related: packets,
        /// Flows that gave way to others before their time.
        counter evicted: flows,
        /// Flows that were begun.
        counter flows: flows,
    }
}

/// Rules that there may be.
const RULES: usize = 64;

impl Firewall {
    /// A filter by the rules of `config`.
    pub fn new(config: &'static Config, _: &mut Context) -> Self {
        Self {
            relay: LinkRelay::default(),
            config,
            rules: Vec::new(),
            flows: Flows::new(config.flows as usize),
            counters: Counters::leak(),
        }
    }

    /// Whether a packet passes.
    fn judge(&mut self, protocol: EtherType, packet: &Packet, way: Way, now: Instant) -> bool {
        let Some((seen, part)) = see(protocol, packet.bytes(), way) else {
            self.counters.malformed.add(1);
            return false;
        };
        let passes = match seen {
            // It says how the link works, and does not come from beyond it.
            Seen::Link => true,
            Seen::Fragment => {
                let known = part.is_some_and(|part| self.is_known(&part, now));
                if !known {
                    self.counters.fragments.add(1);
                }
                known
            }
            Seen::Error(about, own) => {
                let known = self.is_known(&about, now);
                if known {
                    self.counters.related.add(1);
                }
                known || self.decide(&own, way)
            }
            Seen::Packet(key, signs) => {
                let found = self.flows.find(&key, Some((way, signs)), now);
                // One to everybody says nothing of whom this is for: rules may tell them apart.
                let known = found != Found::None && (way == Way::In || !is_for_all(&key));
                let passes = known || self.decide(&key, way);
                if found == Found::None && passes {
                    self.counters.flows.add(1);
                    let evicted = self.flows.begin(&key, way, signs, now);
                    self.counters.evicted.add(u64::from(evicted));
                }
                passes
            }
        };
        if passes {
            if let Some(part) = part.filter(|part| !self.is_known(part, now)) {
                self.flows.begin(&part, way, Signs::NONE, now);
            }
            let counter = match way {
                Way::In => &self.counters.accepted_in,
                Way::Out => &self.counters.accepted_out,
            };
            counter.add(1);
        }
        passes
    }

    fn is_known(&mut self, key: &Key, now: Instant) -> bool {
        self.flows.find(key, None, now) == Found::Known
    }

    /// What the rules and the policy say of a packet without a flow.
    fn decide(&self, key: &Key, way: Way) -> bool {
        let counters = self.counters;
        let rule = self.rules.iter().find(|rule| rule.fits(key, way));
        let (policy, by_rule, by_policy) = match way {
            Way::In => {
                (self.config.incoming, &counters.dropped_in_rule, &counters.dropped_in_policy)
            }
            Way::Out => {
                (self.config.outgoing, &counters.dropped_out_rule, &counters.dropped_out_policy)
            }
        };
        let (policy, counter) = rule.map_or((policy, by_policy), |rule| (rule.policy, by_rule));
        if policy == Policy::Drop {
            counter.add(1);
        }
        policy == Policy::Accept
    }
}

impl<Below> Component<Below> for Firewall
where
    LinkRelay: RelayOver<Below>,
{
    fn init(&mut self, below: &mut Below, cx: &mut Context) -> Result<(), InitError> {
        self.flows.seed(&mut cx.random);
        if self.config.rules.len() > RULES {
            return Err(InitError("there are more than 64 rules: put some together"));
        }
        for (number, text) in self.config.rules.iter().enumerate() {
            match Rule::parse(text) {
                Ok(rule) => self.rules.push(rule),
                Err(why) => {
                    error!(cx, "rule {} `{text}`: {why}", number + 1);
                    return Err(InitError("a rule is not understood: the line above says why"));
                }
            }
        }
        self.relay.refresh(below, cx);
        Ok(())
    }

    fn receive(&mut self, below: &mut Below, cx: &mut Context) {
        self.relay.refresh(below, cx);
        for _ in 0..BATCH {
            // Whoever has no room is not pulled for.
            let Some((protocol, packet)) = self.relay.pull(below) else { break };
            if self.judge(protocol, &packet, Way::In, cx.now()) {
                // There is room: else the relay would not have pulled.
                let _ = self.relay.deliver(protocol, packet);
            }
        }
    }

    fn transmit(&mut self, below: &mut Below, cx: &mut Context) {
        self.relay.refresh(below, cx);
        while self.relay.is_ready(below)
            && let Some((to, packet)) = self.relay.take()
        {
            if self.judge(to.0, &packet, Way::Out, cx.now()) {
                self.relay.hand_down(below, to, packet);
            }
        }
    }

    fn deadline(&self) -> Instant {
        if self.relay.is_idle() { Instant::NEVER } else { Instant::ZERO }
    }
}

impl Relaying for Firewall {
    type Relay = LinkRelay;

    #[inline]
    fn relay(&self) -> &LinkRelay {
        &self.relay
    }

    #[inline]
    fn relay_mut(&mut self) -> &mut LinkRelay {
        &mut self.relay
    }
}

impl Inspect for Firewall {
    fn counters(&self) -> &'static dyn CounterSet {
        self.counters
    }
}
