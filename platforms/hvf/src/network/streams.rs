//! TCP connections: on one side smoltcp's towards the guest, on the other a socket of the host's.
//!
//! A connection that the guest opens is held back until the host's own is open: its first segment
//! waits, and is answered only then, so that the guest hears a refusal as one. Data moves only as
//! far as the other side has room, so a slow reader slows its writer down, all the way through.

use super::{Drops, Forward, Guest, Protocol};
use super::{GATEWAY, wire::Wire};
use rustix::event::{PollFd, PollFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use smoltcp::iface::{Interface, SocketHandle, SocketSet};
use smoltcp::socket::tcp::{self, Socket, SocketBuffer};
use smoltcp::wire::{EthernetFrame, IpEndpoint, IpListenEndpoint, Ipv4Packet, TcpPacket};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::time::Duration;

/// Connections at most, those that are being opened included.
pub const STREAMS_MAX: usize = 256;
/// Connections of the guest's that wait for the host's at most.
const PENDING_MAX: usize = 64;
/// How long no connection is taken after the host had no descriptor left for one.
const PAUSE: Duration = Duration::from_millis(100);
/// How long the host may take to open one.
const CONNECT: Duration = Duration::from_secs(20);
/// Bytes that a connection keeps each way.
const BUFFER: usize = 1 << 16;
/// After how long without an answer the guest is given up.
const GUEST_TIMEOUT: smoltcp::time::Duration = smoltcp::time::Duration::from_secs(60);
/// How often a silent guest is asked whether it still has a connection.
const KEEP_ALIVE: smoltcp::time::Duration = smoltcp::time::Duration::from_secs(75);
/// Bytes that one connection moves at once at most, so that it is another's turn.
const TURN: usize = 1 << 18;
/// The gateway's ports that stand for the host's clients.
const EPHEMERAL: std::ops::Range<u16> = 49_152..65_535;

/// All connections.
#[derive(Debug)]
pub struct Streams {
    listeners: Vec<Listener>,
    pending: Vec<Pending>,
    streams: Vec<Stream>,
    next_port: u16,
    /// Until when no connection is taken.
    paused: Option<Duration>,
}

#[derive(Debug)]
struct Listener {
    socket: TcpListener,
    forward: Forward,
    is_ready: bool,
}

/// A connection that the guest opens, until the host's is open.
#[derive(Debug)]
struct Pending {
    guest: SocketAddrV4,
    target: SocketAddrV4,
    host: TcpStream,
    /// The guest's first segment.
    frame: Vec<u8>,
    since: Duration,
    is_ready: bool,
}

/// An open connection.
#[derive(Debug)]
struct Stream {
    handle: SocketHandle,
    guest: SocketAddrV4,
    /// The guest's peer, as the guest knows it.
    target: SocketAddrV4,
    host: TcpStream,
    /// Whether the host's socket may have something, or room, until it says otherwise.
    can_read: bool,
    can_write: bool,
    /// The host's side has said all, or the guest's.
    host_ended: bool,
    guest_ended: bool,
    /// One side broke off, and the other is to hear of it.
    is_broken: bool,
    /// Only waits for stray segments, and was seen so before.
    is_over: bool,
}

impl Streams {
    pub fn new(forwards: &[Forward]) -> io::Result<Self> {
        let tcp = forwards.iter().filter(|forward| forward.protocol == Protocol::Tcp);
        let listeners: io::Result<Vec<_>> = tcp.map(Listener::new).collect();
        Ok(Self {
            listeners: listeners?,
            pending: Vec::new(),
            streams: Vec::new(),
            next_port: EPHEMERAL.start,
            paused: None,
        })
    }

    pub fn forwards(&self) -> impl Iterator<Item = Forward> {
        self.listeners.iter().map(|listener| listener.forward)
    }

    pub fn count(&self) -> usize {
        self.streams.len() + self.pending.len()
    }

    /// Whether another connection may be taken now.
    fn takes_more(&self) -> bool {
        self.count() < STREAMS_MAX && self.paused.is_none()
    }

    /// How long no connection is taken from `now` on.
    pub fn pause(&self, now: Duration) -> Option<Duration> {
        self.paused.map(|until| until.saturating_sub(now))
    }

    /// Whether connections wait for the host, which does not have for ever.
    pub fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Takes a segment of the guest's. The first one of a connection is held back.
    pub fn put(
        &mut self,
        frame: Vec<u8>,
        now: Duration,
        wire: &mut Wire,
        sockets: &SocketSet<'_>,
        drops: &mut Drops,
        translate: impl Fn(SocketAddrV4) -> Option<SocketAddr>,
    ) {
        let Some(Segment { guest, target, opens }) = Segment::parse(&frame) else {
            drops.malformed += 1;
            return;
        };
        let is_pending = self.pending.iter().any(|p| (p.guest, p.target) == (guest, target));
        let is_open = || self.is_open(guest, target, sockets);
        if !opens || !is_pending && is_open() {
            return wire.put(frame);
        }
        if is_pending {
            return;
        }
        // Without a socket that listens, smoltcp refuses it, as is right.
        let Some(outside) = translate(target) else { return wire.put(frame) };
        if self.pending.len() >= PENDING_MAX || self.count() >= STREAMS_MAX {
            drops.limit += 1;
            return;
        }
        let Ok(host) = connect(outside) else { return wire.put(frame) };
        self.pending.push(Pending { guest, target, host, frame, since: now, is_ready: false });
    }

    /// Whether there is a connection that has not ended.
    fn is_open(&self, guest: SocketAddrV4, target: SocketAddrV4, sockets: &SocketSet<'_>) -> bool {
        let same = |stream: &&Stream| (stream.guest, stream.target) == (guest, target);
        self.streams.iter().find(same).is_some_and(|stream| {
            let state = sockets.get::<Socket<'_>>(stream.handle).state();
            !matches!(state, tcp::State::Closed | tcp::State::TimeWait)
        })
    }

    /// Opens what can be opened: the guest's connections for which the host's is open, and those
    /// that this machine's programs made.
    pub fn open(
        &mut self,
        interface: &mut Interface,
        sockets: &mut SocketSet<'static>,
        wire: &mut Wire,
        guest: &Guest,
        now: Duration,
    ) {
        let at = smoltcp::time::Instant::from_micros(now.as_micros() as i64);
        let mut index = 0;
        while let Some(pending) = self.pending.get(index) {
            let late = now.saturating_sub(pending.since) >= CONNECT;
            if !(pending.is_ready || late) || !wire.has_room_in() {
                index += 1;
                continue;
            }
            let failed = late || !matches!(sockopt::socket_error(&pending.host), Ok(Ok(())));
            let pending = self.pending.swap_remove(index);
            if failed {
                // Nobody listens, so smoltcp refuses it.
                wire.put(pending.frame);
                continue;
            }
            self.accept(pending, sockets, wire);
            // At once, so that the segment finds the socket that was made for it.
            interface.poll(at, wire, sockets);
        }
        self.paused = self.paused.filter(|until| now < *until);
        for index in 0..self.listeners.len() {
            while self.takes_more() && self.listeners[index].is_ready {
                match self.listeners[index].socket.accept() {
                    Ok((host, _)) => {
                        let port = self.listeners[index].forward.guest;
                        let target = SocketAddrV4::new(guest.address, port);
                        self.connect_guest(host, target, interface, sockets);
                    }
                    // There is none: the system says when there is one.
                    Err(why) if why.kind() == io::ErrorKind::WouldBlock => {
                        self.listeners[index].is_ready = false;
                    }
                    // There is one still, which would end every sleep.
                    Err(_) => self.paused = Some(now + PAUSE),
                }
            }
        }
    }

    fn accept(&mut self, pending: Pending, sockets: &mut SocketSet<'static>, wire: &mut Wire) {
        let mut socket = socket();
        let target = pending.target;
        let endpoint = IpListenEndpoint { addr: Some((*target.ip()).into()), port: target.port() };
        if socket.listen(endpoint).is_ok() {
            let handle = sockets.add(socket);
            self.streams.push(Stream::new(handle, pending.guest, target, pending.host));
        }
        wire.put(pending.frame);
    }

    /// Leads a connection of this machine's to the guest.
    fn connect_guest(
        &mut self,
        host: TcpStream,
        guest: SocketAddrV4,
        interface: &mut Interface,
        sockets: &mut SocketSet<'static>,
    ) {
        // There are more ports than connections, so one of the next is free.
        let gateway = loop {
            let port = self.next_port;
            self.next_port = if port + 1 < EPHEMERAL.end { port + 1 } else { EPHEMERAL.start };
            let gateway = SocketAddrV4::new(GATEWAY, port);
            if self.streams.iter().all(|stream| stream.target != gateway) {
                break gateway;
            }
        };
        let mut socket = socket();
        let (local, remote) = (IpEndpoint::from(gateway), IpEndpoint::from(guest));
        let ready = host.set_nonblocking(true).is_ok() && host.set_nodelay(true).is_ok();
        if ready && socket.connect(interface.context(), remote, local).is_ok() {
            let handle = sockets.add(socket);
            self.streams.push(Stream::new(handle, guest, gateway, host));
        }
    }

    /// Moves bytes between the two sides of each connection, as far as both allow.
    pub fn pump(&mut self, sockets: &mut SocketSet<'static>) {
        for stream in &mut self.streams {
            stream.pump(sockets.get_mut(stream.handle));
        }
    }

    /// Forgets connections that are over. `flushed` says that smoltcp could send all it wanted.
    pub fn sweep(&mut self, sockets: &mut SocketSet<'static>, flushed: bool) {
        self.streams.retain_mut(|stream| {
            let socket = sockets.get::<Socket<'_>>(stream.handle);
            let keep = match socket.state() {
                // The segment that it was made for was not what it seemed.
                tcp::State::Listen => false,
                tcp::State::Closed => {
                    let graceful = stream.host_ended && stream.guest_ended;
                    stream.is_broken |= !graceful;
                    false
                }
                // The last acknowledgement has left, and the wire loses nothing.
                tcp::State::TimeWait => {
                    let was_over = std::mem::replace(&mut stream.is_over, flushed);
                    !(was_over && flushed)
                }
                _ => true,
            };
            if !keep {
                sockets.remove(stream.handle);
                if stream.is_broken {
                    // The host's peer hears that it was broken off, as it was. Where that
                    // cannot be said, it hears that it ended.
                    let _ = sockopt::set_socket_linger(&stream.host, Some(Duration::ZERO));
                }
            }
            keep
        });
    }

    /// Whether something was left for the next turn.
    pub fn is_unfinished(&self, sockets: &SocketSet<'_>) -> bool {
        let room = self.takes_more();
        self.listeners.iter().any(|listener| listener.is_ready && room)
            || self.pending.iter().any(|pending| pending.is_ready)
            || self.streams.iter().any(|stream| stream.can_move(sockets))
    }

    /// Adds what ends the sleep. What nobody waits for is left out: a socket that has ended
    /// would end every sleep.
    pub fn watch<'a>(&'a self, sockets: &SocketSet<'_>, watched: &mut Vec<PollFd<'a>>) {
        let listeners = self.listeners.iter().filter(|listener| !listener.is_ready);
        watched.extend(listeners.map(|l| PollFd::new(&l.socket, PollFlags::IN)));
        let pending = self.pending.iter().filter(|pending| !pending.is_ready);
        watched.extend(pending.map(|p| PollFd::new(&p.host, PollFlags::OUT)));
        let streams = self.streams.iter().map(|s| (s, s.wanted(sockets)));
        let streams = streams.filter(|(_, wanted)| !wanted.is_empty());
        watched.extend(streams.map(|(s, wanted)| PollFd::new(&s.host, wanted)));
    }

    /// Hears what ended the sleep, in the order of [`watch`](Self::watch).
    pub fn ready(&mut self, sockets: &SocketSet<'_>, flags: &mut impl Iterator<Item = PollFlags>) {
        let listeners = self.listeners.iter_mut().filter(|listener| !listener.is_ready);
        for listener in listeners {
            listener.is_ready = flags.next().is_some_and(|flags| !flags.is_empty());
        }
        for pending in self.pending.iter_mut().filter(|pending| !pending.is_ready) {
            pending.is_ready = flags.next().is_some_and(|flags| !flags.is_empty());
        }
        for stream in &mut self.streams {
            let wanted = stream.wanted(sockets);
            if wanted.is_empty() {
                continue;
            }
            let flags = flags.next().unwrap_or(PollFlags::empty());
            // Ends and failures are for whoever reads or writes next.
            let any = !flags.is_empty();
            stream.can_read |= any && wanted.contains(PollFlags::IN);
            stream.can_write |= any && wanted.contains(PollFlags::OUT);
            stream.is_broken |= flags.contains(PollFlags::ERR);
        }
    }
}

