//! The contract of a datagram port, against real sockets on the loopback interface.

use crate::{Config, HostUdp};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration as HostDuration, Instant as Clock};
use waitless::device::Platform;
use waitless::{
    BATCH, BindError, Component, Context, Inspect, Instant, Packet, Protocol, Socket, UdpPort,
    testing,
};

static CONFIG: Config = Config { bind: IpAddr::V4(Ipv4Addr::LOCALHOST) };

/// A host on which the image's port 7 is any free one.
#[derive(Debug)]
struct Host;

impl Platform for Host {
    fn name(&self) -> &'static str {
        "test"
    }

    fn wake_on(&self, _: i32) -> bool {
        true
    }

    fn host_port(&self, protocol: Protocol, port: u16) -> u16 {
        assert_eq!(protocol, Protocol::UDP);
        if port == 7 { 0 } else { port }
    }
}

struct Bench {
    cx: Context,
    udp: HostUdp,
    socket: Socket,
    peer: UdpSocket,
}

impl Bench {
    /// An image that has port 7, and a peer that sends there.
    fn new() -> Self {
        let mut cx = testing::context_on(&Host, 128, 1);
        let mut udp = HostUdp::new(&CONFIG, &mut cx);
        udp.init(&mut (), &mut cx).unwrap();
        let socket = udp.bind(7).unwrap();
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        peer.set_read_timeout(Some(HostDuration::from_secs(30))).unwrap();
        peer.connect(udp.address(socket).unwrap()).unwrap();
        Self { cx, udp, socket, peer }
    }

    fn sweep(&mut self) {
        self.udp.receive(&mut (), &mut self.cx);
        self.udp.transmit(&mut (), &mut self.cx);
    }

    fn recv(&mut self) -> Packet {
        let end = Clock::now() + HostDuration::from_secs(30);
        while Clock::now() < end {
            self.sweep();
            if let Some(packet) = self.udp.recv(self.socket) {
                return packet;
            }
            std::thread::sleep(HostDuration::from_micros(100));
        }
        panic!("nothing arrived");
    }

    fn packet(&self, bytes: &[u8], to: SocketAddr) -> Packet {
        let mut packet = self.cx.packet().unwrap();
        packet.append(bytes).unwrap();
        packet.info_mut().remote = to.ip();
        packet.info_mut().remote_port = to.port();
        packet
    }

    fn deadline(&self) -> Instant {
        Component::<()>::deadline(&self.udp)
    }

    fn count(&self, name: &str) -> u64 {
        let counters = self.udp.counters();
        let all = (0..counters.count()).filter_map(|index| counters.metric(index));
        all.filter(|metric| metric.name == name).map(|metric| metric.value).sum()
    }
}

#[test]
fn a_datagram_goes_back_to_its_sender() {
    let mut bench = Bench::new();
    bench.peer.send(b"hello").unwrap();
    let packet = bench.recv();
    let local = bench.peer.local_addr().unwrap();
    assert_eq!(packet.bytes(), b"hello");
    assert_eq!((packet.info().remote, packet.info().remote_port), (local.ip(), local.port()));
    assert_eq!((packet.info().local, packet.info().local_port), (CONFIG.bind, 7));
    bench.udp.send(bench.socket, packet).unwrap();
    bench.sweep();
    let mut answer = [0; 10];
    let length = bench.peer.recv(&mut answer).unwrap();
    assert_eq!(&answer[..length], b"hello");
    assert_eq!(bench.deadline(), Instant::NEVER);
    assert_eq!(bench.cx.pool().available(), bench.cx.pool().count());
}

#[test]
fn an_empty_datagram_is_one() {
    let mut bench = Bench::new();
    bench.peer.send(b"").unwrap();
    assert!(bench.recv().is_empty());
}

#[test]
fn datagrams_stay_whole_and_in_order_and_wait_for_a_slow_service() {
    let mut bench = Bench::new();
    for value in 0..60u8 {
        bench.peer.send(&[value; 1_400]).unwrap();
    }
    bench.sweep();
    assert_eq!(bench.count("received"), BATCH as u64, "a batch at a time");
    assert_eq!(bench.deadline(), Instant::ZERO);
    for value in 0..60u8 {
        assert_eq!(bench.recv().bytes(), [value; 1_400]);
    }
}

