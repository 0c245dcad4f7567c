//! Fuzz targets: bytes that an enemy chose, into the whole graph through its card.
//!
//! A target is run by `tests/fuzz` under libFuzzer, and by `tests/tests/fuzz.rs` with a bounded
//! number of mutations. It panics when something is wrong: the graph did, or it lost buffers, or
//! it is busy with nothing, or it does not serve any more.

pub mod flight;

use crate::corpus;
use crate::fetching::Fetching;
use crate::graphs::{self, names, roaming};
use crate::pair::Pair;
use crate::peer::{self, Peer, Side, flags};
use crate::routed::{Routed, Way};
use crate::wires;
use crate::world::OnCard;
use std::cell::RefCell;
use std::net::{Ipv4Addr, Ipv6Addr};
use waitless::{Duration, Family, ResolverPort, Sweep};

/// The targets, by name: one for each parser, and two ends of a connection with somebody between.
pub const TARGETS: [&str; 22] = [
    "ethernet",
    "arp",
    "ipv4",
    "icmp",
    "udp",
    "tcp",
    "dhcp",
    "http",
    "pair",
    "ipv6",
    "icmp6",
    "ndp",
    "tls",
    "hello",
    "certificate",
    "dns",
    "sntp",
    "dhcp6",
    "firewall",
    "router",
    "flight",
    "fetch",
];

/// Buffers of a host that is fuzzed.
const BUFFERS: usize = 256;
/// Inputs after which a host must have given everything back.
const ROUND: u32 = 2_000;
/// The same, where each input may be a handshake, which takes long.
const ROUND_OF_HANDSHAKES: u32 = 100;
/// The longest that a host is left alone at a time.
const HOUR: Duration = Duration::from_secs(3600);

/// Runs the target `name` on `input`. Hosts are kept between inputs, since what they are made
/// of is never given back.
///
/// # Panics
/// When the graph did not behave; and when there is no such target.
pub fn run(name: &str, input: &[u8]) {
    match name {
        "dhcp" => ROAMING.with_borrow_mut(|host| host.dhcp(input)),
        "certificate" => certificate(input),
        "flight" => DIALLING.with_borrow_mut(|client| client.run(input)),
        "hello" => SECURE.with_borrow_mut(|host| host.http(&hello(input))),
        "dns" => NAMES.with_borrow_mut(|host| host.dns(input)),
        "sntp" => NAMES.with_borrow_mut(|host| host.answer_to(123, &[(24, 8)], input)),
        "dhcp6" => NAMES.with_borrow_mut(|host| host.dhcp6(input)),
        "fetch" => FETCHING.with_borrow_mut(|client| client.answer(input)),
        "firewall" => NAMES.with_borrow_mut(|host| host.walled(input)),
        "http" => SERVER.with_borrow_mut(|host| host.http(input)),
        "router" => ROUTED.with_borrow_mut(|routed| router(routed, input)),
        "pair" => PAIR.with_borrow_mut(|pair| pair.run(input)),
        "tcp" => SERVER.with_borrow_mut(|host| host.tcp(input)),
        "tls" => SECURE.with_borrow_mut(|host| host.http(input)),
        "ipv6" | "icmp6" | "ndp" => DUAL.with_borrow_mut(|host| host.frame(input)),
        _ => {
            assert!(TARGETS.contains(&name), "there is no target `{name}`");
            SERVER.with_borrow_mut(|host| host.frame(input));
        }
    }
}

thread_local! {
    static SERVER: RefCell<Box<dyn Target>> = RefCell::new(Box::new(Fuzzed::server()));
    static PAIR: RefCell<Pair> = RefCell::new(Pair::new());
    static DUAL: RefCell<Box<dyn Target>> = RefCell::new(Box::new(Fuzzed::dual()));
    static ROUTED: RefCell<(Routed, u32)> = RefCell::new((Routed::new(BUFFERS), 0));
    static SECURE: RefCell<Box<dyn Target>> = RefCell::new(Box::new(Fuzzed::secure()));
    static NAMES: RefCell<Fuzzed<names::Graph>> = RefCell::new(Fuzzed::names());
    static DIALLING: RefCell<flight::Dialling> = RefCell::new(flight::Dialling::new());
    static FETCHING: RefCell<Fetching> = RefCell::new(Fetching::new());
    static ROAMING: RefCell<Fuzzed<roaming::Graph>> = RefCell::new(Fuzzed::roaming());
}

/// What a server is fuzzed with.
trait Target {
    /// A frame of any kind.
    fn frame(&mut self, input: &[u8]);
    /// Segments of a connection that is open, or not yet.
    fn tcp(&mut self, input: &[u8]);
    /// Bytes of a connection.
    fn http(&mut self, input: &[u8]);
}

