//! The port that services use: see [`StreamPort`].

use crate::output::HEADERS_MAX;
use crate::queue::{Data, NIL, Node, Side};
use crate::state::{Conn, Env, RETRY, State, effect, flag};
use crate::table::Tuple;
use crate::{EMPTY, Tcp};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use waitless::{
    ConnectError, Duration, ListenError, Packet, Phase, Service, Setting, Status, Stream,
    StreamPort,
};

/// The most services.
const SERVICES: usize = 256;

impl StreamPort for Tcp {
    fn attach(&mut self) -> Option<Service> {
        let service = Service(self.services.len() as u16);
        (self.services.len() < SERVICES).then(|| self.services.push(EMPTY)).map(|()| service)
    }

    fn listen(&mut self, service: Service, port: u16) -> Result<(), ListenError> {
        self.add_listener(service, port)
    }

    fn connect(&mut self, service: Service, remote: SocketAddr) -> Result<Stream, ConnectError> {
        let address = remote.ip();
        let broadcast = address == IpAddr::V4(Ipv4Addr::BROADCAST);
        let nowhere = address.is_unspecified() || address.is_multicast() || broadcast;
        if nowhere || remote.port() == 0 || usize::from(service.0) >= self.services.len() {
            return Err(ConnectError::BadAddress);
        }
        let local = match address {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let tuple = Tuple { local, remote: address, local_port: 0, remote_port: remote.port() };
        let conn = Conn::new(tuple, State::Opening, service.0, &self.env);
        let index = self.allocate(conn).ok_or(ConnectError::Full)?;
        self.env.effects |= effect::OUTPUT;
        self.settle(index);
        Ok(Stream { index, generation: self.conns[index as usize].generation })
    }

    #[inline]
    fn news(&mut self, service: Service) -> Option<Stream> {
        match self.services.get(usize::from(service.0)) {
            Some(list) if list.head != NIL => self.take_news(service),
            _ => None,
        }
    }

    // So that whoever looks at one thing does not pay for all of them.
    #[inline(always)]
    fn status(&self, stream: Stream) -> Status {
        let Some(conn) = self.conn(stream) else { return Status::default() };
        let phase = match conn.state {
            State::Free | State::Closed => conn.phase,
            State::Opening | State::SynSent | State::SynReceived => Phase::Opening,
            _ => Phase::Open,
        };
        let ended = conn.state == State::Closed && conn.phase != Phase::Closed;
        Status {
            phase,
            readable: conn.waiting as usize,
            writable: room(conn, &self.env),
            unacknowledged: conn.unacknowledged() as usize,
            finished: conn.flags.has(flag::FIN_RECEIVED) || ended,
            segment: usize::from(conn.mss),
        }
    }

    #[inline]
    fn tag(&self, stream: Stream) -> Option<u32> {
        self.conn(stream).filter(|conn| conn.flags.has(flag::TAGGED)).map(|conn| conn.tag)
    }

    #[inline]
    fn set_tag(&mut self, stream: Stream, tag: u32) {
        if let Some(conn) = known(&mut self.conns, stream) {
            conn.tag = tag;
            conn.flags.set(flag::TAGGED);
        }
    }

    #[inline]
    fn peer(&self, stream: Stream) -> Option<SocketAddr> {
        let tuple = self.conn(stream)?.tuple;
        Some(SocketAddr::new(tuple.remote, tuple.remote_port))
    }

    fn local(&self, stream: Stream) -> Option<SocketAddr> {
        let tuple = self.conn(stream)?.tuple;
        (tuple.local_port != 0).then(|| SocketAddr::new(tuple.local, tuple.local_port))
    }

    #[inline]
    fn readable(&self, stream: Stream) -> &[u8] {
        match self.conn(stream) {
            Some(conn) if conn.receive.head != NIL => self.env.nodes.get(conn.receive.head).bytes(),
            _ => &[],
        }
    }

    #[inline]
    fn consume(&mut self, stream: Stream, count: usize) {
        let Some(index) = self.index(stream) else { return };
        let conn = &mut self.conns[index as usize];
        let nodes = &mut self.env.nodes;
        let mut left = count.min(conn.waiting as usize);
        conn.waiting -= left as u32;
        while left > 0 && conn.receive.head != NIL {
            let node = nodes.get_mut(conn.receive.head);
            let here = usize::from(node.len);
            if left < here {
                if let Data::Packet(packet) = &mut node.data {
                    packet.trim_front(left);
                }
                node.len -= left as u16;
                break;
            }
            left -= here;
            drop(nodes.take_first(&mut conn.receive));
        }
        self.after_reading(index);
    }

    #[inline]
    fn recv(&mut self, stream: Stream) -> Option<Packet> {
        let conn = known(&mut self.conns, stream)?;
        let (data, length) = self.env.nodes.take_first(&mut conn.receive)?;
        conn.waiting -= u32::from(length);
        if conn.owes_window_update(&self.env) {
            self.after_reading(stream.index);
        }
        match data {
            Data::Packet(packet) => Some(packet),
            _ => None,
        }
    }

    #[inline]
    fn writable(&mut self, stream: Stream) -> &mut [u8] {
        let Some(index) = self.index(stream) else { return &mut [] };
        let conn = &mut self.conns[index as usize];
        let room = room(conn, &self.env);
        if room == 0 {
            conn.flags.set(flag::WANTS_ROOM);
            return &mut [];
        }
        let id = match open_tail(conn, &self.env) {
            Some(id) if has_tailroom(self.env.nodes.get_mut(id)) => id,
            _ => match self.add_tail(index) {
                Some(id) => id,
                None => return &mut [],
            },
        };
        let conn = &self.conns[index as usize];
        let node = self.env.nodes.get_mut(id);
        let Data::Packet(packet) = &mut node.data else { return &mut [] };
        let room = room.min(usize::from(conn.mss - node.len)).min(packet.tailroom());
        packet.extend(room).unwrap_or_default()
    }

    #[inline]
    fn commit(&mut self, stream: Stream, count: usize) {
        let Some(index) = self.index(stream) else { return };
        let conn = &mut self.conns[index as usize];
        let Some(id) = open_tail(conn, &self.env).filter(|_| conn.may_queue()) else { return };
        let node = self.env.nodes.get_mut(id);
        let Data::Packet(packet) = &node.data else { return };
        let count = count.min(packet.len().saturating_sub(usize::from(node.len)));
        node.len += count as u16;
        self.after_writing(index, count);
    }

    #[inline]
    fn send(&mut self, stream: Stream, packet: Packet) -> Result<(), Packet> {
        let Some(conn) = known(&mut self.conns, stream) else { return Err(packet) };
        let length = packet.len();
        let room = room(conn, &self.env);
        if length > room {
            conn.flags.set(flag::WANTS_ROOM);
            return Err(packet);
        }
        // The usual case: all that was queued before was sent.
        let usual = conn.cursor == NIL && length > 0 && packet.headroom() >= HEADERS_MAX;
        if usual && self.env.nodes.has_room(Side::Send) {
            add_node(conn, &mut self.env, packet);
            conn.queued = conn.queued + length as u32;
            if room - length < usize::from(conn.mss) {
                conn.flags.set(flag::WANTS_ROOM);
            }
            if !conn.flags.has(flag::IN_OUTPUT) {
                self.queue_output(stream.index);
            }
            return Ok(());
        }
        self.send_behind(stream.index, packet)
    }

    fn set(&mut self, stream: Stream, setting: Setting) -> bool {
        let Some(index) = self.index(stream) else { return false };
        let conn = &mut self.conns[index as usize];
        let millis = |time: Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
        match setting {
            //= RFC 9293 3.7.4 MUST-17: for each connection
            Setting::Nagle(true) => conn.flags.set(flag::NAGLE),
            Setting::Nagle(false) => conn.flags.clear(flag::NAGLE),
            Setting::KeepAlive(after) => {
                conn.keep_alive = after.map_or(0, |after| (millis(after) / 1_000).max(1));
                conn.arm_idle(&self.env);
            }
            //= RFC 9293 3.8.3 MUST-21: R2 for each connection, RFC 5482 calls it user timeout
            Setting::UserTimeout(time) => conn.user_timeout = millis(time),
            //= RFC 9293 3.9.1.9 MUST-48, SHLD-21, SHLD-22: the DSCP, at any time
            Setting::TrafficClass(class) => conn.class = (class & 0x3f) << 2,
        }
        // What was held back may go out now, and a timer may be due sooner.
        self.env.effects |= effect::OUTPUT;
        self.settle(index);
        true
    }

    fn close(&mut self, stream: Stream) {
        if let Some(index) = self.index(stream) {
            self.conns[index as usize].close(&mut self.env);
            self.settle(index);
        }
    }

    fn abort(&mut self, stream: Stream) {
        let Some(index) = self.index(stream) else { return };
        let conn = &mut self.conns[index as usize];
        if conn.state == State::Closed {
            return;
        }
        conn.reset(&mut self.env, Phase::Closed);
        conn.discard(&mut self.env);
        self.settle(index);
    }

    fn release(&mut self, stream: Stream) {
        let Some(index) = self.index(stream) else { return };
        let conn = &mut self.conns[index as usize];
        conn.flags.set(flag::ORPHAN);
        conn.flags.clear(flag::WANTS_ROOM | flag::STARVED);
        conn.generation = conn.generation.wrapping_add(1);
        let unread = conn.waiting > 0 || !conn.early.is_empty();
        if conn.state == State::Closed {
            conn.discard(&mut self.env);
        } else if unread {
            //= RFC 9293 3.6.1 SHLD-3, MAY-1: data that nobody will read resets the connection
            self.env.counters.resets_unread.add(1);
            conn.reset(&mut self.env, Phase::Reset);
        } else {
            conn.close(&mut self.env);
            conn.arm_idle(&self.env);
        }
        self.settle(index);
    }
}

impl Tcp {
    /// The next connection of a service with news.
    fn take_news(&mut self, service: Service) -> Option<Stream> {
        // Ends: each turn takes one off the list.
        loop {
            let list = self.services.get_mut(usize::from(service.0))?;
            if list.head == NIL {
                return None;
            }
            let index = list.head;
            let conn = &mut self.conns[index as usize];
            list.head = conn.next_news;
            conn.flags.clear(flag::IN_NEWS);
            if !conn.flags.has(flag::ORPHAN) {
                return Some(Stream { index, generation: conn.generation });
            }
            self.free_if_done(index);
        }
    }

