//! The kit for tests that read like a packet trace: segments are a template and the field that
//! differs, sequence numbers count from each side's SYN.

use super::fake::{Ip, LOCAL, REMOTE};
use crate::seq::Seq;
use crate::state::State;
use crate::wire::{Flags, Options, Segment};
use crate::{Config, Tcp};
use std::net::SocketAddr;
use std::vec::Vec;
use waitless::checksum::Checksum;
use waitless::packet::ChecksumState;
use waitless::testing::context;
use waitless::{
    Component, Context, Duration, Instant, Packet, PathError, PathErrorKind, Phase, Service,
    Status, Stream, StreamPort,
};

pub const PORT: u16 = 80;
pub const THEIR_PORT: u16 = 40_000;
/// The other side's initial sequence number: close to the wrap.
pub const THEIR_ISN: u32 = u32::MAX - 700;
pub const PACKETS: usize = 400;

pub const ACK: Flags = Flags::ACK;
pub const PSH: Flags = Flags::PSH.and(Flags::ACK);
pub const FIN: Flags = Flags::FIN.and(Flags::ACK);
pub const FIN_PSH: Flags = FIN.and(Flags::PSH);
pub const SYN: Flags = Flags::SYN;
pub const SYN_ACK: Flags = Flags::SYN.and(Flags::ACK);
pub const RST: Flags = Flags::RST;
pub const RST_ACK: Flags = Flags::RST.and(Flags::ACK);

/// A segment. In one that arrives, `seq` counts from the other side's SYN and `ack` from ours;
/// in one that is sent it is the other way round.
#[derive(Clone, Copy, PartialEq)]
pub struct Seg {
    pub seq: u32,
    pub ack: u32,
    pub flags: Flags,
    /// `None` in an expected segment: any.
    pub window: Option<u16>,
    pub options: Options,
    pub data: &'static [u8],
}

impl core::fmt::Debug for Seg {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { seq, ack, flags, window, options, data } = self;
        let start = &data[..data.len().min(8)];
        write!(f, "seq {seq} ack {ack} {flags:?} window {window:?} {options:?}")?;
        write!(f, " {} bytes {start:?}", data.len())
    }
}

/// The template.
pub const SEG: Seg =
    Seg { seq: 1, ack: 1, flags: ACK, window: None, options: NO_OPTIONS, data: b"" };
pub const NO_OPTIONS: Options =
    Options { mss: 0, scale: None, sack_permitted: false, stamps: None, sacks: 0 };
pub const MSS: Options = Options { mss: 1460, ..NO_OPTIONS };

/// Bytes to send and expect.
pub static BYTES: [u8; 65_536] = {
    let mut bytes = [0; 65_536];
    let mut i = 0;
    while i < bytes.len() {
        bytes[i] = (i % 251) as u8;
        i += 1;
    }
    bytes
};

pub struct Trace {
    pub cx: Context,
    pub tcp: Tcp,
    pub ip: Ip,
    pub service: Service,
    pub stream: Stream,
    /// Our initial sequence number.
    pub isn: Seq,
    pub their_port: u16,
    pub our_port: u16,
}

/// Without timestamps, and with acknowledgements delayed from the first on unless a test wants
/// otherwise.
pub fn plain() -> Config {
    Config { timestamps: false, ecn: false, receive_buffer: 60_000, ..Config::DEFAULT }
}

impl Trace {
    /// A host that listens on [`PORT`].
    pub fn listening(config: Config) -> Self {
        Self::listening_on(config, context(PACKETS, 1))
    }

    /// The same, on one core of several maybe.
    pub fn listening_on(config: Config, mut cx: Context) -> Self {
        let config = super::config(|it| *it = config);
        cx.set_now(Instant::from_nanos(1_000_000_000));
        let mut tcp = Tcp::new(config, &mut cx);
        let mut ip = Ip::new(LOCAL);
        tcp.init(&mut ip, &mut cx).unwrap();
        let service = tcp.attach().unwrap();
        tcp.listen(service, PORT).unwrap();
        let stream = Stream { index: u32::MAX, generation: 0 };
        let (their_port, our_port) = (THEIR_PORT, PORT);
        Self { cx, tcp, ip, service, stream, isn: Seq(0), their_port, our_port }
    }

