//! The component on a wire, as a server or a client, and the service on it.

use crate::Time;
use crate::flags::{Credential, Settings};
use crate::wire::Wire;
use std::time::{Duration as Span, Instant as Clock};
use tls::client::{self, Client};
use tls::handshake::Server;
use tls::role::Role;
use tls::{Chain, Config, Staple, Tls};
use waitless::{Component, Context, Duration, Inspect, Phase, Service, Stream, StreamPort};

/// How long a connection may take in all.
const LIMIT: Span = Span::from_secs(12);

/// What became of a connection.
pub struct Outcome {
    completed: bool,
    faulty: bool,
    rejected: bool,
    took_too_long: bool,
    pub resumed: bool,
    pub retried: bool,
    pub early: bool,
    pub truncated: bool,
}

impl Outcome {
    /// Whether it went as it should.
    pub fn is_good(&self) -> Result<(), String> {
        match self {
            Self { took_too_long: true, .. } => panic!("a connection did not end"),
            Self { faulty: true, .. } => Err("the runner did something wrong".to_owned()),
            Self { rejected: true, .. } => Err("the runner sent an alert".to_owned()),
            Self { completed: false, .. } => Err("the handshake was not completed".to_owned()),
            _ => Ok(()),
        }
    }
}

/// One connection of a server that `settings` set up.
pub fn serve(settings: &Settings, cx: Context, time: &Time) -> Result<Outcome, String> {
    match (settings.asks.is_some(), settings.early) {
        (false, false) => serve_as::<false, false>(settings, cx, time),
        (false, true) => serve_as::<false, true>(settings, cx, time),
        (true, false) => serve_as::<true, false>(settings, cx, time),
        (true, true) => serve_as::<true, true>(settings, cx, time),
    }
}

fn serve_as<const ASKS: bool, const EARLY: bool>(
    settings: &Settings,
    mut cx: Context,
    time: &Time,
) -> Result<Outcome, String> {
    let own = Own::of(&settings.credentials)?;
    let config = Config {
        certificate: own.chains,
        key: own.keys,
        ocsp: Some(own.staples),
        alpn: leak(settings.alpn.iter().map(|name| -> &str { name.clone().leak() })),
        connections: 10,
        handshakes: 10,
        handshake_timeout: Duration::from_secs(10),
        hello_limit: 131_072,
        tickets: if settings.tickets { 2 } else { 0 },
        ticket_lifetime: Duration::from_secs(7 * 86_400),
        early_data: EARLY.then_some(14_336),
        clients: ASKS.then(|| anchors(settings)),
        client_certificate: settings.asks.unwrap_or(tls::ClientCertificate::Required),
    };
    let mut tls = Tls::<Server<ASKS, EARLY>>::new(Box::leak(Box::new(config)), &mut cx);
    let mut wire = Wire::open(cx.core() as u32, settings.to, cx.pool())?;
    cx.set_now(time.now());
    tls.init(&mut wire, &mut cx).map_err(|why| why.0.to_owned())?;
    let service = tls.attach().ok_or("no service")?;
    tls.listen(service, 443).map_err(|why| format!("{why:?}"))?;
    if EARLY {
        tls.take_early(service);
    }
    let mut echo = Echo::new(settings, service, None);
    Ok(echo.go(&mut tls, &mut wire, &mut cx, time))
}

/// A client, with what it remembers of connections.
pub struct Dialer {
    tls: Tls<Client>,
    cx: Context,
    /// The service, once there is one.
    service: Option<Service>,
    count: u32,
}

