//! UDP: for each of the guest's conversations a socket of the host's, and the other way round.

use super::frame::{self, PAYLOAD_MAX};
use super::wire::Wire;
use super::{Drops, Forward, GATEWAY, Guest, Protocol};
use rustix::event::{PollFd, PollFlags};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::time::Duration;

/// Conversations of the guest's at most.
pub const CONVERSATIONS_MAX: usize = 128;
/// Programs of this machine at most that one forwarded port remembers.
const PEERS_MAX: usize = 128;
/// After how long of silence a conversation is forgotten (RFC 4787 section 4.3 wants two
/// minutes at least).
const IDLE: Duration = Duration::from_secs(120);
/// Datagrams that one socket passes on at once at most, so that it is another's turn.
const TURN: usize = 32;
/// The gateway's ports that stand for programs of this machine.
const ALIASES: u16 = 32_768;

/// All conversations.
#[derive(Debug)]
pub struct Datagrams {
    conversations: Vec<Conversation>,
    servers: Vec<Server>,
}

/// The guest speaks to somebody outside.
#[derive(Debug)]
struct Conversation {
    guest: SocketAddrV4,
    /// The other side, as the guest knows it.
    target: SocketAddrV4,
    socket: UdpSocket,
    last: Duration,
    is_ready: bool,
}

/// A port of this machine that leads to one of the guest's.
#[derive(Debug)]
struct Server {
    socket: UdpSocket,
    forward: Forward,
    peers: Vec<Peer>,
    is_ready: bool,
}

/// A program of this machine, which the guest knows as a port of the gateway.
#[derive(Debug)]
struct Peer {
    address: SocketAddr,
    alias: u16,
    last: Duration,
}

impl Datagrams {
    pub fn new(forwards: &[Forward]) -> io::Result<Self> {
        let udp = forwards.iter().filter(|forward| forward.protocol == Protocol::Udp);
        let servers: io::Result<Vec<_>> = udp.map(Server::new).collect();
        Ok(Self { conversations: Vec::new(), servers: servers? })
    }

    pub fn forwards(&self) -> impl Iterator<Item = Forward> {
        self.servers.iter().map(|server| server.forward)
    }

    /// Whether there is somebody to be forgotten after a while.
    pub fn is_busy(&self) -> bool {
        !self.conversations.is_empty() || self.servers.iter().any(|s| !s.peers.is_empty())
    }

    /// Sends a datagram of the guest's to `outside`, or to the program that `to` stands for.
    pub fn put(
        &mut self,
        from: SocketAddrV4,
        to: SocketAddrV4,
        outside: Option<SocketAddr>,
        payload: &[u8],
        now: Duration,
        drops: &mut Drops,
    ) {
        if *to.ip() == GATEWAY {
            let servers = self.servers.iter_mut();
            let answered = servers.filter(|server| server.forward.guest == from.port());
            for server in answered {
                if let Some(peer) = server.peers.iter_mut().find(|peer| peer.alias == to.port()) {
                    peer.last = now;
                    // As on any network: what cannot be sent is lost.
                    let _ = server.socket.send_to(payload, peer.address);
                    return;
                }
            }
        }
        let Some(outside) = outside else {
            drops.unreachable += 1;
            return;
        };
        match self.conversation(from, to, outside, now) {
            Ok(conversation) => {
                conversation.last = now;
                // As above; also when nobody was there for an earlier one.
                let _ = conversation.socket.send(payload);
            }
            Err(_) => drops.unreachable += 1,
        }
    }

