//! The resolver, lent a fake UDP and a fake TCP. A test reads like a trace: what is asked of whom,
//! what is answered, what became of the question.

extern crate std;

mod answers;
mod hostile;
mod questions;
mod servers;
mod streams;

use super::*;
use core::net::SocketAddr;
use std::boxed::Box;
use std::collections::VecDeque;
use std::format;
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;
use waitless::{
    BindError, ConnectError, ListenError, Packet, Phase, Socket, Status, Stream, testing,
};

const FIRST: IpAddr = IpAddr::V4(core::net::Ipv4Addr::new(10, 0, 0, 53));
const SECOND: IpAddr = IpAddr::V4(core::net::Ipv4Addr::new(10, 0, 1, 53));

const CONFIG: Config = Config {
    servers: &[FIRST, SECOND],
    search: &[],
    timeout: Duration::from_secs(2),
    attempts: 3,
    questions: 4,
    cache: 8,
    ttl: Duration::from_secs(86_400),
    negative_ttl: Duration::from_secs(900),
    mixed_case: true,
};

/// Datagrams both ways, and which ports are bound.
#[derive(Default)]
struct Udp {
    /// The port of each socket, 0 where there is none.
    ports: Vec<u16>,
    arrived: VecDeque<(Socket, Packet)>,
    sent: VecDeque<(Socket, Packet)>,
    names: NameServers,
    bound: u16,
    refuses: bool,
}

impl UdpPort for Udp {
    fn bind(&mut self, _: u16) -> Result<Socket, BindError> {
        panic!("ports are bound towards servers");
    }

    fn bind_towards(&mut self, _: SocketAddr) -> Result<Socket, BindError> {
        if self.refuses {
            return Err(BindError::Full);
        }
        self.bound += 1;
        let port = 50_000 + self.bound;
        match self.ports.iter().position(|port| *port == 0) {
            Some(free) => {
                self.ports[free] = port;
                Ok(Socket(free))
            }
            None => {
                self.ports.push(port);
                Ok(Socket(self.ports.len() - 1))
            }
        }
    }

    fn release(&mut self, socket: Socket) {
        assert_ne!(self.ports[socket.0], 0, "given back twice");
        self.ports[socket.0] = 0;
        self.arrived.retain(|(to, _)| *to != socket);
    }

    fn recv(&mut self, socket: Socket) -> Option<Packet> {
        assert_ne!(self.ports[socket.0], 0, "not its port any more");
        let at = self.arrived.iter().position(|(to, _)| *to == socket)?;
        self.arrived.remove(at).map(|(_, packet)| packet)
    }

    fn send(&mut self, socket: Socket, datagram: Packet) -> Result<(), Packet> {
        self.sent.push_back((socket, datagram));
        Ok(())
    }

    fn local_port(&self, socket: Socket) -> u16 {
        self.ports[socket.0]
    }

    fn name_servers(&self) -> Option<&NameServers> {
        Some(&self.names)
    }
}

/// One connection at a time.
#[derive(Default)]
struct Tcp {
    remote: Option<SocketAddr>,
    stream: Stream,
    tag: Option<u32>,
    status: Status,
    news: bool,
    arrived: Vec<u8>,
    sent: Vec<u8>,
    released: u32,
    no_route: bool,
}

impl StreamPort for Tcp {
    fn attach(&mut self) -> Option<Service> {
        Some(Service(2))
    }

    fn listen(&mut self, _: Service, _: u16) -> Result<(), ListenError> {
        panic!("a resolver does not listen");
    }

    fn connect(&mut self, service: Service, remote: SocketAddr) -> Result<Stream, ConnectError> {
        assert_eq!(service, Service(2));
        if self.no_route {
            return Err(ConnectError::NoRoute);
        }
        self.stream.generation += 1;
        (self.remote, self.tag) = (Some(remote), None);
        self.status = Status { phase: Phase::Opening, ..Status::default() };
        Ok(self.stream)
    }

