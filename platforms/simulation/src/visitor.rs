//! Visits the other hosts over HTTP/1.1, one visit after the other, and checks what they answer.

use crate::card::Socket;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use waitless::{
    Component, Context, Duration, InitError, Inspect, Instant, Phase, Service, Stream, StreamPort,
};

/// What a visitor is to do, and what came of it.
#[derive(Clone, Default)]
pub struct Plan {
    /// Hosts to visit, by their numbers.
    pub peers: Vec<u8>,
    /// Visits that are still to be made.
    pub left: u32,
    /// Whether one is under way.
    pub is_under_way: bool,
    /// What to ask for.
    pub paths: Vec<String>,
    /// Where to send how many bytes, which are to come back.
    pub posts: Vec<(String, usize)>,
    /// How long a visit may take.
    pub patience: Duration,
    /// Visits that ended well.
    pub visits: u64,
    /// Visits that failed, the last one's reason.
    pub failures: Vec<String>,
    /// Something that no wire excuses.
    pub wrong: Option<String>,
    /// What was answered first for each path, by anybody.
    pub answers: BTreeMap<String, Vec<u8>>,
}

/// The configuration.
#[derive(Debug)]
pub struct VisitorConfig {
    /// The port at which the other hosts answer.
    pub ask: u16,
}

/// Makes visits.
pub struct Visitor {
    config: &'static VisitorConfig,
    socket: &'static Socket,
    service: Service,
    visit: Option<Visit>,
    /// When the next visit begins.
    next: Instant,
}

/// One that is under way.
struct Visit {
    stream: Stream,
    what: String,
    /// The path, of one whose answer is the same for all.
    path: Option<String>,
    request: Vec<u8>,
    sent: usize,
    answer: Vec<u8>,
    /// What the body must be.
    expected: Option<Vec<u8>>,
    begun: Instant,
}

/// The time between two visits, at most.
const PAUSE_MAX: u64 = 2_000;

impl Visitor {
    /// The visitor of the host that is being made.
    pub fn new(config: &'static VisitorConfig, _: &mut Context) -> Self {
        let socket = Socket::current();
        Self { config, socket, service: Service::default(), visit: None, next: Instant::ZERO }
    }

    fn begin<S: StreamPort>(&mut self, tcp: &mut S, cx: &mut Context) {
        let (what, peer, path, post) = {
            let mut state = self.socket.state();
            let plan = &mut state.plan;
            if plan.left == 0 || plan.peers.is_empty() {
                return;
            }
            plan.left -= 1;
            let peer = plan.peers[cx.random.below(plan.peers.len() as u64) as usize];
            let choice = cx.random.below((plan.paths.len() + plan.posts.len()) as u64) as usize;
            let path = plan.paths.get(choice).cloned();
            let post = plan.posts.get(choice.wrapping_sub(plan.paths.len())).cloned();
            let what = path.clone().or(post.as_ref().map(|it| it.0.clone())).unwrap_or_default();
            (what, peer, path, post)
        };
        let pause = Duration::from_millis(1 + cx.random.below(PAUSE_MAX));
        self.next = cx.now() + pause;
        let (head, body) = match &post {
            None => (format!("GET {what} HTTP/1.1\r\n"), Vec::new()),
            Some((path, count)) => {
                let salt = cx.random.u32();
                let body = (0..*count as u32).map(|at| byte(salt, at)).collect::<Vec<u8>>();
                (format!("POST {path} HTTP/1.1\r\nContent-Length: {count}\r\n"), body)
            }
        };
        let mut request = format!("{head}Host: x\r\nConnection: close\r\n\r\n").into_bytes();
        request.extend(&body);
        let remote = SocketAddr::from((address(peer), self.config.ask));
        let Ok(stream) = tcp.connect(self.service, remote) else {
            self.socket.state().plan.failures.push(format!("{what} of {peer}: no connection"));
            return;
        };
        tcp.set_tag(stream, 0);
        self.socket.state().plan.is_under_way = true;
        self.visit = Some(Visit {
            stream,
            what: format!("{what} of host {peer}"),
            path,
            request,
            sent: 0,
            answer: Vec::new(),
            expected: post.map(|_| body),
            begun: cx.now(),
        });
    }

