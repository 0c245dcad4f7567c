//! The network with a guest that is smoltcp too, and real sockets of this machine.

use super::datagrams::CONVERSATIONS_MAX;
use super::streams::STREAMS_MAX;
use super::*;
use smoltcp::iface::SocketHandle;
use smoltcp::socket::{dhcpv4, icmp, tcp, udp};
use smoltcp::wire::{
    ArpOperation, ArpRepr, EthernetRepr, HardwareAddress, Icmpv4Packet, Icmpv4Repr, IpEndpoint,
};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Instant;

const MAC: EthernetAddress = EthernetAddress([2, 0, 0, 0, 0, 1]);

/// A network and a guest on it.
struct World {
    network: Network,
    interface: Interface,
    sockets: SocketSet<'static>,
    wire: Wire,
    start: Instant,
    /// Never readable: nobody wakes the network here.
    wake: (UnixStream, UnixStream),
}

impl World {
    /// A guest that has its address.
    fn new(forwards: &[(Protocol, u16)]) -> Self {
        let forward = |&(protocol, guest)| Forward { protocol, host: 0, guest };
        let forwards = forwards.iter().map(forward).collect();
        Self::with(&Config { forwards, nameserver: None }, true)
    }

    fn with(config: &Config, has_address: bool) -> Self {
        let mut wire = Wire::default();
        let settings = smoltcp::iface::Config::new(HardwareAddress::Ethernet(MAC));
        let at = smoltcp::time::Instant::ZERO;
        let mut interface = Interface::new(settings, &mut wire, at);
        if has_address {
            interface.update_ip_addrs(|addresses| {
                addresses.push(IpCidr::new(IpAddress::Ipv4(GUEST), PREFIX)).unwrap();
            });
            interface.routes_mut().add_default_ipv4_route(GATEWAY).unwrap();
        }
        Self {
            network: Network::new(config).unwrap(),
            interface,
            sockets: SocketSet::new(Vec::new()),
            wire,
            start: Instant::now(),
            wake: UnixStream::pair().unwrap(),
        }
    }

    /// Moves everything that can move, then waits a little for sockets.
    fn step(&mut self) {
        let now = self.start.elapsed();
        let at = smoltcp::time::Instant::from_micros(now.as_micros() as i64);
        self.interface.poll(at, &mut self.wire, &mut self.sockets);
        while self.network.room() > 0 {
            let Some(frame) = self.wire.take() else { break };
            self.network.put(frame, now);
        }
        self.network.poll(now);
        while self.wire.has_room_in() {
            let Some(frame) = self.network.take() else { break };
            self.wire.put(frame);
        }
        self.interface.poll(at, &mut self.wire, &mut self.sockets);
        let delay = self.network.delay(now).unwrap_or(Duration::MAX);
        let delay = delay.min(Duration::from_millis(1));
        self.network.wait(self.wake.0.as_fd(), Some(delay)).unwrap();
    }

    /// Steps until `done`, for as long as only a broken network takes.
    fn until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        let late = Instant::now() + Duration::from_secs(30);
        while !done(self) {
            assert!(Instant::now() < late, "not in time: {what}");
            self.step();
        }
    }

    /// The port of this machine that leads to the guest's `port`.
    fn port(&self, port: u16) -> u16 {
        self.network.forwards().into_iter().find(|f| f.guest == port).unwrap().host
    }

    fn socket(&mut self) -> SocketHandle {
        let buffer = || tcp::SocketBuffer::new(vec![0; 16 << 10]);
        self.sockets.add(tcp::Socket::new(buffer(), buffer()))
    }

    fn tcp(&mut self, handle: SocketHandle) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(handle)
    }

    /// The guest listens on `port`.
    fn listen(&mut self, port: u16) -> SocketHandle {
        let handle = self.socket();
        self.tcp(handle).listen(port).unwrap();
        handle
    }

    /// The guest begins to connect.
    fn connect(&mut self, to: (Ipv4Addr, u16), from: u16) -> SocketHandle {
        let handle = self.socket();
        let socket = self.sockets.get_mut::<tcp::Socket<'_>>(handle);
        socket.connect(self.interface.context(), to, from).unwrap();
        handle
    }

    /// What the guest has received by now.
    fn received(&mut self, handle: SocketHandle) -> Vec<u8> {
        let socket = self.tcp(handle);
        if !socket.can_recv() {
            return Vec::new();
        }
        let mut all = Vec::new();
        socket
            .recv(|bytes| {
                all.extend_from_slice(bytes);
                (bytes.len(), ())
            })
            .unwrap();
        all
    }
}