/// A ClientHello of which `input` is the body: in a message and records whose lengths are right,
/// so that what is in it is read.
fn hello(input: &[u8]) -> Vec<u8> {
    let length = (input.len() as u32).to_be_bytes();
    let message = [&[1, length[1], length[2], length[3]], input].concat();
    let records = message.chunks(1 << 14).flat_map(|part| {
        let length = (part.len() as u16).to_be_bytes();
        [&[22, 3, 1, length[0], length[1]], part].concat()
    });
    records.collect()
}

/// A packet for a router to forward and to translate: the first byte says from which side, and
/// how long to wait. It is sent as it is and with right checksums, and then its answer is made of
/// what came out, whatever that is.
fn router((routed, inputs): &mut (Routed, u32), input: &[u8]) {
    let Some((&first, packet)) = input.split_first() else { return };
    let mut packet = packet.to_vec();
    packet.truncate(1500);
    let way = if first & 1 == 0 { Way::Out } else { Way::In };
    routed.send(way, &packet);
    corpus::repair(&mut packet);
    for sent in routed.send(way, &packet) {
        routed.send(sent.way.back(), &sent.answer());
    }
    routed.pass(Duration::from_millis(u64::from(first >> 1) * 100));
    *inputs += 1;
    if inputs.is_multiple_of(ROUND) {
        routed.pass(Duration::from_secs(20_000));
        routed.expect_rest();
    }
}

/// Files that a manifest names as certificate and key.
fn certificate(input: &[u8]) {
    use build::certificates::{Chain, PrivateKey, Trust};
    let now = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_800_000_000);
    let (chain, key) = (Chain::read(input, now), PrivateKey::read(input));
    if let Ok(trust) = Trust::read(input, now) {
        assert!(!trust.certificates.is_empty());
    }
    if let (Ok(chain), Ok(key)) = (&chain, &key) {
        assert!(!chain.certificates.is_empty());
        let _ = chain.belongs_to(key);
    }
}

/// A host and its neighbour.
struct Fuzzed<G> {
    peer: Peer<G>,
    inputs: u32,
    port: u16,
    /// The host's port that connections are to.
    service: u16,
    serves: bool,
}

impl Fuzzed<()> {
    fn server() -> Fuzzed<impl OnCard> {
        let host = graphs::server(BUFFERS, 1, (wires::ALL[0].1)(1));
        let mut peer = Peer::of(host);
        // Until it is sure of its address.
        peer.pass(Duration::from_secs(5));
        Fuzzed { peer, inputs: 0, port: 20_000, service: 80, serves: true }
    }

    fn secure() -> Fuzzed<impl OnCard> {
        let mut peer = Peer::of(graphs::secure(BUFFERS, 1, (wires::ALL[0].1)(1)));
        peer.pass(Duration::from_secs(5));
        Fuzzed { peer, inputs: 0, port: 20_000, service: 443, serves: true }
    }

    fn dual() -> Fuzzed<impl OnCard> {
        let host = graphs::dual(BUFFERS, 2, 1, (wires::ALL[0].1)(1));
        let mut peer = Peer::of(host);
        peer.pass(Duration::from_secs(5));
        Fuzzed { peer, inputs: 0, port: 20_000, service: 80, serves: false }
    }

    fn names() -> Fuzzed<names::Graph> {
        let mut peer = Peer::of(graphs::names(BUFFERS, 1));
        peer.keep_frames = true;
        peer.pass(Duration::from_secs(10));
        Fuzzed { peer, inputs: 0, port: 0, service: 80, serves: false }
    }

    fn roaming() -> Fuzzed<roaming::Graph> {
        let mut peer = Peer::of(graphs::roaming(BUFFERS, 1));
        peer.keep_frames = true;
        peer.pass(Duration::from_secs(1));
        Fuzzed { peer, inputs: 0, port: 0, service: 80, serves: false }
    }
}

impl<G: OnCard> Target for Fuzzed<G> {
    fn frame(&mut self, input: &[u8]) {
        let mut frame = input.to_vec();
        frame.truncate(1514);
        self.peer.send(&frame);
        // The same with right checksums gets further.
        corpus::repair_frame(&mut frame);
        self.peer.send(&frame);
        self.end_of_input();
    }