impl Listener {
    fn new(forward: &Forward) -> io::Result<Self> {
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, forward.host))?;
        socket.set_nonblocking(true)?;
        let host = socket.local_addr()?.port();
        Ok(Self { socket, forward: Forward { host, ..*forward }, is_ready: true })
    }
}

impl Stream {
    fn new(
        handle: SocketHandle,
        guest: SocketAddrV4,
        target: SocketAddrV4,
        host: TcpStream,
    ) -> Self {
        Self {
            handle,
            guest,
            target,
            host,
            can_read: true,
            can_write: true,
            host_ended: false,
            guest_ended: false,
            is_broken: false,
            is_over: false,
        }
    }

    /// Whether something can move on without waiting for anybody.
    fn can_move(&self, sockets: &SocketSet<'_>) -> bool {
        let socket = sockets.get::<Socket<'_>>(self.handle);
        self.is_broken
            || self.can_read && !self.host_ended && socket.can_send()
            || self.can_write && socket.can_recv()
    }

    /// What of the host's socket would let something move on.
    fn wanted(&self, sockets: &SocketSet<'_>) -> PollFlags {
        let socket = sockets.get::<Socket<'_>>(self.handle);
        let mut wanted = PollFlags::empty();
        if !self.can_read && !self.host_ended && socket.can_send() {
            wanted |= PollFlags::IN;
        }
        if !self.can_write && socket.can_recv() {
            wanted |= PollFlags::OUT;
        }
        wanted
    }