/// A client of this machine's that does not block.
fn client(port: u16) -> TcpStream {
    let client = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    client.set_nonblocking(true).unwrap();
    client
}

/// Reads what there is; `None` at the end.
fn read(from: &mut TcpStream, all: &mut Vec<u8>) -> Option<usize> {
    let mut bytes = [0; 4096];
    match from.read(&mut bytes) {
        Ok(0) => None,
        Ok(count) => {
            all.extend_from_slice(&bytes[..count]);
            Some(count)
        }
        Err(why) if why.kind() == io::ErrorKind::WouldBlock => Some(0),
        Err(why) => panic!("{why}"),
    }
}

/// Bytes that differ from each other where they are mixed up.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index % 251) as u8 ^ (index >> 12) as u8).collect()
}

#[test]
fn a_guest_gets_its_address_by_dhcp() {
    let mut world = World::with(&Config::default(), false);
    let handle = world.sockets.add(dhcpv4::Socket::new());
    let mut lease = None;
    world.until("a lease", |world| {
        let event = world.sockets.get_mut::<dhcpv4::Socket<'_>>(handle).poll();
        if let Some(dhcpv4::Event::Configured(config)) = event {
            lease = Some((config.address, config.router, config.dns_servers.to_vec()));
        }
        lease.is_some()
    });
    let (address, router, servers) = lease.unwrap();
    assert_eq!(address.to_string(), "10.0.2.15/24");
    assert_eq!((router, &servers[..]), (Some(GATEWAY), &[NAMESERVER][..]));
    assert_eq!(world.network.drops(), Drops::default());
}

#[test]
fn dhcp_messages_are_answered_as_they_deserve() {
    use smoltcp::wire::{DhcpMessageType as Kind, DhcpPacket, DhcpRepr};
    let none = Ipv4Addr::UNSPECIFIED;
    let template = DhcpRepr {
        message_type: Kind::Request,
        transaction_id: 7,
        secs: 0,
        client_hardware_address: MAC,
        client_ip: none,
        your_ip: none,
        server_ip: none,
        router: None,
        subnet_mask: None,
        relay_agent_ip: none,
        broadcast: false,
        requested_ip: Some(GUEST),
        client_identifier: None,
        server_identifier: Some(GATEWAY),
        parameter_request_list: None,
        dns_servers: None,
        max_size: None,
        lease_duration: None,
        renew_duration: None,
        rebind_duration: None,
        additional_options: &[],
    };
    let other = Ipv4Addr::new(10, 0, 2, 99);
    let renewal = DhcpRepr {
        client_ip: GUEST,
        requested_ip: None,
        server_identifier: None,
        ..template.clone()
    };
    let cases = [
        (template.clone(), Some((Kind::Ack, GUEST))),
        (DhcpRepr { broadcast: true, ..template.clone() }, Some((Kind::Ack, Ipv4Addr::BROADCAST))),
        (DhcpRepr { message_type: Kind::Discover, ..template.clone() }, Some((Kind::Offer, GUEST))),
        (renewal.clone(), Some((Kind::Ack, GUEST))),
        (DhcpRepr { client_ip: other, ..renewal }, Some((Kind::Nak, Ipv4Addr::BROADCAST))),
        (
            DhcpRepr { requested_ip: Some(other), ..template.clone() },
            Some((Kind::Nak, Ipv4Addr::BROADCAST)),
        ),
        (DhcpRepr { server_identifier: Some(other), ..template.clone() }, None),
        (DhcpRepr { message_type: Kind::Release, ..template.clone() }, None),
        (DhcpRepr { message_type: Kind::Decline, ..template.clone() }, None),
        (
            DhcpRepr { message_type: Kind::Inform, client_ip: other, ..template.clone() },
            Some((Kind::Ack, other)),
        ),
        (DhcpRepr { message_type: Kind::Offer, ..template }, None),
    ];
    for (request, expected) in cases {
        let mut bytes = vec![0; request.buffer_len()];
        request.emit(&mut DhcpPacket::new_unchecked(&mut bytes[..])).unwrap();
        let answer = dhcp::answer(&bytes);
        let got = answer.as_ref().map(|answer| {
            let packet = DhcpPacket::new_unchecked(&answer.message[..]);
            (DhcpRepr::parse(&packet).unwrap().message_type, answer.to)
        });
        assert_eq!(got, expected, "{request:?}");
        for length in 0..bytes.len() {
            let _ = dhcp::answer(&bytes[..length]);
        }
    }
}

