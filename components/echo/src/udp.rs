//! Echo over UDP: sends each datagram back to its sender.
//!
//! A datagram from a well-known port is not answered: two echo services, or an echo and a chargen
//! service, would keep each other busy for ever with one forged datagram. Nor is one from the
//! port that this one has itself, where another like it would be, whatever the port; nor one that
//! was sent to everybody, which would multiply (RFC 2644 has the story).
//!
//! Two services on other ports cannot be told from clients. A loop of theirs ends all the same:
//! what a source sends without a second's pause is answered `streak` times, and then once not. A
//! loop needs every answer; a client of UDP has to bear it that one is missing. So a forged
//! datagram costs so many answers and no more, however fast or slow the way between the two is.

mod streak;
#[cfg(test)]
mod tests;

use self::streak::Streaks;

use waitless::{
    BATCH, BindError, Component, Context, CounterSet, InitError, Inspect, Instant, Packet, Socket,
    UdpPort,
};

/// What the manifest may set.
#[derive(Debug)]
pub struct Config {
    /// The port to listen on.
    pub port: u16,
    /// How many answers a source gets in a row before one is left out; none: no limit.
    pub streak: Option<u32>,
}

/// The service. Stands on a [`UdpPort`].
pub struct Echo {
    config: &'static Config,
    socket: Option<Socket>,
    streaks: Streaks,
    /// The one for which there was no room.
    waiting: Option<Packet>,
    counters: &'static Counters,
}

waitless::counters! {
    /// What the service counts.
    pub(crate) struct Counters {
        /// Datagrams that arrived.
        counter received: datagrams,
        /// Datagrams sent back.
        counter answered: datagrams,
        /// Datagrams from a well-known port or our own, where another such service may be.
        counter from_services: datagrams,
        /// Datagrams that were sent to everybody.
        counter to_everybody: datagrams,
        /// Datagrams that were not answered because their source had many answers in a row.
        counter streaks_ended: datagrams,
    }
}

/// Ports below this belong to services (RFC 6335 section 6).
const FIRST_USER_PORT: u16 = 1024;

impl Echo {
    /// A service that does not listen yet.
    pub fn new(config: &'static Config, _: &mut Context) -> Self {
        let (streaks, counters) = (Streaks::new(config.streak), Counters::leak());
        Self { config, socket: None, streaks, waiting: None, counters }
    }

    /// Takes a datagram; gives it back when it is to be answered.
    #[inline]
    fn accept(&mut self, datagram: Packet, now: Instant) -> Option<Packet> {
        self.counters.received.add(1);
        let info = datagram.info();
        if info.remote_port < FIRST_USER_PORT || info.remote_port == self.config.port {
            self.counters.from_services.add(1);
        } else if info.broadcast {
            self.counters.to_everybody.add(1);
        } else if !self.streaks.goes_on(info.remote, info.remote_port, now) {
            self.counters.streaks_ended.add(1);
        } else {
            return Some(datagram);
        }
        None
    }
}

impl<U: UdpPort> Component<U> for Echo {
    fn init(&mut self, udp: &mut U, _: &mut Context) -> Result<(), InitError> {
        let socket = udp.bind(self.config.port).map_err(|error| match error {
            BindError::Taken => InitError("another service has the UDP port of echo"),
            BindError::Full => InitError("no more UDP ports can be bound: raise udp.sockets"),
            BindError::Refused => InitError("the host does not let echo have its UDP port"),
        })?;
        self.socket = Some(socket);
        Ok(())
    }

    fn receive(&mut self, udp: &mut U, cx: &mut Context) {
        let Some(socket) = self.socket else { return };
        for _ in 0..BATCH {
            let next = match self.waiting.take() {
                Some(datagram) => Some(datagram),
                None => {
                    let Some(datagram) = udp.recv(socket) else { return };
                    self.accept(datagram, cx.now())
                }
            };
            let Some(datagram) = next else { continue };
            if let Err(datagram) = udp.send(socket, datagram) {
                self.waiting = Some(datagram);
                return;
            }
            self.counters.answered.add(1);
        }
    }

    fn deadline(&self) -> Instant {
        if self.waiting.is_some() { Instant::ZERO } else { Instant::NEVER }
    }
}

impl Inspect for Echo {
    fn counters(&self) -> &'static dyn CounterSet {
        self.counters
    }
}
