//! Echo over TCP: sends each byte back, until the other side has finished.

#[cfg(test)]
mod tests;

use alloc::vec::Vec;
use waitless::{
    BATCH, Component, Context, CounterSet, InitError, Inspect, ListenError, Packet, Phase, Service,
    Status, Stream, StreamPort,
};

/// What the manifest may set.
#[derive(Debug)]
pub struct Config {
    /// The port to listen on.
    pub port: u16,
    /// How many connections are served at once; more are reset.
    pub connections: u32,
}

/// The service. Stands on a [`StreamPort`].
pub struct Echo {
    config: &'static Config,
    service: Option<Service>,
    /// One for each connection; its tag is its place here.
    connections: Vec<Connection>,
    /// Places that are free.
    free: Vec<u32>,
    counters: &'static Counters,
}

/// What was taken from a connection and could not be sent back yet.
#[derive(Default)]
struct Connection {
    waiting: Option<Packet>,
    closing: bool,
}

waitless::counters! {
    /// What the service counts.
    pub(crate) struct Counters {
        /// Connections that were served.
        counter accepted: connections,
        /// Connections that were one too many.
        counter refused: connections,
        /// Connections that ended in another way than by agreement.
        counter broken: connections,
        /// Bytes sent back.
        counter answered: bytes,
        /// Connections that are open.
        gauge open: connections,
    }
}

impl Echo {
    /// A service that does not listen yet.
    pub fn new(config: &'static Config, _: &mut Context) -> Self {
        Self {
            config,
            service: None,
            connections: Vec::new(),
            free: Vec::new(),
            counters: Counters::leak(),
        }
    }

    /// Looks after a connection with news.
    fn serve<S: StreamPort>(&mut self, stream: Stream, port: &mut S) {
        let tag = match port.tag(stream) {
            Some(tag) => tag,
            None => match self.accept() {
                Some(tag) => {
                    port.set_tag(stream, tag);
                    tag
                }
                None => {
                    self.counters.refused.add(1);
                    port.abort(stream);
                    return port.release(stream);
                }
            },
        };
        let Some(connection) = self.connections.get_mut(tag as usize) else {
            return port.release(stream);
        };
        let status = port.status(stream);
        match status.phase {
            Phase::Opening => {}
            Phase::Open => {
                self.counters.answered.add(connection.answer(stream, port));
                if status.finished {
                    connection.finish(stream, port);
                }
            }
            Phase::Closed | Phase::Reset | Phase::TimedOut | Phase::Unreachable => {
                if status.phase != Phase::Closed {
                    self.counters.broken.add(1);
                }
                port.release(stream);
                *connection = Connection::default();
                self.free.push(tag);
                self.counters.open.sub(1);
            }
        }
    }

    /// A place for a new connection.
    fn accept(&mut self) -> Option<u32> {
        let tag = match self.free.pop() {
            Some(tag) => tag,
            None => {
                let tag = self.connections.len() as u32;
                if tag >= self.config.connections {
                    return None;
                }
                self.connections.push(Connection::default());
                tag
            }
        };
        self.counters.accepted.add(1);
        self.counters.open.add(1);
        Some(tag)
    }
}

impl Connection {
    /// Sends back what has arrived, as far as there is room; how many bytes that was. When room
    /// is missing, the connection has news once there is some.
    fn answer<S: StreamPort>(&mut self, stream: Stream, port: &mut S) -> u64 {
        let mut total = 0;
        // Bounded by what the port holds for us.
        while let Some(packet) = self.waiting.take().or_else(|| port.recv(stream)) {
            let length = packet.len() as u64;
            if let Err(packet) = port.send(stream, packet) {
                self.waiting = Some(packet);
                break;
            }
            total += length;
        }
        total
    }

    /// Closes our side, now that the other one has finished, once everything was sent back.
    fn finish<S: StreamPort>(&mut self, stream: Stream, port: &mut S) {
        let Status { readable, .. } = port.status(stream);
        if readable == 0 && self.waiting.is_none() && !self.closing {
            self.closing = true;
            port.close(stream);
        }
    }
}

impl<S: StreamPort> Component<S> for Echo {
    fn init(&mut self, port: &mut S, _: &mut Context) -> Result<(), InitError> {
        let service = port.attach().ok_or(InitError("no more services fit below echo"))?;
        port.listen(service, self.config.port).map_err(|error| match error {
            ListenError::Taken => InitError("another service has the TCP port of echo"),
            ListenError::Full => InitError("nobody more can listen below echo"),
            ListenError::Refused => InitError("the host does not let echo have its TCP port"),
        })?;
        self.service = Some(service);
        Ok(())
    }

    fn receive(&mut self, port: &mut S, _: &mut Context) {
        let Some(service) = self.service else { return };
        for _ in 0..BATCH {
            let Some(stream) = port.news(service) else { return };
            self.serve(stream, port);
        }
    }
}

impl Inspect for Echo {
    fn counters(&self) -> &'static dyn CounterSet {
        self.counters
    }
}