#[test]
fn only_the_gateway_is_at_home() {
    let asked = |target: Ipv4Addr| {
        let mut world = World::new(&[]);
        let arp = ArpRepr::EthernetIpv4 {
            operation: ArpOperation::Request,
            source_hardware_addr: MAC,
            source_protocol_addr: GUEST,
            target_hardware_addr: EthernetAddress([0; 6]),
            target_protocol_addr: target,
        };
        let mut bytes = vec![0; 14 + arp.buffer_len()];
        let mut frame = EthernetFrame::new_unchecked(&mut bytes[..]);
        EthernetRepr {
            src_addr: MAC,
            dst_addr: EthernetAddress::BROADCAST,
            ethertype: EthernetProtocol::Arp,
        }
        .emit(&mut frame);
        arp.emit(&mut ArpPacket::new_unchecked(frame.payload_mut()));
        world.network.put(bytes, Duration::ZERO);
        world.network.poll(Duration::ZERO);
        world.network.take().is_some()
    };
    assert!(asked(GATEWAY) && asked(NAMESERVER));
    assert!(!asked(GUEST), "a guest that probes its address would think that it is taken");
    assert!(!asked(Ipv4Addr::new(10, 0, 2, 77)) && !asked(Ipv4Addr::new(1, 1, 1, 1)));
}

