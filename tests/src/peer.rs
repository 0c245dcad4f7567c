//! A neighbour made of frames: just enough ARP and TCP to drive a host by hand.

use crate::corpus::{self, Segment, Station};
use crate::world::{Host, OnCard};
use std::net::Ipv4Addr;
use waitless::{Duration, Instant};

/// The neighbour's station.
pub const STATION: Station = [2, 0, 0, 0, 0, 2];
/// The neighbour's address.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
/// The host's station.
pub const HOST_STATION: Station = [2, 0, 0, 0, 0, 1];
/// The host's address.
pub const HOST_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

/// TCP's flags.
pub mod flags {
    /// Nothing follows.
    pub const FIN: u8 = 1;
    /// The first.
    pub const SYN: u8 = 2;
    /// The connection is gone.
    pub const RST: u8 = 4;
    /// Pass it on.
    pub const PSH: u8 = 8;
    /// The acknowledgement counts.
    pub const ACK: u8 = 16;
}

/// What a host is driven by: its neighbour, and time.
pub struct Peer<G> {
    /// The host.
    pub host: Host<G>,
    /// The time.
    pub now: Instant,
    /// TCP segments that the host sent and nobody took.
    pub segments: Vec<Received>,
    /// Whole frames that it sent, ARP aside.
    pub frames: Vec<Vec<u8>>,
    /// Whether `frames` are kept.
    pub keep_frames: bool,
}

/// A TCP segment from the host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Received {
    /// The neighbour's port.
    pub port: u16,
    /// Its sequence number.
    pub sequence: u32,
    /// Its acknowledgement number.
    pub acknowledgement: u32,
    /// Its flags.
    pub flags: u8,
    /// Its bytes.
    pub payload: Vec<u8>,
}

/// The neighbour's side of a TCP connection.
#[derive(Clone, Copy, Debug)]
pub struct Side {
    /// The neighbour's port.
    pub port: u16,
    /// The host's port.
    pub host_port: u16,
    /// The next sequence number to send.
    pub next: u32,
    /// The next sequence number to come.
    pub expected: u32,
}

impl<G: OnCard> Peer<G> {
    /// A neighbour of `host`.
    pub fn of(host: Host<G>) -> Self {
        let (now, keep_frames) = (Instant::ZERO, false);
        Self { host, now, segments: Vec::new(), frames: Vec::new(), keep_frames }
    }

    /// Sweeps until the host has nothing to do now, answering ARP, a millisecond later.
    pub fn settle(&mut self) {
        const SWEEPS_MAX: usize = 10_000;
        self.now += Duration::from_millis(1);
        for _ in 0..SWEEPS_MAX {
            self.host.sweep(self.now);
            let answered = self.collect();
            if !answered && self.host.graph.deadline() > self.now {
                return;
            }
        }
        panic!("the host is busy for {SWEEPS_MAX} sweeps with nothing to do");
    }

