//! A router in virtual time, and the hosts on both of its sides, made of frames.
//!
//! Whatever it sends outside is looked at: nothing there may come from an address inside, and
//! every header has a right checksum.

use crate::corpus::{self, Station};
use crate::graphs::{self, router};
use crate::world::{Card, Host};
use std::net::Ipv4Addr;
use waitless::checksum::checksum;
use waitless::{Duration, Instant, Packet, Sweep};

/// The router's address outside.
pub const OUTSIDE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);

/// The stations of the router's cards, and of whoever is on the other end of each.
const CARDS: [Station; 2] = [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]];
const NEIGHBOURS: [Station; 2] = [[2, 0, 0, 0, 0, 0x11], [2, 0, 0, 0, 0, 0x12]];

/// Which way a packet passes the router.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// From outside.
    In,
    /// From inside.
    Out,
}

impl Way {
    /// The other way.
    pub fn back(self) -> Self {
        match self {
            Self::In => Self::Out,
            Self::Out => Self::In,
        }
    }

    /// The card that a packet comes in by.
    fn card(self) -> usize {
        usize::from(self == Self::Out)
    }
}

/// A packet that the router has sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sent {
    /// Where to: `Out` is outside.
    pub way: Way,
    /// The packet, from its IP header on.
    pub bytes: Vec<u8>,
}

impl Sent {
    /// The same packet back: addresses and ports are swapped.
    pub fn answer(&self) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        let header = usize::from(bytes[0] & 15) * 4;
        let mut swap = |a: usize, b: usize, length: usize| {
            for at in 0..length {
                if b + at < bytes.len() {
                    bytes.swap(a + at, b + at);
                }
            }
        };
        swap(12, 16, 4);
        match self.bytes.get(9) {
            Some(6 | 17) => swap(header, header + 2, 2),
            // An echo request's answer.
            Some(1) if bytes.get(header) == Some(&8) => bytes[header] = 0,
            _ => {}
        }
        bytes[8] = 64;
        corpus::repair(&mut bytes);
        bytes
    }
}

/// A router with its neighbours.
pub struct Routed {
    /// The router.
    pub host: Host<router::Graph>,
    now: Instant,
    sent: Vec<Sent>,
}

impl Routed {
    /// A router with `packets` buffers, which is sure of its addresses.
    #[track_caller]
    pub fn new(packets: usize) -> Self {
        let (now, sent) = (Instant::ZERO, Vec::new());
        let mut routed = Self { host: graphs::router(packets, 1), now, sent };
        routed.pass(Duration::from_secs(5));
        routed
    }

    /// Sends an IP packet from one side, and gives what the router sent for that.
    pub fn send(&mut self, way: Way, packet: &[u8]) -> Vec<Sent> {
        let card = way.card();
        let frame = corpus::ethernet(CARDS[card], NEIGHBOURS[card], 0x0800, packet);
        self.put(card, &frame);
        self.settle();
        std::mem::take(&mut self.sent)
    }

    /// Lets `time` pass, sweeping whenever the router asks for it.
    pub fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.settle();
            let due = self.host.graph.deadline();
            self.now = due.max(self.now + Duration::from_millis(1)).min(end);
        }
        self.settle();
        self.sent.clear();
    }

    /// Long after the last packet, nothing is left of any.
    ///
    /// # Panics
    /// When something is.
    #[track_caller]
    pub fn expect_rest(&mut self) {
        assert_eq!(self.host.buffers_out(), 0, "buffers are out\n{}", self.host.counters());
        assert_eq!(self.host.counter("nat", "sessions"), 0);
        assert_eq!(self.host.counter("nat", "mappings"), 2, "the manifest's");
    }

    /// Sweeps until the router has nothing to do now, answering ARP.
    fn settle(&mut self) {
        const SWEEPS_MAX: usize = 10_000;
        for _ in 0..SWEEPS_MAX {
            self.host.sweep(self.now);
            let answered = self.collect();
            if !answered && self.host.graph.deadline() > self.now {
                return;
            }
        }
        panic!("the router is busy with nothing to do\n{}", self.host.counters());
    }

    fn put(&mut self, card: usize, frame: &[u8]) {
        let Host { graph, cx, .. } = &mut self.host;
        card_of(graph, card).put(frame, cx);
    }

    /// Takes what the router sent. Whether there was ARP to answer.
    fn collect(&mut self) -> bool {
        let mut answered = false;
        for card in 0..CARDS.len() {
            while let Some(frame) = card_of(&mut self.host.graph, card).take() {
                if let Some(answer) = arp_answer(card, frame.bytes()) {
                    self.put(card, &answer);
                    answered = true;
                } else if frame.bytes().get(12..14) == Some(&[8, 0]) {
                    self.look(card, frame);
                }
            }
        }
        answered
    }

    /// Looks at a packet that the router has sent, and keeps it.
    #[track_caller]
    fn look(&mut self, card: usize, mut frame: Packet) {
        // As a card does.
        frame.complete_checksum();
        let bytes = frame.bytes()[14..].to_vec();
        let header = usize::from(bytes[0] & 15) * 4;
        assert_eq!(checksum(&bytes[..header]), 0, "a header's checksum: {}", bytes.escape_ascii());
        let way = if card == 0 { Way::Out } else { Way::In };
        let source = Ipv4Addr::new(bytes[12], bytes[13], bytes[14], bytes[15]);
        assert!(way == Way::In || source == OUTSIDE, "{source} is seen outside");
        self.sent.push(Sent { way, bytes });
    }
}

fn card_of(graph: &mut router::Graph, card: usize) -> &mut Card {
    match card {
        0 => &mut graph.nic,
        _ => &mut graph.nic2,
    }
}

/// What the neighbour, who has every address but the router's own, says to an ARP request.
fn arp_answer(card: usize, frame: &[u8]) -> Option<Vec<u8>> {
    let asks = frame.get(12..14) == Some(&[8, 6]) && frame.get(20..22) == Some(&[0, 1]);
    let address = |at: usize| {
        let octets: [u8; 4] = frame.get(at..at + 4)?.try_into().ok()?;
        Some(Ipv4Addr::from(octets))
    };
    let (from, wanted) = (address(28)?, address(38)?);
    // One that asks for itself announces an address.
    if !asks || from == wanted || from.is_unspecified() {
        return None;
    }
    let (own, neighbour) = (CARDS[card], NEIGHBOURS[card]);
    let answer = corpus::arp(2, (neighbour, wanted), (own, from));
    Some(corpus::ethernet(own, neighbour, 0x0806, &answer))
}