#[test]
fn the_gateway_answers_pings_and_nobody_else_does() {
    let mut world = World::new(&[]);
    let buffer = || icmp::PacketBuffer::new(vec![icmp::PacketMetadata::EMPTY; 4], vec![0; 1024]);
    let handle = world.sockets.add(icmp::Socket::new(buffer(), buffer()));
    world.sockets.get_mut::<icmp::Socket<'_>>(handle).bind(icmp::Endpoint::Ident(9)).unwrap();
    let ping = |world: &mut World, to: Ipv4Addr| {
        let echo = Icmpv4Repr::EchoRequest { ident: 9, seq_no: 1, data: b"hello" };
        let socket = world.sockets.get_mut::<icmp::Socket<'_>>(handle);
        let room = socket.send(echo.buffer_len(), to.into()).unwrap();
        echo.emit(&mut Icmpv4Packet::new_unchecked(room), &Default::default());
    };
    ping(&mut world, GATEWAY);
    world.until("an answer", |world| world.sockets.get_mut::<icmp::Socket<'_>>(handle).can_recv());
    let (_, from) = world.sockets.get_mut::<icmp::Socket<'_>>(handle).recv().unwrap();
    assert_eq!(from, IpAddress::Ipv4(GATEWAY));
    ping(&mut world, Ipv4Addr::new(192, 0, 2, 1));
    world.until("the drop", |world| world.network.drops().unreachable == 1);
    assert!(!world.sockets.get_mut::<icmp::Socket<'_>>(handle).can_recv());
}

#[test]
fn a_program_here_reaches_the_guest_and_both_can_end_it() {
    for guest_first in [false, true] {
        let mut world = World::new(&[(Protocol::Tcp, 80)]);
        let handle = world.listen(80);
        let mut client = client(world.port(80));
        let (request, answer) = (pattern(300_000), pattern(200_000));
        let (mut sent, mut heard, mut answered, mut got) = (0, Vec::new(), 0, Vec::new());
        world.until("the exchange", |world| {
            sent += client.write(&request[sent..]).unwrap_or(0);
            heard.extend(world.received(handle));
            let socket = world.tcp(handle);
            if socket.can_send() {
                answered += socket.send_slice(&answer[answered..]).unwrap();
            }
            read(&mut client, &mut got);
            heard.len() == request.len() && got.len() == answer.len()
        });
        assert!(heard == request && got == answer);
        let remote = world.tcp(handle).remote_endpoint().unwrap();
        assert_eq!(remote.addr, IpAddress::Ipv4(GATEWAY));
        if guest_first {
            world.tcp(handle).close();
            world.until("the guest's end", |_| read(&mut client, &mut got).is_none());
            drop(client);
        } else {
            client.shutdown(std::net::Shutdown::Write).unwrap();
            world.until("the client's end", |world| !world.tcp(handle).may_recv());
            world.tcp(handle).close();
            world.until("the guest's end", |_| read(&mut client, &mut got).is_none());
        }
        world.until("nothing left", |world| world.network.connections() == 0);
        assert_eq!(world.network.drops(), Drops::default());
    }
}

#[test]
fn the_guest_reaches_this_machine_and_hears_a_refusal() {
    let mut world = World::new(&[]);
    let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    server.set_nonblocking(true).unwrap();
    let port = server.local_addr().unwrap().port();
    let handle = world.connect((GATEWAY, port), 50_000);
    world.until("a connection", |world| world.tcp(handle).may_send());
    let (mut peer, _) = server.accept().unwrap();
    peer.set_nonblocking(true).unwrap();
    world.tcp(handle).send_slice(b"hello").unwrap();
    let mut heard = Vec::new();
    world.until("hello", |_| read(&mut peer, &mut heard) == Some(5));
    assert_eq!(heard, b"hello");
    // A listener that is gone refuses.
    drop(server);
    let refused = world.connect((GATEWAY, port), 50_001);
    world.until("a refusal", |world| world.tcp(refused).state() == tcp::State::Closed);
    // So does what is no place to go.
    let refused = world.connect((NAMESERVER, 1), 50_002);
    world.until("a refusal", |world| world.tcp(refused).state() == tcp::State::Closed);
    assert_eq!(world.network.connections(), 1);
}

#[test]
fn a_connection_that_breaks_off_breaks_off_on_the_other_side() {
    let mut world = World::new(&[(Protocol::Tcp, 80)]);
    let port = world.port(80);
    // The program here vanishes.
    let handle = world.listen(80);
    let gone = client(port);
    world.until("a connection", |world| world.tcp(handle).may_send());
    sockopt_linger(&gone);
    drop(gone);
    world.until("the guest hears", |world| world.tcp(handle).state() == tcp::State::Closed);
    // The guest's side does.
    let handle = world.listen(80);
    let mut client = client(port);
    world.until("a connection", |world| world.tcp(handle).may_send());
    world.tcp(handle).abort();
    let mut error = None;
    world.until("the client hears", |_| {
        error = client.read(&mut [0; 1]).err().map(|why| why.kind());
        error.is_some_and(|kind| kind != io::ErrorKind::WouldBlock)
    });
    assert_eq!(error, Some(io::ErrorKind::ConnectionReset));
    // Nobody listens in the guest.
    let mut client = self::client(port);
    world.until("a refusal", |_| {
        client.read(&mut [0; 1]).is_err_and(|why| why.kind() == io::ErrorKind::ConnectionReset)
    });
    world.until("nothing left", |world| world.network.connections() == 0);
}

/// Makes a dropped connection one that broke off.
fn sockopt_linger(stream: &TcpStream) {
    rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO)).unwrap();
}

#[test]
fn who_does_not_read_slows_the_writer_down_and_loses_nothing() {
    let mut world = World::new(&[(Protocol::Tcp, 80)]);
    let handle = world.listen(80);
    let mut client = client(world.port(80));
    rustix::net::sockopt::set_socket_send_buffer_size(&client, 64 << 10).unwrap();
    // More than all buffers on the way; what the system takes at once differs.
    let bytes = pattern(8 << 20);
    let (mut sent, mut still) = (0, 0);
    while still < 200 {
        let before = sent;
        sent += client.write(&bytes[sent..]).unwrap_or(0);
        world.step();
        still = if sent == before { still + 1 } else { 0 };
    }
    assert!(sent < bytes.len(), "the writer was never slowed down");
    let mut heard = 0;
    world.until("the rest", |world| {
        sent += client.write(&bytes[sent..]).unwrap_or(0);
        let new = world.received(handle);
        assert!(new == bytes[heard..heard + new.len()]);
        heard += new.len();
        heard == bytes.len()
    });
}

