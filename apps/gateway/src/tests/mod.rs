//! The gateway between a port of HTTP and servers, both in a test's hands, in virtual time.

mod failing;
mod passing;

use crate::proxy::Proxy;
use crate::{Balance, Config};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use waitless::dial::{Broken, DialError, Dialer, Work};
use waitless::http::client::Client;
use waitless::http::{
    Fields, Files, Handler, Head, HeadBytes, Layout, Length, Method, Response, Server,
    ServerConfig, Span, Version,
};
use waitless::{Chunk, Component, Context, Duration, Exchange, HttpPort, Instant, Packet, testing};

const CONFIG: Config = Config {
    routes: "/ = http://10.0.0.1:8080\n/api = http://a, http://b",
    balance: Balance::RoundRobin,
    failures: 1,
    pause: Duration::from_secs(10),
    attempts: 3,
    keep_host: true,
    trust: false,
    silence: Duration::from_secs(600),
    name: "gateway",
};

static SERVER: ServerConfig =
    ServerConfig { tasks: 16, patience: Duration::from_secs(1), files: Files::NONE };

static CLIENT: waitless::http::client::Config = waitless::http::client::Config {
    connections: 8,
    per_server: 4,
    waiting: 0,
    wait_timeout: Duration::from_secs(1),
    idle_timeout: Duration::from_secs(15),
    connect_timeout: Duration::from_secs(10),
    send_timeout: Duration::from_secs(20),
    answer_timeout: Duration::from_secs(30),
    body_timeout: Duration::from_secs(40),
    continue_timeout: Duration::from_secs(1),
    head_limit: 4096,
    field_limit: 50,
    agent: "",
};

/// A request, as it waits; then what became of it.
#[derive(Default)]
struct Visit {
    tag: u32,
    head: Option<Head>,
    /// What has come of its body, and whether that is all.
    body: VecDeque<Packet>,
    ended: bool,
    asked: bool,
    /// What was answered: the head as text, the body, and how that ended.
    answer: String,
    sent: Vec<u8>,
    trailers: String,
    finished: bool,
    aborted: bool,
    gone: bool,
    /// Whether there is room for the body of the answer.
    full: bool,
}

#[derive(Default)]
struct Port {
    visits: Vec<Visit>,
    /// Where requests come from, if not from the usual place.
    peer: Option<SocketAddr>,
    next: usize,
    news: VecDeque<u32>,
}

impl Port {
    fn at(&mut self, exchange: Exchange) -> &mut Visit {
        &mut self.visits[exchange.index as usize]
    }
}

impl HttpPort for Port {
    fn waiting(&self) -> usize {
        self.visits.len() - self.next
    }

    fn waiting_since(&self) -> Instant {
        Instant::NEVER
    }

    fn accept(&mut self, tag: u32) -> Option<(Exchange, Head)> {
        let visit = self.visits.get_mut(self.next)?;
        visit.tag = tag;
        self.next += 1;
        let exchange = Exchange { index: self.next as u32 - 1, generation: 0 };
        Some((exchange, visit.head.take()?))
    }

    fn news(&mut self) -> Option<u32> {
        self.news.pop_front()
    }

    fn is_gone(&self, exchange: Exchange) -> bool {
        self.visits[exchange.index as usize].gone
    }

    fn body(&mut self, exchange: Exchange) -> Chunk {
        let visit = self.at(exchange);
        visit.asked = true;
        match visit.body.pop_front() {
            Some(packet) => Chunk::Data(packet),
            None if visit.ended => Chunk::End,
            None => Chunk::Pending,
        }
    }

    fn respond(&mut self, exchange: Exchange, mut response: Response) -> Result<(), Response> {
        let visit = self.at(exchange);
        visit.answer = format!("{} {:?}", response.code().code(), response.body_length());
        let fields = response.fields().map_or(&b""[..], |fields| fields.bytes());
        for line in String::from_utf8_lossy(fields).lines() {
            visit.answer += &format!(" | {line}");
        }
        match response.take_body() {
            waitless::http::Body::Stream => {}
            _ => visit.finished = true,
        }
        Ok(())
    }

    fn send(&mut self, exchange: Exchange, part: Packet) -> Result<(), Packet> {
        let visit = self.at(exchange);
        if visit.full {
            return Err(part);
        }
        visit.sent.extend(part.bytes());
        Ok(())
    }

