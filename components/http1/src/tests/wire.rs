//! A fake stream port, and an image of three components on it.

use crate::{Config, Http1, Scheme};
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;
use waitless::http::{Files, Handler, Server, ServerConfig};
use waitless::{
    Component, ConnectError, Context, Duration, ListenError, Packet, Phase, Pool, Service, Status,
    Stream, StreamPort, testing,
};

/// A client's end of a connection, and what the fake knows of ours.
pub(super) struct Line {
    pub(super) arriving: VecDeque<Packet>,
    /// What was sent to the client.
    pub(super) sent: Vec<u8>,
    /// Bytes that the client still takes.
    pub(super) window: usize,
    pub(super) finished: bool,
    pub(super) closed: bool,
    pub(super) aborted: bool,
    pub(super) released: bool,
    pub(super) reset: bool,
    pub(super) packets_sent: usize,
    /// Bytes that were sent and that the client has not acknowledged.
    pub(super) unacknowledged: usize,
    /// What arrives may be a copy.
    pub(super) early: bool,
    tag: Option<u32>,
    has_news: bool,
}

#[derive(Default)]
pub(super) struct Wire {
    pub(super) lines: Vec<Line>,
    /// Whether the service says that it can tell what may be a copy.
    pub(super) takes_early: bool,
    /// Whether nobody can read what passes.
    pub(super) secure: bool,
    news: VecDeque<u32>,
}

impl Wire {
    fn line(&self, stream: Stream) -> Option<&Line> {
        self.lines.get(stream.index as usize).filter(|line| !line.released)
    }

    fn line_mut(&mut self, stream: Stream) -> Option<&mut Line> {
        self.lines.get_mut(stream.index as usize).filter(|line| !line.released)
    }

    pub(super) fn report(&mut self, index: usize) {
        let line = &mut self.lines[index];
        if !line.released && !core::mem::replace(&mut line.has_news, true) {
            self.news.push_back(index as u32);
        }
    }
}

impl StreamPort for Wire {
    fn attach(&mut self) -> Option<Service> {
        Some(Service(0))
    }
    fn listen(&mut self, _: Service, _: u16) -> Result<(), ListenError> {
        Ok(())
    }
    fn connect(&mut self, _: Service, _: SocketAddr) -> Result<Stream, ConnectError> {
        Err(ConnectError::NoRoute)
    }
    fn news(&mut self, _: Service) -> Option<Stream> {
        let index = self.news.pop_front()?;
        self.lines[index as usize].has_news = false;
        Some(Stream { index, generation: 0 })
    }
    fn status(&self, stream: Stream) -> Status {
        let Some(line) = self.line(stream) else { return Status::default() };
        Status {
            phase: match (line.reset || line.aborted, line.closed && line.finished) {
                (true, _) => Phase::Reset,
                (_, true) => Phase::Closed,
                _ => Phase::Open,
            },
            readable: line.arriving.iter().map(Packet::len).sum(),
            writable: line.window,
            finished: line.finished,
            unacknowledged: line.unacknowledged,
            segment: 1460,
        }
    }
    fn is_secure(&self) -> bool {
        self.secure
    }
    fn take_early(&mut self, _: Service) {
        self.takes_early = true;
    }
    fn is_early(&self, stream: Stream) -> bool {
        self.line(stream).is_some_and(|line| line.early)
    }
    fn tag(&self, stream: Stream) -> Option<u32> {
        self.line(stream)?.tag
    }
    fn set_tag(&mut self, stream: Stream, tag: u32) {
        if let Some(line) = self.line_mut(stream) {
            line.tag = Some(tag);
        }
    }
    fn peer(&self, stream: Stream) -> Option<SocketAddr> {
        Some(SocketAddr::from(([10, 0, 0, 1], 40_000 + stream.index as u16)))
    }
    fn local(&self, _: Stream) -> Option<SocketAddr> {
        None
    }
    fn readable(&self, stream: Stream) -> &[u8] {
        self.line(stream).and_then(|line| line.arriving.front()).map_or(&[], Packet::bytes)
    }
    fn consume(&mut self, _: Stream, _: usize) {
        unimplemented_here();
    }
    fn recv(&mut self, stream: Stream) -> Option<Packet> {
        self.line_mut(stream)?.arriving.pop_front()
    }
    fn writable(&mut self, _: Stream) -> &mut [u8] {
        &mut []
    }
    fn commit(&mut self, _: Stream, _: usize) {
        unimplemented_here();
    }
    fn send(&mut self, stream: Stream, packet: Packet) -> Result<(), Packet> {
        let Some(line) = self.line_mut(stream) else { return Ok(()) };
        assert!(!line.closed, "sent after close");
        assert!(!packet.is_empty(), "sent nothing");
        if line.window < packet.len() {
            return Err(packet);
        }
        line.window -= packet.len();
        line.packets_sent += 1;
        line.sent.extend_from_slice(packet.bytes());
        Ok(())
    }
    fn close(&mut self, stream: Stream) {
        if let Some(line) = self.line_mut(stream) {
            line.closed = true;
        }
    }
    fn abort(&mut self, stream: Stream) {
        if let Some(line) = self.line_mut(stream) {
            line.aborted = true;
        }
    }
    fn release(&mut self, stream: Stream) {
        if let Some(line) = self.line_mut(stream) {
            line.released = true;
            line.arriving.clear();
        }
    }
}