    fn news(&mut self, _: Service) -> Option<Stream> {
        core::mem::take(&mut self.news).then_some(self.stream)
    }

    fn status(&self, stream: Stream) -> Status {
        assert_eq!(stream, self.stream);
        self.status
    }

    fn tag(&self, _: Stream) -> Option<u32> {
        self.tag
    }

    fn set_tag(&mut self, _: Stream, tag: u32) {
        self.tag = Some(tag);
    }

    fn peer(&self, _: Stream) -> Option<SocketAddr> {
        self.remote
    }

    fn local(&self, _: Stream) -> Option<SocketAddr> {
        None
    }

    fn readable(&self, _: Stream) -> &[u8] {
        &self.arrived
    }

    fn consume(&mut self, _: Stream, count: usize) {
        self.arrived.drain(..count);
    }

    fn recv(&mut self, _: Stream) -> Option<Packet> {
        None
    }

    fn writable(&mut self, _: Stream) -> &mut [u8] {
        &mut []
    }

    fn commit(&mut self, _: Stream, _: usize) {}

    fn send(&mut self, _: Stream, packet: Packet) -> Result<(), Packet> {
        self.sent.extend(packet.bytes());
        Ok(())
    }

    fn close(&mut self, _: Stream) {}

    fn abort(&mut self, _: Stream) {
        self.remote = None;
    }

    fn release(&mut self, _: Stream) {
        self.released += 1;
    }
}

/// A question as a server sees it.
#[derive(Clone, Debug)]
struct Seen {
    socket: Socket,
    server: IpAddr,
    /// The message from its first byte to the end of the question.
    bytes: Vec<u8>,
    extended: bool,
}

impl Seen {
    fn new(socket: Socket, server: IpAddr, message: &[u8]) -> Self {
        assert_eq!(message[2..10], [1, 0, 0, 1, 0, 0, 0, 0], "recursion, one question");
        let end = 12 + message[12..].iter().position(|byte| *byte == 0).unwrap() + 5;
        let extended = message[11] == 1;
        let rest: &[u8] = if extended { &[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0] } else { &[] };
        assert_eq!(&message[end..], rest);
        Self { socket, server, bytes: message[..end].to_vec(), extended }
    }

    /// The name in small letters, and the type.
    fn short(&self) -> String {
        let (name, at) = name::Name::read(&self.bytes, 12).unwrap();
        let kind = u16::from_be_bytes([self.bytes[at], self.bytes[at + 1]]);
        format!("{name} {kind}")
    }

    /// An answer with this code, these records behind the question, and so many further ones of
    /// the next section.
    fn answer(&self, code: u8, answers: &[Vec<u8>], rest: &[Vec<u8>]) -> Vec<u8> {
        let mut message = self.bytes.clone();
        message[2..12].copy_from_slice(&[
            0x81,
            0x80 | code,
            0,
            1,
            0,
            answers.len() as u8,
            0,
            rest.len() as u8,
            0,
            0,
        ]);
        answers.iter().chain(rest).for_each(|record| message.extend(record));
        message
    }
}

/// A record: `name` is as in a message.
fn record(name: &[u8], kind: u16, ttl: u32, data: &[u8]) -> Vec<u8> {
    let mut record = name.to_vec();
    record.extend(kind.to_be_bytes());
    record.extend([0, 1]);
    record.extend(ttl.to_be_bytes());
    record.extend((data.len() as u16).to_be_bytes());
    record.extend(data);
    record
}

/// The name in the question, compressed.
const ASKED: &[u8] = &[0xc0, 12];

/// A name as in a message.
fn wire(text: &str) -> Vec<u8> {
    name::Name::parse(text).unwrap().0.bytes().to_vec()
}

fn a(number: u8, ttl: u32) -> Vec<u8> {
    record(ASKED, 1, ttl, &[192, 0, 2, number])
}

