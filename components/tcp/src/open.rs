//! How connections begin: listeners, SYNs that arrive (RFC 9293 section 3.10.7.2), active opens.

use crate::Tcp;
use crate::queue::NIL;
use crate::seq::Seq;
use crate::state::{Conn, State, effect, flag};
use crate::table::Tuple;
use crate::wire::{Flags, Segment};
use core::net::{IpAddr, SocketAddr};
use waitless::{IpPort, ListenError, Packet, Phase, Protocol, Service};

/// A port that a service listens on.
#[derive(Clone, Copy)]
pub struct Listener {
    /// The local port.
    pub port: u16,
    /// Who listens.
    pub service: u16,
}

/// The local ports of active opens (RFC 6335 section 6).
const FIRST_PORT: u16 = 49_152;
const PORTS: u32 = 16_384;
/// How many of them are tried at most for one connection.
const TRIES: u32 = 4_096;
/// How far a new connection's sequence numbers are ahead of those of one in TIME-WAIT.
const AHEAD: u32 = 1 << 20;

impl Tcp {
    /// Enters a listener. The list is sorted by port.
    //= RFC 9293 3.10.1 MUST-41, MUST-42: a passive open disturbs no connection of that port
    pub(crate) fn add_listener(&mut self, service: Service, port: u16) -> Result<(), ListenError> {
        if port == 0 || usize::from(service.0) >= self.services.len() {
            return Err(ListenError::Refused);
        }
        let at = match self.listeners.binary_search_by_key(&port, |listener| listener.port) {
            Ok(_) => return Err(ListenError::Taken),
            Err(at) => at,
        };
        if self.listeners.len() >= usize::from(self.env.config.listeners) {
            return Err(ListenError::Full);
        }
        self.listeners.insert(at, Listener { port, service: service.0 });
        Ok(())
    }

    fn listener(&self, port: u16) -> Option<Listener> {
        let at = self.listeners.binary_search_by_key(&port, |listener| listener.port).ok()?;
        self.listeners.get(at).copied()
    }

    /// A segment arrives that belongs to no connection. `after` is where the sequence numbers of
    /// an earlier connection between the same ends stopped.
    //= RFC 9293 3.10.7.1, 3.10.7.2: CLOSED and LISTEN
    #[cold]
    pub(crate) fn arrive_new<I: IpPort>(
        &mut self,
        ip: &mut I,
        tuple: &Tuple,
        hash: u32,
        segment: &Segment,
        packet: Packet,
        after: Option<Seq>,
    ) {
        let counters = self.env.counters;
        let listener = self.listener(tuple.local_port);
        let flags = segment.flags;
        let wanted = listener.is_some() && flags.any(Flags::SYN) && !flags.any(Flags::ACK);
        if flags.any(Flags::RST) {
            return counters.dropped_closed.add(1);
        }
        //= RFC 9293 3.9.2.3 MUST-63, MUST-57: no connection with an impossible address
        let remote = tuple.remote;
        let possible = !remote.is_unspecified() && !ip.is_broadcast(remote);
        if !possible || ip.is_broadcast(tuple.local) || tuple.remote_port == 0 {
            return counters.dropped_address.add(1);
        }
        let Some(listener) = listener.filter(|_| wanted) else {
            if let Some(listener) = listener
                && let Some(conn) = self.redeem_cookie(ip, tuple, listener.service, segment)
            {
                return self.open_by_cookie(conn, hash, segment, packet);
            }
            counters.dropped_closed.add(1);
            // On a port that is listened on, only an acknowledgement is answered.
            if listener.is_none() || flags.any(Flags::ACK) {
                self.refuse(tuple, segment, packet);
            }
            return;
        };
        if self.is_pressed(remote) {
            if self.env.config.syn_cookies {
                return self.answer_with_cookie(tuple, segment, ip.mtu(remote), packet);
            }
            self.recycle_half_open();
        }
        let mut conn = Conn::new(*tuple, State::SynReceived, listener.service, &self.env);
        let (mut sequence, stamp_offset) = self.secret.begin(self.env.now, tuple);
        if let Some(after) = after {
            //= RFC 9293 3.10.7.4 MAY-2: larger than what the earlier connection used
            sequence = sequence.max(after + AHEAD);
        }
        conn.stamp_offset = stamp_offset;
        conn.begin(sequence, ip.mtu(tuple.remote), &mut self.env.nodes);
        conn.agree(segment, &self.env);
        //= RFC 9293 3.10.7.2 MUST-11: remembers that the open was passive
        conn.flags.set(flag::PASSIVE | flag::HASHED);
        if ip.is_local(tuple.remote) {
            conn.flags.set(flag::LOCAL);
        }
        let Some(index) = self.allocate(conn) else {
            return counters.dropped_full.add(1);
        };
        self.link_half_open(index);
        self.table.insert(hash, index);
        self.env.effects |= effect::OUTPUT;
        self.settle(index);
    }