    fn tcp(&mut self, input: &[u8]) {
        let Some((&start, rest)) = input.split_first() else { return };
        let Some(mut side) = self.open(start) else { return };
        for part in rest.split(|byte| *byte == 0xfe).take(8) {
            let mut frame = peer::segment(&side, flags::ACK, b"");
            // The input is the segment's header behind the ports, relative to the connection.
            let relative = |value: u32, at: usize| {
                let change =
                    part.get(at..at + 2).map_or(0, |it| i16::from_be_bytes([it[0], it[1]]));
                value.wrapping_add(i32::from(change) as u32).to_be_bytes()
            };
            let (sequence, expected) = (relative(side.next, 0), relative(side.expected, 2));
            frame.truncate(34);
            frame.extend(side.port.to_be_bytes());
            frame.extend(side.host_port.to_be_bytes());
            frame.extend(sequence);
            frame.extend(expected);
            frame.extend(part.get(4..).unwrap_or(&[0x50, 0x10, 1, 0, 0, 0, 0, 0]));
            frame.truncate(1514);
            let length = (frame.len() - 14) as u16;
            frame[16..18].copy_from_slice(&length.to_be_bytes());
            corpus::repair_frame(&mut frame);
            self.peer.send(&frame);
        }
        side.next = side.next.wrapping_add(1);
        self.close(&mut side);
        self.end_of_input();
    }

    fn http(&mut self, input: &[u8]) {
        let Some(mut side) = self.open(1) else { return };
        // One input is sent whole and in two pieces, cut where its length says.
        let cut = input.len() / 3;
        self.peer.exchange(&mut side, &input[..cut]);
        self.peer.exchange(&mut side, &input[cut..]);
        self.close(&mut side);
        self.end_of_input();
    }
}

impl<G: OnCard> Fuzzed<G> {
    /// A connection that is open, or, for every third `start`, one that is opening.
    fn open(&mut self, start: u8) -> Option<Side> {
        self.port = if self.port >= 60_000 { 20_000 } else { self.port + 1 };
        if start % 3 == 2 {
            let next = u32::from(self.port) << 8;
            let host_port = self.service;
            let mut side = Side { port: self.port, host_port, next, expected: 0 };
            self.peer.segments.clear();
            self.peer.send_segment(&mut side, flags::SYN, b"");
            side.expected = self.peer.segments.first()?.sequence.wrapping_add(1);
            return Some(side);
        }
        self.peer.connect(self.port, self.service)
    }

    /// Resets the connection where the host thinks it is.
    fn close(&mut self, side: &mut Side) {
        let last = self.peer.segments.iter().rev().find(|it| it.port == side.port);
        if let Some(segment) = last {
            side.next = segment.acknowledgement;
        }
        self.peer.segments.clear();
        self.peer.reset(side);
    }

    /// Now and then, everything must be as it was before the first input.
    fn end_of_input(&mut self) {
        self.peer.segments.clear();
        self.peer.frames.clear();
        self.inputs += 1;
        let round = if self.service == 443 { ROUND_OF_HANDSHAKES } else { ROUND };
        if self.inputs.is_multiple_of(round) {
            self.peer.pass(Duration::from_secs(1_000));
            let out = self.peer.host.buffers_out();
            assert_eq!(out, 0, "buffers are out long after the last input");
            assert!(!self.serves || self.serves_still(), "it does not serve any more");
        }
    }

    /// Without TLS, which stands on the same.
    fn serves_still(&mut self) -> bool {
        self.port += 1;
        let Some(mut side) = self.peer.connect(self.port, 80) else { return false };
        let said = self.peer.exchange(&mut side, b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
        self.close(&mut side);
        said.ends_with(b"hello")
    }
}

impl Fuzzed<roaming::Graph> {
    /// An answer to the request that the host sent last, if its numbers are put in.
    fn dhcp(&mut self, input: &[u8]) {
        // Time must pass for it to ask again.
        self.peer.pass(Duration::from_secs(5));
        let asked = self.peer.frames.iter().rev().find(|frame| is_dhcp_request(frame)).cloned();
        let mut frame = input.to_vec();
        frame.truncate(1514);
        if let Some(asked) = asked {
            // The transaction's number and the client's station.
            for range in [46..50, 70..76] {
                if let Some(room) = frame.get_mut(range.clone()) {
                    room.copy_from_slice(&asked[range]);
                }
            }
        }
        if frame.get(23) == Some(&17) {
            corpus::repair_frame(&mut frame);
        }
        self.peer.send(&frame);
        self.end_of_input();
    }
}

fn is_dhcp_request(frame: &[u8]) -> bool {
    let to_server = Ipv4Addr::BROADCAST.octets();
    frame.get(23) == Some(&17)
        && frame.get(36..38) == Some(&67_u16.to_be_bytes())
        && frame.get(30..34) == Some(&to_server)
        && frame.len() > 76
}

impl Fuzzed<names::Graph> {
    /// The question that the host sent last to the UDP port `port`, whose header is at `udp` in a
    /// frame, soon after it did: an answer that comes too late is no answer. `None` when it asks
    /// nothing for long.
    fn asked(&mut self, port: u16, udp: usize) -> Option<Vec<u8>> {
        const WAITS_MAX: usize = 40;
        let (kind, protocol) = if udp == 34 { ([8, 0], 23) } else { ([0x86, 0xdd], 20) };
        let is_question = |frame: &&Vec<u8>| {
            frame.get(12..14) == Some(&kind)
                && frame.get(protocol) == Some(&17)
                && frame.get(udp + 2..udp + 4) == Some(&port.to_be_bytes())
        };
        for _ in 0..WAITS_MAX {
            if let Some(asked) = self.peer.frames.iter().rev().find(is_question) {
                return Some(asked.clone());
            }
            let due = self.peer.host.graph.deadline();
            self.peer.now = self.peer.now.max(due.min(self.peer.now + HOUR));
            self.peer.settle();
        }
        None
    }