#[test]
fn connections_are_limited_and_the_next_ones_wait() {
    let mut world = World::new(&[(Protocol::Tcp, 80)]);
    let port = world.port(80);
    let mut clients = Vec::new();
    let turn = |world: &mut World| {
        // The guest is not heard, so nothing is answered yet.
        world.network.poll(world.start.elapsed());
        world.network.wait(world.wake.0.as_fd(), Some(Duration::from_millis(1))).unwrap();
    };
    for count in 0..STREAMS_MAX + 8 {
        clients.push(client(port));
        // The system's own queue is short.
        while world.network.connections() < (count + 1).min(STREAMS_MAX) {
            turn(&mut world);
        }
    }
    for _ in 0..20 {
        turn(&mut world);
        assert_eq!(world.network.connections(), STREAMS_MAX);
    }
    // The guest refuses them all, so that there is room for those that wait.
    for client in &mut clients {
        let mut hear = || client.read(&mut [0; 1]);
        world.until("a refusal", |_| {
            !hear().is_err_and(|why| why.kind() == io::ErrorKind::WouldBlock)
        });
    }
    world.until("nothing left", |world| world.network.connections() == 0);
}

impl World {
    fn udp(&mut self, port: u16) -> SocketHandle {
        let buffer = || udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; 16], vec![0; 8192]);
        let handle = self.sockets.add(udp::Socket::new(buffer(), buffer()));
        self.sockets.get_mut::<udp::Socket<'_>>(handle).bind(port).unwrap();
        handle
    }

    fn send(&mut self, handle: SocketHandle, bytes: &[u8], to: impl Into<IpEndpoint>) {
        self.sockets.get_mut::<udp::Socket<'_>>(handle).send_slice(bytes, to.into()).unwrap();
    }

    fn recv(&mut self, handle: SocketHandle) -> (Vec<u8>, IpEndpoint) {
        self.until("a datagram", |world| {
            world.sockets.get_mut::<udp::Socket<'_>>(handle).can_recv()
        });
        let (bytes, meta) = self.sockets.get_mut::<udp::Socket<'_>>(handle).recv().unwrap();
        (bytes.to_vec(), meta.endpoint)
    }
}

fn datagram_socket() -> UdpSocket {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket
}

/// Waits for a datagram at a socket of this machine.
fn hear(world: &mut World, socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut bytes = [0; 2048];
    let mut got = None;
    world.until("a datagram", |_| {
        got = socket.recv_from(&mut bytes).ok();
        got.is_some()
    });
    let (length, from) = got.unwrap();
    (bytes[..length].to_vec(), from)
}

#[test]
fn datagrams_go_out_and_answers_come_back() {
    let server = datagram_socket();
    let config = Config { forwards: Vec::new(), nameserver: server.local_addr().ok() };
    let mut world = World::with(&config, true);
    let port = server.local_addr().unwrap().port();
    let handle = world.udp(4000);
    // The name server is somebody else outside, and answers from where it was asked.
    for target in [(GATEWAY, port), (NAMESERVER, DNS)] {
        world.send(handle, b"question", target);
        let (bytes, from) = hear(&mut world, &server);
        assert_eq!(bytes, b"question");
        server.send_to(b"answer", from).unwrap();
        assert_eq!(world.recv(handle), (b"answer".to_vec(), target.into()));
        // A stranger's datagram is no answer.
        datagram_socket().send_to(b"noise", from).unwrap();
        server.send_to(b"more", from).unwrap();
        assert_eq!(world.recv(handle).0, b"more");
    }
    world.send(handle, b"lost", (NAMESERVER, 54));
    world.send(handle, b"lost", (Ipv4Addr::new(224, 0, 0, 1), 1));
    world.until("the drops", |world| {
        let drops = world.network.drops();
        drops.unreachable + drops.not_for_us == 2
    });
}

#[test]
fn a_program_here_sends_the_guest_datagrams_and_hears_its_answers() {
    let mut world = World::new(&[(Protocol::Udp, 7)]);
    let handle = world.udp(7);
    let port = world.port(7);
    let clients = [datagram_socket(), datagram_socket()];
    // A guest that never spoke is not known yet.
    world.send(handle, b"x", (GATEWAY, 9));
    world.step();
    for (index, client) in clients.iter().enumerate() {
        client.send_to(&[index as u8; 1472], (Ipv4Addr::LOCALHOST, port)).unwrap();
        let (bytes, from) = world.recv(handle);
        assert_eq!(bytes, [index as u8; 1472]);
        assert_eq!(from.addr, IpAddress::Ipv4(GATEWAY));
        world.send(handle, &[index as u8], from);
        let (bytes, _) = hear(&mut world, client);
        assert_eq!(bytes, [index as u8], "each hears its own answer");
    }
    clients[0].send_to(&[0; 1473], (Ipv4Addr::LOCALHOST, port)).unwrap();
    world.until("the drop", |world| world.network.drops().too_long == 1);
}