    /// Enters a connection that an acknowledgement opens at once.
    #[cold]
    fn open_by_cookie(&mut self, conn: Conn, hash: u32, segment: &Segment, packet: Packet) {
        let Some(index) = self.allocate(conn) else {
            return self.env.counters.dropped_full.add(1);
        };
        self.link_half_open(index);
        self.table.insert(hash, index);
        let conn = &mut self.conns[index as usize];
        let refused = conn.arrive(&mut self.env, segment, packet);
        debug_assert!(refused.is_none(), "the cookie was checked");
        self.settle(index);
    }

    /// Ends the connection that has been half open for longest. Under a flood of SYNs that nobody
    /// stands behind, those who answer faster than it comes still get through.
    #[cold]
    fn recycle_half_open(&mut self) {
        let oldest = self.half_open.head;
        if let Some(conn) = self.conns.get_mut(oldest as usize) {
            self.env.counters.half_open_recycled.add(1);
            conn.end(&mut self.env, Phase::TimedOut);
            self.settle(oldest);
        }
    }

    /// Enters a connection as half open. No service knows it yet, so the fields for that link it:
    /// `next_news` to the next one and `tag` to the one before.
    fn link_half_open(&mut self, index: u32) {
        self.env.counters.half_open.add(1);
        let before = core::mem::replace(&mut self.half_open.tail, index);
        let place = self.secret.place(self.conns[index as usize].tuple.remote);
        self.pressure.count(place, true);
        let conn = &mut self.conns[index as usize];
        conn.flags.set(flag::HALF_OPEN);
        (conn.tag, conn.next_news) = (before, NIL);
        match before {
            NIL => self.half_open.head = index,
            before => self.conns[before as usize].next_news = index,
        }
    }

    /// Takes a connection out of those that are half open.
    pub(crate) fn unlink_half_open(&mut self, index: u32) {
        self.env.counters.half_open.sub(1);
        let place = self.secret.place(self.conns[index as usize].tuple.remote);
        self.pressure.count(place, false);
        let conn = &mut self.conns[index as usize];
        conn.flags.clear(flag::HALF_OPEN);
        let (before, after) = (conn.tag, conn.next_news);
        (conn.tag, conn.next_news) = (0, NIL);
        match before {
            NIL => self.half_open.head = after,
            before => self.conns[before as usize].next_news = after,
        }
        match after {
            NIL => self.half_open.tail = before,
            after => self.conns[after as usize].tag = before,
        }
    }

    /// Gives an active open its local end, and lets it send its SYN.
    #[cold]
    pub(crate) fn open_active<I: IpPort>(&mut self, ip: &mut I, index: u32) {
        let Tuple { remote, remote_port, .. } = self.conns[index as usize].tuple;
        //= RFC 9293 3.9.1.1 MUST-44, MUST-45: the IP layer chooses the source address
        //= RFC 9293 3.9.2.3 MUST-46: no connection to a broadcast or multicast address
        let local = ip.source_for(remote).filter(|_| !ip.is_broadcast(remote));
        let tuple = local.and_then(|local| self.free_tuple(local, remote, remote_port));
        let conn = &mut self.conns[index as usize];
        let Some(tuple) = tuple else {
            return conn.end(&mut self.env, Phase::Unreachable);
        };
        conn.tuple = tuple;
        conn.state = State::SynSent;
        let (sequence, stamp_offset) = self.secret.begin(self.env.now, &tuple);
        conn.stamp_offset = stamp_offset;
        conn.begin(sequence, ip.mtu(remote), &mut self.env.nodes);
        conn.flags.set(flag::HASHED);
        if ip.is_local(remote) {
            conn.flags.set(flag::LOCAL);
        }
        self.table.insert(self.secret.table.hash(&tuple), index);
    }

    /// A local port that has no connection with that remote end, and whose flow this core gets.
    //= RFC 6056 3.3.3: port = min + (counter + F(local, remote, key)) mod count
    fn free_tuple(&mut self, local: IpAddr, remote: IpAddr, remote_port: u16) -> Option<Tuple> {
        let offset = self.secret.port_offset(local, remote, remote_port);
        (0..TRIES).find_map(|_| {
            let number = offset.wrapping_add(self.next_port) % PORTS;
            self.next_port = self.next_port.wrapping_add(1);
            let local_port = FIRST_PORT + number as u16;
            let tuple = Tuple { local, remote, local_port, remote_port };
            let ends = [SocketAddr::new(local, local_port), SocketAddr::new(remote, remote_port)];
            let taken = !self.env.home.has(Protocol::TCP, ends[0], ends[1])
                || self.listener(local_port).is_some()
                || self.find(self.secret.table.hash(&tuple), &tuple).is_some();
            (!taken).then_some(tuple)
        })
    }
}