    /// Lets `time` pass, sweeping whenever the host asks for it.
    pub fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.settle();
            let due = self.host.graph.deadline();
            self.now = due.max(self.now + Duration::from_millis(1)).min(end);
        }
        self.settle();
    }

    /// Sends a frame and lets the host deal with it.
    pub fn send(&mut self, frame: &[u8]) {
        self.host.put(frame);
        self.settle();
    }

    /// Sends a segment of `side` with `payload`, and lets the host deal with it.
    pub fn send_segment(&mut self, side: &mut Side, flags: u8, payload: &[u8]) {
        let frame = segment(side, flags, payload);
        let ends = u32::from(flags & (flags::SYN | flags::FIN) != 0);
        side.next = side.next.wrapping_add(payload.len() as u32 + ends);
        self.send(&frame);
    }

    /// Opens a connection from `port` to the host's port `host_port`; `None` when the host does
    /// not agree.
    pub fn connect(&mut self, port: u16, host_port: u16) -> Option<Side> {
        self.segments.clear();
        let mut side = Side { port, host_port, next: u32::from(port) << 8, expected: 0 };
        self.send_segment(&mut side, flags::SYN, b"");
        let agreed = flags::SYN | flags::ACK;
        let answer = self.segments.iter().find(|it| it.port == port && it.flags & agreed == agreed);
        side.expected = answer?.sequence.wrapping_add(1);
        self.segments.clear();
        self.send_segment(&mut side, flags::ACK, b"");
        Some(side)
    }

    /// Sends `payload` and acknowledges what comes, until nothing does; gives what came.
    pub fn exchange(&mut self, side: &mut Side, payload: &[u8]) -> Vec<u8> {
        let mut came = Vec::new();
        for piece in payload.chunks(1400) {
            self.send_segment(side, flags::ACK | flags::PSH, piece);
            came.extend(self.take(side));
        }
        loop {
            let before = came.len();
            self.send_segment(side, flags::ACK, b"");
            came.extend(self.take(side));
            if came.len() == before {
                return came;
            }
        }
    }

    /// Takes the bytes in order that came for `side`.
    pub fn take(&mut self, side: &mut Side) -> Vec<u8> {
        let mut came = Vec::new();
        for segment in self.segments.drain(..) {
            if segment.port == side.port && segment.sequence == side.expected {
                let ends = u32::from(segment.flags & flags::FIN != 0);
                let length = segment.payload.len() as u32 + ends;
                side.expected = side.expected.wrapping_add(length);
                came.extend(segment.payload);
            }
        }
        came
    }

    /// Resets the connection.
    pub fn reset(&mut self, side: &mut Side) {
        self.send_segment(side, flags::RST | flags::ACK, b"");
    }

    /// Takes what the host sent. Whether there was ARP to answer.
    fn collect(&mut self) -> bool {
        let mut answered = false;
        while let Some(frame) = self.host.graph.card().take() {
            let bytes = frame.bytes();
            if let Some(answer) = arp_answer(bytes) {
                self.host.put(&answer);
                answered = true;
            } else if let Some(segment) = parse_segment(bytes) {
                self.segments.push(segment);
            }
            if self.keep_frames {
                self.frames.push(bytes.to_vec());
            }
        }
        answered
    }
}

/// A frame with a segment of `side`.
pub fn segment(side: &Side, flags: u8, payload: &[u8]) -> Vec<u8> {
    let segment = Segment {
        from: (ADDRESS, side.port),
        to: (HOST_ADDRESS, side.host_port),
        sequence: side.next,
        acknowledgement: side.expected,
        flags,
        window: 65_535,
        options: if flags & flags::SYN == 0 { &[] } else { &[2, 4, 5, 180] },
        payload,
    };
    let packet = corpus::ipv4(ADDRESS, HOST_ADDRESS, 6, &segment.bytes());
    corpus::ethernet(HOST_STATION, STATION, 0x0800, &packet)
}

/// A frame with a datagram to the host.
pub fn datagram(port: u16, host_port: u16, payload: &[u8]) -> Vec<u8> {
    let datagram = corpus::udp((ADDRESS, port), (HOST_ADDRESS, host_port), payload);
    let packet = corpus::ipv4(ADDRESS, HOST_ADDRESS, 17, &datagram);
    corpus::ethernet(HOST_STATION, STATION, 0x0800, &packet)
}

/// The answer, when the host asks for the neighbour's station.
fn arp_answer(frame: &[u8]) -> Option<Vec<u8>> {
    let asks = frame.get(12..14)? == [8, 6] && frame.get(20..22)? == [0, 1];
    let from: Station = frame.get(22..28)?.try_into().ok()?;
    let for_us = frame.get(38..42)? == ADDRESS.octets() && frame.get(28..32)? != ADDRESS.octets();
    let sender: [u8; 4] = frame.get(28..32)?.try_into().ok()?;
    (asks && for_us).then(|| {
        let reply = corpus::arp(2, (STATION, ADDRESS), (from, sender.into()));
        corpus::ethernet(from, STATION, 0x0806, &reply)
    })
}

fn parse_segment(frame: &[u8]) -> Option<Received> {
    let is_tcp = frame.get(12..14)? == [8, 0] && frame.get(23)? == &6;
    let packet = is_tcp.then(|| &frame[14..])?;
    let header = usize::from(packet[0] & 15) * 4;
    let total = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
    let tcp = packet.get(header..total)?;
    let long = |at: usize| Some(u32::from_be_bytes(tcp.get(at..at + 4)?.try_into().ok()?));
    let payload = tcp.get(usize::from(*tcp.get(12)? >> 4) * 4..)?.to_vec();
    Some(Received {
        port: u16::from_be_bytes([tcp[2], tcp[3]]),
        sequence: long(4)?,
        acknowledgement: long(8)?,
        flags: tcp[13],
        payload,
    })
}