    /// The place of a connection that its service has not given up.
    #[inline]
    fn index(&self, stream: Stream) -> Option<u32> {
        self.conn(stream).map(|_| stream.index)
    }

    #[inline]
    fn conn(&self, stream: Stream) -> Option<&Conn> {
        let conn = self.conns.get(stream.index as usize)?;
        conn.is(stream).then_some(conn)
    }

    /// Tells the other side of room, when it should hear of it.
    #[cold]
    fn after_reading(&mut self, index: u32) {
        let conn = &mut self.conns[index as usize];
        if conn.flags.has(flag::ACK_NOW) {
            // It will hear of it in this sweep.
            return;
        }
        let receives = matches!(conn.state, State::Established | State::FinWait1 | State::FinWait2);
        if receives && conn.owes_window_update(&self.env) {
            conn.acknowledge_now(&mut self.env);
            self.settle(index);
        }
    }

    #[inline]
    fn after_writing(&mut self, index: u32, count: usize) {
        let conn = &mut self.conns[index as usize];
        conn.queued = conn.queued + count as u32;
        if room(conn, &self.env) < usize::from(conn.mss) {
            conn.flags.set(flag::WANTS_ROOM);
        }
        // Nothing else can follow from this: no timer moves before something is sent.
        self.queue_output(index);
    }