    fn trail(&mut self, exchange: Exchange, trailers: Fields) {
        self.at(exchange).trailers = String::from_utf8_lossy(trailers.bytes()).into();
    }

    fn finish(&mut self, exchange: Exchange) {
        self.at(exchange).finished = true;
    }

    fn abort(&mut self, exchange: Exchange) {
        self.at(exchange).aborted = true;
    }

    fn shed(&mut self, _: Duration) -> bool {
        false
    }

    fn peer(&self, _: Exchange) -> Option<SocketAddr> {
        self.peer.or(Some(([192, 0, 2, 7], 5000).into()))
    }
}

/// A connection, as an upstream sees it.
#[derive(Default)]
struct Served {
    line: u32,
    target: String,
    heard: Vec<u8>,
    to_say: VecDeque<Packet>,
    ends: bool,
    deaf: bool,
    left: bool,
}

struct Bench<H: Handler> {
    server: Server<H>,
    port: Port,
    client: &'static Client,
    dialer: &'static Dialer,
    cx: Context,
    served: Vec<Served>,
    at: BTreeMap<u32, usize>,
    /// Whether requests come over TLS.
    secure: bool,
    /// Whether they may be copies.
    early: bool,
    /// Upstreams that refuse, or do not answer.
    refusing: BTreeMap<String, Option<DialError>>,
}

fn bench(config: Config) -> Bench<impl Handler> {
    let mut cx = testing::context(512, 5);
    let dialer = Dialer::leak(16, cx.pool());
    cx.system().set_dialer(dialer);
    let client = Client::leak(&CLIENT, cx.system(), cx.pool());
    cx.system().set_client(client);
    let config = Box::leak(Box::new(config));
    let proxy: &'static Proxy = Box::leak(Box::new(Proxy::new(config).unwrap()));
    let server = Server::new(&SERVER, |request| proxy.answer(request), &mut cx);
    Bench {
        server,
        port: Port::default(),
        client,
        dialer,
        cx,
        served: Vec::new(),
        at: BTreeMap::new(),
        secure: false,
        early: false,
        refusing: BTreeMap::new(),
    }
}

impl<H: Handler> Bench<H> {
    /// A request of `fields`, lines with a line break each; its number.
    fn visit(&mut self, line: &str, fields: &str, body: Length) -> usize {
        let (method, target) = line.split_once(' ').unwrap();
        let text = format!("{method} {target} {fields}");
        let start = method.len() + 1;
        let end = start + target.len();
        let (path, query) = match target.split_once('?') {
            Some((path, _)) => {
                let mark = start + path.len();
                (Span::new(start, mark), Some(Span::new(mark + 1, end)))
            }
            None => (Span::new(start, end), None),
        };
        let host = fields.find("Host: ").map(|at| end + 1 + at + 6);
        let authority =
            host.map_or(Span::default(), |at| Span::new(at, at + text[at..].find('\r').unwrap()));
        let layout = Layout {
            method: Method::parse(method.as_bytes()),
            version: Version::Http11,
            body,
            name: Span::new(0, method.len()),
            target: Span::new(start, end),
            authority,
            path,
            query,
            fields: Span::new(end + 1, text.len()),
            secure: self.secure,
        };
        let head = Head::new(HeadBytes::Memory(text.into_bytes().into()), layout);
        let head = head.early(self.early);
        let ended = body == Length::None;
        self.port.visits.push(Visit { head: Some(head), ended, ..Visit::default() });
        self.sweep();
        self.port.visits.len() - 1
    }

    fn get(&mut self, target: &str) -> usize {
        self.visit(&format!("GET {target}"), "Host: x\r\n", Length::None)
    }

    /// A client that speaks WebSocket with an upstream.
    fn socket(&mut self, target: &str) -> usize {
        let fields = format!("Host: x\r\n{SOCKET}");
        let visit = self.visit(&format!("GET {target}"), &fields, Length::None);
        self.port.visits[visit].ended = false;
        self.say(self.served.len() - 1, "HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\n\r\n");
        visit
    }