fn soa(ttl: u32, minimum: u32) -> Vec<u8> {
    let mut data = [wire("ns.example"), wire("who.example")].concat();
    data.extend([0; 16]);
    data.extend(minimum.to_be_bytes());
    record(&wire("example"), 6, ttl, &data)
}

struct Bench {
    dns: Dns,
    udp: Udp,
    tcp: Tcp,
    cx: Context,
}

impl Bench {
    fn new() -> Self {
        Self::with(CONFIG)
    }

    fn with(config: Config) -> Self {
        let mut cx = testing::context(64, 7);
        let mut dns = Dns::new(Box::leak(Box::new(config)), &mut cx);
        let (mut udp, mut tcp) = (Udp::default(), Tcp::default());
        dns.init(&mut (&mut udp, &mut tcp), &mut cx).unwrap();
        Self { dns, udp, tcp, cx }
    }

    fn sweep(&mut self) {
        let below = &mut (&mut self.udp, &mut self.tcp);
        self.dns.receive(below, &mut self.cx);
        self.dns.transmit(below, &mut self.cx);
    }

    /// Lets `millis` pass, with the sweeps that the resolver asks for.
    fn pass(&mut self, millis: u64) {
        let end = self.cx.now() + Duration::from_millis(millis);
        for _ in 0..100_000 {
            let due = self.deadline().max(self.cx.now());
            if due > end {
                break;
            }
            self.cx.set_now(due + Duration::from_nanos(1));
            self.sweep();
        }
        self.cx.set_now(end);
        self.sweep();
    }

    fn deadline(&self) -> Instant {
        Component::<(&mut Udp, &mut Tcp)>::deadline(&self.dns)
    }

    #[track_caller]
    fn ask(&mut self, name: &str) -> Question {
        let question = self.dns.ask(name, Family::V4).unwrap();
        self.sweep();
        question
    }

    /// The next question that was sent.
    fn sent(&mut self) -> Option<Seen> {
        let (socket, packet) = self.udp.sent.pop_front()?;
        assert_eq!(packet.info().remote_port, 53);
        Some(Seen::new(socket, packet.info().remote, packet.bytes()))
    }

    /// `message` comes from `server` to `socket`.
    fn deliver(&mut self, socket: Socket, server: IpAddr, message: &[u8]) {
        let mut packet = self.cx.packet().unwrap();
        packet.append(message).unwrap();
        packet.info_mut().remote = server;
        packet.info_mut().remote_port = 53;
        self.udp.arrived.push_back((socket, packet));
        self.sweep();
    }

    /// The server that was asked answers.
    fn reply(&mut self, seen: &Seen, message: &[u8]) {
        self.deliver(seen.socket, seen.server, message);
    }

    /// Asks for `name` and answers with these records.
    #[track_caller]
    fn resolve(&mut self, name: &str, records: &[Vec<u8>]) -> String {
        let question = self.ask(name);
        if let Some(seen) = self.sent() {
            self.reply(&seen, &seen.answer(0, records, &[]));
        }
        self.outcome(question)
    }

    /// What became of a question, in short.
    #[track_caller]
    fn outcome(&mut self, question: Question) -> String {
        match self.dns.answer(question) {
            None => "waits".into(),
            Some(Ok(addresses)) => {
                let texts: Vec<_> = addresses.iter().map(ToString::to_string).collect();
                texts.join(" ")
            }
            Some(Err(why)) => format!("{why:?}"),
        }
    }

    /// Nothing is left of what was asked.
    #[track_caller]
    fn expect_rest(&mut self) {
        assert!(self.udp.ports.iter().all(|port| *port == 0), "{:?}", self.udp.ports);
        assert!(self.tcp.remote.is_none() && self.udp.sent.is_empty());
        assert_eq!(self.deadline(), Instant::NEVER);
        assert_eq!(self.cx.pool().available(), self.cx.pool().count());
        assert_eq!(self.dns.counters.open.get(), 0);
    }
}