    fn pump(&mut self, socket: &mut Socket<'static>) {
        if self.is_broken || self.feed_host(socket).is_err() || self.feed_guest(socket).is_err() {
            self.is_broken = true;
            socket.abort();
        }
    }

    fn feed_host(&mut self, socket: &mut Socket<'static>) -> io::Result<()> {
        let mut moved = 0;
        while self.can_write && socket.can_recv() && moved < TURN {
            let mut outcome = Ok(0);
            let host = &mut self.host;
            let received = socket.recv(|bytes| {
                outcome = host.write(bytes);
                (*outcome.as_ref().unwrap_or(&0), ())
            });
            received.map_err(io::Error::other)?;
            match outcome {
                Ok(count) => moved += count,
                Err(why) => self.can_write = !would_block(why)?,
            }
        }
        // It has sent its end, and all before that has been passed on.
        let ended = matches!(
            socket.state(),
            tcp::State::CloseWait
                | tcp::State::LastAck
                | tcp::State::Closing
                | tcp::State::TimeWait
        );
        if ended && !self.guest_ended && socket.recv_queue() == 0 {
            self.guest_ended = true;
            return match self.host.shutdown(Shutdown::Write) {
                // The other side was faster.
                Err(why) if why.kind() == ErrorKind::NotConnected => Ok(()),
                outcome => outcome,
            };
        }
        Ok(())
    }

