//! Two honest ends of a TCP connection, and somebody between them who decides what becomes of
//! each segment: who loses, repeats, delays and spoils, and who sends segments in their names.
//!
//! Whoever sees everything can of course take a connection over. This one does not use what it
//! sees: what it forges lies outside of what is expected, or repeats what was said, but for the
//! window. Once it stops, both ends must have everything.

use crate::corpus;
use crate::graphs::{self, client, raw};
use crate::world::{OnCard, World};
use tcp::Tcp;
use waitless::{Duration, Phase, Service, Stream, StreamPort, Sweep};

/// Buffers of each end.
const BUFFERS: usize = 256;
const PORT: u16 = 9000;
/// Bytes each way.
const UP: usize = 5_000;
const DOWN: usize = 3_000;
/// Segments in a row that may come to harm: more, and giving up would be right.
const HARM_MAX: u32 = 4;
/// Inputs after which everything must have been given back.
const ROUND: u32 = 500;
/// Where a frame's TCP header begins.
const TCP: usize = 34;

/// Both ends, kept between inputs.
pub struct Pair {
    world: World<client::Graph, raw::Graph>,
    services: [Service; 2],
    inputs: u32,
}

/// What passes one way.
#[derive(Default)]
struct Way {
    /// Segments that are held back.
    held: Vec<Vec<u8>>,
    /// The number behind the last byte that was ever sent.
    top: u32,
    /// Segments in a row that came to harm.
    harm: u32,
}

/// One end's bytes.
struct End {
    stream: Option<Stream>,
    to_send: usize,
    sent: usize,
    received: usize,
    closed: bool,
}

impl Pair {
    /// Two ends on a wire.
    ///
    /// # Panics
    /// When the graphs cannot be brought up.
    pub fn new() -> Self {
        let clean = (crate::wires::ALL[0].1)(1);
        let mut world = World::new(graphs::client(BUFFERS, 1), graphs::raw(BUFFERS, 2, clean));
        // Until they are sure of their addresses.
        world.run_for(Duration::from_secs(5));
        let here = world.a.graph.tcp.attach().expect("room for a service");
        let there = world.b.graph.tcp.attach().expect("room for a service");
        world.b.graph.tcp.listen(there, PORT).expect("a free port");
        Self { world, services: [here, there], inputs: 0 }
    }

    /// One connection, of whose segments `input` decides.
    ///
    /// # Panics
    /// When a byte was lost, or came twice or out of place, or the connection got stuck.
    pub fn run(&mut self, input: &[u8]) {
        let mut input = input.iter().copied();
        let mut ways = [Way::default(), Way::default()];
        let mut here = End { stream: None, to_send: UP, sent: 0, received: 0, closed: false };
        let mut there = End { to_send: DOWN, ..here };
        let remote = (std::net::Ipv4Addr::new(10, 0, 0, 2), PORT).into();
        here.stream = self.world.a.graph.tcp.connect(self.services[0], remote).ok();
        let end = self.world.now + Duration::from_secs(3_000);
        while !(here.is_over(&self.world.a.graph.tcp) && there.is_over(&self.world.b.graph.tcp)) {
            assert!(
                self.world.now < end,
                "stuck: {} of {DOWN} and {} of {UP} bytes\na:\n{}b:\n{}",
                here.received,
                there.received,
                self.world.a.counters(),
                self.world.b.counters()
            );
            here.pump(&mut self.world.a.graph.tcp, self.services[0], 1);
            there.pump(&mut self.world.b.graph.tcp, self.services[1], 2);
            self.step(&mut ways, &mut input);
        }
        assert_eq!((here.received, there.received), (DOWN, UP));
        here.release(&mut self.world.a.graph.tcp);
        there.release(&mut self.world.b.graph.tcp);
        self.inputs += 1;
        if self.inputs.is_multiple_of(ROUND) {
            self.world.run_for(Duration::from_secs(1_000));
            let out = (self.world.a.buffers_out(), self.world.b.buffers_out());
            assert_eq!(out, (0, 0), "buffers are out long after the last input");
        }
    }

    fn step(&mut self, ways: &mut [Way; 2], input: &mut impl Iterator<Item = u8>) {
        let World { a, b, now, .. } = &mut self.world;
        a.sweep_if_due(*now);
        b.sweep_if_due(*now);
        let mut moved = false;
        let [up, down] = ways;
        while let Some(frame) = a.graph.card().take() {
            moved = true;
            up.pass(frame.bytes(), input, &mut |frame| b.put(frame));
        }
        while let Some(frame) = b.graph.card().take() {
            moved = true;
            down.pass(frame.bytes(), input, &mut |frame| a.put(frame));
        }
        let due = a.graph.deadline().min(b.graph.deadline());
        if !moved && due > *now {
            let most = *now + Duration::from_secs(1);
            // What is held back arrives at last, when nothing else does.
            for frame in core::mem::take(&mut up.held) {
                b.put(&frame);
            }
            for frame in core::mem::take(&mut down.held) {
                a.put(&frame);
            }
            *now = due.min(most);
        } else {
            *now += Duration::from_micros(10);
        }
    }
}

impl Default for Pair {
    fn default() -> Self {
        Self::new()
    }
}