    /// A connection that the other side has opened, past its quick acknowledgements.
    pub fn open(config: Config) -> Self {
        Self::open_with(config, Seg { flags: SYN, options: MSS, ..SEG }, SEG)
    }

    /// The same with a SYN and an ACK of the test's own.
    pub fn open_with(config: Config, syn: Seg, ack: Seg) -> Self {
        let mut trace = Self::listening(config);
        trace.arrives(Seg { seq: 0, ..syn });
        let answer = trace.pop().expect("a SYN-ACK");
        assert_eq!(answer.flags, SYN_ACK);
        trace.arrives(ack);
        trace.stream = trace.tcp.news(trace.service).expect("a new connection");
        trace.tcp.set_tag(trace.stream, 7);
        trace.tcp.conns[trace.stream.index as usize].quick_acks = 0;
        trace.silent();
        trace
    }

    /// A connection that this side has begun to open.
    pub fn connecting(config: Config) -> Self {
        let mut trace = Self::listening(config);
        let remote = SocketAddr::new(REMOTE, THEIR_PORT);
        trace.stream = trace.tcp.connect(trace.service, remote).unwrap();
        trace.sweep();
        if let Some(local) = trace.tcp.local(trace.stream) {
            trace.our_port = local.port();
        }
        trace
    }

    pub fn sweep(&mut self) {
        self.tcp.receive(&mut self.ip, &mut self.cx);
        self.tcp.transmit(&mut self.ip, &mut self.cx);
    }

    /// A segment arrives, and the host has its sweep.
    pub fn arrives(&mut self, seg: Seg) {
        self.queue(seg);
        self.sweep();
    }

    /// A segment arrives, and the sweep is still to come.
    pub fn queue(&mut self, seg: Seg) {
        let packet = self.packet(seg);
        self.ip.inbox.push_back(packet);
    }

    pub fn packet(&mut self, seg: Seg) -> Packet {
        let has_ack = seg.flags.any(ACK);
        let segment = Segment {
            source: self.their_port,
            destination: self.our_port,
            seq: Seq(THEIR_ISN) + seg.seq,
            ack: if has_ack { self.isn + seg.ack } else { Seq(0) },
            flags: seg.flags,
            window: seg.window.unwrap_or(60_000),
            options: seg.options,
            ..Segment::default()
        };
        let (header, length) = segment.header_full();
        let mut packet = self.cx.packet().unwrap();
        packet.append(&header[..length]).unwrap();
        packet.append(seg.data).unwrap();
        let sum = Checksum::new().pseudo(REMOTE, LOCAL, 6, packet.len() as u16);
        let sum = sum.add(packet.bytes()).finish().to_be_bytes();
        packet.bytes_mut()[16..18].copy_from_slice(&sum);
        packet.info_mut().local = LOCAL;
        packet.info_mut().remote = REMOTE;
        packet
    }

    /// The next segment that was sent, checked to be well-formed.
    pub fn pop(&mut self) -> Option<Seg> {
        let packet = self.ip.sent.pop_front()?;
        let segment = Segment::parse(packet.bytes()).expect("a well-formed segment");
        if packet.info().checksum == ChecksumState::Unknown {
            let sum = Checksum::new().pseudo(LOCAL, REMOTE, 6, packet.len() as u16);
            assert!(sum.add(packet.bytes()).is_valid(), "the checksum is wrong");
        }
        assert_eq!((packet.info().local, packet.info().remote), (LOCAL, REMOTE));
        assert_eq!(
            (segment.source, segment.destination),
            (self.our_port_of(&segment), self.their_port)
        );
        if segment.flags.any(SYN) {
            self.isn = segment.seq;
        }
        let payload = &packet.bytes()[segment.header..];
        let has_ack = segment.flags.any(ACK);
        Some(Seg {
            seq: segment.seq.since(self.isn),
            ack: if has_ack { segment.ack.since(Seq(THEIR_ISN)) } else { 0 },
            flags: segment.flags,
            window: Some(segment.window),
            options: segment.options,
            data: std::boxed::Box::leak(payload.to_vec().into_boxed_slice()),
        })
    }