    fn feed_guest(&mut self, socket: &mut Socket<'static>) -> io::Result<()> {
        let mut moved = 0;
        while self.can_read && !self.host_ended && socket.can_send() && moved < TURN {
            let mut outcome = Ok(0);
            let host = &mut self.host;
            let sent = socket.send(|room| {
                outcome = host.read(room);
                (*outcome.as_ref().unwrap_or(&0), ())
            });
            sent.map_err(io::Error::other)?;
            match outcome {
                Ok(0) => {
                    self.host_ended = true;
                    socket.close();
                }
                Ok(count) => moved += count,
                Err(why) => self.can_read = !would_block(why)?,
            }
        }
        Ok(())
    }
}

/// Whether an error only says that it is not the time; others remain errors.
fn would_block(why: io::Error) -> io::Result<bool> {
    match why.kind() {
        ErrorKind::WouldBlock => Ok(true),
        ErrorKind::Interrupted => Ok(false),
        _ => Err(why),
    }
}

/// What of a segment decides where it goes.
struct Segment {
    guest: SocketAddrV4,
    target: SocketAddrV4,
    /// It is the first of a connection.
    opens: bool,
}

impl Segment {
    fn parse(frame: &[u8]) -> Option<Self> {
        let ethernet = EthernetFrame::new_checked(frame).ok()?;
        let packet = Ipv4Packet::new_checked(ethernet.payload()).ok()?;
        let segment = TcpPacket::new_checked(packet.payload()).ok()?;
        let (source, target) = (packet.src_addr(), packet.dst_addr());
        if !segment.verify_checksum(&source.into(), &target.into()) {
            return None;
        }
        Some(Self {
            guest: SocketAddrV4::new(source, segment.src_port()),
            target: SocketAddrV4::new(target, segment.dst_port()),
            opens: segment.syn() && !segment.ack() && !segment.rst(),
        })
    }
}

/// A socket towards the guest.
fn socket() -> Socket<'static> {
    let buffer = || SocketBuffer::new(vec![0; BUFFER]);
    let mut socket = Socket::new(buffer(), buffer());
    socket.set_nagle_enabled(false);
    socket.set_ack_delay(None);
    socket.set_timeout(Some(GUEST_TIMEOUT));
    socket.set_keep_alive(Some(KEEP_ALIVE));
    socket
}

/// Begins to open a connection of the host's.
fn connect(target: SocketAddr) -> io::Result<TcpStream> {
    let family = match target {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let socket = rustix::net::socket_with(family, SocketType::STREAM, SocketFlags::empty(), None)?;
    let stream = TcpStream::from(socket);
    stream.set_nonblocking(true)?;
    stream.set_nodelay(true)?;
    match rustix::net::connect(&stream, &target) {
        Ok(()) | Err(rustix::io::Errno::INPROGRESS) => Ok(stream),
        Err(why) => Err(why.into()),
    }
}