    /// A frame of any kind for this station.
    fn walled(&mut self, input: &[u8]) {
        let mut frame = input.to_vec();
        if let Some(station) = frame.get_mut(..6)
            && station[0] & 1 == 0
        {
            station.copy_from_slice(&peer::HOST_STATION);
        }
        self.frame(&frame);
    }

    /// An answer of a name server to a question of a handler's.
    fn dns(&mut self, input: &[u8]) {
        let question = self.peer.host.graph.dns.ask("time.test", Family::V4);
        self.peer.settle();
        self.answer_to(53, &[(0, 2), (12, 15)], input);
        if let Ok(question) = question {
            self.peer.host.graph.dns.forget(question);
        }
    }

    /// An answer to what the host asked last of the port `port` over IPv4, if these parts of the
    /// question are put in.
    fn answer_to(&mut self, port: u16, parts: &[(usize, usize)], input: &[u8]) {
        let mut message = input.to_vec();
        message.truncate(1400);
        if let Some(asked) = self.asked(port, 34) {
            let from = u16::from_be_bytes([asked[34], asked[35]]);
            // A time server repeats what stands elsewhere in the question.
            let shift = if port == 123 { 16 } else { 0 };
            for (at, length) in parts {
                let part = asked.get(42 + at + shift..42 + at + shift + length);
                if let (Some(room), Some(part)) = (message.get_mut(*at..at + length), part) {
                    room.copy_from_slice(part);
                }
            }
            let ends = ((peer::ADDRESS, port), (peer::HOST_ADDRESS, from));
            let datagram = corpus::udp(ends.0, ends.1, &message);
            let packet = corpus::ipv4(peer::ADDRESS, peer::HOST_ADDRESS, 17, &datagram);
            self.peer.send(&corpus::ethernet(peer::HOST_STATION, peer::STATION, 0x800, &packet));
        }
        self.end_of_input();
    }

    /// An answer of a DHCPv6 server to what the host asked last, if its numbers are put in.
    fn dhcp6(&mut self, input: &[u8]) {
        const SERVER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0xff, 0xfe00, 2);
        const HOST: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0xff, 0xfe00, 1);
        let mut message = input.to_vec();
        message.truncate(1400);
        if let Some(asked) = self.asked(547, 54) {
            // The transaction's number, and the client's identifier behind its option's head.
            for range in [1..4, 8..18] {
                let part = asked.get(62 + range.start..62 + range.end);
                if let (Some(room), Some(part)) = (message.get_mut(range), part) {
                    room.copy_from_slice(part);
                }
            }
            let length = (8 + message.len()) as u16;
            let head = [547_u16, 546, length, 0].map(u16::to_be_bytes).concat();
            let packet = corpus::ipv6(SERVER, HOST, 17, 64, &[head, message].concat());
            let mut frame = corpus::ethernet(peer::HOST_STATION, peer::STATION, 0x86dd, &packet);
            corpus::repair_frame(&mut frame);
            self.peer.send(&frame);
        }
        self.end_of_input();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_takes_the_answers_of_the_corpora() {
        for target in ["dns", "sntp", "dhcp6", "firewall"] {
            corpus::files(target).iter().for_each(|(_, input)| run(target, input));
        }
        NAMES.with_borrow(|host| {
            let taken = [
                ("dns", "found"),
                ("dns", "absent"),
                ("dns", "truncated"),
                ("known", "set"),
                ("dhcp6", "offers"),
                ("wall4", "dropped_in_policy"),
                ("wall6", "fragments"),
            ];
            for (instance, counter) in taken {
                let host = &host.peer.host;
                let counters = host.counters();
                assert!(host.counter(instance, counter) > 0, "{instance}.{counter}:\n{counters}");
            }
        });
    }
}
