//! What passes between two stacks when both ends are measured: a service for either end of
//! requests, bulk, and connections that only open and close.

use waitless::{
    Component, Context, InitError, Inspect, Phase, Service, Status, Stream, StreamPort,
};

/// The port that the passive end listens on.
pub const PORT: u16 = 9;
/// Bytes of a request.
pub const REQUEST: usize = 40;
/// Bytes of a response.
pub const RESPONSE: usize = 120;
/// What is sent is copied from here.
pub static BYTES: [u8; 65_536] = [b'x'; 65_536];

/// What an end does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Job {
    /// Passive: answers each request, and ends what the other end has ended.
    #[default]
    Serve,
    /// Passive: takes what comes, and ends what the other end has ended.
    Sink,
    /// Active: asks, and asks again once it has the answer.
    Ask,
    /// Active: sends as much as there is room for.
    Pour,
    /// Active: opens connections and ends each at once.
    Visit,
}

impl Job {
    /// What the other end does then.
    pub fn other_end(self) -> Self {
        if self == Self::Pour { Self::Sink } else { Self::Serve }
    }

    /// Whether it waits for the other end to open connections.
    pub fn is_passive(self) -> bool {
        matches!(self, Self::Serve | Self::Sink)
    }
}

/// Nothing can be set.
#[derive(Debug)]
pub struct TrafficConfig {}

/// The service. Stands on a [`StreamPort`], and serves until it is told otherwise.
#[derive(Debug, Default)]
pub struct Traffic {
    /// What it does.
    pub job: Job,
    /// Connections that it has still to open.
    pub to_open: usize,
    /// Where it opens them to.
    pub remote: Option<std::net::SocketAddr>,
    /// Responses that arrived, bytes that arrived, or connections that ended, as its job is.
    pub done: u64,
    service: Service,
    /// One for each connection; its tag is its place here.
    connections: Vec<Connection>,
    /// Places that are free.
    free: Vec<u32>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Connection {
    /// Whether this end asked or ended it.
    begun: bool,
    /// Bytes of a request or response that have arrived.
    arrived: usize,
}

impl Traffic {
    /// A service that does nothing yet.
    pub fn new(_: &TrafficConfig, _: &mut Context) -> Self {
        Self::default()
    }

    fn open<S: StreamPort>(&mut self, port: &mut S) {
        let Some(remote) = self.remote else { return };
        for _ in 0..core::mem::take(&mut self.to_open) {
            let stream = port.connect(self.service, remote).expect("it can be connected to");
            self.accept(port, stream);
        }
    }

    fn accept<S: StreamPort>(&mut self, port: &mut S, stream: Stream) -> u32 {
        let place = self.free.pop().unwrap_or_else(|| {
            self.connections.push(Connection::default());
            self.connections.len() as u32 - 1
        });
        port.set_tag(stream, place);
        place
    }

    /// Looks after a connection with news.
    fn look_after<S: StreamPort>(&mut self, port: &mut S, stream: Stream) {
        let place = match port.tag(stream) {
            Some(place) => place,
            None => self.accept(port, stream),
        };
        let connection = &mut self.connections[place as usize];
        let Status { phase, finished, .. } = port.status(stream);
        if phase == Phase::Open {
            self.done += match self.job {
                Job::Serve => connection.serve(port, stream),
                Job::Sink => connection.sink(port, stream),
                Job::Ask => connection.ask(port, stream),
                Job::Pour => connection.pour(port, stream),
                Job::Visit => 0,
            };
            let end = finished || self.job == Job::Visit;
            if end && (self.job == Job::Visit || connection.arrived == 0) && !connection.begun {
                connection.begun = true;
                port.close(stream);
            }
        } else if phase != Phase::Opening {
            assert_eq!(phase, Phase::Closed, "a connection ended otherwise than by agreement");
            port.release(stream);
            *connection = Connection::default();
            self.free.push(place);
            self.done += u64::from(self.job == Job::Visit);
        }
    }
}

impl Connection {
    /// Answers the requests that have arrived.
    fn serve<S: StreamPort>(&mut self, port: &mut S, stream: Stream) -> u64 {
        self.sink(port, stream);
        while self.arrived >= REQUEST {
            self.arrived -= REQUEST;
            say(port, stream, &BYTES[..RESPONSE]);
        }
        0
    }

    /// Takes what has arrived; how much it was.
    fn sink<S: StreamPort>(&mut self, port: &mut S, stream: Stream) -> u64 {
        let mut total = 0;
        // Bounded by what the port holds for us.
        loop {
            let count = port.readable(stream).len();
            if count == 0 {
                break;
            }
            port.consume(stream, count);
            total += count;
        }
        self.arrived += total;
        total as u64
    }

    /// Asks for the first time, or again when the answer is there; how many answers.
    fn ask<S: StreamPort>(&mut self, port: &mut S, stream: Stream) -> u64 {
        self.sink(port, stream);
        let answered = self.arrived == RESPONSE;
        if answered || !self.begun {
            (self.begun, self.arrived) = (true, 0);
            say(port, stream, &BYTES[..REQUEST]);
        }
        u64::from(answered)
    }

    /// Sends as much as there is room for.
    fn pour<S: StreamPort>(&mut self, port: &mut S, stream: Stream) -> u64 {
        // Bounded by the send buffer.
        loop {
            let room = port.writable(stream);
            if room.is_empty() {
                return 0;
            }
            let count = room.len().min(BYTES.len());
            room[..count].copy_from_slice(&BYTES[..count]);
            port.commit(stream, count);
        }
    }
}

/// Sends `bytes`, for which there must be room.
fn say<S: StreamPort>(port: &mut S, stream: Stream, bytes: &[u8]) {
    port.writable(stream)[..bytes.len()].copy_from_slice(bytes);
    port.commit(stream, bytes.len());
}

impl<S: StreamPort> Component<S> for Traffic {
    fn init(&mut self, port: &mut S, _: &mut Context) -> Result<(), InitError> {
        self.service = port.attach().ok_or(InitError("no more services fit"))?;
        port.listen(self.service, PORT).map_err(|_| InitError("somebody listens there"))
    }

    fn receive(&mut self, port: &mut S, _: &mut Context) {
        if self.to_open > 0 {
            self.open(port);
        }
        while let Some(stream) = port.news(self.service) {
            self.look_after(port, stream);
        }
    }
}

impl Inspect for Traffic {}