    fn our_port_of(&self, segment: &Segment) -> u16 {
        if segment.flags == SYN { segment.source } else { self.our_port }
    }

    /// Expects a segment.
    #[track_caller]
    pub fn sends(&mut self, expected: Seg) {
        let Some(got) = self.pop() else { panic!("nothing was sent, expected {expected:?}") };
        let window = if expected.window.is_some() { got.window } else { None };
        let got = Seg { window, ..got };
        assert!(got == expected, "\n     got {got:?}\nexpected {expected:?}");
    }

    /// Expects no more segments.
    #[track_caller]
    pub fn silent(&mut self) {
        let got = self.pop();
        assert!(got.is_none(), "sent {got:?}");
    }

    /// Time passes, and the host has its sweeps.
    pub fn after(&mut self, millis: u64) {
        let until = self.cx.now() + Duration::from_millis(millis);
        // As an event loop does: awake at each deadline on the way.
        for _ in 0..1000 {
            let next = Component::<Ip>::deadline(&self.tcp);
            if next > until {
                break;
            }
            self.cx.set_now(next);
            self.sweep();
        }
        self.cx.set_now(until);
        self.sweep();
    }

    /// The service writes, and the host has its sweep.
    pub fn write(&mut self, data: &[u8]) {
        self.put(data);
        self.sweep();
    }

    /// The service writes.
    pub fn put(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            let window = self.tcp.writable(self.stream);
            assert!(!window.is_empty(), "no room");
            let count = window.len().min(data.len());
            window[..count].copy_from_slice(&data[..count]);
            self.tcp.commit(self.stream, count);
            data = &data[count..];
        }
    }

    /// The service reads all there is.
    pub fn read(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        while !self.tcp.readable(self.stream).is_empty() {
            let bytes = self.tcp.readable(self.stream);
            let count = bytes.len();
            all.extend_from_slice(bytes);
            self.tcp.consume(self.stream, count);
        }
        all
    }

    pub fn error(&mut self, kind: PathErrorKind, seq: u32) {
        let mut header = [0; 8];
        header[..2].copy_from_slice(&self.our_port.to_be_bytes());
        header[2..4].copy_from_slice(&self.their_port.to_be_bytes());
        header[4..].copy_from_slice(&(self.isn + seq).0.to_be_bytes());
        self.ip.errors.push_back(PathError { kind, local: LOCAL, remote: REMOTE, header });
        self.sweep();
    }

    pub fn close(&mut self) {
        self.tcp.close(self.stream);
        self.sweep();
    }

    pub fn release(&mut self) {
        self.tcp.release(self.stream);
        self.sweep();
    }

    pub fn status(&self) -> Status {
        self.tcp.status(self.stream)
    }

    pub fn phase(&self) -> Phase {
        self.status().phase
    }

    /// The state of the only connection.
    pub fn state(&self) -> State {
        self.tcp.conns.first().expect("a connection").state
    }

    #[track_caller]
    pub fn counts(&self, counter: impl Fn(&crate::Counters) -> &waitless::Counter) -> u64 {
        counter(Tcp::counters(&self.tcp)).get()
    }

    /// Nothing is left: every packet is back, no timer runs.
    #[track_caller]
    pub fn is_clean(&mut self) {
        self.silent();
        assert_eq!(self.tcp.kept(), 0);
        assert_eq!(self.cx.pool().available(), PACKETS);
        assert_eq!(self.counts(|counters| &counters.open), 0);
        assert_eq!(self.counts(|counters| &counters.half_open), 0);
        assert_eq!(Component::<Ip>::deadline(&self.tcp), Instant::NEVER);
    }
}