    /// The conversation between the two, a new one if there is none; for that, the one that has
    /// been silent for the longest time may be forgotten.
    fn conversation(
        &mut self,
        guest: SocketAddrV4,
        target: SocketAddrV4,
        outside: SocketAddr,
        now: Duration,
    ) -> io::Result<&mut Conversation> {
        let same = |c: &Conversation| (c.guest, c.target) == (guest, target);
        if let Some(index) = self.conversations.iter().position(same) {
            return Ok(&mut self.conversations[index]);
        }
        let socket = match outside {
            SocketAddr::V4(_) => UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?,
            SocketAddr::V6(_) => UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))?,
        };
        socket.set_nonblocking(true)?;
        socket.connect(outside)?;
        if self.conversations.len() >= CONVERSATIONS_MAX {
            let silent = self.conversations.iter().enumerate().min_by_key(|(_, c)| c.last);
            let index = silent.map_or(0, |(index, _)| index);
            self.conversations.swap_remove(index);
        }
        let new = Conversation { guest, target, socket, last: now, is_ready: false };
        Ok(self.conversations.push_mut(new))
    }

    /// Passes on to the guest what came, and forgets who has been silent for long.
    pub(super) fn poll(
        &mut self,
        guest: &Guest,
        wire: &mut Wire,
        now: Duration,
        drops: &mut Drops,
    ) {
        self.conversations.retain(|c| now.saturating_sub(c.last) < IDLE);
        for conversation in &mut self.conversations {
            let (from, to) = (conversation.target, conversation.guest);
            let mut turns = 0..TURN;
            while conversation.is_ready && wire.has_room_out() && turns.next().is_some() {
                let Some((length, bytes, _)) = receive(&conversation.socket) else {
                    conversation.is_ready = false;
                    break;
                };
                conversation.last = now;
                deliver(guest, wire, from, to, &bytes[..length], drops);
            }
        }
        for server in &mut self.servers {
            server.poll(guest, wire, now, drops);
        }
    }

    /// Whether something was left for the next turn.
    pub fn is_unfinished(&self) -> bool {
        self.servers.iter().any(|server| server.is_ready)
            || self.conversations.iter().any(|conversation| conversation.is_ready)
    }

    /// Adds what ends the sleep: what is not known to be ready.
    pub fn watch<'a>(&'a self, watched: &mut Vec<PollFd<'a>>) {
        let servers = self.servers.iter().filter(|s| !s.is_ready);
        watched.extend(servers.map(|s| PollFd::new(&s.socket, PollFlags::IN)));
        let conversations = self.conversations.iter().filter(|c| !c.is_ready);
        watched.extend(conversations.map(|c| PollFd::new(&c.socket, PollFlags::IN)));
    }

    /// Hears what ended the sleep, in the order of [`watch`](Self::watch).
    pub fn ready(&mut self, flags: &mut impl Iterator<Item = PollFlags>) {
        let mut is_ready = || flags.next().is_some_and(|flags| !flags.is_empty());
        for server in self.servers.iter_mut().filter(|s| !s.is_ready) {
            server.is_ready = is_ready();
        }
        for conversation in self.conversations.iter_mut().filter(|c| !c.is_ready) {
            conversation.is_ready = is_ready();
        }
    }
}

impl Server {
    fn new(forward: &Forward) -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, forward.host))?;
        socket.set_nonblocking(true)?;
        let host = socket.local_addr()?.port();
        let forward = Forward { host, ..*forward };
        Ok(Self { socket, forward, peers: Vec::new(), is_ready: true })
    }

    fn poll(&mut self, guest: &Guest, wire: &mut Wire, now: Duration, drops: &mut Drops) {
        self.peers.retain(|peer| now.saturating_sub(peer.last) < IDLE);
        let mut turns = 0..TURN;
        while self.is_ready && wire.has_room_out() && turns.next().is_some() {
            let Some((length, bytes, Some(from))) = receive(&self.socket) else {
                self.is_ready = false;
                return;
            };
            let Some(alias) = self.alias(from, now) else {
                drops.limit += 1;
                continue;
            };
            let from = SocketAddrV4::new(GATEWAY, alias);
            let to = SocketAddrV4::new(guest.address, self.forward.guest);
            deliver(guest, wire, from, to, &bytes[..length], drops);
        }
    }

    /// The gateway's port that stands for a program.
    fn alias(&mut self, address: SocketAddr, now: Duration) -> Option<u16> {
        if let Some(peer) = self.peers.iter_mut().find(|peer| peer.address == address) {
            peer.last = now;
            return Some(peer.alias);
        }
        if self.peers.len() >= PEERS_MAX {
            return None;
        }
        let mut free = (ALIASES..).take(PEERS_MAX);
        let alias = free.find(|alias| self.peers.iter().all(|peer| peer.alias != *alias))?;
        self.peers.push(Peer { address, alias, last: now });
        Some(alias)
    }
}

/// The next datagram of a socket; `None` when there is none, or none comes any more.
fn receive(socket: &UdpSocket) -> Option<(usize, [u8; PAYLOAD_MAX + 1], Option<SocketAddr>)> {
    let mut bytes = [0; PAYLOAD_MAX + 1];
    // An error may stand for a datagram that nobody took; the next call gives what is behind it.
    for _ in 0..2 {
        match socket.recv_from(&mut bytes) {
            Ok((length, from)) => return Some((length, bytes, Some(from))),
            Err(why) if why.kind() == io::ErrorKind::WouldBlock => return None,
            Err(_) => {}
        }
    }
    None
}

fn deliver(
    guest: &Guest,
    wire: &mut Wire,
    from: SocketAddrV4,
    to: SocketAddrV4,
    payload: &[u8],
    drops: &mut Drops,
) {
    match guest.mac {
        _ if payload.len() > PAYLOAD_MAX => drops.too_long += 1,
        // It has not said a word yet, so it cannot listen either.
        None => drops.unreachable += 1,
        Some(mac) => wire.send(frame::datagram(mac, from, to, payload)),
    }
}