#[test]
fn conversations_are_limited_and_forgotten() {
    let server = datagram_socket();
    let port = server.local_addr().unwrap().port();
    let mut datagrams = Datagrams::new(&[]).unwrap();
    let (mut wire, mut drops) = (Wire::default(), Drops::default());
    let target = SocketAddrV4::new(GATEWAY, port);
    let outside = server.local_addr().ok();
    let second = Duration::from_secs(1);
    for index in 0..CONVERSATIONS_MAX as u16 + 5 {
        let from = SocketAddrV4::new(GUEST, 1000 + index);
        datagrams.put(from, target, outside, b"x", second * index.into(), &mut drops);
    }
    let mut watched = Vec::new();
    datagrams.watch(&mut watched);
    assert_eq!(watched.len(), CONVERSATIONS_MAX);
    drop(watched);
    let guest = Guest { address: GUEST, mac: Some(MAC) };
    datagrams.poll(&guest, &mut wire, second * 1000, &mut drops);
    assert!(!datagrams.is_busy());
    assert_eq!(drops, Drops::default());
}

#[test]
fn no_bytes_disturb_the_network() {
    let mut world = World::new(&[(Protocol::Tcp, 80), (Protocol::Udp, 7)]);
    // A connection, a datagram and a DHCP message as the seeds of what is sent.
    let handle = world.udp(68);
    world.connect((GATEWAY, 1), 50_000);
    world.send(handle, &[0; 300], (GATEWAY, 67));
    world.send(handle, b"x", (Ipv4Addr::new(10, 0, 2, 2), 9));
    let mut seeds = Vec::new();
    for _ in 0..10 {
        let now = world.start.elapsed();
        let at = smoltcp::time::Instant::from_micros(now.as_micros() as i64);
        world.interface.poll(at, &mut world.wire, &mut world.sockets);
        while let Some(frame) = world.wire.take() {
            seeds.push(frame.clone());
            world.network.put(frame, now);
        }
        world.network.poll(now);
        while let Some(frame) = world.network.take() {
            world.wire.put(frame);
        }
    }
    assert!(seeds.len() >= 4, "{}", seeds.len());
    let mut random = vec![0; 1 << 16];
    getrandom::fill(&mut random).unwrap();
    let mut random = random.into_iter().cycle();
    let mut next = || random.next().unwrap();
    for turn in 0..20_000u32 {
        let mut frame = seeds[usize::from(next()) % seeds.len()].clone();
        for _ in 0..next() % 4 {
            let index = usize::from(u16::from_le_bytes([next(), next()])) % frame.len();
            frame[index] = next();
        }
        if next() < 32 {
            frame.truncate(usize::from(next()));
        }
        world.network.put(frame, world.start.elapsed());
        if turn % 64 == 0 {
            world.network.poll(world.start.elapsed());
            while world.network.take().is_some() {}
        }
    }
    let drops = world.network.drops();
    assert!(drops.malformed > 0 && drops.not_for_us > 0 && drops.protocol > 0, "{drops:?}");
}

#[test]
fn targets_are_translated_or_refused() {
    let server = Some(SocketAddr::from(([9, 9, 9, 9], 53)));
    for (target, expected) in [
        ("10.0.2.2:80", Some("127.0.0.1:80")),
        ("10.0.2.3:53", Some("9.9.9.9:53")),
        ("10.0.2.3:80", None),
        ("10.0.2.15:80", None),
        ("93.184.216.34:443", Some("93.184.216.34:443")),
        ("93.184.216.34:0", None),
        ("127.0.0.1:80", None),
        ("0.0.0.0:80", None),
        ("224.0.0.1:80", None),
        ("255.255.255.255:80", None),
    ] {
        let got = translate(target.parse().unwrap(), server);
        assert_eq!(got, expected.map(|text| text.parse().unwrap()), "{target}");
    }
    assert_eq!(translate("10.0.2.3:53".parse().unwrap(), None), None);
}

#[test]
fn the_name_server_is_the_first_that_can_be_read() {
    let text =
        "# comment\nsearch x\nnameserver fe80::1%en0\nnameserver 192.0.2.1\nnameserver ::1\n";
    assert_eq!(nameserver_in(text), Some("192.0.2.1:53".parse().unwrap()));
    assert_eq!(nameserver_in("nothing"), None);
}
