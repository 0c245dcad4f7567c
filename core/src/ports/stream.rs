use crate::{Duration, Packet};
use alloc::rc::Rc;
use core::net::SocketAddr;

/// Reliable byte streams: TCP, TLS, and what else carries them.
///
/// A service [`attach`](Self::attach)es once, listens or connects, and then asks which of its
/// connections have news. News is level-free: a connection is reported once for whatever
/// happened since it was last reported, so a service that leaves bytes unread or finds no room
/// must come back by itself, or wait for the next report: room that appears and bytes that
/// arrive are always reported.
///
/// Bytes pass as windows ([`readable`](Self::readable), [`writable`](Self::writable)), or as
/// whole packets without a copy ([`recv`](Self::recv), [`send`](Self::send)); both may be mixed
/// on one connection, and the order of calls is the order of bytes.
///
/// A connection stays valid until [`release`](Self::release). On one that is not valid, every
/// method does nothing and reads as closed.
pub trait StreamPort {
    /// A new service on this port, at start-up; `None` when there are too many.
    fn attach(&mut self) -> Option<Service>;

    /// Accepts connections to the local port `port` for `service`.
    fn listen(&mut self, service: Service, port: u16) -> Result<(), ListenError>;

    /// Starts a connection to `remote`. The outcome is reported as news.
    fn connect(&mut self, service: Service, remote: SocketAddr) -> Result<Stream, ConnectError>;

    /// Starts a connection to `remote`, which was found as `name`: a host name, or an address. A
    /// port that makes sure of the other end needs to know who it should be; others need not.
    fn connect_to(
        &mut self,
        service: Service,
        remote: SocketAddr,
        name: &str,
    ) -> Result<Stream, ConnectError> {
        let _ = name;
        self.connect(service, remote)
    }

    /// Whether nobody on the way can read or change what passes.
    fn is_secure(&self) -> bool {
        false
    }

    /// Who the other end has shown to be, by a certificate that somebody who is trusted vouches
    /// for: its subject, as in RFC 4514. `None` where nobody asked, or nothing was shown. It is
    /// shared with the connection, so that keeping it copies nothing.
    fn identity(&self, stream: Stream) -> Option<Rc<str>> {
        let _ = stream;
        None
    }

    /// Says that `service` asks [`is_early`](Self::is_early) before it acts on what it reads, so
    /// that it may be given early data. Others are given none.
    fn take_early(&mut self, service: Service) {
        let _ = service;
    }

    /// Whether what can be read may be a copy of what its sender has sent once, made by somebody
    /// on the way: it came before the other end has shown to be there now. Once it has, that is
    /// news, and everything that was read before counts as sent by it. The port limits how long
    /// that may take. Where the connection ends before, what it brought stays a possible copy.
    fn is_early(&self, stream: Stream) -> bool {
        let _ = stream;
        false
    }