impl Dialer {
    /// A client that `settings` set up.
    pub fn new(settings: &Settings, mut cx: Context) -> Result<Self, String> {
        let own = Own::of(&settings.credentials)?;
        let config = client::Config {
            trust: anchors(settings),
            certificate: (!own.chains.is_empty()).then_some(own.chains),
            key: (!own.keys.is_empty()).then_some(own.keys),
            alpn: leak(settings.alpn.iter().map(|name| -> &str { name.clone().leak() })),
            connections: 10,
            handshakes: 10,
            handshake_timeout: Duration::from_secs(10),
            message_limit: 262_144,
            sessions: 8,
        };
        let tls = Tls::<Client>::new(Box::leak(Box::new(config)), &mut cx);
        Ok(Self { tls, cx, service: None, count: 0 })
    }

    /// One connection.
    pub fn dial(&mut self, settings: &Settings, time: &Time) -> Result<Outcome, String> {
        let Self { tls, cx, .. } = self;
        self.count += 1;
        let mut wire = Wire::open(self.count, settings.to, cx.pool())?;
        cx.set_now(time.now());
        let service = match self.service {
            Some(service) => service,
            None => {
                tls.init(&mut wire, cx).map_err(|why| why.0.to_owned())?;
                *self.service.insert(tls.attach().ok_or("no service")?)
            }
        };
        // The component learns what time it is.
        tls.receive(&mut wire, cx);
        let remote = ([127, 0, 0, 1], 443).into();
        let stream = tls.connect_to(service, remote, &settings.name);
        let stream = stream.map_err(|why| format!("{}: {why:?}", settings.name))?;
        Ok(Echo::new(settings, service, Some(stream)).go(tls, &mut wire, cx, time))
    }
}

/// The service: it inverts what it hears and says it.
struct Echo<'a> {
    settings: &'a Settings,
    service: Service,
    stream: Option<Stream>,
    /// What is to be said.
    pending: Vec<u8>,
    has_greeted: bool,
    is_over: bool,
}

impl<'a> Echo<'a> {
    fn new(settings: &'a Settings, service: Service, stream: Option<Stream>) -> Self {
        let (pending, has_greeted, is_over) = (Vec::new(), false, false);
        Self { settings, service, stream, pending, has_greeted, is_over }
    }

    /// A connection from its beginning to its end.
    fn go<R: Role>(
        &mut self,
        tls: &mut Tls<R>,
        wire: &mut Wire,
        cx: &mut Context,
        time: &Time,
    ) -> Outcome {
        let before = Counts::of(tls);
        let start = Clock::now();
        while !wire.released && start.elapsed() < LIMIT {
            cx.set_now(time.now());
            tls.receive(wire, cx);
            self.step(tls, cx);
            tls.transmit(wire, cx);
            if <Tls<R> as Component<Wire>>::deadline(tls) > cx.now() {
                wire.listen();
            }
        }
        let took_too_long = !wire.released;
        wire.drain();
        let now = Counts::of(tls);
        let more = |of: fn(&Counts) -> u64| of(&now) > of(&before);
        Outcome {
            completed: more(|it| it.completed),
            faulty: more(|it| it.faulty),
            rejected: more(|it| it.rejected),
            took_too_long,
            resumed: more(|it| it.resumed),
            retried: more(|it| it.retried),
            early: more(|it| it.early),
            truncated: more(|it| it.truncated),
        }
    }

    fn step<R: Role>(&mut self, tls: &mut Tls<R>, cx: &Context) {
        while let Some(stream) = tls.news(self.service) {
            self.stream.get_or_insert(stream);
        }
        let Some(stream) = self.stream.filter(|_| !self.is_over) else { return };
        let status = tls.status(stream);
        match status.phase {
            Phase::Opening => return,
            Phase::Open => {}
            _ => {
                self.is_over = true;
                return tls.release(stream);
            }
        }
        if !std::mem::replace(&mut self.has_greeted, true) {
            self.pending.extend_from_slice(&self.settings.greeting);
        }
        while let Some(packet) = tls.recv(stream) {
            if !self.settings.ends {
                self.pending.extend(packet.bytes().iter().map(|byte| !byte));
            }
        }
        self.say(tls, stream, cx);
        let heard_all = status.finished && tls.status(stream).readable == 0;
        if self.pending.is_empty() && (heard_all || self.settings.ends) {
            tls.close(stream);
        }
        if self.pending.is_empty() && heard_all {
            self.is_over = true;
            tls.release(stream);
        }
    }