#[test]
fn what_does_not_fit_into_a_packet_is_dropped_and_counted() {
    let mut bench = Bench::new();
    bench.peer.send(&[1; 9_000]).unwrap();
    bench.peer.send(b"next").unwrap();
    assert_eq!(bench.recv().bytes(), b"next");
    assert_eq!(bench.count("too_long"), 1);
}

#[test]
fn what_the_host_refuses_is_dropped_and_counted() {
    let mut bench = Bench::new();
    let packet = bench.packet(b"x", "[::1]:9".parse().unwrap());
    bench.udp.send(bench.socket, packet).unwrap();
    bench.sweep();
    assert_eq!((bench.count("send_failed"), bench.count("sent")), (1, 0));
    assert_eq!(bench.deadline(), Instant::NEVER);
}

#[test]
fn a_full_mailbox_gives_datagrams_back() {
    let mut bench = Bench::new();
    let to = bench.peer.local_addr().unwrap();
    for _ in 0..BATCH {
        let packet = bench.packet(b"x", to);
        bench.udp.send(bench.socket, packet).unwrap();
    }
    let packet = bench.packet(b"x", to);
    assert!(bench.udp.send(bench.socket, packet).is_err());
    bench.sweep();
    assert_eq!(bench.count("sent"), BATCH as u64);
}

#[test]
fn without_packets_datagrams_wait() {
    let mut bench = Bench::new();
    let hoard: Vec<_> = core::iter::from_fn(|| bench.cx.packet()).collect();
    bench.peer.send(b"patience").unwrap();
    bench.sweep();
    assert_eq!(bench.count("starved"), 1);
    assert!(bench.deadline() > bench.cx.now(), "it tries again later, and does not spin");
    drop(hoard);
    assert_eq!(bench.recv().bytes(), b"patience");
}

#[test]
fn a_port_is_claimed_once() {
    let mut bench = Bench::new();
    assert_eq!(bench.udp.local_port(bench.socket), 7);
    assert_eq!(bench.udp.bind(7), Err(BindError::Taken));
    let free = bench.udp.bind(0).unwrap();
    assert_ne!(bench.udp.local_port(free), 0);
    let taken = bench.peer.local_addr().unwrap().port();
    assert_eq!(bench.udp.bind(taken), Err(BindError::Refused));
    assert_eq!(bench.udp.bind(taken), Err(BindError::Refused), "and stays free for others");
}

#[test]
fn a_port_towards_a_host_has_an_exchange_with_it_and_is_given_back() {
    let mut bench = Bench::new();
    let to = bench.peer.local_addr().unwrap();
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    peer.set_read_timeout(Some(HostDuration::from_secs(30))).unwrap();
    let to = SocketAddr::new(to.ip(), peer.local_addr().unwrap().port());
    let socket = bench.udp.bind_towards(to).unwrap();
    bench.udp.send(socket, bench.packet(b"who?", to)).unwrap();
    bench.sweep();
    let mut question = [0; 10];
    let (length, from) = peer.recv_from(&mut question).unwrap();
    assert_eq!(&question[..length], b"who?");
    assert_eq!(from.port(), bench.udp.local_port(socket));
    peer.send_to(b"me", from).unwrap();
    let first = core::mem::replace(&mut bench.socket, socket);
    assert_eq!(bench.recv().bytes(), b"me");
    bench.udp.release(socket);
    assert!(bench.udp.recv(socket).is_none());
    // Its place and its port are free.
    let again = UdpSocket::bind(("127.0.0.1", from.port())).unwrap();
    assert_eq!(bench.udp.bind(0), Ok(socket));
    drop(again);
    bench.socket = first;
    bench.peer.send(b"still here").unwrap();
    assert_eq!(bench.recv().bytes(), b"still here");
}

#[test]
fn ports_are_limited() {
    let mut bench = Bench::new();
    while bench.udp.bind(0).is_ok() {}
    assert_eq!(bench.udp.bind(0), Err(BindError::Full));
    assert!(bench.udp.recv(Socket(1_000)).is_none());
    let packet = bench.packet(b"x", "127.0.0.1:9".parse().unwrap());
    assert!(bench.udp.send(Socket(1_000), packet).is_err());
}