    /// What went wrong with a connection, as a sentence for a person, where the port knows more
    /// than the [phase](Status::phase) says.
    fn failure(&self, stream: Stream) -> Option<&'static str> {
        let _ = stream;
        None
    }

    /// The next connection of `service` with news. A connection that is new reads as such in
    /// its [`status`](Self::status) until [`set_tag`](Self::set_tag) was called.
    fn news(&mut self, service: Service) -> Option<Stream>;

    /// How the connection is doing.
    fn status(&self, stream: Stream) -> Status;

    /// The service's own number for the connection, to find its state by; `None` before
    /// [`set_tag`](Self::set_tag).
    fn tag(&self, stream: Stream) -> Option<u32>;

    /// Remembers the service's own number for the connection.
    fn set_tag(&mut self, stream: Stream, tag: u32);

    /// The other end.
    fn peer(&self, stream: Stream) -> Option<SocketAddr>;

    /// This end.
    fn local(&self, stream: Stream) -> Option<SocketAddr>;

    /// The first bytes that have arrived and were not consumed, not necessarily all. Empty when
    /// there are none.
    fn readable(&self, stream: Stream) -> &[u8];

    /// Takes `count` bytes off [`readable`](Self::readable).
    fn consume(&mut self, stream: Stream, count: usize);

    /// Takes the first arrived bytes as a packet: all that one buffer holds.
    fn recv(&mut self, stream: Stream) -> Option<Packet>;

    /// Room for the next bytes to send, not necessarily all that there is. Empty when there is
    /// none now.
    fn writable(&mut self, stream: Stream) -> &mut [u8];

    /// Queues the first `count` bytes of [`writable`](Self::writable).
    fn commit(&mut self, stream: Stream, count: usize);

    /// Queues a packet's bytes. Costs no copy when the packet has headroom for the headers below
    /// ([`HEADROOM`](crate::packet::HEADROOM) minus what the service prepended is enough) and
    /// is at most [`Status::segment`] bytes long; longer ones are cut up. `Err` when there is no
    /// room now.
    fn send(&mut self, stream: Stream, packet: Packet) -> Result<(), Packet>;

    /// Changes how one connection behaves; the manifest decides for all others. Whether the
    /// connection is valid and the port has such a setting.
    fn set(&mut self, stream: Stream, setting: Setting) -> bool {
        let _ = (stream, setting);
        false
    }

    /// Sends what is queued, then says that nothing follows. Receiving goes on.
    fn close(&mut self, stream: Stream);

    /// Ends the connection at once, both ways; what is queued is lost.
    fn abort(&mut self, stream: Stream);

    /// Gives the connection up: what is queued is still sent and the end is still agreed with
    /// the other side, but nothing more is reported or received. Bytes that arrive after this
    /// reset the connection.
    fn release(&mut self, stream: Stream);
}

/// Who attached to a [`StreamPort`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Service(pub u16);

/// A connection, as its [`StreamPort`] knows it: a place and a generation, so that an old handle
/// never reaches a new connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stream {
    /// The place in the provider's table.
    pub index: u32,
    /// How often the place was used before.
    pub generation: u32,
}

/// How a connection is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Status {
    /// Where it is in its life.
    pub phase: Phase,
    /// Bytes that have arrived and were not consumed.
    pub readable: usize,
    /// Bytes that can be queued now.
    pub writable: usize,
    /// Bytes that are queued or sent, and not acknowledged.
    pub unacknowledged: usize,
    /// The other side sends nothing more; true once everything it sent has **arrived**, which
    /// may be more than was consumed.
    pub finished: bool,
    /// The most bytes that go out as one segment.
    pub segment: usize,
}

/// How a connection is to behave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Setting {
    /// How long the connection may be silent before the other side is probed, in whole seconds,
    /// one at least; `None` for ever (RFC 9293 section 3.8.4).
    KeepAlive(Option<Duration>),
    /// Whether short segments are held back while data is unacknowledged (RFC 896).
    Nagle(bool),
    /// The traffic class of its packets: the DSCP, 0 to 63 (RFC 2474).
    TrafficClass(u8),
    /// How long sent data may stay unacknowledged before the connection is given up: R2 of
    /// RFC 9293 section 3.8.3, the user timeout of RFC 5482.
    UserTimeout(Duration),
}

/// Where a connection is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Phase {
    /// Not agreed with the other side yet.
    Opening,
    /// Open at least one way.
    Open,
    /// Ended in agreement, both ways; everything was acknowledged.
    #[default]
    Closed,
    /// The other side reset it, or refused it.
    Reset,
    /// The other side did not answer in time.
    TimedOut,
    /// The path failed: unreachable, or the local address went away.
    Unreachable,
}

/// Why listening failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ListenError {
    /// Somebody in this image listens there.
    Taken,
    /// The table of listeners is full.
    Full,
    /// The host below refuses.
    Refused,
}

/// Why a connection could not even be started.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ConnectError {
    /// No route, or no address of our own yet.
    NoRoute,
    /// Too many connections.
    Full,
    /// No local port is free towards that destination.
    NoPort,
    /// The address is not one that can be connected to: broadcast, multicast, port 0.
    BadAddress,
}