    /// What has become of the visit: whether it is over.
    fn proceed<S: StreamPort>(&mut self, tcp: &mut S, now: Instant) -> Option<Ended> {
        let visit = self.visit.as_mut()?;
        while visit.sent < visit.request.len() {
            let left = &visit.request[visit.sent..];
            let room = tcp.writable(visit.stream);
            let count = room.len().min(left.len());
            if count == 0 {
                break;
            }
            room[..count].copy_from_slice(&left[..count]);
            tcp.commit(visit.stream, count);
            visit.sent += count;
        }
        while !tcp.readable(visit.stream).is_empty() {
            let bytes = tcp.readable(visit.stream);
            visit.answer.extend(bytes);
            let count = bytes.len();
            tcp.consume(visit.stream, count);
        }
        let status = tcp.status(visit.stream);
        let patience = self.socket.state().plan.patience;
        match status.phase {
            Phase::Opening | Phase::Open if now >= visit.begun + patience => Some(Ended::Hanging),
            Phase::Opening => None,
            Phase::Open if !status.finished => None,
            Phase::Open | Phase::Closed => Some(Ended::Whole),
            phase => Some(Ended::Failed(phase)),
        }
    }

    fn end<S: StreamPort>(&mut self, tcp: &mut S, ended: Ended) {
        let Some(visit) = self.visit.take() else { return };
        tcp.close(visit.stream);
        tcp.release(visit.stream);
        let mut state = self.socket.state();
        let plan = &mut state.plan;
        plan.is_under_way = false;
        match ended {
            Ended::Hanging => {
                plan.wrong = Some(format!("the visit to {} hangs", visit.what));
            }
            Ended::Failed(phase) => plan.failures.push(format!("{}: {phase:?}", visit.what)),
            Ended::Whole => match check(&visit, &mut plan.answers) {
                Ok(()) => plan.visits += 1,
                Err(what) => plan.wrong = Some(format!("{}: {what}", visit.what)),
            },
        }
    }
}

enum Ended {
    /// All that was sent has come.
    Whole,
    Failed(Phase),
    Hanging,
}

impl<S: StreamPort> Component<S> for Visitor {
    fn init(&mut self, tcp: &mut S, cx: &mut Context) -> Result<(), InitError> {
        self.service = tcp.attach().ok_or(InitError("too many services on this port"))?;
        // Until addresses are known to be nobody else's.
        self.next = cx.now() + Duration::from_secs(3);
        Ok(())
    }

    fn receive(&mut self, tcp: &mut S, cx: &mut Context) {
        while tcp.news(self.service).is_some() {}
        if let Some(ended) = self.proceed(tcp, cx.now()) {
            self.end(tcp, ended);
        }
        if self.visit.is_none() && self.next <= cx.now() {
            self.begin(tcp, cx);
        }
    }

    fn deadline(&self) -> Instant {
        let state = self.socket.state();
        match &self.visit {
            Some(visit) => visit.begun + state.plan.patience,
            None if state.plan.left > 0 => self.next,
            None => Instant::NEVER,
        }
    }
}

impl Inspect for Visitor {}

/// The address of a host.
pub fn address(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, number)
}

fn byte(salt: u32, at: u32) -> u8 {
    (at.wrapping_mul(2_654_435_761).wrapping_add(salt) >> 24) as u8
}

/// Whether an answer is whole, and what it must be.
fn check(visit: &Visit, answers: &mut BTreeMap<String, Vec<u8>>) -> Result<(), String> {
    let answer = &visit.answer;
    let end = answer.windows(4).position(|it| it == b"\r\n\r\n");
    let end = end.ok_or_else(|| format!("{} bytes and no end of the head", answer.len()))?;
    let (head, body) = answer.split_at(end + 4);
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    if !head.starts_with("http/1.1 200 ") {
        return Err(format!("the answer is {}", head.lines().next().unwrap_or_default()));
    }
    let field = |name: &str| {
        let mut fields = head.lines().filter_map(|line| line.split_once(':'));
        fields.find(|(it, _)| *it == name).map(|(_, value)| value.trim().to_owned())
    };
    let body = match (field("content-length"), field("transfer-encoding")) {
        (Some(length), _) if length.parse() == Ok(body.len()) => body.to_vec(),
        (Some(length), _) => return Err(format!("{} bytes instead of {length}", body.len())),
        (None, Some(_)) => unchunk(body).ok_or("chunks that are not whole")?,
        (None, None) => body.to_vec(),
    };
    if let Some(expected) = &visit.expected
        && *expected != body
    {
        return Err("other bytes came back than were sent".to_owned());
    }
    if let Some(path) = &visit.path {
        let first = answers.entry(path.clone()).or_insert_with(|| body.clone());
        if *first != body {
            return Err("another answer than the first one".to_owned());
        }
    }
    Ok(())
}

/// The bytes of chunks (RFC 9112 section 7.1), when the last one is there.
fn unchunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|it| it == b"\r\n")?;
        let digits = std::str::from_utf8(&rest[..end]).ok()?.split(';').next()?;
        let size = usize::from_str_radix(digits.trim(), 16).ok()?;
        rest = rest.get(end + 2..)?;
        if size == 0 {
            return (rest == b"\r\n").then_some(body);
        }
        body.extend(rest.get(..size)?);
        rest = rest.get(size..)?.strip_prefix(b"\r\n")?;
    }
}
