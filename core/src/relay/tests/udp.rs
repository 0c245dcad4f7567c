//! Between UDP and a service.

use super::{count, cx, packet, receive, transmit};
use crate::network::names::NameServers;
use crate::relay::{Relay, RelayOver, UdpRelay};
use crate::{BindError, Packet, Socket, UdpPort};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::SocketAddr;

/// Socket numbers here are not those of the relay.
#[derive(Default)]
struct Udp {
    bound: Vec<u16>,
    arrived: VecDeque<(u16, Packet)>,
    sent: Vec<(u16, Packet)>,
    room: usize,
    released: Vec<u16>,
    names: NameServers,
}

const FIRST: usize = 10;

impl UdpPort for Udp {
    fn bind(&mut self, port: u16) -> Result<Socket, BindError> {
        if port == 67 {
            return Err(BindError::Refused);
        }
        self.bound.push(if port == 0 { 50_000 } else { port });
        Ok(Socket(FIRST + self.bound.len() - 1))
    }

    fn bind_towards(&mut self, remote: SocketAddr) -> Result<Socket, BindError> {
        self.bind(50_000 + remote.port())
    }

    fn release(&mut self, socket: Socket) {
        self.released.push(self.local_port(socket));
    }

    fn name_servers(&self) -> Option<&NameServers> {
        Some(&self.names)
    }

    fn recv(&mut self, socket: Socket) -> Option<Packet> {
        let port = self.local_port(socket);
        let at = self.arrived.iter().position(|(to, _)| *to == port)?;
        self.arrived.remove(at).map(|(_, datagram)| datagram)
    }

    fn send(&mut self, socket: Socket, datagram: Packet) -> Result<(), Packet> {
        if self.sent.len() == self.room {
            return Err(datagram);
        }
        self.sent.push((self.local_port(socket), datagram));
        Ok(())
    }

    fn local_port(&self, socket: Socket) -> u16 {
        self.bound[socket.0 - FIRST]
    }

    fn overhead(&self) -> usize {
        48
    }
}

#[test]
fn ports_are_bound_below_before_anything_is_sent_from_them() {
    let (mut cx, mut relay) = (cx(), UdpRelay::default());
    let mut udp = Udp { room: 9, ..Udp::default() };
    relay.refresh(&mut udp, &mut cx);
    assert_eq!(relay.overhead(), 48);
    let seven = relay.bind(7).unwrap();
    let free = relay.bind(0).unwrap();
    assert!(!relay.is_idle());
    assert_eq!((relay.local_port(seven), relay.local_port(free)), (7, 0));
    assert!(relay.send(free, packet(&cx, b"x")).is_ok());
    transmit(&mut relay, &mut udp, &mut cx);
    assert_eq!(udp.bound, [7, 50_000]);
    assert_eq!(relay.local_port(free), 50_000);
    assert_eq!(udp.sent[0].0, 50_000);
    assert!(relay.is_idle());
}

#[test]
fn datagrams_reach_the_socket_of_their_port() {
    let (mut cx, mut udp, mut relay) = (cx(), Udp::default(), UdpRelay::default());
    let [a, b] = [7, 9].map(|port| relay.bind(port).unwrap());
    for number in 0..4 {
        udp.arrived.push_back((7, packet(&cx, &[7, number])));
        udp.arrived.push_back((9, packet(&cx, &[9, number])));
        udp.arrived.push_back((68, packet(&cx, b"of another service")));
    }
    receive(&mut relay, &mut udp, &mut cx);
    for number in 0..4 {
        assert_eq!(relay.recv(b).unwrap().bytes(), [9, number]);
        assert_eq!(relay.recv(a).unwrap().bytes(), [7, number]);
    }
    assert!(relay.recv(a).is_none() && relay.is_idle());
    assert_eq!(udp.arrived.len(), 4);
}

#[test]
fn a_port_that_is_given_back_makes_room_for_another() {
    let (mut cx, mut relay) = (cx(), UdpRelay::default());
    let mut udp = Udp { room: 9, ..Udp::default() };
    let remote = SocketAddr::new(core::net::Ipv4Addr::LOCALHOST.into(), 53);
    let first = relay.bind_towards(remote).unwrap();
    transmit(&mut relay, &mut udp, &mut cx);
    assert_eq!(relay.local_port(first), 50_053);
    udp.arrived.push_back((50_053, packet(&cx, b"late")));
    receive(&mut relay, &mut udp, &mut cx);
    relay.release(first);
    assert!(!relay.is_idle() && relay.recv(first).is_none());
    receive(&mut relay, &mut udp, &mut cx);
    assert_eq!((&udp.released[..], relay.is_idle()), (&[50_053][..], true));
    assert_eq!(relay.bind(7), Ok(first), "the same place");
    transmit(&mut relay, &mut udp, &mut cx);
    assert_eq!(relay.local_port(first), 7);
    assert_eq!(cx.pool().available(), cx.pool().count());
}

#[test]
fn what_is_known_of_names_is_mirrored() {
    let (mut cx, mut udp, mut relay) = (cx(), Udp::default(), UdpRelay::default());
    for domain in ["example", "example.org"] {
        udp.names.add_domain(domain);
        receive(&mut relay, &mut udp, &mut cx);
        assert_eq!(relay.name_servers(), Some(&udp.names));
    }
}

#[test]
fn what_udp_refuses_waits() {
    let (mut cx, mut relay) = (cx(), UdpRelay::default());
    let mut udp = Udp { room: 1, ..Udp::default() };
    let socket = relay.bind(7).unwrap();
    for number in 0..3 {
        assert!(relay.send(socket, packet(&cx, &[number])).is_ok());
    }
    transmit(&mut relay, &mut udp, &mut cx);
    assert_eq!((udp.sent.len(), relay.is_idle()), (1, false));
    udp.room = 3;
    transmit(&mut relay, &mut udp, &mut cx);
    assert!(udp.sent.iter().map(|(_, datagram)| datagram.bytes()[0]).eq(0..3));
    assert!(relay.is_idle());
}

#[test]
fn a_port_that_cannot_be_had_is_counted_and_what_it_sends_dropped() {
    let (mut cx, mut udp, mut relay) = (cx(), Udp::default(), UdpRelay::default());
    let socket = relay.bind(67).unwrap();
    assert!(relay.send(socket, packet(&cx, b"x")).is_ok());
    transmit(&mut relay, &mut udp, &mut cx);
    receive(&mut relay, &mut udp, &mut cx);
    assert_eq!((count(&relay, "binds_failed"), count(&relay, "unbound")), (1, 1));
    assert!(relay.recv(socket).is_none() && relay.is_idle());
    assert_eq!(cx.pool().available(), cx.pool().count());
}

#[test]
fn a_port_is_bound_once_and_not_too_many_are() {
    let mut relay = UdpRelay::default();
    assert!(relay.bind(7).is_ok());
    assert_eq!(relay.bind(7), Err(BindError::Taken));
    assert!((1..64).all(|_| relay.bind(0).is_ok()));
    assert_eq!(relay.bind(0), Err(BindError::Full));
}