fn unimplemented_here() {
    panic!("the fake passes whole packets only");
}

/// The wiring of an image, by hand.
pub(super) struct Bench<H: Handler> {
    pub(super) wire: Wire,
    pub(super) http: Http1,
    pub(super) site: Server<H>,
    pub(super) cx: Context,
}

pub(super) const CONFIG: Config = Config {
    port: 80,
    scheme: Scheme::Http,
    connections: 1000,
    head_limit: 4096,
    line_limit: 1024,
    field_limit: 20,
    body_limit: Some(100_000),
    head_timeout: Duration::from_secs(10),
    body_timeout: Duration::from_secs(30),
    idle_timeout: Duration::from_secs(75),
    send_timeout: Duration::from_secs(20),
    rate_floor: Some(256),
    response_head_limit: 16 << 10,
    linger: Duration::from_secs(2),
    server: "",
    hsts: None,
};

static DEFAULT: Config = CONFIG;
pub(super) static TASKS: ServerConfig =
    ServerConfig { tasks: 64, patience: Duration::from_secs(1), files: Files::NONE };

impl<H: Handler> Bench<H> {
    pub(super) fn new(handler: H) -> Self {
        Self::with(&DEFAULT, &TASKS, handler, 4000)
    }

    pub(super) fn with(
        config: &'static Config,
        tasks: &'static ServerConfig,
        handler: H,
        packets: usize,
    ) -> Self {
        let mut cx = testing::context(packets, 1);
        let http = Http1::new(config, &mut cx);
        let site = Server::new(tasks, handler, &mut cx);
        let mut bench = Self { wire: Wire::default(), http, site, cx };
        bench.http.init(&mut bench.wire, &mut bench.cx).unwrap();
        bench
    }

    pub(super) fn pool(&self) -> Pool {
        self.cx.pool()
    }

    /// A new client.
    pub(super) fn connect(&mut self) -> usize {
        self.wire.lines.push(Line {
            arriving: VecDeque::new(),
            sent: Vec::new(),
            window: usize::MAX,
            finished: false,
            closed: false,
            aborted: false,
            released: false,
            reset: false,
            packets_sent: 0,
            unacknowledged: 0,
            early: false,
            tag: None,
            has_news: false,
        });
        self.wire.report(self.wire.lines.len() - 1);
        self.wire.lines.len() - 1
    }

    /// The client sends `bytes`, in packets of a segment.
    pub(super) fn deliver(&mut self, line: usize, bytes: &[u8]) {
        for piece in bytes.chunks(1460) {
            let mut packet = self.cx.packet().unwrap();
            packet.append(piece).unwrap();
            if !self.wire.lines[line].released {
                self.wire.lines[line].arriving.push_back(packet);
            }
        }
        self.wire.report(line);
    }

    pub(super) fn finish(&mut self, line: usize) {
        self.wire.lines[line].finished = true;
        self.wire.report(line);
    }

    pub(super) fn sweep(&mut self) {
        self.http.receive(&mut self.wire, &mut self.cx);
        let mut below = (&mut self.http,);
        self.site.receive(&mut below, &mut self.cx);
        self.site.transmit(&mut below, &mut self.cx);
        self.http.transmit(&mut self.wire, &mut self.cx);
    }

    fn deadline(&self) -> waitless::Instant {
        let site = Component::<(&mut Http1,)>::deadline(&self.site);
        Component::<Wire>::deadline(&self.http).min(site)
    }

    /// Sweeps until nothing is left to do now.
    pub(super) fn settle(&mut self) {
        for _ in 0..100_000 {
            self.sweep();
            if self.deadline() > self.cx.now() && self.wire.news.is_empty() {
                return;
            }
        }
        panic!("never idle");
    }

    /// Lets time pass, with a sweep at every deadline.
    pub(super) fn pass(&mut self, time: Duration) {
        let end = self.cx.now() + time;
        while self.deadline() <= end {
            let next = self.deadline();
            self.cx.set_now(next);
            self.settle();
        }
        self.cx.set_now(end);
        self.settle();
    }

    /// Sends `bytes`, sweeps, and takes what came back.
    pub(super) fn ask(&mut self, line: usize, bytes: &[u8]) -> String {
        self.deliver(line, bytes);
        self.settle();
        self.taken(line)
    }

    pub(super) fn taken(&mut self, line: usize) -> String {
        String::from_utf8(core::mem::take(&mut self.wire.lines[line].sent)).unwrap()
    }

    /// The whole exchange on a connection of its own.
    pub(super) fn once(&mut self, bytes: &[u8]) -> String {
        let line = self.connect();
        self.ask(line, bytes)
    }

    /// The value of one of the counters of HTTP or of the server.
    pub(super) fn count(&self, name: &str) -> u64 {
        use waitless::Inspect;
        let sets = [self.http.counters(), self.site.counters()];
        sets.iter()
            .flat_map(|set| (0..set.count()).filter_map(|index| set.metric(index)))
            .find(|metric| metric.name == name)
            .unwrap_or_else(|| panic!("no counter {name}"))
            .value
    }
}
