//! Asking over UDP, and what is due.

use crate::Dns;
use crate::lookup::{Next, Stage};
use crate::message::Meaning;
use core::net::{IpAddr, SocketAddr};
use waitless::{BATCH, Context, Duration, Instant, NoAddress, Packet, StreamPort, UdpPort};

/// Where servers are asked.
pub(crate) const PORT: u16 = 53;

/// How long to wait for a port, a packet or a conversation.
pub(crate) const RETRY: Duration = Duration::from_millis(10);

/// How often one lookup waits for these.
const DELAYS_MAX: u16 = 1000;

/// The longest wait for an answer, as a multiple of the first one.
const PATIENCE_MAX: u64 = 8;

impl Dns {
    /// Does what is due for a lookup.
    pub(crate) fn act<U: UdpPort, S: StreamPort>(
        &mut self,
        index: usize,
        udp: &mut U,
        tcp: &mut S,
        cx: &mut Context,
    ) {
        let Some(lookup) = self.lookups.get(index) else { return };
        match lookup.stage {
            Stage::Free => {}
            Stage::Ask(_) if lookup.stream => self.open_stream(index, tcp, cx),
            Stage::Ask(_) => self.send(index, udp, cx),
            Stage::Datagram(socket, ..) => {
                udp.release(socket);
                self.counters.timeouts.add(1);
                self.take_step(index, Next::Other);
            }
            Stage::Stream(conversation, _) => {
                self.close_stream(conversation, tcp);
                self.counters.timeouts.add(1);
                self.take_step(index, Next::Other);
            }
        }
    }

    /// The server that a lookup asks.
    pub(crate) fn server_of(&self, index: usize) -> Option<IpAddr> {
        let servers = &self.names.servers;
        let number = self.lookups.get(index)?.server.checked_rem(servers.len())?;
        servers.get(number).copied()
    }

    /// Until when a server has time to answer a lookup.
    pub(crate) fn patience(&self, index: usize) -> Instant {
        let tries = self.lookups.get(index).map_or(0, |lookup| lookup.tries);
        let round = tries.checked_div(self.names.servers.len()).unwrap_or(0);
        let factor = 1_u64.checked_shl(round as u32).unwrap_or(PATIENCE_MAX).min(PATIENCE_MAX);
        self.now + self.config.timeout.times(factor)
    }

    /// Puts what a lookup waits for off a little, but not for ever.
    pub(crate) fn delay(&mut self, index: usize) {
        self.counters.delayed.add(1);
        let Some(lookup) = self.lookups.get_mut(index) else { return };
        lookup.delays += 1;
        lookup.stage = Stage::Ask(self.now + RETRY);
        if lookup.delays > DELAYS_MAX {
            self.finish(index, Err(NoAddress::Failed), None);
        }
    }

    fn send<U: UdpPort>(&mut self, index: usize, udp: &mut U, cx: &mut Context) {
        let Some(server) = self.server_of(index) else {
            return self.finish(index, Err(NoAddress::NoServer), None);
        };
        let patience = self.patience(index);
        let Some(packet) = cx.packet() else { return self.delay(index) };
        // RFC 5452 section 9.2: a port of its own for each question.
        let Ok(socket) = udp.bind_towards(SocketAddr::new(server, PORT)) else {
            return self.delay(index);
        };
        let Some(lookup) = self.lookups.get_mut(index) else { return };
        lookup.query.id = cx.random.u32() as u16;
        let plain = lookup.query.name.plain();
        lookup.query.name =
            if self.config.mixed_case { plain.mixed(&mut cx.random) } else { plain };
        let mut packet = packet;
        let written = lookup.query.write(&mut packet);
        packet.info_mut().remote = server;
        packet.info_mut().remote_port = PORT;
        if written.is_err() || udp.send(socket, packet).is_err() {
            udp.release(socket);
            return self.delay(index);
        }
        lookup.stage = Stage::Datagram(socket, server, patience);
        self.counters.sent.add(1);
    }

    /// Takes what has come over UDP.
    pub(crate) fn hear_datagrams<U: UdpPort>(&mut self, udp: &mut U) {
        for index in 0..self.lookups.len() {
            for _ in 0..BATCH {
                let stage = self.lookups.get(index).map(|it| it.stage);
                let Some(Stage::Datagram(socket, server, _)) = stage else { break };
                let Some(packet) = udp.recv(socket) else { break };
                self.counters.received.add(1);
                let next = self.read(index, server, &packet);
                if next != Next::Wait {
                    udp.release(socket);
                    self.take_step(index, next);
                }
            }
        }
    }

    /// What a message means that has come to who asked `server`, which the network may not name any
    /// more (RFC 5452 section 9.1).
    fn read(&mut self, index: usize, server: IpAddr, packet: &Packet) -> Next {
        let info = packet.info();
        let asked = server == info.remote && info.remote_port == PORT;
        let Some(lookup) = self.lookups.get_mut(index) else { return Next::Wait };
        let meaning =
            if asked { lookup.query.understand(packet.bytes(), false) } else { Meaning::Foreign };
        self.counters.count(&meaning);
        lookup.hear(meaning)
    }
}

impl crate::Counters {
    /// Counts what is not an answer.
    pub(crate) fn count(&self, meaning: &Meaning) {
        let counter = match meaning {
            Meaning::Foreign => &self.foreign,
            Meaning::OtherCase => &self.other_case,
            Meaning::Malformed => &self.malformed,
            Meaning::Truncated => &self.truncated,
            Meaning::NotExtended => &self.not_extended,
            Meaning::Failed(_) => &self.failed,
            Meaning::Found(..) | Meaning::Alias(..) | Meaning::Nothing(..) => return,
        };
        counter.add(1);
    }
}