    /// An empty packet at the end of the send queue.
    #[inline]
    fn add_tail(&mut self, index: u32) -> Option<u32> {
        let packet = match self.env.nodes.has_room(Side::Send) {
            true => self.env.pool.packet(),
            false => None,
        };
        let Some(packet) = packet else {
            self.starve(index);
            return None;
        };
        let conn = &mut self.conns[index as usize];
        Some(add_node(conn, &mut self.env, packet))
    }

    /// Queues a whole packet; the caller has seen that there is room.
    #[inline]
    fn push_packet(&mut self, index: u32, packet: Packet) {
        let length = packet.len();
        let conn = &mut self.conns[index as usize];
        let tail = open_tail(conn, &self.env).filter(|&id| self.env.nodes.get(id).len == 0);
        if let Some(id) = tail {
            // Room that was lent and not used. Left in the queue, it would end what is sent.
            let node = self.env.nodes.get_mut(id);
            (node.data, node.len) = (Data::Packet(packet), length as u16);
        } else {
            add_node(conn, &mut self.env, packet);
        }
        self.after_writing(index, length);
    }

    /// Queues a packet for which the window has room, whatever is queued before it.
    #[inline(never)]
    fn send_behind(&mut self, index: u32, mut packet: Packet) -> Result<(), Packet> {
        let conn = &mut self.conns[index as usize];
        let length = packet.len();
        if let Some(id) = open_tail(conn, &self.env).filter(|_| length > 0)
            && join(self.env.nodes.get_mut(id), &mut packet, conn.mss)
        {
            self.after_writing(index, length);
            return Ok(());
        }
        if length == 0 {
            return Ok(());
        }
        // A packet that has no headroom for the headers is copied, at worst into two.
        let nodes = if packet.headroom() < HEADERS_MAX { 2 } else { 1 };
        if !self.env.nodes.has_room_for(Side::Send, nodes) {
            self.starve(index);
            return Err(packet);
        }
        if packet.headroom() < HEADERS_MAX {
            let Some(front) = copy_front(&self.env, &packet) else {
                self.starve(index);
                return Err(packet);
            };
            packet.trim_front(front.len());
            self.push_packet(index, front);
        }
        if !packet.is_empty() {
            self.push_packet(index, packet);
        }
        Ok(())
    }