    fn sweep(&mut self) {
        for _ in 0..16 {
            self.client.tend(self.cx.now());
            self.server.receive(&mut (&mut self.port,), &mut self.cx);
            while let Some(line) = self.dialer.next_work() {
                let (index, work) = (line.index(), line.work());
                self.serve(index, work);
            }
            let all: Vec<u32> = self.at.keys().copied().collect();
            all.into_iter().for_each(|index| self.serve(index, Work::Carry));
        }
    }

    fn serve(&mut self, index: u32, work: Work) {
        let line = &self.dialer.lines()[index as usize];
        if work == Work::Connect {
            let target = line.target(|host, port| format!("{host}:{port}"));
            match self.refusing.get(&target) {
                None => {}
                Some(None) => return,
                Some(Some(why)) => return line.fail(*why),
            }
            self.at.insert(index, self.served.len());
            self.served.push(Served { line: index, target, ..Served::default() });
            line.open(([10, 0, 0, 1], 80).into());
        }
        let Some(&at) = self.at.get(&index) else {
            if work == Work::Leave {
                line.reset();
            }
            return;
        };
        let served = &mut self.served[at];
        while !served.deaf || line.work() == Work::Leave {
            let Some(packet) = line.take() else { break };
            served.heard.extend(packet.bytes());
        }
        while line.has_room()
            && let Some(packet) = served.to_say.pop_front()
        {
            line.deliver(packet).unwrap();
        }
        if served.ends && served.to_say.is_empty() {
            line.end();
        }
        if line.work() == Work::Leave {
            served.left = true;
            served.to_say.clear();
            line.reset();
            self.at.remove(&index);
        }
    }

    fn pass(&mut self, millis: u64) {
        let end = self.cx.now() + Duration::from_millis(millis);
        loop {
            let due = Component::<(&mut Port,)>::deadline(&self.server).min(self.client.deadline());
            if due > end {
                break;
            }
            self.cx.set_now(due.max(self.cx.now()));
            self.sweep();
        }
        self.cx.set_now(end);
        self.sweep();
    }

    fn packet(&self, bytes: &[u8]) -> Packet {
        let mut packet = self.cx.packet().unwrap();
        packet.append(bytes).unwrap();
        packet
    }

    /// An upstream says `text` on connection number `at`.
    fn say(&mut self, at: usize, text: &str) {
        for part in text.as_bytes().chunks(1400) {
            let packet = self.packet(part);
            self.served[at].to_say.push_back(packet);
        }
        self.sweep();
    }

    /// More of the body of request number `visit` comes.
    fn send(&mut self, visit: usize, text: &str) {
        let packet = self.packet(text.as_bytes());
        self.port.visits[visit].body.push_back(packet);
        self.tell(visit);
    }

    fn end(&mut self, visit: usize) {
        self.port.visits[visit].ended = true;
        self.tell(visit);
    }

    fn tell(&mut self, visit: usize) {
        self.port.news.push_back(self.port.visits[visit].tag);
        self.sweep();
    }

    fn heard(&mut self, at: usize) -> String {
        String::from_utf8(std::mem::take(&mut self.served[at].heard)).unwrap()
    }

    /// What request number `visit` was answered: the head, and the body if it is complete.
    fn answer(&self, visit: usize) -> String {
        let visit = &self.port.visits[visit];
        let body = String::from_utf8_lossy(&visit.sent);
        let end = match (visit.finished, visit.aborted) {
            (true, false) => "",
            (false, true) => " (cut off)",
            (false, false) => " (goes on)",
            (true, true) => panic!("both"),
        };
        format!("{} > {body}{end}", visit.answer)
    }

    #[track_caller]
    fn expect(&self, visit: usize, expected: &str) {
        assert_eq!(self.answer(visit), expected);
    }

    #[track_caller]
    fn expect_rest(mut self) {
        self.pass(100_000);
        assert!(self.served.iter().all(|served| served.left), "all were given up");
        drop(self.server);
        drop(self.port);
        assert_eq!(self.cx.pool().available(), self.cx.pool().count());
    }
}

const SOCKET: &str = "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const FORWARDED: &str = "X-Forwarded-Host: x\r\nX-Forwarded-Proto: http\r\n\
    X-Forwarded-For: 192.0.2.7\r\nForwarded: for=192.0.2.7;host=\"x\";proto=http\r\n\
    Via: 1.1 gateway\r\n\r\n";