    /// Says as much as there is room for.
    fn say<R: Role>(&mut self, tls: &mut Tls<R>, stream: Stream, cx: &Context) {
        while !self.pending.is_empty() {
            let count = self.pending.len().min(1400).min(tls.status(stream).writable);
            let Some(mut packet) = cx.packet().filter(|_| count > 0) else { return };
            packet.append(&self.pending[..count]).expect("room in a packet");
            if tls.send(stream, packet).is_err() {
                return;
            }
            self.pending.drain(..count);
        }
    }
}

/// What the component has counted.
struct Counts {
    completed: u64,
    resumed: u64,
    retried: u64,
    early: u64,
    faulty: u64,
    rejected: u64,
    truncated: u64,
}

impl Counts {
    fn of<R: Role>(tls: &Tls<R>) -> Self {
        let set = tls.counters();
        let of = |name: &str| {
            let mut all = (0..set.count()).filter_map(|index| set.metric(index));
            all.find(|metric| metric.name == name).expect("a counter of that name").value
        };
        Self {
            completed: of("completed"),
            resumed: of("resumed"),
            retried: of("retried"),
            early: of("early"),
            faulty: of("faulty"),
            rejected: of("rejected"),
            truncated: of("truncated"),
        }
    }
}

/// Certificates, keys and what issuers say, as a configuration has them.
struct Own {
    chains: &'static [Chain],
    keys: &'static [&'static [u8]],
    staples: &'static [Option<Staple>],
}

impl Own {
    fn of(credentials: &[Credential]) -> Result<Self, String> {
        let (mut chains, mut keys, mut staples) = (Vec::new(), Vec::new(), Vec::new());
        for credential in credentials {
            let (Some(certificate), Some(key)) = (&credential.certificate, &credential.key) else {
                continue;
            };
            chains.push(Chain { certificates: pem(certificate)?, names: &["test", "example.com"] });
            keys.push(*pem(key)?.first().ok_or("no key")?);
            let response =
                credential.staple.as_ref().map(|bytes| -> &[u8] { bytes.clone().leak() });
            staples.push(response.map(|response| Staple { response, until: u64::MAX }));
        }
        Ok(Self { chains: chains.leak(), keys: keys.leak(), staples: staples.leak() })
    }
}

/// Those who may vouch for the runner.
fn anchors(settings: &Settings) -> &'static [&'static [u8]] {
    match &settings.trust {
        Some(file) if !settings.trusts_nobody => pem(file).expect("a certificate"),
        // Somebody must be trusted: here, one whom nobody knows.
        _ => {
            let made = rcgen::generate_simple_self_signed(["nobody".to_owned()]);
            let der = made.expect("a certificate").cert.der().to_vec();
            leak([&*der.leak()].into_iter())
        }
    }
}

/// The contents of a file in PEM.
fn pem(file: &str) -> Result<&'static [&'static [u8]], String> {
    let text = std::fs::read_to_string(file).map_err(|why| format!("{file}: {why}"))?;
    let mut found = Vec::new();
    let mut rest = text.as_str();
    while let Some(start) = rest.find("-----BEGIN") {
        let end = rest[start..].find("-----END").ok_or("no end")? + start;
        let length = rest[end..].find('\n').map_or(rest.len(), |line| end + line + 1);
        let decoded = pem_rfc7468::decode_vec(&rest.as_bytes()[start..length]);
        let (_, bytes) = decoded.map_err(|why| format!("{file}: {why}"))?;
        found.push(&*bytes.leak());
        rest = &rest[length..];
    }
    Ok(found.leak())
}

fn leak<T>(items: impl Iterator<Item = T>) -> &'static [T] {
    items.collect::<Vec<_>>().leak()
}