impl Way {
    /// A frame passes, or does not.
    fn pass(
        &mut self,
        frame: &[u8],
        input: &mut impl Iterator<Item = u8>,
        put: &mut impl FnMut(&[u8]),
    ) {
        if frame.get(12..14) != Some(&[8, 0]) || frame.get(23) != Some(&6) {
            return put(frame);
        }
        self.note(frame);
        let what = input.next().unwrap_or(0) % 8;
        let harm = matches!(what, 3 | 5 | 6);
        self.harm = if harm { self.harm + 1 } else { 0 };
        match what {
            _ if harm && self.harm > HARM_MAX => put(frame),
            3 => return,
            4 => {
                put(frame);
                put(frame);
            }
            5 => return self.held.push(frame.to_vec()),
            6 => {
                let mut spoiled = frame.to_vec();
                let at = TCP + usize::from(input.next().unwrap_or(0)) % (frame.len() - TCP);
                spoiled[at] ^= 1 << (input.next().unwrap_or(0) % 8);
                put(&spoiled);
            }
            7 => {
                put(frame);
                if let Some(forged) = self.forge(frame, input) {
                    put(&forged);
                }
            }
            _ => put(frame),
        }
        for frame in core::mem::take(&mut self.held) {
            put(&frame);
        }
    }

    /// Follows what was sent.
    fn note(&mut self, frame: &[u8]) {
        let (sequence, length, flags) = fields(frame);
        let end = sequence.wrapping_add(length);
        if flags & 2 != 0 || (end.wrapping_sub(self.top) as i32) > 0 {
            self.top = end;
        }
    }

    /// A segment in the name of who sent `frame`. Not while the connection opens: then it would
    /// be right to give it up.
    fn forge(&self, frame: &[u8], input: &mut impl Iterator<Item = u8>) -> Option<Vec<u8>> {
        let mut next = || input.next().unwrap_or(0);
        let (sequence, _, flags) = fields(frame);
        if flags & 6 != 0 {
            return None;
        }
        let header = usize::from(frame[TCP + 12] >> 4) * 4;
        let mut forged = frame[..TCP + header].to_vec();
        let kind = next() % 4;
        let some = u32::from(u16::from_be_bytes([next(), next()]));
        let (sequence, flags) = match kind {
            // Behind everything that was sent, so never what is expected next.
            0 => (self.top.wrapping_add(1 + some), 4),
            1 => (self.top.wrapping_add(1 + some), 2),
            2 => (sequence.wrapping_sub(1 + some), 0x10),
            _ => (self.top, 0x10),
        };
        forged[TCP + 4..TCP + 8].copy_from_slice(&sequence.to_be_bytes());
        forged[TCP + 13] = flags;
        if kind == 3 {
            forged[TCP + 14..TCP + 16].copy_from_slice(&(some as u16).to_be_bytes());
        }
        let length = (forged.len() - 14) as u16;
        forged[16..18].copy_from_slice(&length.to_be_bytes());
        corpus::repair_frame(&mut forged);
        Some(forged)
    }
}

/// A segment's sequence number, how much of the sequence space it takes, and its flags.
fn fields(frame: &[u8]) -> (u32, u32, u8) {
    let total = usize::from(u16::from_be_bytes([frame[16], frame[17]]));
    let tcp = &frame[TCP..14 + total];
    let payload = tcp.len() - usize::from(tcp[12] >> 4) * 4;
    let sequence = u32::from_be_bytes([tcp[4], tcp[5], tcp[6], tcp[7]]);
    let control = u32::from(tcp[13] & 1 != 0) + u32::from(tcp[13] & 2 != 0);
    (sequence, payload as u32 + control, tcp[13])
}

impl End {
    /// The byte at `position` of what an end sends.
    fn byte(side: usize, position: usize) -> u8 {
        (position.wrapping_mul(31) ^ (position >> 8) ^ side.wrapping_mul(101)) as u8
    }

    fn pump(&mut self, tcp: &mut Tcp, service: Service, side: usize) {
        while let Some(stream) = tcp.news(service) {
            self.stream.get_or_insert(stream);
        }
        let Some(stream) = self.stream else { return };
        while !tcp.readable(stream).is_empty() {
            let bytes = tcp.readable(stream);
            for &got in bytes {
                assert_eq!(got, Self::byte(3 - side, self.received), "at {}", self.received);
                self.received += 1;
            }
            let count = bytes.len();
            tcp.consume(stream, count);
        }
        while self.sent < self.to_send {
            let room = tcp.writable(stream);
            let count = room.len().min(self.to_send - self.sent);
            if count == 0 {
                break;
            }
            for (i, room) in room[..count].iter_mut().enumerate() {
                *room = Self::byte(side, self.sent + i);
            }
            tcp.commit(stream, count);
            self.sent += count;
        }
        let open = tcp.status(stream).phase == Phase::Open;
        if open && self.sent == self.to_send && !self.closed {
            tcp.close(stream);
            self.closed = true;
        }
    }

    /// Whether it has ended in agreement. Nothing else is right.
    fn is_over(&self, tcp: &Tcp) -> bool {
        let Some(stream) = self.stream else { return false };
        let phase = tcp.status(stream).phase;
        assert!(
            matches!(phase, Phase::Opening | Phase::Open | Phase::Closed),
            "a connection of honest ends ended: {phase:?}"
        );
        phase == Phase::Closed
    }

    fn release(&mut self, tcp: &mut Tcp) {
        if let Some(stream) = self.stream.take() {
            tcp.release(stream);
        }
    }
}
