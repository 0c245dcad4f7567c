//! Connections that a client begins: from the wish to its hello.

use crate::Tls;
use crate::client::Target;
use crate::connection::{Connection, Stage};
use crate::receive::surroundings;
use crate::role::Role;
use alloc::boxed::Box;
use core::net::SocketAddr;
use waitless::{Context, Phase, Service, StreamPort};

/// Packets that a hello takes at most, and some for others.
const RESERVE: usize = 6;

impl<R: Role> Tls<R> {
    /// The place of a connection to be; `None` when there are too many.
    pub(crate) fn begin(
        &mut self,
        service: Service,
        remote: SocketAddr,
        target: Target,
    ) -> Option<u32> {
        if self.shared.is_none() || self.is_full() {
            self.counters.refused.add(1);
            return None;
        }
        let place = self.place();
        let connection = self.connections.get_mut(place as usize)?;
        connection.begin(Default::default(), service, 0);
        connection.stage = Stage::Wanted;
        connection.flags.reported = true;
        connection.peer = Some(remote);
        connection.target = Some(target);
        self.counters.begun.add(1);
        self.counters.open.add(1);
        self.counters.shaking.add(1);
        self.set_deadline(place, self.now + self.limits.timeout);
        self.queue_transmit(place);
        Some(place)
    }

    /// Whether there is no room for another handshake.
    pub(crate) fn is_full(&self) -> bool {
        self.counters.shaking.get() >= self.limits.handshakes.into()
            || self.free.is_empty() && self.connections.len() >= self.limits.connections as usize
    }

    /// A place that is free.
    pub(crate) fn place(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.connections.push(Box::new(Connection::new(0)));
            // Room for all that exist, so that giving one back never allocates.
            self.free.reserve(self.connections.len());
            self.connections.len() as u32 - 1
        })
    }

    /// Has the stream below opened.
    pub(crate) fn dial<S: StreamPort>(&mut self, place: u32, below: &mut S, cx: &Context) {
        let Some(connection) = self.connections.get_mut(place as usize) else { return };
        if connection.flags.aborted {
            return self.end(place, Phase::Closed, below);
        }
        let attached = self.services.get(usize::from(connection.service.0));
        let (Some(service), Some(remote)) = (attached.and_then(|it| it.below), connection.peer)
        else {
            // It attaches in the next sweep.
            return self.queue_transmit(place);
        };
        match below.connect(service, remote) {
            Ok(stream) => {
                below.set_tag(stream, place);
                (connection.below, connection.stage) = (stream, Stage::Opening);
            }
            Err(why) => {
                waitless::debug!(cx, "cannot connect to {remote} below TLS: {why:?}");
                self.end(place, Phase::Unreachable, below);
            }
        }
    }

    /// Looks whether the stream below is open by now.
    pub(crate) fn open<S: StreamPort>(&mut self, place: u32, below: &mut S, cx: &mut Context) {
        let Some(connection) = self.connections.get_mut(place as usize) else { return };
        match below.status(connection.below).phase {
            Phase::Opening => {}
            Phase::Open => self.greet(place, below, cx),
            phase => self.end(place, phase, below),
        }
    }

    /// Says hello on a stream that is open.
    pub(crate) fn greet<S: StreamPort>(&mut self, place: u32, below: &mut S, cx: &mut Context) {
        let (Some(connection), Some(shared)) =
            (self.connections.get_mut(place as usize), &mut self.shared)
        else {
            return;
        };
        // Keys take time, and a hello two packets.
        if self.hellos == 0 || shared.pool.available() < RESERVE {
            return self.queue_receive(place);
        }
        self.hellos -= 1;
        let status = below.status(connection.below);
        connection.segment = status.segment;
        connection.out = crate::session::Outbox::new(status.segment);
        connection.local = below.local(connection.below);
        connection.stage = Stage::Handshake;
        let Some(target) = connection.target.take() else { return };
        let around = &mut surroundings(false, R::VERIFIES, cx);
        let (session, out) = (&mut connection.session, &mut connection.out);
        match session.begin(target, shared, around, out) {
            Ok(()) => {
                self.queue_transmit(place);
                // What came before is not news any more.
                self.queue_receive(place);
            }
            Err(fault) => self.fail(place, fault, cx),
        }
    }
}