    /// There was no packet or no memory: reports room again when some time has passed.
    #[cold]
    fn starve(&mut self, index: u32) {
        self.conns[index as usize].flags.set(flag::WANTS_ROOM | flag::STARVED);
        self.env.come_back(self.env.now + RETRY);
        self.settle(index);
    }
}

/// A connection that its service has not given up.
#[inline]
fn known(conns: &mut [Conn], stream: Stream) -> Option<&mut Conn> {
    conns.get_mut(stream.index as usize).filter(|conn| conn.is(stream))
}

/// Bytes that may be queued.
#[inline]
fn room(conn: &Conn, env: &Env) -> usize {
    match conn.may_queue() {
        true => conn.send_room(env) as usize,
        false => 0,
    }
}

/// The last packet to send, when more can be added to it: nothing of it was sent yet.
#[inline]
fn open_tail(conn: &Conn, env: &Env) -> Option<u32> {
    let id = conn.send.tail;
    if id == NIL {
        return None;
    }
    let node = env.nodes.get(id);
    let open =
        matches!(node.data, Data::Packet(_)) && !node.seq.before(conn.next) && node.len < conn.mss;
    open.then_some(id)
}

/// Takes back the room that was lent and not committed, and says whether there is some.
#[inline]
fn has_tailroom(node: &mut Node) -> bool {
    let Data::Packet(packet) = &mut node.data else { return false };
    packet.truncate(usize::from(node.len));
    packet.tailroom() > 0
}

/// Adds a packet to what is to be sent; the caller has seen that there is room.
#[inline(always)]
fn add_node(conn: &mut Conn, env: &mut Env, packet: Packet) -> u32 {
    let id = env.nodes.append(&mut conn.send, Side::Send, conn.queued, packet);
    if conn.cursor == NIL {
        conn.cursor = id;
    }
    id
}

/// Adds a packet to one that is not full, when all of it fits.
//= RFC 9293 3.9.1.2 SHLD-28, MAY-16: few full segments instead of many short ones
fn join(node: &mut Node, packet: &mut Packet, mss: u16) -> bool {
    let Data::Packet(tail) = &mut node.data else { return false };
    if node.len == 0 && packet.headroom() >= HEADERS_MAX {
        core::mem::swap(tail, packet);
        node.len = tail.len() as u16;
        return true;
    }
    tail.truncate(usize::from(node.len));
    let fits = tail.len() + packet.len() <= usize::from(mss);
    if !fits || tail.append(packet.bytes()).is_err() {
        return false;
    }
    node.len = tail.len() as u16;
    true
}

/// A copy of the front of a packet, as much as fits behind the headers.
fn copy_front(env: &Env, packet: &Packet) -> Option<Packet> {
    let mut copy = env.pool.packet()?;
    let count = packet.len().min(copy.tailroom());
    copy.append(packet.bytes().get(..count)?).ok()?;
    Some(copy)
}
